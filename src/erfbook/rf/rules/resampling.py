"""Interpolation: nearest, linear in one to three dimensions, and cubic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np

from erfbook.rf.cutting import slide
from erfbook.rf.layout import Layout
from erfbook.rf.rules.registry import Op, register
from erfbook.rf.windows import AnyWindow, Table, Window, cubic, linear, nearest

Resample = Callable[[int, int, float | None], AnyWindow]  # parent's units, units, factor


def _resampled(op: Op, resample: Resample) -> Layout:
    layout = op.only("self" if "self" in op.args else "input")
    n = len(layout.dims) - 2
    factors, before = _factors(op, n), layout.shape
    moves = {}
    for a in range(n):
        along = partial(_along, resample, op.shape[2 + a], factors[a])
        moves[2 + a] = (along, op.shape[2 + a])
    layout = slide(op.build, layout, moves)
    if not op.args.get("align_corners") or all(op.shape[d] == before[d] for d in moves):
        return layout
    # Its corners stay where they are, so that in a part of the plane every unit lies elsewhere.
    windows = (Window(),) * op.build.n_axes
    return op.build.each(layout, windows, layout.dims, grid=layout.grid, fixed=True)


def _along(resample: Resample, n_units: int, factor: float | None, n_parent: int) -> AnyWindow:
    return Window() if n_units == n_parent and not factor else resample(n_parent, n_units, factor)


def _factors(op: Op, n: int) -> list[float | None]:
    """Return the scale factor given for each axis; None where the sizes decide."""
    if op.args.get("scale_factors"):
        return list(op.args["scale_factors"])
    names = ("scales",) if n == 1 else ("scales_d", "scales_h", "scales_w")[-n:]
    return [op.args.get(name) for name in names]


def _ratio(n_parent: int, n_units: int, factor: float | None) -> Fraction:
    """Return the parent's units for each unit: PyTorch takes the factor's word if it is given."""
    if factor and factor > 0:
        return 1 / Fraction(factor).limit_denominator(10**6)
    return Fraction(n_parent, n_units)


def _nearest(n_parent: int, n_units: int, factor: float | None, shift: float = 0.0) -> AnyWindow:
    ratio = _ratio(n_parent, n_units, factor)
    window = nearest(ratio, Fraction(shift) * ratio)
    # PyTorch rounds the ratio to single precision, which now and then moves an index by one.
    scale = np.float32(1 / factor) if factor else np.float32(n_parent) / np.float32(n_units)
    real = np.floor((np.arange(n_units, dtype=np.float32) + np.float32(shift)) * scale)
    real = np.minimum(real.astype(int), n_parent - 1)
    if (window.reads(n_units, n_parent)[:, 0] == real).all() or window.size > 10_000:
        return window
    return Table(tuple((int(i),) for i in real), ratio)


def _nearest_2d(n_parent: int, n_units: int, factor: float | None) -> AnyWindow:
    """PyTorch forgets the factor in two dimensions where the sizes are equal or doubled."""
    return _nearest(n_parent, n_units, None if n_units in (n_parent, 2 * n_parent) else factor)


def _linear(n_parent: int, n_units: int, factor: float | None, corners: bool = False) -> Window:
    if n_parent == n_units:  # PyTorch copies then, whatever the factor
        return Window()
    if corners:
        slope = Fraction(n_parent - 1, n_units - 1) if n_units > 1 else Fraction(0)
        return linear(slope, Fraction(0))
    ratio = _ratio(n_parent, n_units, factor)
    return linear(ratio, ratio / 2 - Fraction(1, 2))


def _cubic(n_parent: int, n_units: int, factor: float | None, corners: bool = False) -> AnyWindow:
    if corners:
        slope = Fraction(n_parent - 1, n_units - 1) if n_units > 1 else Fraction(0)
        return cubic(slope, Fraction(0), n_units, n_parent)
    ratio = _ratio(n_parent, n_units, factor)
    return cubic(ratio, ratio / 2 - Fraction(1, 2), n_units, n_parent)


@register("aten.upsample_nearest1d", "aten.upsample_nearest3d")
def _upsample_nearest(op: Op) -> Layout:
    return _resampled(op, _nearest)


@register("aten.upsample_nearest2d")
def _upsample_nearest_2d(op: Op) -> Layout:
    return _resampled(op, _nearest_2d)


@register("aten._upsample_nearest_exact1d", "aten._upsample_nearest_exact2d")
@register("aten._upsample_nearest_exact3d")
def _upsample_nearest_exact(op: Op) -> Layout:
    return _resampled(op, partial(_nearest, shift=0.5))


@register("aten.upsample_linear1d", "aten.upsample_bilinear2d", "aten.upsample_trilinear3d")
def _upsample_linear(op: Op) -> Layout:
    return _resampled(op, partial(_linear, corners=op.args["align_corners"]))


@register("aten.upsample_bicubic2d")
def _upsample_cubic(op: Op) -> Layout:
    return _resampled(op, partial(_cubic, corners=op.args["align_corners"]))
