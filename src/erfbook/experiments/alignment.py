"""Two paths that meet: aligned, and misaligned in two ways (distill)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn

from erfbook import rf, theory
from erfbook.experiments.theoretical import ones, probe
from erfbook.theory import Window


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


def name_alignment(examples: dict[str, AlignmentExample]) -> dict[str, dict]:
    """Return results under the names that prose and the claims ledger use."""
    found: dict[str, dict] = {
        "alignment_confirmed": {"value": all(e.is_confirmed for e in examples.values())},
        "alignment_conditions_agree": {
            "value": all(e.alignment.is_aligned == e.field.aligned for e in examples.values())
        },
    }
    for name, example in examples.items():
        key = f"alignment_{name.split()[-1]}"
        found |= {
            f"{key}_is_aligned": {"value": example.field.aligned},
            f"{key}_size_smallest": {"value": min(example.sizes), "unit": "px"},
            f"{key}_size_largest": {"value": max(example.sizes), "unit": "px"},
            f"{key}_size_spread": {"value": max(example.sizes) - min(example.sizes), "unit": "px"},
            f"{key}_why": {"value": example.field.why},
        }
    return found
