"""How linear a smooth activation is in a wide random network, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from erfbook.theory.signals import Whole, check_count

ACTIVATIONS = ("relu", "tanh", "sigmoid")
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(101)
_WEIGHTS = _WEIGHTS / math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class MeanField:
    """Second moments of a wide random network, from the input (layer 0) up.

    Args:
        variances: variance q of a layer's pixels, before its activation.
        derivative_powers: E[sigma'(x)^2] for x normal with that variance.
        linearity: derivative_powers over sigma'(0)^2; 1 in the linear region. NaN for ReLU, which
            has none.
    """

    variances: Float[np.ndarray, " layers"]
    derivative_powers: Float[np.ndarray, " layers"]
    linearity: Float[np.ndarray, " layers"]


def predict_mean_field(
    activation: str, depth: Whole, *, gain: float = 1.0, variance: float = 1.0
) -> MeanField:
    """Return how the pixels' variance and the activation's slope develop over ``depth`` layers.

    Many channels make pre-activations normal, with q(p) = gain * E[sigma(x)^2] over x normal with
    variance q(p-1). Exact in the limit of infinitely many channels only.

    Args:
        activation: ``relu``, ``tanh`` or ``sigmoid``, applied before each convolution.
        depth: number of layers.
        gain: variance of a weight times the number of weights into a pixel.
        variance: of the input.

    >>> predict_mean_field("relu", 3, gain=2.0).variances.round(9)
    array([1., 1., 1.])
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}")
    check_count("depth", depth)
    variances, powers = [], []
    q = variance
    for _ in range(depth):
        value, slope = _evaluate(activation, math.sqrt(q) * _NODES)
        variances.append(q)
        powers.append(float(slope**2 @ _WEIGHTS))
        q = gain * float(value**2 @ _WEIGHTS)
    at_zero = {"relu": math.nan, "tanh": 1.0, "sigmoid": 1 / 16}[activation]
    return MeanField(np.array(variances), np.array(powers), np.array(powers) / at_zero)


def _evaluate(activation: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if activation == "relu":  # the node at 0 stands for both sides of the kink
        return np.maximum(x, 0.0), np.sqrt((np.sign(x) + 1) / 2)
    value = np.tanh(x) if activation == "tanh" else 1 / (1 + np.exp(-x))
    return value, 1 - value**2 if activation == "tanh" else value * (1 - value)
