"""Random networks in plain numpy, to hold the predictions against.

One-dimensional, so that thousands of them cost seconds; the power of a 2-D stack of
plain layers is the product of two 1-D ones. Layers follow the paper's order: first the
activation, then the convolution. The input is as long as the receptive field of one output.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from erfbook.theory.signals import Whole, check_count


@dataclass(frozen=True)
class GradientPower:
    """Squared input gradients of many random networks.

    Args:
        mean: mean of g^2 at each input pixel, summed over the input channels.
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
    depth: Whole,
    *,
    kernel: Whole = 3,
    channels: Whole = 16,
    n_networks: Whole = 1000,
    relu: bool = True,
    gain: float = 2.0,
    seed: int = 0,
) -> GradientPower:
    """Draw random networks and inputs and return the mean squared gradient of one output unit.

    The law for E[g^2] holds at any width, but a narrow deep network is a product of few random
    numbers: most draws are near zero (or, with ReLU, zero) and the mean rests on a few networks.

    Args:
        depth: number of layers, each sigma then convolution.
        kernel: taps.
        channels: on every layer, the input included.
        n_networks: independent networks, each with its own normal input.
        relu: whether sigma is ReLU; else the network is linear.
        gain: weights are normal with variance gain / (kernel * channels).
        seed: of the generator.
    """
    check_count("n_networks", n_networks, least=2)
    check_count("channels", channels)
    rng = np.random.default_rng(seed)
    length = check_count("depth", depth) * (kernel - 1) + 1
    x = rng.standard_normal((n_networks, channels, length))
    shape = (depth, n_networks, kernel, channels, channels)
    weights = rng.standard_normal(shape) * np.sqrt(gain / (kernel * channels))
    square = (input_gradient(x, weights, relu=relu) ** 2).sum(axis=1)
    total = square.sum(axis=1)
    root = np.sqrt(n_networks)
    return GradientPower(
        mean=square.mean(axis=0),
        standard_error=square.std(axis=0, ddof=1) / root,
        total=float(total.mean()),
        total_error=float(total.std(ddof=1) / root),
        n_networks=int(n_networks),
        n_zero=int((total == 0).sum()),
    )


def run_network(
    x: Float[np.ndarray, "networks channels length"],
    weights: Float[np.ndarray, "depth networks kernel channels channels"],
    *,
    relu: bool = True,
) -> list[Float[np.ndarray, "networks channels width"]]:
    """Return every layer's pixels, the input first; layer p correlates sigma(layer p - 1).

    Args:
        x: inputs, one a network.
        weights: by layer, network, tap, output channel and input channel.
        relu: whether sigma is ReLU or the identity.
    """
    layers = [np.asarray(x, dtype=float)]
    for taps in weights:
        active = np.maximum(layers[-1], 0.0) if relu else layers[-1]
        kernel = taps.shape[1]
        width = active.shape[2] - kernel + 1
        layers.append(sum(taps[:, a] @ active[:, :, a : a + width] for a in range(kernel)))
    return layers


def input_gradient(
    x: Float[np.ndarray, "networks channels length"],
    weights: Float[np.ndarray, "depth networks kernel channels channels"],
    *,
    relu: bool = True,
) -> Float[np.ndarray, "networks channels length"]:
    """Return the derivative of the last layer's first pixel, first channel, by the input."""
    layers = run_network(x, weights, relu=relu)
    gradient = np.zeros_like(layers[-1])
    gradient[:, 0, 0] = 1.0
    for taps, below in zip(weights[::-1], layers[-2::-1], strict=True):
        wide = np.zeros_like(below)
        for a in range(taps.shape[1]):
            wide[:, :, a : a + gradient.shape[2]] += taps[:, a].swapaxes(1, 2) @ gradient
        gradient = wide * (below > 0) if relu else wide
    return gradient
