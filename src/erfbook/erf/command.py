"""``erfbook erf MODEL --images DIR``: measure a model on a folder of images and write the result.

The output folder holds ``map.png``, ``map.csv`` (the map as a matrix: the first row names the
columns, the first column the rows, in input pixels) and ``sizes.json``, or ``sizes.csv`` with
``--format csv``. It appears whole or not at all.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import torch
import torchvision
from tqdm import tqdm

from erfbook import datasets, rf
from erfbook.erf.draw import draw_map
from erfbook.erf.measure import STATISTICS, measure
from erfbook.erf.numbers import tabulate_sizes
from erfbook.erf.opaque import check_model
from erfbook.erf.sizes import Map
from erfbook.errors import UserError
from erfbook.models import default_weights, load_model

LARGEST_SIDE = 8192  # px; a map of this size takes half a GiB


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="torchvision name, efficientnet_lite0, or module:callable")
    add("--images", required=True, metavar="DIR", help="folder of images")
    add("--weights", metavar="W", help="none, DEFAULT (may download) or a file with a state dict")
    add("--layer", metavar="PATH", help="module path (default: the last layer with a plane)")
    add("--unit", metavar="ROW,COL", help="unit of that layer (default: the central one)")
    add("--size", type=int, default=512, metavar="PX", help="side of the square (default: 512)")
    add("--statistic", choices=tuple(STATISTICS), default="abs", help="default: abs")
    add("--limit", type=int, metavar="N", help="only the first N images")
    add("--skip-bad", action="store_true", help="leave out images that cannot be read")
    add("-o", "--output", metavar="DIR", help="folder to write (default: erf-MODEL)")
    add("--force", action="store_true", help="replace the folder if it is there")
    add("--seed", type=int, default=0, metavar="N", help="of random weights (default: 0)")
    add("--device", default="cpu", metavar="D", help="cpu (default), cuda, cuda:1, mps")
    add("--format", choices=("json", "csv"), default="json", help="of the sizes (default: json)")


def run(options: argparse.Namespace) -> int:
    """Measure, write the folder, print the sizes, and return the exit code.

    Raises:
        UserError: arguments, images, model or weights that cannot be used.
    """
    started = time.perf_counter()
    unit = _parse_unit(options.unit)
    if not 1 <= options.size <= LARGEST_SIDE:
        raise UserError(f"--size must be 1 to {LARGEST_SIDE} px, not {options.size}")
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit must be at least 1, not {options.limit}")
    paths = datasets.find_images(options.images)[: options.limit]
    name = options.model.replace(":", "-").replace("/", "-")
    folder = _check_output(Path(options.output or f"erf-{name}"), force=options.force)
    device = _check_device(options.device)
    torch.manual_seed(options.seed)
    reader = _Reader(paths, options.size, skip_bad=options.skip_bad)
    try:
        with redirect_stdout(sys.stderr):  # what a reader's own model prints
            model = load_model(options.model, options.weights)
            check_model(model)
            model = model.to(device)
            found = measure(model, reader, options.layer, unit, statistic=options.statistic)
            field = _exact_field(model, found)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{options.model}: {error}") from error
    if not found.values.any():
        raise UserError(f"{found.layer}: {_why_zero(found)}")
    if reader.skipped:
        print(
            f"{len(reader.skipped)} images left out: {', '.join(reader.skipped)}", file=sys.stderr
        )
    if found.one_by_one:
        print("the model mixes the images of a batch: each was measured alone", file=sys.stderr)
    numbers = tabulate_sizes(found, field) | _provenance(found, options, reader.skipped)
    numbers["seconds"] = round(time.perf_counter() - started, 2)
    with _written_whole(folder) as scratch:
        draw_map(scratch / "map.png", found, reader.mean_image(), numbers)
        _write_matrix(scratch / "map.csv", found.values)
        _write_sizes(scratch / f"sizes.{options.format}", numbers)
    _print_summary(numbers, folder)
    return 0


class _Reader:
    """Iterates over normalised images with a progress bar, and keeps their mean for the picture."""

    def __init__(self, paths: list[Path], side: int, *, skip_bad: bool) -> None:
        self.paths, self.side, self.skip_bad = paths, side, skip_bad
        self.skipped: list[str] = []
        self._sum, self._n = np.zeros((side, side, 3)), 0

    def __iter__(self) -> Iterator[torch.Tensor]:
        for path in tqdm(self.paths, unit="image", desc="erf", file=sys.stderr, disable=None):
            try:
                image = datasets.load_image(path, self.side)
            except UserError as error:
                if not self.skip_bad:
                    raise UserError(f"{error}; --skip-bad leaves such images out") from error
                self.skipped.append(path.name)
                continue
            self._sum += image.permute(1, 2, 0).numpy()
            self._n += 1
            yield datasets.normalise(image)
        if not self._n:
            raise UserError(f"none of the {len(self.paths)} images can be read")

    def mean_image(self) -> np.ndarray:
        """Return the mean of the images read so far, in 0 to 1."""
        return self._sum / self._n / 255.0


def _why_zero(found: Map) -> str:
    if found.n_zero == found.n_inputs:
        return f"all {found.n_inputs} images gave a gradient of zero"
    return f"the statistic {found.statistic!r} of {found.n_inputs} images is zero at every pixel"


def _provenance(found: Map, options: argparse.Namespace, skipped: list[str]) -> dict:
    return {
        "model": options.model,
        "weights": options.weights or default_weights(options.model),
        "seed": options.seed,
        "pixels": "0 to 1, then ImageNet's mean and standard deviation",
        "layer": found.layer,
        "unit": list(found.unit),
        "statistic": found.statistic,
        "n_images": found.n_inputs,
        "n_zero": found.n_zero,
        "n_skipped": len(skipped),
        "input_size_px": list(found.input_size),
        "images": str(options.images),
        "cropped": found.cropped,
        "one_by_one": found.one_by_one,
        "device": options.device,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def _exact_field(model: torch.nn.Module, found: Map) -> rf.Field:
    return rf.analyze(model.eval(), (3, *found.input_size), unknown="global")[found.layer]


def _parse_unit(word: str | None) -> tuple[int, int] | None:
    if word is None:
        return None
    try:
        row, column = (int(part) for part in word.split(","))
    except ValueError:
        raise UserError(f"--unit must be ROW,COL, such as 3,4, not {word!r}") from None
    return row, column


def _check_device(word: str) -> torch.device:
    try:
        device = torch.device(word)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"--device {word!r} cannot be used here: {line}") from error
    return device


def _check_output(folder: Path, *, force: bool) -> Path:
    """Refuse, before anything is computed, a folder that could not be written afterwards."""
    if folder.exists() and not force:
        raise UserError(f"{folder} is there already; choose another --output, or --force")
    if folder.exists() and not (folder.is_dir() and _is_ours(folder)):
        raise UserError(f"{folder} holds other things than a measurement; choose another --output")
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise UserError(f"--output: there is no folder {parent}")
    if not os.access(parent, os.W_OK):
        raise UserError(f"--output: no permission to write in {parent}")
    return folder


def _is_ours(folder: Path) -> bool:
    return {p.name for p in folder.iterdir()} <= {"map.png", "map.csv", "sizes.json", "sizes.csv"}


@contextmanager
def _written_whole(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder beside ``folder`` that takes its place once all is written."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_matrix(path: Path, values: np.ndarray) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["row", *range(values.shape[1])])
    for row, line in enumerate(values):
        writer.writerow([row, *(f"{v:.6g}" for v in line)])
    path.write_text(text.getvalue())


def _write_sizes(path: Path, numbers: dict) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps(numbers, indent=2) + "\n")
        return
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "value"])
        for name, value in numbers.items():
            if isinstance(value, dict):
                value = "; ".join(f"{key}: {why}" for key, why in value.items())
            values = value if isinstance(value, list) else [value]
            writer.writerow([name, " ".join(str(v) for v in values)])


def _print_summary(numbers: dict, folder: Path) -> None:
    field, sigma = numbers["theoretical_size_px"], numbers["gaussian_sigma_px"]
    seen = "the whole image" if field is None else f"{field[0]} x {field[1]} px"
    width = "undefined" if numbers["size_px"] is None else f"{numbers['size_px']:.1f} px"
    print(f"layer {numbers['layer']}, unit {numbers['unit']}, {numbers['n_images']} images")
    print(f"effective size {width}; theoretical {seen}")
    if sigma is not None:
        share = numbers["gaussian_r_squared"]
        print(f"Gaussian sigma {sigma[0]:.1f}, {sigma[1]:.1f} px (R2 {share:.2f})")
    for why in dict.fromkeys(numbers["undefined"].values()):
        names = [name for name, reason in numbers["undefined"].items() if reason == why]
        print(f"undefined: {', '.join(names)} ({why})")
    print(folder)
