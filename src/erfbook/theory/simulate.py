"""Random single-channel networks in plain numpy, to hold the predictions against.

One-dimensional, so that a hundred thousand of them cost seconds; the power of a 2-D stack of
plain layers is the product of two 1-D ones. Layers follow the paper's order: first the
activation, then the convolution. The input is as long as the receptive field of one output.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from erfbook.theory.signals import check_count

DISTRIBUTIONS = ("sign", "uniform", "normal")


@dataclass(frozen=True)
class GradientPower:
    """Squared input gradients of many random networks.

    Args:
        mean: mean of g^2 at each input pixel.
        standard_error: of that mean.
        total: mean of the sum of g^2 over the input.
        total_error: its standard error.
        n_networks: how many networks were drawn.
        n_zero: how many of them had a gradient of zero everywhere.
    """

    mean: Float[np.ndarray, " t"]
    standard_error: Float[np.ndarray, " t"]
    total: float
    total_error: float
    n_networks: int
    n_zero: int


def measure_gradient_power(
    depth: int,
    *,
    kernel: int = 3,
    n_networks: int = 10_000,
    relu: bool = True,
    gain: float = 2.0,
    weights: str = "sign",
    seed: int = 0,
) -> GradientPower:
    """Draw random networks and inputs and return the mean squared gradient of the one output.

    Args:
        depth: number of layers, each sigma then convolution.
        kernel: taps.
        n_networks: independent networks, each with its own normal input.
        relu: whether sigma is ReLU; else the network is linear.
        gain: the weights' variance is gain / kernel.
        weights: ``sign`` (one size, random signs), ``uniform`` or ``normal``. All have the same
            E[g^2], but g is a sum of products of weights, and the larger their kurtosis (1, 1.8,
            3) the more the mean rests on a few networks: prefer ``sign`` for deep stacks.
        seed: of the generator.
    """
    check_count("n_networks", n_networks, least=2)
    rng = np.random.default_rng(seed)
    length = check_count("depth", depth) * (kernel - 1) + 1
    x = rng.standard_normal((n_networks, length))
    taps = _draw_weights(rng, weights, (depth, n_networks, kernel)) * np.sqrt(gain / kernel)
    square = input_gradient(x, taps, relu=relu) ** 2
    total = square.sum(axis=1)
    root = np.sqrt(n_networks)
    return GradientPower(
        mean=square.mean(axis=0),
        standard_error=square.std(axis=0, ddof=1) / root,
        total=float(total.mean()),
        total_error=float(total.std(ddof=1) / root),
        n_networks=n_networks,
        n_zero=int((total == 0).sum()),
    )


def run_network(
    x: Float[np.ndarray, "networks length"],
    weights: Float[np.ndarray, "depth networks kernel"],
    *,
    relu: bool = True,
) -> list[Float[np.ndarray, "networks width"]]:
    """Return every layer's pixels, the input first; layer p correlates sigma(layer p - 1)."""
    layers = [np.asarray(x, dtype=float)]
    for taps in weights:
        active = np.maximum(layers[-1], 0.0) if relu else layers[-1]
        width = active.shape[1] - taps.shape[1] + 1
        layers.append(
            sum(taps[:, a, None] * active[:, a : a + width] for a in range(taps.shape[1]))
        )
    return layers


def input_gradient(
    x: Float[np.ndarray, "networks length"],
    weights: Float[np.ndarray, "depth networks kernel"],
    *,
    relu: bool = True,
) -> Float[np.ndarray, "networks length"]:
    """Return the derivative of the last layer's first pixel with respect to the input."""
    layers = run_network(x, weights, relu=relu)
    gradient = np.zeros_like(layers[-1])
    gradient[:, 0] = 1.0
    for taps, below in zip(weights[::-1], layers[-2::-1], strict=True):
        wide = np.zeros_like(below)
        for a in range(taps.shape[1]):
            wide[:, a : a + gradient.shape[1]] += taps[:, a, None] * gradient
        gradient = wide * (below > 0) if relu else wide
    return gradient


def _draw_weights(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name == "sign":
        return 2.0 * rng.integers(0, 2, shape) - 1.0
    if name == "uniform":
        return rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), shape)
    if name == "normal":
        return rng.standard_normal(shape)
    raise ValueError(f"weights must be one of {', '.join(DISTRIBUTIONS)}, not {name!r}")
