"""Where a checkerboard comes from: how many windows, and how many paths, reach each pixel.

A layer of kernel k and stride s puts window q on the pixels q s - p to q s - p + k - 1. Far from
the border a pixel lies in floor(k/s) or ceil(k/s) windows, and which of the two repeats with period
s. The count is even over the pixels exactly where s divides k: an odd kernel on an even stride is
always uneven, but so is every other kernel that the stride does not divide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How a layer's windows lie along one axis.

    Args:
        kernel: taps.
        stride: pixels between windows.
        padding: pixels before the first one that the first window covers.
        dilation: pixels between taps.
        round_up: whether a last window that hangs over the end is kept, as pools may do.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    round_up: bool = False

    def __post_init__(self) -> None:
        if min(self.kernel, self.stride, self.dilation) < 1 or self.padding < 0:
            raise ValueError(
                "kernel, stride and dilation must be at least 1 and padding at least 0, not "
                f"{self.kernel, self.stride, self.dilation, self.padding}"
            )

    def count_outputs(self, n_pixels: int) -> int:
        """Return the number of windows on ``n_pixels``.

        >>> Grid(kernel=5, stride=4).count_outputs(64)
        15
        >>> Grid(kernel=5, stride=4, round_up=True).count_outputs(64)
        16
        """
        room = n_pixels + 2 * self.padding - self.dilation * (self.kernel - 1) - 1
        if room < 0:
            raise ValueError(f"{n_pixels} pixels are too few for a kernel of {self.kernel} taps")
        n = (-(-room // self.stride) if self.round_up else room // self.stride) + 1
        # As frameworks do: a window must begin inside the image or its left padding.
        return n - (self.round_up and (n - 1) * self.stride >= n_pixels + self.padding)

    def windows(self, n_pixels: int) -> Shaped[np.ndarray, "output pixel"]:
        """Return how many taps of each window (row) lie on each pixel (column): 0 or 1."""
        found = np.zeros((self.count_outputs(n_pixels), n_pixels), dtype=np.int64)
        first = np.arange(len(found)) * self.stride - self.padding
        for tap in range(self.kernel):
            pixel = first + tap * self.dilation
            inside = (pixel >= 0) & (pixel < n_pixels)
            found[np.flatnonzero(inside), pixel[inside]] += 1
        return found


def count_windows(grid: Grid, n_pixels: int) -> Shaped[np.ndarray, " pixel"]:
    """Return in how many windows of a layer each pixel lies.

    >>> count_windows(Grid(kernel=3, stride=2, padding=1), 8)
    array([1, 2, 1, 2, 1, 2, 1, 1])
    """
    return grid.windows(n_pixels).sum(axis=0)


def predict_coverage(kernel: int, stride: int) -> tuple[int, ...]:
    """Return in how many windows a pixel lies far from the border, over one period of the stride.

    Entry 0 is the pixel at a window's first tap.

    >>> predict_coverage(3, 2), predict_coverage(5, 4), predict_coverage(4, 2)
    ((2, 1), (2, 1, 1, 1), (2, 2))
    """
    _check(kernel, stride)
    return tuple(-(-(kernel - phase) // stride) for phase in range(stride))


def is_even(kernel: int, stride: int) -> bool:
    """Return whether all pixels lie in equally many windows: exactly where s divides k.

    >>> is_even(4, 2), is_even(3, 2), is_even(4, 3), is_even(6, 4)
    (True, False, False, False)
    """
    _check(kernel, stride)
    return kernel % stride == 0


def predict_amplitude(kernel: int, stride: int, harmonic: int = 1) -> float:
    """Return the count's oscillation with period ``stride / harmonic``, as a share of its mean.

    The count over one period is a box of k taps folded onto s pixels, so its Fourier coefficient is
    that of the box: |sin(pi m k / s) / (k sin(pi m / s))|, zero for all m exactly where s divides
    k. For k = s + 1 it is 1 / (s + 1) at every harmonic.

    >>> [round(predict_amplitude(s + 1, s), 3) for s in (2, 3, 4)]
    [0.333, 0.25, 0.2]
    """
    _check(kernel, stride)
    if not 0 < harmonic < stride:
        raise ValueError(f"harmonic must lie in 1 to {stride - 1} at this stride, not {harmonic}")
    return pass_wave(kernel, harmonic / stride)


def pass_wave(kernel: int, frequency: float) -> float:
    """Return the share of a wave that equal taps at stride 1 let through.

    Args:
        kernel: taps.
        frequency: cycles per pixel, in (0, 1).

    >>> round(pass_wave(3, 1 / 2), 3), round(pass_wave(3, 1 / 3), 3), round(pass_wave(3, 1 / 4), 3)
    (0.333, 0.0, 0.333)
    """
    angle = math.pi * frequency
    return abs(math.sin(kernel * angle) / (kernel * math.sin(angle)))


def spread(
    plane: Shaped[np.ndarray, "row column"],
    grid: Grid,
    n_pixels: int,
    *,
    chooses: bool = False,
) -> Shaped[np.ndarray, "rows columns"]:
    """Return what arrives one layer down when each window hands its value to all its pixels.

    With whole numbers this counts paths. With powers of a gradient it is a layer of random weights
    of variance 1 a tap, as :func:`propagate_power`, for any stride and border; times the variance
    of a weight and the number of output channels it is the layer itself.

    Args:
        plane: values of the windows.
        grid: the layer, the same along both axes.
        n_pixels: side of the plane below.
        chooses: whether a window hands its value to one of its pixels, each equally likely, and
            the expectation is taken: a max pool whose pixels are exchangeable.
    """
    taps = grid.windows(n_pixels)
    if plane.shape != (len(taps), len(taps)):
        raise ValueError(f"plane must have {len(taps)} x {len(taps)} windows, not {plane.shape}")
    if chooses:
        taps = taps / taps.sum(axis=1, keepdims=True)
    return taps.T @ plane @ taps


def predict_maximum(sigma: Float[np.ndarray, ...], *, copies: int = 1) -> float:
    """Return the expected maximum of |x| over independent normal x of mean 0.

    Args:
        sigma: standard deviation of each, any shape; zeros are allowed.
        copies: how many x there are of each.

    >>> round(predict_maximum(np.ones(1)), 4)  # sqrt(2 / pi)
    0.7979
    """
    from scipy.special import erfc

    spreads = np.asarray(sigma, dtype=float).ravel()
    spreads = spreads[spreads > 0]
    if not spreads.size:
        return 0.0
    x = np.linspace(0, 8 * spreads.max(), 401)  # P(|x| > 8 sigma) is 1e-15
    # P(|x| < t) = 1 - erfc(t / (sigma sqrt 2)), multiplied over all in logarithms.
    logs = [np.log1p(-erfc(t / (math.sqrt(2) * spreads))).sum() for t in x[1:]]
    above = 1 - np.exp(copies * np.concatenate([[-np.inf], logs]))
    return float(np.trapezoid(above, x))


def _check(kernel: int, stride: int) -> None:
    if kernel < 1 or stride < 1:
        raise ValueError(f"kernel and stride must be at least 1, not {kernel, stride}")
