"""Sizes and slopes: against drawn Gaussians, scipy's regression and linear algebra."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from theory_oracles import rejects

from erfbook import theory
from erfbook.theory import Layer

depth_lists = st.lists(st.integers(1, 60), min_size=2, max_size=8, unique=True)


def gaussian_power(sigma, half):
    x = np.arange(-half, half + 1)
    row = np.exp(-(x**2) / (2 * sigma**2))
    return np.outer(row, row)


@pytest.mark.parametrize("statistic", ["abs", "square"])
def test_size_counts_the_disc_of_a_drawn_gaussian(statistic):
    """The side is that of the disc of pixels: boundary pixels are off by at most one each."""
    sigma = 20.0
    width = sigma * (math.sqrt(2) if statistic == "abs" else 1)

    def check(size):
        expected = theory.predict_gaussian_size(width)
        # area pi r^2 with an error below 8 r pixels (Gauss's circle), so side within 4 r / side
        assert size(gaussian_power(sigma, 120)) == pytest.approx(expected, abs=2.3)
        assert size(gaussian_power(sigma, 120)) == pytest.approx(expected, rel=0.005)

    other = {"abs": "square", "square": "abs"}[statistic]
    check(lambda power: theory.predict_size(power, statistic=statistic))
    rejects(check, lambda power: theory.predict_size(power, statistic=other))


def test_size_counts_pixel_by_pixel():
    power = np.array([[0.1, 0.3, 0.1], [0.3, 1.0, 0.3], [0.1, 0.3, 0.1]])
    assert theory.predict_size(power, statistic="square", threshold=0.2) == math.sqrt(5)
    assert theory.predict_size(power, statistic="abs", threshold=0.2) == 3.0
    assert theory.predict_size(power, statistic="square", threshold=0.3) == 1.0  # strictly above


def test_gaussian_size_is_the_side_of_the_discs_area():
    sigma, threshold = 3.0, 0.0455
    r = np.arange(0, 20, 1e-4)
    radius = r[stats.norm(0, sigma).pdf(r) < threshold * stats.norm(0, sigma).pdf(0)][0]
    expected = math.sqrt(math.pi) * radius
    assert theory.predict_gaussian_size(sigma) == pytest.approx(expected, abs=2e-4)
    assert theory.TWO_SIGMA_TAIL == pytest.approx(2 * stats.norm.sf(2.0), rel=1e-12)


def test_a_discs_mass_outside_equals_the_height_at_its_edge():
    """2-D Gaussian: the radius is Rayleigh, so the paper's 4.55 % of height is 4.55 % of mass."""
    radius = math.sqrt(2 * math.log(1 / theory.TWO_SIGMA_TAIL))
    assert stats.rayleigh.sf(radius) == pytest.approx(theory.TWO_SIGMA_TAIL, rel=1e-12)
    assert stats.rayleigh.sf(2.0) == pytest.approx(math.exp(-2), rel=1e-12)


def test_sigma_of_abs_is_root_two_times_that_of_square():
    power = theory.predict_gradient_power([Layer(3)] * 80)
    variance = theory.measure_erf_variance(power)
    measured = math.sqrt(theory.measure_erf_variance(np.sqrt(power)))
    # not exactly Gaussian: the tails of sqrt(power) are short by O(1/n)
    assert theory.predict_sigma(variance, statistic="abs") == pytest.approx(measured, rel=0.01)
    assert theory.predict_sigma(variance, statistic="square") == pytest.approx(math.sqrt(variance))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0.1, 100)), min_size=2, max_size=9))
def test_log_slope_is_scipys_regression(points):
    x, y = np.array(points).T
    if np.ptp(np.log(x)) < 0.1:
        return
    expected = stats.linregress(np.log(x), np.log(y)).slope
    assert theory.fit_log_slope(x, y) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_log_slope_recovers_a_power_law_and_rejects_a_linear_fit():
    x = np.array([5.0, 10, 20, 40])

    def check(slope):
        assert slope(x, 3 * x**0.56) == pytest.approx(0.56, rel=1e-12)

    check(theory.fit_log_slope)
    rejects(check, lambda a, b: np.polyfit(a, b, 1)[0])


@settings(max_examples=25, deadline=None)
@given(depth_lists, st.sampled_from(["abs", "square"]))
def test_size_slope_minus_ratio_slope_is_the_fields_slope(depths, statistic):
    growth = theory.predict_growth(depths, statistic=statistic)
    field = theory.receptive_field_slope(depths)
    assert growth.size_slope - growth.ratio_slope == pytest.approx(field, abs=1e-10)
    assert growth.receptive_fields.tolist() == [2 * n + 1 for n in depths]


def test_published_slopes_need_deep_networks():
    """0.56 + 0.43 = 0.99 is the slope of 2n + 1 over deep stacks only: below 1 at every depth."""
    shallow, deep = (
        theory.receptive_field_slope([5, 10, 20, 40]),
        theory.receptive_field_slope([40, 80, 160, 320]),
    )
    assert shallow < 0.97 < 0.99 < deep < 1
    logs = np.log([5, 10, 20, 40]), np.log([11, 21, 41, 81])
    assert shallow == pytest.approx(stats.linregress(*logs).slope, rel=1e-12)


def test_growth_approaches_the_root_of_depth():
    for statistic in ("abs", "square"):
        growth = theory.predict_growth([100, 140, 200], statistic=statistic)
        # the size is 4.41 sigma with corrections of relative order 1/n; a pixel step is 1/r^2
        assert growth.size_slope == pytest.approx(0.5, abs=0.02)
        expected = theory.predict_gaussian_size(
            theory.predict_sigma(200 * 2 / 3, statistic=statistic)
        )
        assert growth.sizes[-1] == pytest.approx(expected, rel=0.01)


def test_bad_maps_and_numbers_are_refused():
    power = theory.predict_gradient_power([Layer(3)])
    with pytest.raises(ValueError, match="statistic must be one of abs, square, not 'signed'"):
        theory.predict_size(power, statistic="signed")
    with pytest.raises(ValueError, match=r"threshold must lie in \(0, 1\), not 1.5"):
        theory.predict_size(power, threshold=1.5)
    with pytest.raises(ValueError, match=r"threshold must lie in \(0, 1\), not 0.0"):
        theory.predict_gaussian_size(1.0, threshold=0.0)
    with pytest.raises(ValueError, match="power must be positive at its centre"):
        theory.predict_size(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="power must be a square map"):
        theory.predict_size(np.ones((3, 5)))
    with pytest.raises(ValueError, match="x and y must be equally long with two different x"):
        theory.fit_log_slope([1.0, 1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="x and y must be positive"):
        theory.fit_log_slope([1.0, 2.0], [0.0, 2.0])
