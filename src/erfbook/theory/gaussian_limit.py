"""How close a stack's exact distribution is to its Gaussian, and in which sense.

S_n sits on a lattice, so the question has several answers: the largest gap between the distribution
functions (Kolmogorov), the largest gap between a probability and the density (local), the total
variation from a Gaussian rounded to pixels, and the ratio far out in the tails, which diverges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from erfbook.theory.kernel_sums import check_weights, predict_distribution
from erfbook.theory.signals import Numbers, Whole, Wholes

# Upper bound on the absolute constant for equally distributed summands (Shevtsova 2011); no
# constant below 0.4097 can serve (Esseen 1956).
BERRY_ESSEEN_CONSTANT = 0.4748


def kolmogorov_distance(probabilities: Float[np.ndarray, " t"]) -> float:
    """Return the largest gap between a lattice distribution and the Gaussian of its moments.

    The lattice distribution function jumps at each t; the largest gap sits at one side of a jump.
    """
    p, position, _ = _standardise(probabilities)
    after = np.cumsum(p)
    normal = stats.norm.cdf(position)
    return float(np.maximum(np.abs(after - normal), np.abs(after - p - normal)).max())


def berry_esseen_bound(
    weights: Numbers, depth: Whole, *, constant: float = BERRY_ESSEEN_CONSTANT
) -> float:
    """Return the Berry-Esseen bound constant * E|X - E X|^3 / (sd^3 sqrt(n)).

    Args:
        weights: distribution of one summand over 0 .. k - 1.
        depth: n, number of summands.
        constant: the absolute constant (Shevtsova 2011).
    """
    sigma, third, _ = _central_moments(weights)
    return constant * third / sigma**3 / math.sqrt(depth)


def predict_kolmogorov_limit(weights: Numbers) -> float:
    """Return the limit of sqrt(n) times the Kolmogorov distance (Esseen's lattice expansion).

    (|skewness| / 6 + step / (2 sd)) / sqrt(2 pi): half the height of a lattice jump, and a part
    for the kernel's skewness. A symmetric kernel has only the first, so it is the lattice, not
    the shape, that makes the rate n^(-1/2). ``step`` is the lattice's spacing.
    """
    sigma, _, skewness = _central_moments(weights)
    step = np.gcd.reduce(np.diff(np.flatnonzero(np.asarray(weights))))
    return float((abs(skewness) / 6 + step / (2 * sigma)) / math.sqrt(2 * math.pi))


def local_deviation(probabilities: Float[np.ndarray, " t"]) -> float:
    """Return the largest gap between a probability and the density, in units of the density's peak.

    A single point's gap, which convergence in distribution alone says nothing about.
    """
    p, position, sigma = _standardise(probabilities)
    density = stats.norm.pdf(position) / sigma
    return float(np.abs(p - density).max() * sigma * math.sqrt(2 * math.pi))


def total_variation(probabilities: Float[np.ndarray, " t"]) -> float:
    """Return the total variation distance to the Gaussian rounded to whole pixels.

    Against the Gaussian itself it would be 1 for any depth: a lattice has no density.
    """
    p, position, sigma = _standardise(probabilities)
    half = 0.5 / sigma
    cell = stats.norm.cdf(position + half) - stats.norm.cdf(position - half)
    outside = 1.0 - cell.sum()  # the Gaussian's mass beyond the theoretical receptive field
    return float(0.5 * (np.abs(p - cell).sum() + outside))


@dataclass(frozen=True)
class Convergence:
    """Distances between a stack's distribution and its Gaussian over depths.

    Args:
        depths: numbers of layers.
        distance: Kolmogorov distance.
        bound: Berry-Esseen bound on it.
        local: largest gap at a single pixel, in units of the Gaussian's peak.
        variation: total variation from the Gaussian rounded to pixels.
    """

    depths: Int[np.ndarray, " depths"]
    distance: Float[np.ndarray, " depths"]
    bound: Float[np.ndarray, " depths"]
    local: Float[np.ndarray, " depths"]
    variation: Float[np.ndarray, " depths"]


def predict_convergence(weights: Numbers, depths: Wholes) -> Convergence:
    """Return all distances of stacks of one kernel, from their exact distributions.

    Args:
        weights: the normalised kernel, no negative tap.
        depths: numbers of layers.
    """
    stacks = [predict_distribution(weights, int(depth)) for depth in depths]
    return Convergence(
        depths=np.asarray(depths, dtype=int),
        distance=np.array([kolmogorov_distance(p) for p in stacks]),
        bound=np.array([berry_esseen_bound(weights, int(depth)) for depth in depths]),
        local=np.array([local_deviation(p) for p in stacks]),
        variation=np.array([total_variation(p) for p in stacks]),
    )


def tail_ratio(probabilities: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Return probability over Gaussian density at each t: 1 in the bulk, 0 towards the corners."""
    p, position, sigma = _standardise(probabilities)
    with np.errstate(divide="ignore"):
        return np.exp(np.log(p) - stats.norm.logpdf(position) + math.log(sigma))


def gaussian_density(probabilities: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Return, at each t, the density of the Gaussian with the same mean and variance."""
    _, position, sigma = _standardise(probabilities)
    return stats.norm.pdf(position) / sigma


def _standardise(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    p = check_weights(probabilities)
    t = np.arange(p.size)
    mean = t @ p
    sigma = math.sqrt((t - mean) ** 2 @ p)
    if sigma == 0:
        raise ValueError("probabilities must be spread over two positions or more")
    return p, (t - mean) / sigma, sigma


def _central_moments(weights: Numbers) -> tuple[float, float, float]:
    w, position, sigma = _standardise(np.asarray(weights, dtype=float))
    third = float(np.abs(position) ** 3 @ w) * sigma**3
    return sigma, third, float(position**3 @ w)
