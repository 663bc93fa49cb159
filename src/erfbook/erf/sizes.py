"""A measured effective receptive field, and the numbers that say how large it is.

Three sizes are in use and they answer different questions. :func:`size` counts the pixels above a
share of the centre's value and looks at one pixel as its yardstick. :func:`area_ratio` asks how
much of the image holds a share of the mass. :func:`fit_gaussian` gives a width per axis and says
how Gaussian the map is. All of them work on magnitudes, so that a map of signed means has a size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real
from scipy.optimize import least_squares

TWO_SIGMA = 0.0455  # luo section 3.1: 1 - 95.45 %


@dataclass(frozen=True)
class Map:
    """The effective receptive field of one unit, as an image over the input.

    Args:
        values: the statistic of the gradient at each input pixel, input channels summed.
        statistic: what was averaged over the inputs: ``abs``, ``square``, ``signed`` or ``relu``.
        layer: path of the module whose unit was measured.
        unit: (row, column) of the unit on the layer's own grid.
        channel: the one channel measured, or None for the sum over all of the layer's channels.
        centre: (row, column) of the field's centre in input pixels; half-integers are possible.
        n_inputs: inputs averaged.
        n_zero: how many of them gave a gradient of zero everywhere; they count in the mean.
        input_size: (height, width) of the input the map belongs to, in pixels.
        region: ((first, last), (first, last)) of the exact receptive field inside the image,
            inclusive; the whole image where the field is global.
        cropped: whether only the field's part of the input was computed.
        one_by_one: whether the model mixes the inputs of a batch, so that each was computed alone.
    """

    values: Float[np.ndarray, "height width"]
    statistic: str = "abs"
    layer: str = ""
    unit: tuple[int, int] = (0, 0)
    channel: int | None = None
    centre: tuple[float, float] = (0.0, 0.0)
    n_inputs: int = 1
    n_zero: int = 0
    input_size: tuple[int, int] = (0, 0)
    region: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    cropped: bool = False
    one_by_one: bool = False


@dataclass(frozen=True)
class Moments:
    """Moments of a map's magnitudes along each axis.

    Args:
        centre: (row, column) of the centre of mass, in pixels.
        sigma: (row, column) standard deviations of the mass, in pixels.
        excess_kurtosis: (row, column) excess kurtosis of the mass; NaN where sigma is 0.
    """

    centre: tuple[float, float]
    sigma: tuple[float, float]
    excess_kurtosis: tuple[float, float]


@dataclass(frozen=True)
class GaussianFit:
    """An axis-aligned Gaussian fitted to a map, by moments and by least squares.

    Args:
        centre: (row, column) of the centre of mass, in pixels.
        sigma: (row, column) standard deviations of the mass, in pixels.
        excess_kurtosis: (row, column) excess kurtosis of the mass; 0 for a Gaussian.
        fitted_centre: (row, column) of the least-squares Gaussian, in pixels.
        fitted_sigma: (row, column) standard deviations of the least-squares Gaussian, in pixels.
        amplitude: height of the least-squares Gaussian, in the map's unit.
        r_squared: share of the map's variance over pixels that this Gaussian explains.
    """

    centre: tuple[float, float]
    sigma: tuple[float, float]
    excess_kurtosis: tuple[float, float]
    fitted_centre: tuple[float, float]
    fitted_sigma: tuple[float, float]
    amplitude: float
    r_squared: float


def size(
    map: Map | Real[np.ndarray, "height width"],
    threshold: float = TWO_SIGMA,
) -> float:
    """Return the square root of the number of pixels above ``threshold`` times the centre's value.

    luo section 3.1 (figure 2). A Gaussian of standard deviation s has the size
    s * sqrt(2 pi ln(1 / threshold)), which is 4.41 s at the paper's threshold.

    Args:
        map: a map, whose field centre is used, or an array, whose middle is used. Where the
            centre falls between pixels (an even side, a half-integer centre), the mean of the two
            or four nearest pixels stands for its value.
        threshold: share of the centre's value, between 0 and 1.

    Returns:
        Side of the square of equal area, in pixels.

    Raises:
        ValueError: the threshold is not a share, the map is not finite, or its centre is zero.

    >>> size(np.array([[1, 1, 1], [1, 9, 1], [1, 1, 1]]), threshold=0.1)
    3.0
    """
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold must lie between 0 and 1, not {threshold!r}")
    magnitude, centre = _magnitude_and_centre(map)
    at_centre = _value_at(magnitude, centre)
    if at_centre == 0.0:
        raise ValueError(
            f"the map is zero at its centre {centre}, so no pixel can be compared with it"
        )
    return float(np.sqrt(np.count_nonzero(magnitude > threshold * at_centre)))


def area_ratio(
    map: Map | Real[np.ndarray, "height width"],
    share: float,
    *,
    method: str = "centred-square",
    scale: str | None = None,
) -> float:
    """Return the share of the image's pixels that is needed to hold ``share`` of the map's mass.

    Ding et al. (2022) take the smallest *centred square* over log10(x + 1)-scaled
    values. That square is centred on the unit and is not the smallest set that holds the mass, and
    its scaling makes the answer depend on the gradient's unit; ``method="smallest-set"`` has
    neither property.

    Args:
        map: a map, whose field centre is used, or an array, whose middle is used.
        share: share of the mass to hold, above 0 and at most 1.
        method: ``centred-square``, cut off at the image's border, or ``smallest-set``, the
            fewest pixels of any arrangement.
        scale: ``log``, log10(x + 1), or ``linear``; by default log for the square, linear for
            the set.

    Returns:
        Pixels needed over pixels of the image, above 0 and at most 1.

    Raises:
        ValueError: a share, method or scale that does not exist, or a map without mass.

    >>> area_ratio(np.ones((4, 4)), 0.25, method="smallest-set")
    0.25
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share must lie above 0 and at most 1, not {share!r}")
    if method not in ("centred-square", "smallest-set"):
        raise ValueError(f"method must be 'centred-square' or 'smallest-set', not {method!r}")
    if scale not in (None, "log", "linear"):
        raise ValueError(f"scale must be 'log' or 'linear', not {scale!r}")
    mass, centre = _magnitude_and_centre(map)
    scale = scale or ("log" if method == "centred-square" else "linear")
    if scale == "log":
        mass = np.log1p(mass) / np.log(10.0)  # exact where x + 1 would round x away
    # The last partial sum may fall short of the total by its rounding, never by more than this.
    wanted = share * mass.sum() * (1.0 - 1e-12)
    if wanted == 0.0:
        raise ValueError("the map is zero everywhere: it has no mass to hold")
    if method == "smallest-set":
        held = np.cumsum(np.sort(mass, axis=None)[::-1])
        return float((np.searchsorted(held, wanted) + 1) / mass.size)
    rows, columns = (np.abs(np.arange(n) - c) for n, c in zip(mass.shape, centre, strict=True))
    reach = np.maximum(rows[:, None], columns[None, :])  # half the side of the square through it
    sides, index = np.unique(reach, return_inverse=True)
    held = np.cumsum(np.bincount(index.ravel(), weights=mass.ravel()))
    return float(np.mean(reach <= sides[np.searchsorted(held, wanted)]))


def find_moments(map: Map | Real[np.ndarray, "height width"]) -> Moments:
    """Return centre, standard deviation and excess kurtosis of a map's mass along each axis.

    Raises:
        ValueError: the map is not finite or is zero.

    >>> find_moments(np.array([[0, 0, 0], [1, 0, 1]])).sigma
    (0.0, 1.0)
    """
    magnitude, _ = _magnitude_and_centre(map)
    if not magnitude.any():
        raise ValueError("the map is zero everywhere: there is nothing to fit")
    moments = [_moments(magnitude.sum(axis=1 - axis)) for axis in (0, 1)]
    centre, sigma, kurtosis = (tuple(float(m[i]) for m in moments) for i in range(3))
    return Moments(centre, sigma, kurtosis)


def fit_gaussian(
    map: Map | Real[np.ndarray, "height width"],
) -> GaussianFit:
    """Fit an axis-aligned Gaussian to a map's magnitudes, by moments and by least squares.

    The two disagree where the map is not Gaussian: moments follow the tails, the fit follows the
    peak. The least-squares Gaussian has no constant offset.

    Raises:
        ValueError: the map is not finite, is zero, has no spread along an axis, has one value
            everywhere, or has fewer pixels than a Gaussian has parameters.

    >>> fit = fit_gaussian(np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]))
    >>> fit.sigma, fit.excess_kurtosis
    ((1.0, 1.0), (-0.5, -0.5))
    """
    magnitude, _ = _magnitude_and_centre(map)
    moments = find_moments(map)
    if 0.0 in moments.sigma:
        raise ValueError("the map has no spread along an axis: a Gaussian cannot be fitted")
    if np.ptp(magnitude) == 0.0 or magnitude.size < 5:
        raise ValueError(
            f"a Gaussian's five parameters cannot be fitted to {np.unique(magnitude).size} values "
            f"on {magnitude.size} pixels"
        )
    peak = float(magnitude.max())
    found = _least_squares(magnitude / peak, moments.centre, moments.sigma)
    spread = np.sum((magnitude / peak - magnitude.mean() / peak) ** 2)
    return GaussianFit(
        centre=moments.centre,
        sigma=moments.sigma,
        excess_kurtosis=moments.excess_kurtosis,
        fitted_centre=(float(found.x[1]), float(found.x[2])),
        fitted_sigma=(float(abs(found.x[3])), float(abs(found.x[4]))),
        amplitude=float(found.x[0]) * peak,
        r_squared=float(1.0 - 2.0 * found.cost / spread),
    )


def _magnitude_and_centre(map_or_array) -> tuple[np.ndarray, tuple[float, float]]:
    is_map = isinstance(map_or_array, Map)
    values = np.asarray(map_or_array.values if is_map else map_or_array, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"a map has two axes, rows and columns, not the shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("the map holds values that are not finite")
    middle = tuple((n - 1) / 2 for n in values.shape)
    return np.abs(values), map_or_array.centre if is_map else middle


def _value_at(values: np.ndarray, centre: tuple[float, float]) -> float:
    near = []
    for n, c in zip(values.shape, centre, strict=True):
        if not 0 <= c <= n - 1:
            raise ValueError(f"the centre {centre} lies outside the map of shape {values.shape}")
        near.append([int(np.floor(c)), int(np.ceil(c))])
    return float(values[np.ix_(*near)].mean())


def _moments(profile: np.ndarray) -> tuple[float, float, float]:
    """Return mean, standard deviation and excess kurtosis (NaN without spread) of a profile."""
    where = np.arange(len(profile))
    mass = profile / profile.sum()
    mean = float(mass @ where)
    variance = float(mass @ (where - mean) ** 2)
    fourth = float(mass @ (where - mean) ** 4)
    return mean, variance**0.5, fourth / variance**2 - 3.0 if variance else float("nan")


def _least_squares(values: np.ndarray, centre, sigma):
    """Return scipy's result for (height, row, column, sigma of rows, sigma of columns)."""
    rows, columns = (np.arange(n, dtype=np.float64) for n in values.shape)

    def factors(x):
        u, v = (rows - x[1]) / x[3], (columns - x[2]) / x[4]
        return u, v, np.exp(-0.5 * u**2), np.exp(-0.5 * v**2)

    def residual(x):
        _, _, down, across = factors(x)
        return (x[0] * np.outer(down, across) - values).ravel()

    def jacobian(x):
        u, v, down, across = factors(x)
        return np.stack(
            [
                np.outer(down, across).ravel(),
                x[0] / x[3] * np.outer(down * u, across).ravel(),
                x[0] / x[4] * np.outer(down, across * v).ravel(),
                x[0] / x[3] * np.outer(down * u**2, across).ravel(),
                x[0] / x[4] * np.outer(down, across * v**2).ravel(),
            ],
            axis=1,
        )

    start = [float(values.max()), *centre, *sigma]
    return least_squares(residual, start, jac=jacobian, method="lm", x_scale="jac")
