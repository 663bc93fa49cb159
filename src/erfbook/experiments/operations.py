"""Layers beside the plain convolution as steps of the recurrences, each against execution."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from torch import nn

from erfbook import rf, theory
from erfbook.experiments.theoretical import ones, probe
from erfbook.theory import Window


@dataclass(frozen=True)
class OperationExample:
    """One operation on a line of pixels.

    Args:
        label: what it is.
        path: the layers it amounts to in the recurrences; None where it sees the whole image.
        field: what the analysis of the traced network says.
        sizes: pixels from the first to the last one that reaches a unit, for one period of
            neighbouring units in the middle of the line, found by execution.
        is_confirmed: whether the analysis gives every unit inside the image the region that
            execution reaches, and the recurrences its size and centre, on average over a period.
    """

    label: str
    path: tuple[Window, ...] | None
    field: rf.Field
    sizes: tuple[int, ...]
    is_confirmed: bool


def show_operations(n_pixels: int = 24) -> dict[str, OperationExample]:
    """Return dilation, pooling, upsampling, separable convolution and batch norm (distill).

    Args:
        n_pixels: length of the line.
    """
    three, one = Window(3, 1, 1), Window(1)
    cases: dict[str, tuple[str, nn.Sequential, tuple[Window, ...] | None]] = {
        "plain": ("3 taps", ones(_conv()), (three,)),
        "dilated": (
            "3 taps, dilation 4",
            ones(nn.Conv1d(1, 1, 3, padding=4, dilation=4)),
            (Window(theory.effective_kernel(3, 4), 1, 4),),
        ),
        "max_pool": ("max pool 3, stride 2", ones(nn.MaxPool1d(3, 2, 1)), (Window(3, 2, 1),)),
        "mean_pool": ("mean pool 3, stride 2", ones(nn.AvgPool1d(3, 2, 1)), (Window(3, 2, 1),)),
        "separable": (
            "3 taps, separable",
            ones(nn.Conv1d(1, 4, 1), nn.Conv1d(4, 4, 3, padding=1, groups=4), nn.Conv1d(4, 1, 1)),
            (one, three, one),
        ),
        "norm_eval": (
            "3 taps, norm at inference",
            ones(_conv(), nn.BatchNorm1d(1)),
            (three,),
        ),
        "norm_train": (
            "3 taps, norm in training",
            ones(_conv(), nn.BatchNorm1d(1)).train(),
            None,
        ),
        "nearest": (
            "×2 nearest, 3 taps",
            ones(nn.Upsample(scale_factor=2), _conv()),
            (theory.upsampling(2), three),
        ),
        "linear": (
            "×2 linear, 3 taps",
            ones(nn.Upsample(scale_factor=2, mode="linear"), _conv()),
            (theory.upsampling(2, linear=True), three),
        ),
        "transposed": (
            "×2 transposed, 3 taps",
            ones(nn.ConvTranspose1d(1, 1, 3, 2, 1), _conv()),
            (theory.transposed(3, 2, 1), three),
        ),
    }
    return {name: _show(*case, n_pixels) for name, case in cases.items()}


def _conv() -> nn.Conv1d:
    return nn.Conv1d(1, 1, 3, padding=1)


def _show(
    label: str, model: nn.Sequential, path: tuple[Window, ...] | None, n_pixels: int
) -> OperationExample:
    field = rf.analyze(model, (1, n_pixels))[""]
    reached = probe(model, n_pixels)
    ends = [(int(p[0]), int(p[-1])) for p in map(np.flatnonzero, reached)]
    regions = [field.region((unit,))[0] for unit in range(*field.grid)]
    inside = [u for u, (first, last) in enumerate(regions) if first >= 0 and last < n_pixels]
    is_confirmed = all(ends[unit] == regions[unit] for unit in inside)
    middle = len(ends) // 2
    if path is None:
        sizes: tuple[int, ...] = (ends[middle][1] - ends[middle][0] + 1,)
        is_confirmed = bool(is_confirmed and field.is_global and reached.all())
    else:
        units = range(middle, middle + Fraction(theory.predict_effective_stride(path)).denominator)
        sizes = tuple(ends[u][1] - ends[u][0] + 1 for u in units)
        size = Fraction(sum(sizes), len(units))
        centre = Fraction(sum(sum(ends[u]) for u in units), 2 * len(units))
        predicted = sum(theory.predict_centre(path, u) for u in units) / len(units)
        is_confirmed = is_confirmed and size == theory.predict_field_size(path)
        is_confirmed = bool(is_confirmed and centre == predicted)
    return OperationExample(label, path, field, sizes, is_confirmed)


def tabulate_operations(examples: dict[str, OperationExample]) -> pd.DataFrame:
    """Return one row an operation: its step of the recurrences, and what its units see."""
    rows = {}
    for example in examples.values():
        whole = theory.collapse(example.path) if example.path else None
        step = f"{whole.kernel} / {whole.stride} / {whole.padding}" if whole else "whole image"
        rows[example.label] = {
            "size / stride / padding": step,
            "units see, px": ", ".join(map(str, example.sizes)),
            "agrees": "✓" if example.is_confirmed else "✗",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def name_operations(examples: dict[str, OperationExample]) -> dict[str, dict]:
    """Return results under the names that prose and the claims ledger use."""
    found: dict[str, dict] = {}
    for name, example in examples.items():
        found |= {
            f"op_{name}_confirmed": {"value": example.is_confirmed},
            f"op_{name}_mean_size": {"value": float(np.mean(example.sizes)), "unit": "px"},
            f"op_{name}_is_global": {"value": example.field.is_global},
        }
    confirmed = [example.is_confirmed for example in examples.values()]
    return found | {"op_n": {"value": len(confirmed)}, "op_n_confirmed": {"value": sum(confirmed)}}
