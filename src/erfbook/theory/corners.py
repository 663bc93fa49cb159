"""Which kernel makes the effective receptive field widest, and what that costs.

A normalised kernel is a distribution over its taps. One draw (A, B) from it is one layer's step,
and a stack of n layers has n times its covariance matrix. Under random weights the same holds for
the *power* of the gradient, with the variance of each tap's weight in place of the weight.

"Widest" needs a criterion in two dimensions, for a covariance matrix is not a number:

==============  =================================================================================
``trace``       sum of the two axes' variances, the paper's variance per axis twice over
``area``        determinant: the squared area of the ellipse that a Gaussian would fill
``least``       variance in the narrowest direction
``greatest``    variance in the widest direction
==============  =================================================================================
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import signal

from erfbook.theory.signals import Whole, check_count

CRITERIA = ("trace", "area", "least", "greatest")
CONCAVE = ("trace", "area")  # smooth and concave: an ascent ends in the global maximum
_LARGEST_ENUMERATION = 2_000_000


@dataclass(frozen=True)
class KernelMoments:
    """Mean and covariance of one step of a kernel, in taps.

    Args:
        mean: (row, column).
        covariance: of row and column.
    """

    mean: Float[np.ndarray, 2]
    covariance: Float[np.ndarray, "2 2"]

    def criterion(self, name: str) -> float:
        """Return one of :data:`CRITERIA`."""
        _check_criterion(name)
        if name == "trace":
            return float(np.trace(self.covariance))
        least, greatest = np.linalg.eigvalsh(self.covariance)
        return float({"area": least * greatest, "least": least, "greatest": greatest}[name])


@dataclass(frozen=True)
class Optimum:
    """A kernel found by ascent.

    Args:
        weights: the kernel, sum 1.
        value: its criterion.
        gap: how far the criterion (of ``area``: its logarithm) can lie below the global maximum.
        n_steps: steps taken.
    """

    weights: Float[np.ndarray, "k k"]
    value: float
    gap: float
    n_steps: int


def kernel_moments(weights: Float[np.ndarray, "k k"]) -> KernelMoments:
    """Return mean and covariance of one draw from a kernel: the paper's variance in the plane.

    The diagonal holds what :func:`predict_moments` gives for the kernel's two marginals.

    >>> kernel_moments(np.full((3, 3), 1 / 9)).covariance.round(3) + 0.0
    array([[0.667, 0.   ],
           [0.   , 0.667]])
    """
    w = check_kernel(weights)
    steps = _steps(len(w))
    mean = w.ravel() @ steps
    centred = steps - mean
    return KernelMoments(mean, (centred.T * w.ravel()) @ centred)


def corner_kernel(kernel: Whole, diagonal: float = 0.5) -> Float[np.ndarray, "k k"]:
    """Return a kernel whose weight lies on its four corners alone.

    Args:
        kernel: taps along an axis, two or more.
        diagonal: share on the main diagonal's two corners; 1/2 is four equal corners.

    >>> corner_kernel(3)
    array([[0.25, 0.  , 0.25],
           [0.  , 0.  , 0.  ],
           [0.25, 0.  , 0.25]])
    """
    check_count("kernel", kernel, least=2)
    if not 0.0 <= diagonal <= 1.0:
        raise ValueError(f"diagonal must be a share between 0 and 1, not {diagonal!r}")
    w = np.zeros((kernel, kernel))
    w[[0, -1], [0, -1]] = diagonal / 2
    w[[0, -1], [-1, 0]] = (1 - diagonal) / 2
    return w


def soft_kernel(kernel: Whole, contrast: float) -> Float[np.ndarray, "k k"]:
    """Return variances that rise from the kernel's centre to its corners, with sum 1.

    The logarithm of the *standard deviation* grows with the squared distance from the centre, from
    0 to log(contrast) at the corners, so that uniform (1) and corners (infinity) are its two ends.
    For 3 taps and contrast 4 the standard deviations are as 1 : 2 : 4. The paper gives no formula;
    this one is ours, and the only one that keeps the two axes independent at every contrast.

    Args:
        kernel: taps along an axis, two or more.
        contrast: standard deviation at a corner over that at the centre, 1 or more.

    >>> (soft_kernel(3, 4.0) * 81).round(6)
    array([[16.,  4., 16.],
           [ 4.,  1.,  4.],
           [16.,  4., 16.]])
    """
    check_count("kernel", kernel, least=2)
    if not contrast >= 1.0:
        raise ValueError(f"contrast must be at least 1, not {contrast!r}")
    if math.isinf(contrast):
        return corner_kernel(kernel)
    reach = (kernel - 1) / 2
    along = (np.arange(kernel) - reach) ** 2 / (2 * reach**2)  # 1/2 at each end, 1 at a corner
    axis = np.exp(2 * math.log(contrast) * (along - 0.5))  # 1 at the ends, so that none overflows
    axis /= axis.sum()
    return np.outer(axis, axis)


def predict_size_gain(kernel: Whole) -> float:
    """Return sigma of the four corners over sigma of equal weights, sqrt(3 (k - 1) / (k + 1)).

    (k - 1)^2 / 4 over (k^2 - 1) / 12, and the root of it. It never reaches sqrt(3).

    >>> round(predict_size_gain(3), 4), round(predict_size_gain(5), 4)
    (1.2247, 1.4142)
    """
    check_count("kernel", kernel, least=2)
    return math.sqrt(3 * (kernel - 1) / (kernel + 1))


def predict_kernel_power(
    kernels: Sequence[Float[np.ndarray, "_ _"]],
) -> Float[np.ndarray, "side side"]:
    """Return the share of the gradient's power at each input pixel, for layers of random weights.

    Every layer spreads the expected squared gradient with the variances of its own taps.

    Args:
        kernels: for each layer from the input up, the variances of its taps up to a factor.

    Returns:
        The map over the theoretical receptive field, sum 1.

    >>> predict_kernel_power([corner_kernel(3)] * 2)[0] * 16
    array([1., 0., 2., 0., 1.])
    """
    if not kernels:
        raise ValueError("kernels must hold a layer or more")
    power = np.ones((1, 1))
    for kernel in reversed(kernels):
        # PyTorch's layers correlate, and the gradient of a correlation convolves with the kernel.
        power = signal.convolve2d(power, check_kernel(kernel))
    return power / power.sum()


def live_share(power: Float[np.ndarray, "height width"]) -> float:
    """Return the share of pixels inside a map's support box that have any power at all.

    >>> live_share(predict_kernel_power([corner_kernel(3)] * 2))
    0.36
    """
    return float(np.mean(np.asarray(power) > 0))


def maximise_criterion(
    kernel: Whole, criterion: str, *, seed: int, tolerance: float = 1e-6, max_steps: int = 5000
) -> Optimum:
    """Climb from a random kernel to the widest one by projected ascent.

    Both criteria are concave, so the tangent plane bounds the maximum: the largest partial
    derivative minus their mean under the kernel is a certificate of how much is left.

    Args:
        kernel: taps along an axis, two or more.
        criterion: one of :data:`CONCAVE`.
        seed: of the start, drawn evenly from all kernels.
        tolerance: gap at which to stop.
        max_steps: steps after which to stop anyway.

    Raises:
        ValueError: a criterion that an ascent cannot settle.
    """
    check_count("kernel", kernel, least=2)
    if criterion not in CONCAVE:
        raise ValueError(f"criterion must be one of {', '.join(CONCAVE)}, not {criterion!r}")
    steps = _steps(int(kernel))
    w = np.random.default_rng(seed).dirichlet(np.ones(len(steps)))
    rate, value = 1.0, _height(w, steps, criterion)
    for n_steps in range(max_steps):  # noqa: B007
        slope = _slope(w, steps, criterion)
        gap = float(slope.max() - w @ slope)
        if gap <= tolerance:
            break
        while True:
            tried = project_to_simplex(w + rate * slope / np.abs(slope).max())
            height = _height(tried, steps, criterion)
            # Half of what the slope promises (Armijo): a longer step would swing past the top.
            if height >= value + 0.5 * slope @ (tried - w) or rate < 1e-12:
                break
            rate /= 2
        w, value, rate = tried, height, rate * 2
    moments = kernel_moments(w.reshape(kernel, kernel))
    return Optimum(w.reshape(kernel, kernel), moments.criterion(criterion), gap, n_steps)


def project_to_simplex(point: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the distribution nearest to a point: shift all entries alike and cut at 0.

    >>> project_to_simplex(np.array([0.8, 0.6, -1.0])).round(6)
    array([0.6, 0.4, 0. ])
    """
    falling = np.sort(point)[::-1]
    excess = np.cumsum(falling) - 1.0
    n = np.flatnonzero(falling - excess / np.arange(1, len(point) + 1) > 0)[-1]
    return np.maximum(point - excess[n] / (n + 1), 0.0)


def enumerate_maximisers(
    kernel: Whole, parts: Whole, criterion: str
) -> tuple[float, Int[np.ndarray, "n k k"]]:
    """Return the best value of a criterion and all kernels that reach it, by trying every one.

    All kernels whose weights are multiples of 1 / parts are tried, in whole numbers where the
    criterion allows it (``trace``, ``area``).

    Args:
        kernel: taps along an axis.
        parts: number of equal parts the weight is dealt out in.
        criterion: one of :data:`CRITERIA`.

    Returns:
        The value, in taps, and the kernels as numbers of parts.

    Raises:
        ValueError: there are too many kernels to try.

    >>> value, best = enumerate_maximisers(3, 4, "area")
    >>> value, best[0].tolist()
    (1.0, [[1, 0, 1], [0, 0, 0], [1, 0, 1]])
    """
    check_count("kernel", kernel), check_count("parts", parts)
    _check_criterion(criterion)
    n_taps = kernel * kernel
    n = math.comb(n_taps + parts - 1, parts)
    if n > _LARGEST_ENUMERATION:
        raise ValueError(
            f"there are {n} kernels of {kernel} x {kernel} taps in {parts} parts; "
            f"choose fewer, for at most {_LARGEST_ENUMERATION}"
        )
    dealt = itertools.combinations_with_replacement(range(n_taps), int(parts))
    taps = np.fromiter(itertools.chain.from_iterable(dealt), dtype=np.int32, count=n * parts)
    taps = taps.reshape(n, parts)
    rows, columns = (part.astype(np.int64) for part in np.divmod(taps, kernel))
    # parts^2 times the covariances, exact: parts * sum x y - sum x * sum y
    row, column, both = (
        parts * (x * y).sum(1) - x.sum(1) * y.sum(1)
        for x, y in ((rows, rows), (columns, columns), (rows, columns))
    )
    spread = np.hypot((row - column) / 2, both)
    value = {
        "trace": lambda: row + column,
        "area": lambda: row * column - both**2,
        "least": lambda: (row + column) / 2 - spread,
        "greatest": lambda: (row + column) / 2 + spread,
    }[criterion]()
    best = np.flatnonzero(value >= value.max() * (1 - 1e-12))
    kernels = np.zeros((len(best), n_taps), dtype=np.int64)
    np.add.at(kernels, (np.arange(len(best))[:, None], taps[best]), 1)
    scale = parts**4 if criterion == "area" else parts**2
    return float(value.max() / scale), kernels.reshape(-1, kernel, kernel)


def check_kernel(weights: Float[np.ndarray, "_ _"]) -> np.ndarray:
    """Return a kernel scaled to sum 1, if it is a square without a negative tap."""
    w = np.asarray(weights, dtype=float)
    if w.ndim != 2 or w.shape[0] != w.shape[1]:
        raise ValueError(f"weights must be a square kernel, not of shape {w.shape}")
    if (w < 0).any() or not 0 < w.sum() < math.inf:
        raise ValueError("weights must not be negative and must have a positive sum")
    return w / w.sum()


def _steps(kernel: int) -> np.ndarray:
    """Return (row, column) of every tap from the kernel's centre, as (tap, 2)."""
    reach = (kernel - 1) / 2
    return np.stack(np.divmod(np.arange(kernel * kernel), kernel), axis=1) - reach


def _covariance(w: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centred = steps - w @ steps
    return centred, (centred.T * w) @ centred


def _height(w: np.ndarray, steps: np.ndarray, criterion: str) -> float:
    _, covariance = _covariance(w, steps)
    if criterion == "trace":
        return float(np.trace(covariance))
    determinant = np.linalg.det(covariance)
    return math.log(determinant) if determinant > 0 else -math.inf


def _slope(w: np.ndarray, steps: np.ndarray, criterion: str) -> np.ndarray:
    """Return the partial derivatives, up to a constant that the simplex does not see.

    Of a variance it is the squared distance from the mean; of a log determinant the squared
    distance in the covariance's own metric.
    """
    centred, covariance = _covariance(w, steps)
    metric = np.eye(2) if criterion == "trace" else np.linalg.inv(covariance)
    return np.einsum("ni,ij,nj->n", centred, metric, centred)


def _check_criterion(name: str) -> None:
    if name not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}, not {name!r}")
