"""Receptive fields of a single path, by recurrence and in closed form (Araujo et al. 2019).

Everything is along one axis; layers are listed from the input up, and indices count from 0.

=================  ===============================================================================
k_l, s_l, p_l      ``Window.kernel``, ``.stride``, ``.padding`` (before the first pixel)
q_l                ``Window.padding_after`` (after the last pixel)
r_l                ``size``: how many values of level l one output unit sees; r_L = 1
u_l, v_l           ``region``: the first and the last of them
S_0, P_0           effective stride and effective padding of the whole path
c_0                ``centre`` of the region on the input
=================  ===============================================================================

The closed forms rest on one fact: two layers in a row have the regions of one layer
(:func:`compose`), so a path of any length does too (:func:`collapse`). Upsampling and transposed
convolution are layers of stride 1/m whose number of inputs may alternate; ``kernel`` is then its
mean over the m phases, and everything linear in it (sizes, region ends, centres) is the mean over
m neighbouring units.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Number = int | Fraction


@dataclass(frozen=True)
class Window:
    """What one layer does along one axis: unit u reads from ``stride*u - padding`` on.

    Args:
        kernel: inputs from the first to the last one read; with dilation, the effective kernel.
        stride: inputs from one unit's window to the next one's; 1/m after upsampling by m.
        padding: values added before the first input.
        padding_after: values added after the last input; the same as ``padding`` if None.

    Raises:
        ValueError: a kernel or a stride that is not positive.

    >>> Window(3, stride=2, padding=1).after
    1
    """

    kernel: Number
    stride: Number = 1
    padding: Number = 0
    padding_after: Number | None = None

    def __post_init__(self) -> None:
        for name in ("kernel", "stride"):
            if getattr(self, name) <= 0:
                raise ValueError(f"Window.{name} must be positive, not {getattr(self, name)!r}")

    @property
    def after(self) -> Number:
        """Values added after the last input (distill: right padding)."""
        return self.padding if self.padding_after is None else self.padding_after


def effective_kernel(kernel: int, dilation: int) -> int:
    """Return the reach of a dilated kernel (distill: dilation), a(k - 1) + 1.

    >>> effective_kernel(3, dilation=4)
    9
    """
    return dilation * (kernel - 1) + 1


def step_size(size: Number, window: Window) -> Number:
    """Return r_(l-1) from r_l (distill: size recurrence), s r + (k - s).

    >>> step_size(1, Window(7, stride=2))
    7
    """
    return window.stride * size + (window.kernel - window.stride)


def step_region(region: tuple[Number, Number], window: Window) -> tuple[Number, Number]:
    """Return (u, v) of level l - 1 from that of level l (distill: region recurrence).

    >>> step_region((0, 1), Window(3, stride=2, padding=1))
    (-1, 3)
    """
    first, last = (window.stride * end - window.padding for end in region)
    return first, last + window.kernel - 1


def compose(lower: Window, upper: Window) -> Window:
    """Return the one layer whose regions are those of ``upper`` seen through ``lower``.

    >>> compose(Window(3, padding=1), Window(3, stride=2, padding=1))
    Window(kernel=5, stride=2, padding=2, padding_after=2)
    """
    return Window(
        lower.kernel + lower.stride * (upper.kernel - 1),
        lower.stride * upper.stride,
        lower.padding + lower.stride * upper.padding,
        lower.after + lower.stride * upper.after,
    )


def collapse(path: Sequence[Window]) -> Window:
    """Return the one layer that a path amounts to: size, effective stride, effective paddings.

    >>> collapse([Window(3, padding=1), Window(2, stride=2)] * 2)
    Window(kernel=10, stride=4, padding=3, padding_after=3)
    """
    return functools.reduce(compose, path, Window(1, 1, 0, 0))


def predict_field_size(path: Sequence[Window]) -> Number:
    """Return r_0 (distill: closed form of the size), 1 + sum of (k_l - 1) times strides below l.

    >>> predict_field_size([Window(3), Window(2, stride=2), Window(3)])
    8
    """
    return 1 + sum((w.kernel - 1) * _jump(path, i) for i, w in enumerate(path))


def predict_effective_stride(path: Sequence[Window]) -> Number:
    """Return S_0 (distill: effective stride), the product of all strides."""
    return _jump(path, len(path))


def predict_effective_padding(path: Sequence[Window]) -> Number:
    """Return P_0 (distill: effective padding), the sum of p_l times the strides below l."""
    return sum(w.padding * _jump(path, i) for i, w in enumerate(path))


def predict_region(path: Sequence[Window], unit: int = 0) -> tuple[Number, Number]:
    """Return u_0 and v_0 of a unit (distill: closed form of the region ends).

    Args:
        path: layers from the input up.
        unit: index of the output unit, from 0.

    Returns:
        First and last input pixel, inclusive, on the plane that padding extends.

    >>> predict_region([Window(3, padding=1), Window(3, stride=2, padding=1)], unit=1)
    (0, 4)
    """
    first = -predict_effective_padding(path) + unit * predict_effective_stride(path)
    return first, first + predict_field_size(path) - 1


def predict_centre(path: Sequence[Window], unit: int = 0) -> Fraction:
    """Return c_0 (distill: centre), the middle of the region; a half where the size is even.

    >>> predict_centre([Window(2, stride=2)], unit=3)
    Fraction(13, 2)
    """
    first, last = predict_region(path, unit)
    return Fraction(first + last) / 2


def predict_units_seeing(path: Sequence[Window], pixel: int) -> range:
    """Return the units whose region holds a pixel: the region ends, solved for the unit.

    Args:
        path: layers from the input up, with whole strides.
        pixel: index of the input pixel.

    Returns:
        Consecutive units, none of them checked against the layer's grid.

    >>> predict_units_seeing([Window(5, stride=2, padding=2)], pixel=4)
    range(1, 4)
    """
    size, stride, padding = map(
        Fraction,
        (predict_field_size(path), predict_effective_stride(path), predict_effective_padding(path)),
    )
    lowest = math.ceil((pixel + padding - size + 1) / stride)
    return range(lowest, math.floor((pixel + padding) / stride) + 1)


def count_units(n_pixels: int, path: Sequence[Window]) -> int:
    """Return the number of output units on an input of ``n_pixels``, where sizes round down.

    The rounding of every layer and the one rounding of the collapsed layer agree, because rounding
    down and dividing by a whole number commute.

    >>> count_units(224, [Window(7, stride=2, padding=3), Window(3, stride=2, padding=1)])
    56
    """
    whole = collapse(path)
    room = n_pixels + whole.padding + whole.after - whole.kernel
    return max(0, math.floor(Fraction(room) / whole.stride) + 1)


def predict_units_inside(n_pixels: int, path: Sequence[Window]) -> float:
    """Return the share of units whose whole region lies in the image, along one axis.

    Raises:
        ValueError: the path has no unit at this size.

    >>> predict_units_inside(8, [Window(3, padding=1)])
    0.75
    """
    n_units = count_units(n_pixels, path)
    if n_units == 0:
        raise ValueError(f"n_pixels must leave a unit; {n_pixels} px leave none")
    inside = 0
    for unit in range(n_units):
        first, last = predict_region(path, unit)
        inside += first >= 0 and last < n_pixels
    return inside / n_units


def upsampling(factor: int, *, linear: bool = False) -> Window:
    """Return resizing by a whole factor as a layer of stride 1/factor (distill: upsampling).

    Args:
        factor: outputs for each input.
        linear: whether two neighbours are blended (pixel centres aligned, corners not), not one
            copied. For an odd factor one phase of each period meets an input and reads it alone.

    >>> upsampling(2), upsampling(2, linear=True).kernel
    (Window(kernel=1, stride=Fraction(1, 2), padding=Fraction(1, 4), padding_after=None), 2)
    """
    stride = Fraction(1, factor)
    taps = 1 if not linear or factor == 1 else 2 if factor % 2 == 0 else 2 - stride
    return _centred(taps, stride, (stride - 1) / 2)


def transposed(kernel: int, stride: int, padding: int = 0) -> Window:
    """Return a transposed convolution as a layer of stride 1/stride that reads k/s inputs.

    Args:
        kernel, stride, padding: as the framework calls them, those of the convolution whose
            transpose it is.

    >>> transposed(4, stride=2, padding=1)
    Window(kernel=2, stride=Fraction(1, 2), padding=Fraction(3, 4), padding_after=None)
    """
    step = Fraction(1, stride)
    return _centred(kernel * step, step, (padding - Fraction(kernel - 1, 2)) * step)


@dataclass(frozen=True)
class Alignment:
    """Whether the paths into one unit agree (distill: alignment).

    Args:
        strides: effective stride of each path.
        centres: centre of unit 0's region through each path, -P_0 + (r_0 - 1)/2.
    """

    strides: tuple[Fraction, ...]
    centres: tuple[Fraction, ...]

    @property
    def same_stride(self) -> bool:
        """Whether the centres keep their distance from unit to unit."""
        return len(set(self.strides)) == 1

    @property
    def is_aligned(self) -> bool:
        """Whether all paths are centred on the same pixel, for every unit."""
        return self.same_stride and len(set(self.centres)) == 1


def compare_paths(paths: Sequence[Sequence[Window]]) -> Alignment:
    """Return the strides and centres at which several paths reach the same unit.

    >>> compare_paths([[Window(3, 2, 1)], [Window(1, 2)]]).is_aligned
    True
    """
    strides = tuple(Fraction(predict_effective_stride(path)) for path in paths)
    return Alignment(strides, tuple(predict_centre(path) for path in paths))


def _jump(path: Sequence[Window], index: int) -> Number:
    """Return the product of the strides below a layer."""
    return math.prod(window.stride for window in path[:index])


def _centred(kernel: Number, stride: Fraction, centre: Fraction) -> Window:
    """Return the layer whose unit 0 reads ``kernel`` inputs around ``centre``, on average."""
    kernel = int(kernel) if kernel == int(kernel) else kernel
    return Window(kernel, stride, (Fraction(kernel) - 1) / 2 - centre)
