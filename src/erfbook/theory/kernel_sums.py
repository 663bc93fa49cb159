"""Equations 9 to 11: a normalised kernel is a distribution, and a stack of them a sum of draws."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Complex, Float

from erfbook.theory.signals import Numbers, Whole, check_count, predict_transform


def predict_weighted_transform(
    weights: Numbers, depth: Whole, omega: Float[np.ndarray, " omega"]
) -> Complex[np.ndarray, " omega"]:
    """Return (sum_m w(m) exp(-j omega m))^n, the DTFT of a stack of one kernel (luo eq. 9).

    Args:
        weights: w(m) for m = 0 .. k - 1, any sign.
        depth: n, number of layers.
        omega: angular frequencies, radians per pixel.
    """
    return predict_transform(weights, omega) ** check_count("depth", depth, least=0)


def predict_distribution(weights: Numbers, depth: Whole) -> Float[np.ndarray, " t"]:
    """Return o(t), which for a normalised non-negative kernel is P(S_n = t).

    Repeated squaring of convolutions: sums of non-negative terms only, so that even the smallest
    tail values keep nearly full relative precision. With negative weights o(t) is no probability.

    Args:
        weights: w(m) for m = 0 .. k - 1 with sum 1.
        depth: n, number of layers.

    >>> predict_distribution([0.25, 0.5, 0.25], 2) * 16
    array([1., 4., 6., 4., 1.])
    """
    base = check_weights(weights, signed=True)
    depth = check_count("depth", depth, least=0)
    result = np.ones(1)
    while depth:
        if depth & 1:
            result = np.convolve(result, base)
        depth >>= 1
        if depth:
            base = np.convolve(base, base)
    return result


def predict_moments(weights: Numbers, depth: Whole) -> tuple[float, float]:
    """Return mean and variance of S_n, n times those of one draw from the kernel (luo eq. 10).

    Args:
        weights: w(m) with sum 1. With negative weights the second number may be negative: then
            there is no Gaussian for o(t) to approach.
        depth: n, number of layers.

    >>> predict_moments([0.25, 0.5, 0.25], 8)
    (8.0, 4.0)
    """
    w = check_weights(weights, signed=True)
    m = np.arange(w.size)
    mean = float(m @ w)
    return depth * mean, depth * float(m**2 @ w - mean**2)


def predict_radius(depth: Whole, kernel: Whole) -> float:
    """Return the standard deviation of S_n for a uniform kernel, sqrt(n (k^2 - 1) / 12), in pixels.

    The paper's radius of the effective receptive field (luo eq. 11).

    >>> predict_radius(depth=6, kernel=3)
    2.0
    """
    depth, kernel = check_count("depth", depth, least=0), check_count("kernel", kernel)
    return math.sqrt(depth * (kernel**2 - 1) / 12)


def predict_relative_radius(depth: Whole, kernel: Whole) -> float:
    """Return the radius over the side n (k - 1) + 1 of the theoretical receptive field."""
    return predict_radius(depth, kernel) / (depth * (kernel - 1) + 1)


def check_weights(weights: Numbers, *, signed: bool = False) -> np.ndarray:
    """Return ``weights`` as an array if their sum is 1 and, unless ``signed``, none is negative."""
    w = np.asarray(weights, dtype=float)
    if w.ndim != 1 or w.size == 0 or not math.isclose(w.sum(), 1.0, rel_tol=1e-9):
        raise ValueError(f"weights must be a list with sum 1, not {weights!r}")
    if not signed and (w < 0).any():
        raise ValueError(f"weights must not be negative to be probabilities, not {weights!r}")
    return w
