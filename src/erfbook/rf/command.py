"""``erfbook rf MODEL --input 3x224x224``: the theoretical receptive field of every layer.

Prints a table, or JSON or CSV for programs (their keys: :mod:`erfbook.rf.printing` and
:mod:`erfbook.rf.details`). What is written to a file appears whole or not at all.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from erfbook import rf
from erfbook.errors import UserError
from erfbook.models import load_model
from erfbook.rf import details, drawing, printing
from erfbook.rf.recorder import NoRuleError

LARGEST_SIDE = 1_000_000  # px
WRAPPER = "file.py:callable"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="torchvision name, efficientnet_lite0, or module:callable")
    add("--input", required=True, metavar="CxHxW", help="3x224x224; 1x16000; 3x16x112x112")
    add("--layer", metavar="PATH", help="only this module, in detail")
    add("--unit", metavar="R,C", help="unit of that layer (default: the central one)")
    add("--format", choices=("table", "json", "csv"), default="table", help="default: table")
    add("--svg", metavar="FILE", help="draw the unit's field over the image")
    add("--unknown", choices=("error", "global"), default="error", help="operations without a rule")
    add("--train", action="store_true", help="as in training (default: evaluation)")
    add("--all", action="store_true", help="every call in the table, not only where fields change")
    add("--depth", type=int, metavar="N", help="modules of the table (1: the model's children)")
    add("-o", "--output", metavar="FILE", help="write to a file instead of printing")


def run(options: argparse.Namespace) -> int:
    """Analyse, then write what was asked for, and return the exit code.

    Raises:
        UserError: arguments or a model that cannot be used; nothing has been written then.
    """
    input_size = _parse_input(options.input)
    unit = _parse_unit(options.unit)
    if options.depth is not None and options.depth < 1:
        raise UserError(f"--depth must be at least 1, not {options.depth}")
    if options.svg and len(input_size) > 3:
        raise UserError("--svg draws fields with 1 or 2 spatial axes, and this input has 3")
    if options.svg and math.prod(input_size[1:]) > details.MOST_PIXELS:
        raise UserError(f"--svg: {options.input} is too large to draw")
    files = [Path(f) for f in (options.output, options.svg) if f]
    _check_files(files)
    with contextlib.redirect_stdout(sys.stderr):  # what a reader's own model prints
        model = load_model(options.model, shapes_only=True).train(options.train)
        report = _analyze(model, input_size, options)
        field = _choose(report, options)
        if field is not None:
            unit = _check_unit(unit, field)
        texts = [_text(model, report, field, unit, options)]
    if options.svg and field is not None and unit is not None:
        texts.append(drawing.draw_field(field, unit, model=options.model))
    if options.output:
        _write_whole(files, texts)
        return 0
    _write_whole(files, texts[1:])
    sys.stdout.write(texts[0])
    sys.stdout.flush()  # here, so that a reader who has gone is noticed while we can still be quiet
    return 0


def _parse_input(word: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+([x×]\d+){1,3}", word):
        raise UserError(
            "--input must be channels and one to three sides without the batch, such as "
            f"3x224x224 or 1x16000, not {word!r}"
        )
    sizes = tuple(int(n) for n in re.split("[x×]", word))
    if not all(1 <= n <= LARGEST_SIDE for n in sizes):
        raise UserError(f"--input: channels and sides must be 1 to {LARGEST_SIDE}, not {word!r}")
    return sizes


def _parse_unit(word: str | None) -> tuple[int, ...] | None:
    if word is None:
        return None
    if not re.fullmatch(r"\d+(,\d+){0,2}", word):
        raise UserError(f"--unit must be an index per axis, such as 3,4, not {word!r}")
    return tuple(int(n) for n in word.split(","))


def _check_unit(unit: tuple[int, ...] | None, field: rf.Field) -> tuple[int, ...]:
    if unit is None:
        return field.central_unit
    name, grid = field.path or "the model's output", "x".join(map(str, field.grid))
    if len(unit) != len(field.grid) or any(u >= n for u, n in zip(unit, field.grid, strict=True)):
        last = ",".join(str(n - 1) for n in field.grid)
        given = ",".join(map(str, unit))
        raise UserError(f"--unit {given}: {name} has {grid} units, the last of which is {last}")
    return unit


def _analyze(
    model: nn.Module, input_size: tuple[int, ...], options: argparse.Namespace
) -> rf.Report:
    try:
        report = rf.analyze(model, input_size, unknown=options.unknown)
    except NoRuleError as error:
        why = " ".join(error.why.split())
        raise UserError(
            f"{options.model}: {why}; --unknown global takes its result as global"
        ) from error
    except ValueError as error:
        hint = f"; here, name a {WRAPPER} that supplies them" if "args=" in str(error) else ""
        raise UserError(f"{options.model}: {' '.join(str(error).split())}{hint}") from error
    except (LookupError, AttributeError, AssertionError, ArithmeticError) as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"{options.model}: running it stopped with {type(error).__name__}: {said}"
        ) from error
    if not report.fields:
        raise UserError(f"{options.model}: no module's output depends on the input")
    return report


def _choose(report: rf.Report, options: argparse.Namespace) -> rf.Field | None:
    """Return the layer to tell or draw: the one named, or else the last that sees but a part."""
    if options.layer is not None:
        try:
            return report[options.layer]
        except KeyError as error:
            raise UserError(f"--layer: {error.args[0]}") from None
    if options.svg is None:
        if options.unit is not None:
            raise UserError("--unit needs --layer or --svg, which tell of a unit")
        return None
    return next((f for f in reversed(report.fields) if not f.is_global), report.fields[-1])


def _text(
    model: nn.Module,
    report: rf.Report,
    field: rf.Field | None,
    unit: tuple[int, ...] | None,
    options: argparse.Namespace,
) -> str:
    """Return what is printed, in the format asked for."""
    found = {}
    if options.layer is not None and field is not None and unit is not None:
        found = details.details(field, unit)
        found |= details.beyond(model, report, options.layer, options.unknown)
    title = f"{options.model}, input {options.input}, {'train' if options.train else 'eval'} mode"
    if options.format == "table":
        if found and field is not None:
            return details.to_text(f"{report.name(field)} of {title}", field, found)
        width = shutil.get_terminal_size((100, 24)).columns
        table = printing.to_table(report, every=options.all, depth=options.depth, width=width)
        return f"{title}\n\n{table}"
    fields = report.fields if field is None or not found else (field,)
    records = [printing.record(f) | found for f in fields]
    if options.format == "csv":
        return printing.to_csv(records, len(report.input_size) - 1)
    head = {"model": options.model, "input": list(report.input_size), "train": options.train}
    return printing.to_json(head, records)


def _check_files(files: Sequence[Path]) -> None:
    """Refuse, before anything is computed, what could not be written afterwards."""
    if len({f.resolve() for f in files}) < len(files):
        raise UserError(f"--output and --svg are the same file, {files[0]}")
    for file in files:
        folder = file.expanduser().resolve().parent
        if file.is_dir():
            raise UserError(f"cannot write {file}: it is a folder")
        if not folder.is_dir():
            raise UserError(f"cannot write {file}: there is no folder {folder}")
        if not os.access(file if file.exists() else folder, os.W_OK):
            raise UserError(f"cannot write {file}: no permission")


def _write_whole(files: Sequence[Path], texts: Sequence[str]) -> None:
    """Write every text to its file; an interrupt leaves all files as they were."""
    scratch: dict[Path, Path] = {}
    try:
        for file, text in zip(files, texts, strict=True):
            target = file.expanduser().resolve()
            if target.exists() and not target.is_file():  # a pipe or a terminal
                target.write_text(text, encoding="utf-8")
                continue
            number, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
            scratch[target] = Path(name)
            with os.fdopen(number, "w", encoding="utf-8") as stream:
                stream.write(text)
            scratch[target].chmod(target.stat().st_mode if target.exists() else 0o644)
        for target, path in scratch.items():
            path.replace(target)
    finally:
        for path in scratch.values():
            path.unlink(missing_ok=True)
