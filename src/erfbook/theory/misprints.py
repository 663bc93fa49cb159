"""What the sources print where it is not right, kept so that it can be run against what is."""

from __future__ import annotations

import math

import numpy as np
from scipy import signal

from erfbook.theory.random_weights import backpropagate
from erfbook.theory.signals import Whole
from erfbook.theory.simulate import run_network


def radius_as_printed(depth: Whole, kernel: Whole) -> float:
    """Return equation 11's first expression with the root ending before the squared mean.

    >>> round(radius_as_printed(1, 3), 3)
    0.291
    """
    m = np.arange(kernel)
    return math.sqrt(depth) * math.sqrt((m**2 / kernel).sum()) - float((m / kernel).sum()) ** 2


def measure_activation_index(*, n_networks: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return how often equation 12 is the true gradient, with layer p - 1 and as printed with p.

    One-layer, 3-tap ReLU networks of normal weights; the truth is a finite difference, exact for
    a piecewise linear function up to rounding.
    """
    rng = np.random.default_rng(seed)
    pixels, weights = rng.standard_normal((n_networks, 1, 3)), rng.standard_normal((n_networks, 3))
    layer = weights[None, :, :, None, None]
    below, above = run_network(pixels, layer)
    step = 1e-7
    moved = [run_network(pixels + step * unit, layer)[1] for unit in np.eye(3)]
    truth = np.stack([(m - above)[:, 0, 0] / step for m in moved], axis=1)
    candidates = (weights * (below[:, 0] > 0), weights * (above[:, 0] > 0))
    right, printed = ((np.abs(c - truth) < 1e-5).all(axis=1).mean() for c in candidates)
    return float(right), float(printed)


def measure_adjoint_defect(layer: str, *, forward: str, seed: int = 0) -> float:
    """Return |<g, layer(x)> - <backpropagate(g), x>|, zero where equation 6 fits the layer.

    Args:
        layer: what the layer computes, ``convolution`` or ``correlation``.
        forward: what :func:`backpropagate` takes it for.
        seed: of the random gradient, kernel and input.
    """
    rng = np.random.default_rng(seed)
    taps, above, below = (rng.standard_normal((side, side)) for side in (3, 6, 8))
    compute = {"convolution": signal.convolve2d, "correlation": signal.correlate2d}[layer]
    through = (compute(below, taps, mode="valid") * above).sum()
    return float(abs(through - (backpropagate(above, taps, forward=forward) * below).sum()))


def count_unset_gradients(side: int) -> int:
    """Return how many pixels of a side x side output "i != 0 and j != 0" leaves open.

    >>> count_unset_gradients(5)
    8
    """
    half = side // 2
    pixels = [(i, j) for i in range(-half, half + 1) for j in range(-half, half + 1)]
    return sum(not (i != 0 and j != 0) and (i, j) != (0, 0) for i, j in pixels)
