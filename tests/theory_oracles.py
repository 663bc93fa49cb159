"""Slow, obvious versions of what the theory computes, and a way to show that a check has teeth."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest


def rejects(check: Callable, wrong: Callable) -> None:
    """Assert that ``check`` fails on a deliberately wrong implementation."""
    with pytest.raises(AssertionError):
        check(wrong)


def count_paths(depth: int, kernel: int) -> list[int]:
    """Count tap by tap, over all kernel**depth choices, how many add up to each t."""
    sums = Counter(sum(taps) for taps in itertools.product(range(kernel), repeat=depth))
    return [sums[t] for t in range(depth * (kernel - 1) + 1)]


def throw_all(weights: list[float], depth: int) -> np.ndarray:
    """Return P(S_n = t) by going through every sequence of draws."""
    chance = np.zeros(depth * (len(weights) - 1) + 1)
    for draws in itertools.product(range(len(weights)), repeat=depth):
        chance[sum(draws)] += np.prod([weights[m] for m in draws])
    return chance


def jacobian_row(layers, kernels: list[np.ndarray], masks: list[np.ndarray] | None = None):
    """Return the input gradient of the centre unit, one loop over units and taps a layer.

    ``kernels`` are correlated, as frameworks do, without padding; ``masks`` multiply the
    convolution's input (dropout). Positions are kept in a dictionary, so no array arithmetic is
    shared with the package.
    """
    gradient = {(0, 0): 1.0}
    for index in reversed(range(len(layers))):
        layer, taps = layers[index], kernels[index]
        below: dict[tuple[int, int], float] = {}
        margin = (layer.reach - 1) // 2 if layer.residual else 0
        for (i, j), value in gradient.items():
            for a, b in itertools.product(range(layer.kernel), repeat=2):
                row = i * layer.stride + a * layer.dilation
                column = j * layer.stride + b * layer.dilation
                keep = 1.0 if masks is None else masks[index][row, column]
                below[row, column] = below.get((row, column), 0.0) + taps[a, b] * value * keep
            if layer.residual:
                centre = (i + margin, j + margin)
                below[centre] = below.get(centre, 0.0) + value
        gradient = below
    side = 1 + max(max(position) for position in gradient)
    result = np.zeros((side, side))
    for position, value in gradient.items():
        result[position] = value
    return result
