"""Size of an effective receptive field and how it grows with depth, without any sampling.

The paper counts the pixels above 4.55 % of the centre and takes the square root. Which map is
thresholded matters: where the shape is Gaussian, E|g| (statistic ``abs``) is the square root of
E[g^2] (``square``), so its standard deviation is sqrt(2) times as large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from erfbook.theory.layers import Layer
from erfbook.theory.propagation import predict_gradient_power, receptive_field_size
from erfbook.theory.signals import Numbers, Wholes

STATISTICS = ("abs", "square")
TWO_SIGMA_TAIL = math.erfc(math.sqrt(2.0))  # 4.55 %: mass of a Gaussian beyond 2 sigma


def predict_size(
    power: Float[np.ndarray, "height width"], *, statistic: str = "abs", threshold: float = 0.0455
) -> float:
    """Return the side, in pixels, of the region above ``threshold`` times the map's centre.

    Args:
        power: E[g^2], as from :func:`predict_gradient_power`.
        statistic: ``abs`` thresholds sqrt(power), which is proportional to E|g| where g is
            Gaussian (many channels); ``square`` thresholds power itself.
        threshold: share of the centre's value; the paper's "1 - 95.45 %".

    Returns:
        Square root of the number of pixels above it (luo section 3.1).

    Raises:
        ValueError: an unknown statistic, a threshold outside (0, 1) or a map without a square
            shape or with nothing at its centre.

    >>> predict_size(predict_gradient_power([Layer(3)] * 2), statistic="square", threshold=0.2)
    4.58257569495584
    """
    check_statistic(statistic)
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold must lie in (0, 1), not {threshold!r}")
    power = np.asarray(power, dtype=float)
    if power.ndim != 2 or power.shape[0] != power.shape[1]:
        raise ValueError(f"power must be a square map, not of shape {power.shape}")
    middle = (power.shape[0] - 1) // 2
    centre = power[middle, middle]
    if not centre > 0:
        raise ValueError("power must be positive at its centre; a stride may have left a gap there")
    share = threshold**2 if statistic == "abs" else threshold
    return math.sqrt(np.count_nonzero(power > share * centre))


def predict_gaussian_size(sigma: float, *, threshold: float = 0.0455) -> float:
    """Return the size that :func:`predict_size` gives for a round Gaussian, in units of ``sigma``.

    The region is a disc of radius sigma sqrt(2 ln(1 / threshold)); its area's square root is
    sigma sqrt(2 pi ln(1 / threshold)).

    >>> round(predict_gaussian_size(1.0), 3)
    4.406
    """
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold must lie in (0, 1), not {threshold!r}")
    return sigma * math.sqrt(2.0 * math.pi * math.log(1.0 / threshold))


def predict_sigma(variance: float, *, statistic: str = "abs") -> float:
    """Return the standard deviation of the statistic's map, given the variance of E[g^2].

    >>> predict_sigma(2.0, statistic="abs"), round(predict_sigma(2.0, statistic="square"), 3)
    (2.0, 1.414)
    """
    check_statistic(statistic)
    return math.sqrt(variance * (2.0 if statistic == "abs" else 1.0))


@dataclass(frozen=True)
class Growth:
    """Sizes of an effective receptive field over depths, with both slopes of the paper's figure 2.

    Args:
        depths: numbers of layers.
        sizes: side of the effective receptive field, px.
        receptive_fields: side of the theoretical receptive field, px.
    """

    depths: Int[np.ndarray, " depths"]
    sizes: Float[np.ndarray, " depths"]
    receptive_fields: Int[np.ndarray, " depths"]

    @property
    def ratios(self) -> Float[np.ndarray, " depths"]:
        """Effective over theoretical size."""
        return self.sizes / self.receptive_fields

    @cached_property
    def size_slope(self) -> float:
        """Slope of log size against log depth."""
        return fit_log_slope(self.depths, self.sizes)

    @cached_property
    def ratio_slope(self) -> float:
        """Slope of log ratio against log depth."""
        return fit_log_slope(self.depths, self.ratios)


def predict_growth(
    depths: Wholes,
    *,
    layer: Layer | None = None,
    statistic: str = "abs",
    threshold: float = 0.0455,
    gain: float = 1.0,
) -> Growth:
    """Return the exact sizes of stacks of equal layers, for each depth.

    Args:
        depths: numbers of layers, two or more of them for a slope.
        layer: the layer that is repeated; a plain 3 x 3 convolution if None.
        statistic, threshold: as in :func:`predict_size`.
        gain: as in :func:`predict_gradient_power`.
    """
    layer = layer or Layer()
    stacks = [[layer] * int(depth) for depth in depths]
    sizes = [
        predict_size(
            predict_gradient_power(stack, gain=gain), statistic=statistic, threshold=threshold
        )
        for stack in stacks
    ]
    fields = [receptive_field_size(stack) for stack in stacks]
    return Growth(np.asarray(depths, dtype=int), np.asarray(sizes), np.asarray(fields))


def receptive_field_slope(depths: Wholes, *, kernel: int = 3) -> float:
    """Return the slope of log theoretical receptive field against log depth.

    log size = log ratio + log field, and least squares is linear, so on any list of depths
    slope(size) - slope(ratio) is exactly this number. It is below 1 because the field is
    (kernel - 1) n + 1, not proportional to n. A published pair of slopes therefore says
    something about the depths behind it.

    >>> round(receptive_field_slope([5, 10, 20, 40]), 4)
    0.9606
    """
    fields = [receptive_field_size([Layer(kernel)] * int(depth)) for depth in depths]
    return fit_log_slope(depths, fields)


def fit_log_slope(x: Numbers, y: Numbers) -> float:
    """Return the least-squares slope of log y against log x.

    Raises:
        ValueError: fewer than two different x, or a value that is not positive.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or np.unique(x).size < 2:
        raise ValueError(f"x and y must be equally long with two different x, not {x} and {y}")
    if (x <= 0).any() or (y <= 0).any():
        raise ValueError(f"x and y must be positive to have logarithms, not {x} and {y}")
    centred = np.log(x) - np.log(x).mean()
    return float(centred @ np.log(y) / (centred @ centred))


def check_statistic(statistic: str) -> str:
    """Return ``statistic`` if it is one of the two that a map can show."""
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(STATISTICS)}, not {statistic!r}")
    return statistic
