"""Equations 1 to 5: signals, their transforms, and the way back."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from theory_oracles import count_paths, rejects

from erfbook import theory

OMEGA = np.linspace(-np.pi, np.pi, 101)


@pytest.mark.parametrize("kernel", [1, 2, 5])
def test_box_is_one_on_exactly_kernel_pixels(kernel):
    """luo eq. 1."""

    def check(box):
        t = np.arange(-4, 10)
        assert box(t, kernel).tolist() == [int(0 <= s < kernel) for s in t]

    check(theory.box)
    rejects(check, lambda t, k: theory.box(t, k + 1))


def test_transform_of_box_is_the_dirichlet_kernel():
    """luo eq. 2: exp(-j omega (k-1)/2) sin(k omega/2) / sin(omega/2), and 1 for an impulse."""
    omega = OMEGA[OMEGA != 0]

    def check(transform):
        for k in (2, 3, 6):
            phase = np.exp(-1j * omega * (k - 1) / 2)
            closed = phase * np.sin(k * omega / 2) / np.sin(omega / 2)
            # k terms of size 1, each with a few ulp, over sin(omega/2) >= 0.03
            assert np.abs(transform([1.0] * k, omega) - closed).max() < 1e-13

    check(theory.predict_transform)
    rejects(check, lambda v, w: theory.predict_transform(v, -w))  # the sign of the exponent
    assert np.abs(theory.predict_transform([1.0], OMEGA) - 1).max() == 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=8),
    st.lists(st.integers(-9, 9), min_size=1, max_size=8),
)
def test_convolution_becomes_a_product(a, b):
    product = theory.predict_transform(a, OMEGA) * theory.predict_transform(b, OMEGA)
    # at most 64 products of size 81 each, relative rounding 1e-15
    assert np.abs(theory.predict_transform(np.convolve(a, b), OMEGA) - product).max() < 1e-10


def test_stack_transform_is_that_of_the_counted_paths():
    """luo eq. 3."""

    def check(predict):
        counted = theory.predict_transform([float(c) for c in count_paths(5, 3)], OMEGA)
        assert np.abs(predict(3, 5, OMEGA) - counted).max() < 3**5 * 1e-14

    check(theory.predict_stack_transform)
    rejects(check, lambda k, n, w: theory.predict_stack_transform(k, n - 1, w))


def test_inverse_is_exact_with_more_points_than_the_signal_has():
    """luo eq. 4: against enumeration, by samples and by quadrature."""
    counted = np.array(count_paths(6, 3))

    def transform(omega):
        return theory.predict_stack_transform(3, 6, omega)

    def check(inverse):
        # a mean over n_points values of at most 3^6, relative rounding 1e-15 each
        assert np.abs(inverse(13) - counted).max() < 3**6 * 1e-14

    check(lambda n: theory.invert_transform(transform, range(13), n_points=n))
    rejects(check, lambda n: theory.invert_transform(transform, range(13), n_points=n - 1))
    poster = theory.invert_transform(transform, [0], n_points=13)  # no exp(j omega t)
    rejects(check, lambda n: np.repeat(poster, 13))
    for t in (0, 3, 6):
        value, error = theory.invert_by_quadrature(transform, t)
        assert abs(value - counted[t]) <= max(error, 1e-10)


def test_too_few_points_fold_the_signal():
    counted = np.array(count_paths(6, 3))
    folded = counted[:8] + np.append(counted[8:], [0, 0, 0])

    def transform(omega):
        return theory.predict_stack_transform(3, 6, omega)

    inverse = theory.invert_transform(transform, range(8), n_points=8)
    assert np.abs(inverse - folded).max() < 3**6 * 1e-14


def test_exponentials_are_orthogonal():
    """luo eq. 5: against sympy's integral."""
    omega = sympy.symbols("omega", real=True)

    def check(overlap):
        for s, t in ((0, 0), (3, 3), (1, 4), (-2, 5)):
            integrand = sympy.exp(-sympy.I * omega * s) * sympy.exp(sympy.I * omega * t)
            exact = sympy.integrate(integrand, (omega, -sympy.pi, sympy.pi)) / (2 * sympy.pi)
            assert abs(overlap(s, t) - complex(exact)) < 1e-10  # quad's default is 1.5e-8

    check(theory.measure_overlap)
    rejects(check, lambda s, t: theory.measure_overlap(s, -t))


def test_bad_counts_are_refused():
    with pytest.raises(ValueError, match="kernel must be an integer of at least 1, not 0"):
        theory.box(np.arange(3), 0)
    with pytest.raises(ValueError, match="depth must be an integer of at least 0, not -1"):
        theory.predict_stack_transform(3, -1, OMEGA)
    with pytest.raises(ValueError, match="n_points must be an integer of at least 1, not 0"):
        theory.invert_transform(lambda w: w, [0], n_points=0)
