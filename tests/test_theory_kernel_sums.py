"""Equations 9 to 11: sums of draws, their moments and widths."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from theory_oracles import rejects, throw_all

from erfbook import theory

OMEGA = np.linspace(-np.pi, np.pi, 101)
SKEWED = [0.2, 0.5, 0.05, 0.25]
kernels = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6).filter(lambda w: sum(w) > 0.1)


def test_weighted_transform_is_that_of_all_throws():
    """luo eq. 9."""

    def check(predict):
        thrown = theory.predict_transform(throw_all(SKEWED, 5), OMEGA)
        assert np.abs(predict(SKEWED, 5, OMEGA) - thrown).max() < 1e-13  # sums of 16 values <= 1

    check(theory.predict_weighted_transform)
    rejects(check, lambda w, n, o: theory.predict_weighted_transform(w[::-1], n, o))


@pytest.mark.parametrize("depth", [0, 1, 2, 5, 6])
def test_distribution_is_that_of_all_throws(depth):
    thrown = throw_all(SKEWED, depth)
    assert np.abs(theory.predict_distribution(SKEWED, depth) - thrown).max() < 1e-14


def test_distribution_of_two_taps_is_scipys_binomial():
    def check(predict):
        expected = stats.binom.pmf(np.arange(201), 200, 0.3)
        # 15 roundings a value in repeated squaring, scipy's own error about 1e-13
        assert np.allclose(predict([0.7, 0.3], 200), expected, rtol=1e-11, atol=0)

    check(theory.predict_distribution)
    rejects(check, lambda w, n: theory.predict_distribution(w, n + 1)[: n + 1])
    rejects(check, lambda w, n: theory.predict_distribution(w[::-1], n))


@settings(max_examples=60, deadline=None)
@given(kernels, st.integers(1, 12))
def test_moments_are_those_of_the_distribution(weights, depth):
    """luo eq. 10."""
    w = np.array(weights) / sum(weights)
    o = theory.predict_distribution(w, depth)
    t = np.arange(o.size)
    mean, variance = theory.predict_moments(w, depth)
    # sums of at most 61 terms up to 60^2, each with relative rounding 1e-16 n
    assert mean == pytest.approx(t @ o, rel=1e-10, abs=1e-10)
    assert variance == pytest.approx((t - t @ o) ** 2 @ o, rel=1e-8, abs=1e-9)


def test_moments_are_scipys_and_reject_the_mean_taken_once():
    def check(moments):
        mean, variance = moments([0.7, 0.3], 50)
        assert (mean, variance) == pytest.approx(stats.binom.stats(50, 0.3), rel=1e-12)

    def forgets_the_square_of_the_mean(w, n):
        m = np.arange(len(w))
        return n * (m @ w), n * (m**2 @ w - m @ w)

    check(theory.predict_moments)
    rejects(check, forgets_the_square_of_the_mean)


@pytest.mark.parametrize(("depth", "kernel"), [(1, 3), (7, 2), (40, 5)])
def test_radius_is_the_standard_deviation_of_dice(depth, kernel):
    """luo eq. 11: against scipy's discrete uniform distribution."""

    def check(radius):
        expected = math.sqrt(depth) * stats.randint(0, kernel).std()
        assert radius(depth, kernel) == pytest.approx(expected, rel=1e-13)

    def as_printed(n, k):  # the root ends before the squared mean
        m = np.arange(k)
        return math.sqrt(n) * math.sqrt((m**2 / k).sum()) - (m / k).sum() ** 2

    check(theory.predict_radius)
    rejects(check, as_printed)
    rejects(check, lambda n, k: math.sqrt(n * k**2 / 12))


def test_relative_radius_falls_as_the_root_of_depth():
    ratio = [theory.predict_relative_radius(n, 3) for n in (1000, 4000)]
    # 2n + 1 against 2n: relative 1 / 2000
    assert ratio[1] / ratio[0] == pytest.approx(0.5, rel=1e-3)


def test_a_negative_kernel_may_have_a_negative_variance():
    _, variance = theory.predict_moments([-0.25, 1.5, -0.25], 4)
    assert variance == pytest.approx(-2.0)


def test_bad_kernels_are_refused():
    with pytest.raises(ValueError, match="weights must be a list with sum 1"):
        theory.predict_distribution([0.5, 0.6], 3)
    with pytest.raises(ValueError, match="weights must not be negative to be probabilities"):
        theory.kolmogorov_distance(np.array([-0.25, 1.5, -0.25]))
    with pytest.raises(ValueError, match="kernel must be an integer of at least 1, not 0"):
        theory.predict_radius(3, 0)
    with pytest.raises(ValueError, match="depth must be an integer of at least 0, not -2"):
        theory.predict_distribution([0.5, 0.5], -2)
