"""Fields as text: a table for a person, JSON and CSV for programs, and one layer in detail.

Keys of a JSON record and columns of the CSV: ``layer`` (module path, empty for the model itself),
``call`` (from 0), ``op``; per axis ``grid`` (units), ``size``, ``stride``, ``padding`` (input
pixels), ``global_axes`` and ``period``; ``global``, ``aligned``, ``why``. A whole number is a
number, a fraction the string ``"1/2"``, and what does not exist is null or an empty cell. In the
CSV a value per axis has a column per axis: ``size_y``, ``size_x``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from erfbook.rf.fields import Field
from erfbook.rf.report import Report

AXES = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}
AXIS_NAMES = {1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}
PER_AXIS = {"grid", "size", "stride", "padding", "global_axes", "period", "unit", "centre"}
PER_AXIS |= {"smallest_input", "tile_multiple", "tile_before", "tile_after"}
RANGES = {"region", "region_in_image"}
MOST_ROWS = 30  # of a table that is read at a glance; chosen by us


def record(field: Field) -> dict[str, Any]:
    """Return a field as a JSON object; the module's head lists the keys."""
    return {
        "layer": field.path,
        "call": field.call,
        "op": field.op,
        "grid": list(field.grid),
        "size": exact(field.size),
        "stride": exact(field.stride),
        "padding": exact(field.padding),
        "global_axes": list(field.global_axes),
        "period": exact(field.period),
        "global": field.is_global,
        "aligned": field.aligned,
        "why": field.why,
    }


def to_json(head: dict[str, Any], records: Sequence[dict[str, Any]]) -> str:
    """Return the head's keys and ``layers``, the records, as JSON."""
    return json.dumps({**head, "layers": list(records)}, indent=2, allow_nan=False) + "\n"


def to_csv(records: Sequence[dict[str, Any]], n_axes: int) -> str:
    """Return one line a record, with a column for each axis of what is given per axis."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for i, found in enumerate(records):
        cells = dict(_cells(found, AXES[n_axes]))
        if i == 0:
            writer.writerow(cells)
        writer.writerow([str(v).lower() if isinstance(v, bool) else v for v in cells.values()])
    return text.getvalue()


def _cells(found: dict[str, Any], axes: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if name in PER_AXIS:  # a layer without a plane has no value, yet keeps its columns
            for axis, each in zip(axes, value or [None] * len(axes), strict=True):
                yield f"{name}_{axis}", each
        elif name in RANGES:
            for axis, each in zip(axes, value or [(None, None)] * len(axes), strict=True):
                yield f"{name}_{axis}_first", each[0]
                yield f"{name}_{axis}_last", each[1]
        else:
            yield name, value


def to_table(report: Report, *, every: bool = False, depth: int | None = None, width: int) -> str:
    """Return a table with a row for each change of the field, and a footer.

    Where that would be more than 30 rows, modules below some depth are left out.

    Args:
        report: the fields.
        every: a row for every call of every module.
        depth: the deepest modules to list; by default as deep as 30 rows allow.
        width: characters of a line; a longer note is cut.
    """
    fields = report.fields
    shown, depth = (list(fields), None) if every else _choose(fields, depth)
    head = ("layer", "grid", "size", "stride", "padding", "note")
    rows, last = [], ""
    for f in shown:
        note = _note(f)
        again = bool(note) and note == last
        rows.append((report.name(f), *columns(f), "as above" if again else note))
        last = note
    lines = _aligned([head, *rows], width)
    lines.insert(1, "-" * max(map(len, lines)))
    footer = textwrap.wrap(_footer(len(shown), len(fields), depth), min(width, 100))
    return "\n".join([*lines, "", *footer]) + "\n"


def _choose(fields: Sequence[Field], depth: int | None) -> tuple[list[Field], int | None]:
    deepest = max(_depth(f.path) for f in fields)
    if depth is not None:
        return _changes(fields, depth), depth if depth < deepest else None
    for level in range(deepest, 1, -1):
        shown = _changes(fields, level)
        if len(shown) <= MOST_ROWS:
            return shown, level if level < deepest else None
    return _changes(fields, 1), 1 if deepest > 1 else None


def _changes(fields: Sequence[Field], depth: int) -> list[Field]:
    """Return one call for each run of calls, down to a depth, with the same field; and the last.

    A run is named by the outermost module that returns this field, so that a block stands for the
    layers in it; where everything has become global, by the layer at which that happened.
    """
    runs: list[list[Field]] = []
    for f in fields:
        if _depth(f.path) <= depth:
            if not runs or _look(f) != _look(runs[-1][-1]):
                runs.append([])
            runs[-1].append(f)
    shown = [run[0] if run[0].is_global else min(run, key=_rank) for run in runs]
    shown = _without_insides(shown)
    return shown if fields[-1] is shown[-1] else [*shown, fields[-1]]


def _without_insides(shown: Sequence[Field]) -> list[Field]:
    """Leave out a layer whose field a module around it returns later, past a shorter branch."""
    returned = {(f.path, _look(f)) for f in shown}
    kept: list[Field] = []
    for f in shown:
        names = f.path.split(".")
        around = (".".join(names[:i]) for i in range(1, len(names)))
        inside = not f.is_global and any((path, _look(f)) in returned for path in around)
        if not inside and not (kept and _look(kept[-1]) == _look(f)):
            kept.append(f)
    return kept


def _look(field: Field) -> tuple:
    if field.is_global:
        return ("global",)
    return (field.grid, field.size, field.stride, field.padding, field.aligned, field.global_axes)


def _rank(field: Field) -> float:
    return _depth(field.path) or math.inf  # the model itself is shown as the last row


def _depth(path: str) -> int:
    """Return 0 for the model itself, 1 for its children."""
    module = path.partition("[")[0]
    return len(module.split(".")) if module else 0


def columns(field: Field) -> tuple[str, str, str, str]:
    """Return grid, size, stride and padding in as few characters as say it.

    One number stands for equal ones on every axis, ``all`` for a global axis, ``-`` for none.
    """
    sizes = ["all" if g else n for g, n in zip(field.global_axes, field.size, strict=True)]
    return (
        "x".join(map(str, field.grid)) or "-",
        compact(sizes),
        compact(field.stride),
        compact(field.padding),
    )


def compact(values: Sequence[Any]) -> str:
    """Return 7 for (7, 7), 7x11 for (7, 11), and - for what does not exist."""
    words = ["-" if v is None else str(v) for v in values]
    return words[0] if len(set(words)) == 1 else "x".join(words)


def _note(field: Field) -> str:
    if any(field.global_axes):
        where = "" if field.is_global else f" in {_axes_of(field.global_axes)}"
        return f"global{where}: {field.why}"
    return "" if field.aligned else f"misaligned: {field.why}"


def _axes_of(flags: Sequence[bool]) -> str:
    names = AXIS_NAMES[len(flags)]
    return " and ".join(f"{name}s" for name, flag in zip(names, flags, strict=True) if flag)


def _aligned(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return lines: first and last column to the left, the numbers to the right, notes cut."""
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = []
    for name, *numbers, note in rows:
        cells = [name.ljust(widths[0])]
        cells += [n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True)]
        line = "  ".join(cells)
        room = max(width - len(line) - 2, 12)
        cut = note if len(note) <= room else note[: room - 1] + "…"
        lines.append(f"{line}  {cut}".rstrip())
    return lines


def _footer(n_shown: int, n_all: int, depth: int | None) -> str:
    said = "Size, stride and padding are in input pixels; --layer PATH tells more."
    if n_shown < n_all:
        deep = "" if depth is None else f", in modules of depth {depth} and above"
        said += (
            f" {n_shown} of {n_all} calls are shown: where the field changes{deep}, and the last; "
            f"--all shows the {n_all - n_shown} left out."
        )
    return said


def exact(value: Any) -> Any:
    """Return whole numbers as they are, fractions as strings, and None for what is not finite."""
    if isinstance(value, tuple | list):
        return [exact(v) for v in value]
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
