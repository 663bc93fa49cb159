"""Binomial and extended binomial coefficients, exactly, however deep the stack."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from erfbook.theory.signals import Whole, check_count


def extended_binomial_coefficients(depth: Whole, kernel: Whole) -> list[int]:
    """Return the coefficients of (1 + x + ... + x^(kernel-1))^depth as exact integers.

    They count the ways in which ``depth`` taps, each 0 to kernel - 1, add up to t (luo section
    2.1); kernel 2 gives the binomial coefficients. P(x) = v(x)^n obeys v P' = n v' P, and
    comparing powers of x gives t c_t = sum_m (m (n + 1) - t) c_(t-m) for m = 1 .. kernel - 1:
    a few big-integer products a coefficient.

    Args:
        depth: n, number of layers.
        kernel: k, taps of the kernel of ones.

    Returns:
        depth * (kernel - 1) + 1 integers with sum kernel**depth.

    >>> extended_binomial_coefficients(4, 2), extended_binomial_coefficients(2, 3)
    ([1, 4, 6, 4, 1], [1, 2, 3, 2, 1])
    """
    depth, kernel = check_count("depth", depth, least=0), check_count("kernel", kernel)
    length = depth * (kernel - 1) + 1
    coefficients = [1]
    for t in range(1, (length + 1) // 2):
        total = sum(
            (m * (depth + 1) - t) * coefficients[t - m] for m in range(1, min(kernel - 1, t) + 1)
        )
        coefficients.append(total // t)  # exact: the left side is t c_t
    return coefficients + coefficients[: length // 2][::-1]


def pack_coefficients(depth: Whole, kernel: Whole) -> list[int]:
    """Return the same coefficients from one power of one big integer (Kronecker's substitution).

    At x = 2^b with b bits enough for the largest coefficient, V(x)^n holds each of them in a block
    of bits of its own. Slower, and nothing in common with the recurrence: a check on it.

    >>> pack_coefficients(4, 2)
    [1, 4, 6, 4, 1]
    """
    depth, kernel = check_count("depth", depth, least=0), check_count("kernel", kernel)
    bits = depth * kernel.bit_length() + 1
    packed = sum(1 << (bits * m) for m in range(kernel)) ** depth
    mask = (1 << bits) - 1
    return [(packed >> (bits * t)) & mask for t in range(depth * (kernel - 1) + 1)]


def predict_uniform_distribution(depth: Whole, kernel: Whole) -> Float[np.ndarray, " t"]:
    """Return P(S_n = t) for a uniform kernel, each value the exact ratio rounded once.

    >>> predict_uniform_distribution(2, 2)
    array([0.25, 0.5 , 0.25])
    """
    coefficients = extended_binomial_coefficients(depth, kernel)
    total = int(kernel) ** int(depth)
    return np.array([value / total for value in coefficients])
