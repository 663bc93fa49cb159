"""Averages over every sign of every weight: expectations without sampling, for small networks."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float

from erfbook.theory.signals import Numbers, Whole, check_count
from erfbook.theory.simulate import input_gradient

MOST_BITS = 20  # a million networks, chosen by us


def enumerate_gradient(
    depth: Whole, *, kernel: Whole = 3, relu: bool = False
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Return the mean of g and of g^2 over all 1-D single-channel networks with weights +1, -1.

    With ReLU the input's pixels take both signs too; their sizes are roots of primes, so that no
    sum of them vanishes by accident.

    Args:
        depth: number of layers.
        kernel: taps.
        relu: whether a ReLU stands before every convolution.

    Raises:
        ValueError: there would be more than 2^20 networks.

    >>> enumerate_gradient(2)
    (array([0., 0., 0., 0., 0.]), array([1., 2., 3., 2., 1.]))
    """
    depth, kernel = check_count("depth", depth), check_count("kernel", kernel)
    length, taps = depth * (kernel - 1) + 1, depth * kernel
    n_bits = taps + (length if relu else 0)
    if n_bits > MOST_BITS:
        raise ValueError(
            f"depth {depth} has 2^{n_bits} networks; at most 2^{MOST_BITS} are gone through"
        )
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=n_bits)))
    weights = signs[:, :taps].reshape(-1, depth, kernel).swapaxes(0, 1)[..., None, None]
    inputs = signs[:, None, taps:] if relu else np.ones((len(signs), 1, length))
    primes = [n for n in range(2, 72) if all(n % m for m in range(2, n))]
    gradient = input_gradient(inputs * np.sqrt(primes[:length]), weights, relu=relu)[:, 0]
    return gradient.mean(axis=0), (gradient**2).mean(axis=0)


def enumerate_draws(weights: Numbers, depth: Whole) -> Float[np.ndarray, " t"]:
    """Return P(S_n = t) by going through every sequence of ``depth`` draws from ``weights``."""
    w = np.asarray(weights, dtype=float)
    draws = np.array(list(itertools.product(range(w.size), repeat=check_count("depth", depth))))
    return np.bincount(draws.sum(axis=1), weights=w[draws].prod(axis=1))
