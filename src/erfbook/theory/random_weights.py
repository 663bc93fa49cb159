"""Equations 6 to 8 and 12: the gradient's mean and power under random weights, and what ReLU does.

The maps are single-channel and grow by kernel - 1 per layer: nothing is cut at a border.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import Float
from scipy import signal

from erfbook.theory.signals import Whole

FORWARDS = ("convolution", "correlation")


def backpropagate(
    gradient: Float[np.ndarray, "height width"],
    weights: Float[np.ndarray, "taps_high taps_wide"],
    *,
    forward: str = "convolution",
) -> Float[np.ndarray, "rows columns"]:
    """Return the gradient one layer down: sum_ab w(a,b) g(i+a, j+b) (luo eq. 6).

    The signs i + a belong to a layer that convolves, y(i) = sum_a w(a) x(i-a). Frameworks
    correlate, y(i) = sum_a w(a) x(i+a), and the gradient then reads g(i-a): the same with the
    kernel turned by half a turn, which no statistic of independent equal taps can see.

    Args:
        gradient: g on layer p.
        weights: the layer's kernel.
        forward: what the layer computes, ``convolution`` or ``correlation``.

    Returns:
        g on layer p - 1, larger by kernel - 1 along both axes.
    """
    if forward not in FORWARDS:
        raise ValueError(f"forward must be one of {', '.join(FORWARDS)}, not {forward!r}")
    taps = np.asarray(weights, dtype=float)
    return signal.convolve2d(gradient, taps[::-1, ::-1] if forward == "convolution" else taps)


def propagate_mean(
    mean: Float[np.ndarray, "height width"], weight_mean: Float[np.ndarray, "taps_high taps_wide"]
) -> Float[np.ndarray, "rows columns"]:
    """Return E[g] one layer down: zero wherever the weights have mean zero (luo eq. 7).

    Args:
        mean: E[g] on layer p.
        weight_mean: mean of each weight.
    """
    return backpropagate(mean, weight_mean)


def propagate_power(
    power: Float[np.ndarray, "height width"],
    weight_variance: Float[np.ndarray, "taps_high taps_wide"],
) -> Float[np.ndarray, "rows columns"]:
    """Return E[g^2] one layer down: a convolution with the weights' variances (luo eq. 8).

    Exact for independent zero-mean weights, whatever the correlations of g, because
    E[w(a) w(b)] vanishes for different taps. The paper writes Var[g]. The two agree below the
    top, where E[g] = 0, but at the top g is the constant 1, its variance is 0, and a recursion
    of variances would never leave 0.

    Args:
        power: E[g^2] on layer p.
        weight_variance: variance of each weight, C at every tap in the paper.
    """
    if (np.asarray(weight_variance) < 0).any():
        raise ValueError(f"weight_variance must not be negative, not {weight_variance!r}")
    return backpropagate(power, weight_variance)


def backpropagate_activation(
    gradient: Float[np.ndarray, "height width"],
    weights: Float[np.ndarray, "taps_high taps_wide"],
    derivative: Float[np.ndarray, "rows columns"],
) -> Float[np.ndarray, "rows columns"]:
    """Return the gradient one layer down through an activation before the layer (luo eq. 12).

    The layer is x(p) = w(p) * sigma(x(p-1)), so the factor is sigma' at the pixels of the layer
    *below*, p - 1, where the paper prints p.

    Args:
        gradient: g on layer p.
        weights: w(p).
        derivative: sigma'(x(p-1)), on the grid of the result.
    """
    return np.asarray(derivative) * backpropagate(gradient, weights)


def relu_derivative_moments(
    positive: Fraction = Fraction(1, 2),
) -> tuple[Fraction, Fraction, Fraction]:
    """Return E[s], E[s^2] and Var[s] of ReLU's derivative s, the indicator of x > 0.

    An indicator is its own square, so E[s^2] = E[s] = P(x > 0) = 1/2 for a symmetric x, and
    Var[s] = 1/2 - 1/4 = 1/4. The paper's section 2.4 equates the last two.

    Args:
        positive: probability that x > 0.

    >>> relu_derivative_moments()
    (Fraction(1, 2), Fraction(1, 2), Fraction(1, 4))
    """
    if not 0 <= positive <= 1:
        raise ValueError(f"positive must be a probability, not {positive!r}")
    mean = second = Fraction(positive)
    return mean, second, second - mean**2


def predict_total_power(depth: Whole, *, gain: float = 2.0, derivative_power: float = 0.5) -> float:
    """Return the sum of E[g^2] over the input after ``depth`` layers with an activation each.

    Each layer multiplies it by C k^2 E[sigma'^2] = gain * derivative_power. He's initialisation
    (gain 2) is made so that this is 1 for ReLU; with the paper's 1/4 it would halve every layer.

    >>> predict_total_power(20), predict_total_power(20, derivative_power=0.25) * 2**20
    (1.0, 1.0)
    """
    return (gain * derivative_power) ** depth
