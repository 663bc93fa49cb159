"""Equations 1 to 5: a stack of convolutions of ones, taken through the Fourier domain and back.

Signals live on the integers t and start at t = 0; their discrete-time Fourier transforms (DTFT)
are functions of omega in [-pi, pi], in radians per pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Complex, Float, Int
from scipy import integrate

Transform = Callable[[np.ndarray], np.ndarray]
# Lists are convenient to write, arrays to compute; every function of numbers takes both.
Numbers = Sequence[float | int | np.integer] | Float[np.ndarray, " _"] | Int[np.ndarray, " _"]
Whole = int | np.integer
Wholes = Sequence[int | np.integer] | Int[np.ndarray, " _"]


def impulse(t: Int[np.ndarray, " t"]) -> Int[np.ndarray, " t"]:
    """Return the gradient at the output: u(t), 1 at t = 0 and 0 elsewhere."""
    return (np.asarray(t) == 0).astype(int)


def box(t: Int[np.ndarray, " t"], kernel: Whole) -> Int[np.ndarray, " t"]:
    """Return the kernel of ones v(t): a sum of ``kernel`` impulses (luo eq. 1).

    >>> box(np.arange(-1, 5), 3)
    array([0, 1, 1, 1, 0, 0])
    """
    check_count("kernel", kernel)
    return sum((impulse(np.asarray(t) - m) for m in range(kernel)), np.zeros(len(t), dtype=int))


def predict_transform(
    signal: Numbers, omega: Float[np.ndarray, " omega"]
) -> Complex[np.ndarray, " omega"]:
    """Return the DTFT of a finite signal that starts at t = 0 (luo eq. 2).

    Args:
        signal: values at t = 0, 1, ...; [1] is the impulse u, [1] * k the kernel of ones v.
        omega: angular frequencies, radians per pixel.
    """
    signal = np.asarray(signal, dtype=float)
    phase = np.exp(-1j * np.multiply.outer(np.asarray(omega, dtype=float), np.arange(signal.size)))
    return phase @ signal


def predict_stack_transform(
    kernel: Whole, depth: Whole, omega: Float[np.ndarray, " omega"]
) -> Complex[np.ndarray, " omega"]:
    """Return the DTFT of u * v * ... * v: convolution became a product (luo eq. 3).

    Args:
        kernel: taps of the kernel of ones.
        depth: how many times it is applied.
        omega: angular frequencies, radians per pixel.
    """
    check_count("kernel", kernel)
    check_count("depth", depth, least=0)
    return predict_transform([1.0], omega) * predict_transform([1.0] * kernel, omega) ** depth


def invert_transform(
    transform: Transform, t: Wholes, *, n_points: Whole
) -> Float[np.ndarray, " t"]:
    """Return the signal at ``t`` from its DTFT by ``n_points`` samples of it (luo eq. 4).

    The integrand is a trigonometric polynomial of period 2 pi, for which the mean over equally
    spaced points is not an approximation: it is exact as soon as ``n_points`` exceeds the length
    of the signal. With fewer points, values that lie n_points apart fold onto each other.

    Args:
        transform: the DTFT, a function of omega.
        t: positions wanted.
        n_points: samples over one period.

    >>> invert_transform(lambda w: predict_stack_transform(2, 4, w), range(5), n_points=8).round(12)
    array([1., 4., 6., 4., 1.])
    """
    check_count("n_points", n_points)
    omega = 2 * np.pi * np.arange(n_points) / n_points
    phase = np.exp(1j * np.multiply.outer(np.asarray(t), omega))
    return (phase @ transform(omega)).real / n_points


def invert_by_quadrature(transform: Transform, t: Whole) -> tuple[float, float]:
    """Return the signal at ``t`` by adaptive quadrature over one period, and its error bound."""

    def integrand(omega: float) -> float:
        return float((transform(np.array([omega]))[0] * np.exp(1j * omega * t)).real)

    value, error = integrate.quad(integrand, -np.pi, np.pi, limit=400)
    return value / (2 * np.pi), error / (2 * np.pi)


def measure_overlap(s: Whole, t: Whole) -> complex:
    """Return the mean of exp(-j omega s) exp(j omega t) over a period by quadrature (luo eq. 5).

    It is 1 for s = t and 0 otherwise, which is why the inverse transform picks out one coefficient.
    """
    real, _ = integrate.quad(lambda omega: np.cos((t - s) * omega), -np.pi, np.pi)
    imaginary, _ = integrate.quad(lambda omega: np.sin((t - s) * omega), -np.pi, np.pi)
    return complex(real, imaginary) / (2 * np.pi)


def check_count(name: str, value: Whole, *, least: Whole = 1) -> int:
    """Return ``value`` if it is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
    return int(value)
