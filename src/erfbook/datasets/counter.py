"""Random whole numbers from counters: the same on every platform and with every version of numpy.

A number is a hash of (seed, stream, position), so it does not depend on what was drawn before, and
the arithmetic is that of whole numbers, so it does not depend on rounding either. The hash is the
finaliser of SplitMix64 (Steele, Lea and Flood 2014).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt64

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def hash_counters(seed: int, stream: int, n: int) -> UInt64[np.ndarray, n]:
    """Return ``n`` hashes of 64 bits: those of positions 0 to n - 1 of a seed's stream."""
    start = _mix(_mix(np.array([seed % 2**64], dtype=np.uint64)) + np.uint64(stream))
    return _mix(start + _STEP * np.arange(1, n + 1, dtype=np.uint64))


def draw(seed: int, stream: int, n: int, low: int, high: int) -> Int64[np.ndarray, n]:
    """Return ``n`` whole numbers from ``low`` to ``high``, both included.

    The remainder of 32 bits favours some values by less than (high - low) / 2**32.
    """
    bits = hash_counters(seed, stream, n) >> np.uint64(32)
    return (bits % np.uint64(high - low + 1)).astype(np.int64) + low


def shuffled(n: int, stream: int = 0) -> Int64[np.ndarray, n]:
    """Return the numbers 0 to n - 1 in an order that is the same everywhere."""
    return np.argsort(hash_counters(0, stream, n), kind="stable")


def _mix(values: UInt64[np.ndarray, n]) -> UInt64[np.ndarray, n]:
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))
