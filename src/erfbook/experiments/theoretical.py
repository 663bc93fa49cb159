"""The single-path recurrences and the conditions of alignment, each against executed networks.

What a unit can see is found by execution alone: put a NaN into one pixel after the other of a
network whose weights are all one, and look which units turn into NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn

from erfbook import rf, theory
from erfbook.theory import Window


@dataclass(frozen=True)
class PathCheck:
    """How often recurrence, closed form, traced analysis and executed network disagree.

    Args:
        n_stacks: random stacks compared.
        n_units: units whose regions were compared, those that lie inside the image.
        n_pairs: pairs of a pixel and one of these units on which the inverse was compared.
        wrong: by quantity, the number of disagreements.
        n_border: units whose region crosses the image's border, in stacks without holes.
        n_overstated: those of them whose region, cut off at the border, holds pixels that do not
            reach them, because a layer in between replaces their path by padding.
    """

    n_stacks: int
    n_units: int
    n_pairs: int
    wrong: dict[str, int]
    n_border: int
    n_overstated: int


def probe(model: nn.Module, n_pixels: int) -> Bool[np.ndarray, "unit pixel"]:
    """Return which pixels of a one-channel line of pixels reach which units of a network.

    Args:
        model: takes (n, 1, pixels) and returns (n, channels, units) in float64.
        n_pixels: length of the line.
    """
    lines = torch.zeros(n_pixels, 1, n_pixels, dtype=torch.float64)
    lines[range(n_pixels), 0, range(n_pixels)] = torch.nan
    with torch.no_grad():
        if model.training:  # one line at a time: a batch statistic would mix them
            reached = torch.cat([model(line[None]).isnan().any(1) for line in lines])
        else:
            reached = model(lines).isnan().any(1)
    return reached.numpy().T


def ones(*modules: nn.Module) -> nn.Sequential:
    """Return modules in a row, in float64 and evaluation mode, with all weights set to one."""
    model = nn.Sequential(*modules).double().eval()
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    return model


def compare_recurrences(n_stacks: int, seed: int) -> PathCheck:
    """Compare recurrences and closed forms with the analysis and with execution (distill).

    Args:
        n_stacks: random stacks of up to six convolutions with stride, padding and dilation.
        seed: of the stacks.
    """
    rng = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    for _ in range(n_stacks):
        options, path = _draw_stack(rng)
        model = ones(*(nn.Conv1d(1, 1, **o, bias=False) for o in options))
        whole = theory.collapse(path)
        n_pixels = int(whole.kernel + 2 * whole.stride + rng.integers(0, 9))
        field = rf.analyze(model, (1, n_pixels))[""]
        size = theory.predict_field_size(path)
        counts["size"] += {size, _recur_size(path)} != set(field.size)
        counts["stride"] += {theory.predict_effective_stride(path)} != set(field.stride)
        counts["padding"] += {theory.predict_effective_padding(path)} != set(field.padding)
        is_dense = all(o["dilation"] == 1 and o["kernel_size"] >= o["stride"] for o in options)
        counts += _compare_units(path, field, probe(model, n_pixels), is_dense=is_dense)
    quantities = ("size", "stride", "padding", "region", "centre", "inverse")
    return PathCheck(
        n_stacks,
        n_units=counts["units"],
        n_pairs=counts["pairs"],
        wrong={name: counts[name] for name in quantities},
        n_border=counts["border"],
        n_overstated=counts["overstated"],
    )


def _compare_units(
    path: Sequence[Window], field: rf.Field, reached: np.ndarray, *, is_dense: bool
) -> Counter[str]:
    """Count the disagreements over all units; the inverse only where regions have no holes."""
    counts: Counter[str] = Counter()
    pixels = np.arange(reached.shape[1])
    seen = [theory.predict_units_seeing(path, int(x)) for x in pixels]
    for unit, row in enumerate(reached):
        first, last = _recur_region(path, unit)
        within = (first <= pixels) & (pixels <= last)
        if first < 0 or last >= len(pixels):
            counts["border"] += is_dense
            counts["overstated"] += is_dense and bool((within & ~row).any())
            continue
        counts["units"] += 1
        ends = tuple(np.flatnonzero(row)[[0, -1]])
        counts["region"] += not (first, last) == theory.predict_region(path, unit) == ends
        counts["centre"] += float(theory.predict_centre(path, unit)) != field.centre((unit,))[0]
        if is_dense:
            counts["pairs"] += len(pixels)
            counts["inverse"] += sum(
                is_seen != (unit in s) for is_seen, s in zip(row, seen, strict=True)
            )
    return counts


def _draw_stack(rng: np.random.Generator) -> tuple[list[dict[str, int]], list[Window]]:
    options = [
        {
            "kernel_size": int(rng.integers(1, 6)),
            "stride": int(rng.choice([1, 1, 2, 3])),
            "padding": int(rng.integers(0, 3)),
            "dilation": int(rng.choice([1, 1, 1, 2, 3])),
        }
        for _ in range(rng.integers(1, 7))
    ]
    path = [
        Window(theory.effective_kernel(o["kernel_size"], o["dilation"]), o["stride"], o["padding"])
        for o in options
    ]
    return options, path


def _recur_size(path: Sequence[Window]) -> theory.Number:
    size: theory.Number = 1
    for window in reversed(path):
        size = theory.step_size(size, window)
    return size


def _recur_region(path: Sequence[Window], unit: int) -> tuple[theory.Number, theory.Number]:
    region: tuple[theory.Number, theory.Number] = (unit, unit)
    for window in reversed(path):
        region = theory.step_region(region, window)
    return region


class _Sum(nn.Module):
    """Adds the outputs of several paths."""

    def __init__(self, *paths: nn.Module) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(path(x) for path in self.paths)


@dataclass(frozen=True)
class AlignmentExample:
    """Two paths that are added, on a line of pixels.

    Args:
        name: what sets the paths apart.
        n_pixels: pixels of the line.
        paths: by name, the layers of each path.
        alignment: strides and centres of the paths.
        field: what the analysis says of their sum.
        reached: which pixels reach which unit, found by execution.
    """

    name: str
    n_pixels: int
    paths: dict[str, tuple[Window, ...]]
    alignment: theory.Alignment
    field: rf.Field
    reached: Bool[np.ndarray, "unit pixel"]

    @property
    def regions(self) -> list[tuple[int, int]]:
        """First and last pixel of every unit, the hull over both paths."""
        return [self.field.region((unit,))[0] for unit in range(*self.field.grid)]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Pixels from the first to the last, of every unit."""
        return tuple(last - first + 1 for first, last in self.regions)

    @property
    def is_confirmed(self) -> bool:
        """Whether every unit's region, clipped to the image, is what execution reaches."""
        found = [(int(p[0]), int(p[-1])) for p in map(np.flatnonzero, self.reached)]
        units = range(*self.field.grid)
        return found == [self.field.region((unit,), clip=True)[0] for unit in units]


def show_alignment(n_pixels: int = 12) -> dict[str, AlignmentExample]:
    """Return a two-path graph that is aligned, and two twins that are not (distill).

    Args:
        n_pixels: length of the line, even, so that padding as TensorFlow's ``SAME`` is lopsided.
    """
    three, halve = Window(3, 1, 1), Window(3, 2, 1)
    lopsided = Window(3, 2, 0, 1)  # what SAME pads on an even line: nothing before, one after
    shortcut = Window(1, 2, 0)
    wide = Window(n_pixels // 2 + 1)  # stride 1 and no padding: as many units as with stride 2
    examples = {
        "aligned": {"body": (three, halve), "shortcut": (shortcut,)},
        "other centre": {"body": (three, lopsided), "shortcut": (shortcut,)},
        "other stride": {"body": (three, halve), "shortcut": (wide,)},
    }
    return {name: _add_paths(name, n_pixels, paths) for name, paths in examples.items()}


def _add_paths(name: str, n_pixels: int, paths: dict[str, tuple[Window, ...]]) -> AlignmentExample:
    model = ones(_Sum(*(nn.Sequential(*map(_convolution, path)) for path in paths.values())))
    return AlignmentExample(
        name,
        n_pixels,
        paths,
        theory.compare_paths(list(paths.values())),
        rf.analyze(model, (1, n_pixels))[""],
        probe(model, n_pixels),
    )


def _convolution(window: Window) -> nn.Module:
    layer = nn.Conv1d(1, 1, int(window.kernel), stride=int(window.stride), bias=False)
    return nn.Sequential(nn.ConstantPad1d((int(window.padding), int(window.after)), 0.0), layer)
