"""The Gaussian limit: distances against scipy, bounds against the theorem, rates against Esseen."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from theory_oracles import rejects

from erfbook import theory

kernels = st.lists(st.integers(0, 20), min_size=2, max_size=6).filter(
    lambda w: sum(v > 0 for v in w) > 1
)


def test_kolmogorov_distance_is_the_sup_over_a_fine_grid():
    depth, chance = 12, 0.3
    sigma = math.sqrt(depth * chance * (1 - chance))
    z = np.linspace(-5, 5, 2_000_001)
    steps = stats.binom.cdf(np.floor(depth * chance + z * sigma + 1e-9), depth, chance)
    brute = np.abs(steps - stats.norm.cdf(z)).max()

    def check(distance):
        pmf = stats.binom.pmf(np.arange(depth + 1), depth, chance)
        # the grid may miss a jump by 5e-6, where the normal has a slope of at most 0.4
        assert distance(pmf) == pytest.approx(brute, abs=4e-6)

    def one_sided(p):  # looks at the jumps from the left only
        t = np.arange(p.size)
        return np.abs(np.cumsum(p) - p - stats.norm.cdf((t - t @ p) / sigma)).max()

    check(theory.kolmogorov_distance)
    rejects(check, one_sided)


@settings(max_examples=60, deadline=None)
@given(kernels, st.integers(1, 40))
def test_no_distance_exceeds_the_berry_esseen_bound(weights, depth):
    w = np.array(weights) / sum(weights)
    distance = theory.kolmogorov_distance(theory.predict_distribution(w, depth))
    assert distance <= theory.berry_esseen_bound(w, depth) + 1e-12  # rounding of the cdf


def test_bound_is_the_textbook_formula():
    """Bernoulli: E|X-p|^3 = p q (p^2 + q^2)."""

    def check(bound):
        p, q, n = 0.3, 0.7, 25
        expected = 0.4748 * (p**2 + q**2) / math.sqrt(n * p * q)
        assert bound([q, p], n) == pytest.approx(expected, rel=1e-12)

    check(theory.berry_esseen_bound)
    rejects(check, lambda w, n: theory.berry_esseen_bound(w, n, constant=0.4097))


@pytest.mark.parametrize("weights", [[0.5, 0.5], [1 / 3] * 3, [0.8, 0.15, 0.05], [0.5, 0, 0.5]])
def test_limit_law_is_reached(weights):
    depth = 4096

    def check(limit):
        distance = theory.kolmogorov_distance(theory.predict_distribution(weights, depth))
        # the next term of the expansion is of relative order 1 / sqrt(n) = 0.016
        assert distance * math.sqrt(depth) == pytest.approx(limit(weights), rel=0.02)

    check(theory.predict_kolmogorov_limit)
    rejects(check, lambda w: 1.05 * theory.predict_kolmogorov_limit(w))


def test_rates_are_one_half_in_distribution_and_one_at_pixels():
    depths = [64, 128, 256, 512]
    result = theory.predict_convergence([1 / 3] * 3, depths)
    # the next terms are of relative order 1/n = 1/64 over a factor of 8 in depth
    assert theory.fit_log_slope(depths, result.distance) == pytest.approx(-0.5, abs=0.01)
    assert theory.fit_log_slope(depths, result.local) == pytest.approx(-1.0, abs=0.01)
    assert theory.fit_log_slope(depths, result.variation) == pytest.approx(-1.0, abs=0.01)
    assert (result.distance < result.bound).all()


def test_total_variation_integrates_the_rounded_gaussian():
    p = theory.predict_uniform_distribution(6, 3)
    sigma = theory.predict_radius(6, 3)

    def check(variation):
        cells = [
            integrate.quad(stats.norm(6, sigma).pdf, t - 0.5, t + 0.5)[0] for t in range(-40, 60)
        ]
        padded = np.pad(p, (40, 60 - p.size))
        assert variation(p) == pytest.approx(0.5 * np.abs(padded - cells).sum(), abs=1e-10)

    check(theory.total_variation)
    rejects(check, lambda q: 2 * theory.total_variation(q))


def test_local_deviation_and_tail_ratio_are_pointwise():
    p = theory.predict_uniform_distribution(10, 3)
    t, sigma = np.arange(p.size), theory.predict_radius(10, 3)
    density = stats.norm(10, sigma).pdf(t)
    assert np.allclose(theory.gaussian_density(p), density, rtol=1e-12)
    assert np.allclose(theory.tail_ratio(p), p / density, rtol=1e-10)
    expected = np.abs(p - density).max() / stats.norm(10, sigma).pdf(10)
    assert theory.local_deviation(p) == pytest.approx(expected, rel=1e-12)


def test_a_kernel_with_a_gap_never_converges_at_single_pixels():
    result = theory.predict_convergence([0.5, 0.0, 0.5], [16, 256])
    assert (result.local > 0.9).all()
    assert result.distance[1] < result.distance[0] / 3.5  # 4 in the limit


def test_a_point_mass_is_refused():
    with pytest.raises(ValueError, match="probabilities must be spread over two positions or more"):
        theory.kolmogorov_distance(np.array([0.0, 1.0]))
