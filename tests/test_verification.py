"""The experiments of section 3.1 against closed forms, brute force and known networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from erfbook import erf, experiments, plots, theory
from erfbook.erf.ensemble import EnsembleMaps
from erfbook.experiments import estimates, growth, panels, verification
from erfbook.experiments.panels import Network
from erfbook.theory import Layer

FAST = {"n_bootstrap": 100, "seed": 0}


def test_bootstrap_gives_the_standard_error_of_a_mean():
    draws = np.random.default_rng(1).exponential(size=500)
    found = estimates.bootstrap(draws, float, n_resamples=2000, seed=2)
    # The interval's ends are quantiles of 2000 resamples: each is off by about 3 % of its width.
    expected = draws.std() / math.sqrt(500)
    assert found.standard_error == pytest.approx(expected, rel=0.1)
    assert found.z_score(draws.mean() - 2 * expected) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("successes", [0, 7, 20])
def test_wilson_is_scipys_interval(successes):
    found = estimates.wilson(successes, 20)
    low, high = stats.binomtest(successes, 20).proportion_ci(method="wilson")
    # 1.96 for 1.959964 moves the ends by less than 1e-5.
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-5)


def test_profile_moments_are_those_of_a_sum_of_steps():
    profile = theory.predict_gradient_power([Layer()] * 12).sum(0)
    variance, kurtosis = panels.profile_moments(profile)
    # One step over {-1, 0, 1}: variance 2/3, excess kurtosis -3/2; both divide by the layers.
    assert variance == pytest.approx(12 * 2 / 3, rel=1e-12)
    assert kurtosis == pytest.approx(-1.5 / 12, rel=1e-10)


def simulate_r_squared(predicted, n_runs, statistic, keep, n_repeats=60):
    """Mean R^2 of the best Gaussian on means of independent normal gradients."""
    power = predicted**2 if statistic == "abs" else predicted
    rng = np.random.default_rng(3)
    found = []
    for _ in range(n_repeats):
        g = rng.normal(size=(n_runs, *power.shape)) * np.sqrt(power)
        g *= rng.random(g.shape) < keep
        runs = np.abs(g) if statistic == "abs" else g**2
        found.append(erf.fit_gaussian(runs.mean(0)).r_squared)
    return np.mean(found), np.std(found) / math.sqrt(n_repeats)


@pytest.mark.parametrize("statistic, keep", [("abs", 1.0), ("square", 1.0), ("abs", 0.5)])
def test_expected_r_squared_is_what_normal_gradients_reach(statistic, keep):
    predicted = panels.predict_map(Network("", channels=2), [Layer()] * 10, statistic)
    mean, error = simulate_r_squared(predicted, 20, statistic, keep)
    expected = panels.expect_r_squared(predicted, 20, statistic, keep=keep)
    # The fit has five parameters of its own to follow noise in 441 pixels: it gains a few
    # hundredths of what noise leaves, here below 0.004.
    assert abs(mean - expected) < 4 * error + 0.004
    without_noise = panels.expect_r_squared(predicted, math.inf, statistic)
    assert abs(mean - without_noise) > 4 * error + 0.004


@pytest.mark.parametrize(
    "radius, expected",
    [
        (lambda x, y: np.hypot(x, y), math.pi / 4),
        (lambda x, y: np.maximum(abs(x), abs(y)), 1.0),
        (lambda x, y: abs(x) + abs(y), 0.5),
        (lambda x, y: np.hypot(x / 2, y), math.pi / 4),
    ],
    ids=["disc", "square", "diamond", "ellipse"],
)
def test_squareness_of_known_sets(radius, expected):
    x = np.arange(-40, 41) / 19.3
    found = panels.measure_squareness(np.exp(-radius(x, x[:, None])), math.exp(-1))
    # After interpolation the border is uncertain by 1/16 px per side, at 19.3 px or more.
    assert found == pytest.approx(expected, rel=0.01)


def test_uniform_panels_are_their_prediction():
    panel = panels.measure_panel(Network("", weights="ones"), [Layer()] * 20, 5, **FAST)
    np.testing.assert_allclose(panel.measured, panel.predicted, rtol=2e-5)  # float32, 20 layers
    assert panel.unexplained == pytest.approx(1, rel=1e-3)
    assert (panel.n_kept, panel.n_dropped) == (1, 0)


@pytest.mark.parametrize("name", ["baseline", "subsample", "dilation", "skip", "dropout"])
def test_structures_spread_as_predicted(name):
    layers = verification.structures(0.5)[name]
    options = {"statistic": "square", "n_bootstrap": 200, "seed": 4}
    panel = panels.measure_panel(Network(name, channels=8), layers, 40, **options)
    # Five panels: 4 bootstrap standard errors, which 40 runs give to within a fifth.
    assert abs(panel.variance.z_score(theory.predict_erf_variance(layers))) < 4
    for other in {"subsample", "dilation", "skip"} - {name}:
        wrong = theory.predict_erf_variance(verification.structures(0.5)[other])
        assert abs(panel.variance.z_score(wrong)) > 8


def test_displaced_share_is_one_for_points_and_zero_for_centred_maps():
    points = np.zeros((2, 9, 9))
    points[0, 4, 1] = points[1, 4, 7] = 1.0
    assert panels._displaced_share(points) == pytest.approx(1)
    centred = np.ones((3, 9, 9))
    assert panels._displaced_share(centred) == pytest.approx(0, abs=1e-12)


def test_equal_spread_is_one_where_strength_and_spread_are_independent():
    wide = panels.measure_equal_spread(Network("", channels=32), [Layer()] * 6, 60, n_bootstrap=200)
    # Networks of 32 channels differ little in their totals; 4 standard errors, plus 5 % for that.
    assert abs(wide.value - 1) < 4 * wide.standard_error + 0.05
    narrow = panels.measure_equal_spread(Network(""), [Layer()] * 40, 60, n_bootstrap=200)
    assert narrow.low > 1.1


def test_draws_are_repeated_until_two_runs_are_alive():
    for seed in range(6):
        maps = panels.draw_maps(Network("", "relu"), [Layer()] * 20, 2, seed=seed)
        assert maps.n_runs - maps.n_dead >= 2


def test_resampled_sizes_equal_those_of_each_resample():
    rng = np.random.default_rng(5)
    runs = rng.random((6, 15, 15)) * theory.predict_gradient_power([Layer()] * 7) ** 0.5
    found = growth._resampled_sizes(runs, 0.1, 20, seed=6)
    counts = estimates.resample_counts(6, 20, seed=6)
    expected = [erf.size(np.tensordot(c, runs, axes=1), 0.1) for c in counts]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_uniform_growth_has_the_exact_slopes():
    (curve,) = growth.measure_growth(Network("", weights="ones"), (4, 8, 16), 3, n_bootstrap=20)
    np.testing.assert_allclose(curve.sizes, curve.predicted.sizes)
    assert curve.size_slope.value == pytest.approx(curve.predicted.size_slope)
    assert curve.ratio_slope.value == pytest.approx(curve.predicted.ratio_slope)


def test_slopes_differ_by_that_of_the_theoretical_field():
    depths = (4, 8, 16)
    curves = growth.measure_growth(Network("", channels=4), depths, 10, n_bootstrap=20)
    expected = theory.receptive_field_slope(depths)
    for curve in curves:
        difference = curve.size_slope.value - curve.ratio_slope.value
        assert difference == pytest.approx(expected, abs=1e-12)
    assert [c.name for c in curves] == [", |g|", ", g²", ", |g|, scaled", ", g², scaled"]


def test_wide_slopes_repeat_around_the_exact_one_and_narrow_scaled_ones_above():
    depths = (5, 10, 20, 40)
    wide = growth.repeat_growth(Network("", channels=8), depths, 20, 6, weightings=(False,))["abs"]
    narrow = growth.repeat_growth(Network(""), depths, 20, 12)["abs_scaled"]
    exact = theory.predict_growth(depths).size_slope
    error = wide.size.std(ddof=1) / math.sqrt(6)
    # 4 standard errors, and 0.01 because |g| at 8 channels is not yet normal at the rim.
    assert abs(wide.size.mean() - exact) < 4 * error + 0.01
    assert narrow.size.mean() - exact > 2 * narrow.size.std(ddof=1) / math.sqrt(12)


def test_consistent_depths_keep_the_published_difference():
    found = experiments.find_consistent_depths((5, 10, 20), (40, 100), spacings=(5, 10))
    assert (10, 100, 10) in [row[:3] for row in found]
    assert (5, 40, 5) not in [row[:3] for row in found]
    for first, last, step, slope in found:
        assert slope == theory.receptive_field_slope(range(first, last + 1, step))
        assert 0.98 <= slope <= 1.0


def test_placements_cover_all_and_only_enlarge():
    found = experiments.predict_placements()
    assert len(found.sizes) == math.comb(15, 3)
    assert found.sizes.min() > found.baseline
    assert found.chosen in found.sizes


def test_dilated_layers_commute():
    layers = verification.structures(1.0)["dilation"]
    swapped = [*layers[4:], *layers[:4]]
    powers = [theory.predict_gradient_power(stack) for stack in (layers, swapped)]
    np.testing.assert_allclose(*powers, rtol=1e-12)


def test_dead_fraction_counts_zero_gradients(monkeypatch):
    gradients = torch.zeros(10, 3, 3)
    gradients[:4, 1, 1] = 1.0
    monkeypatch.setattr(verification, "measure_ensemble", lambda *_, **__: EnsembleMaps(gradients))
    found = experiments.measure_dead((5,), (1,), 10)
    assert found[1, 5] == estimates.wilson(6, 10)


def test_names_of_growth_put_the_paper_among_the_repeats():
    curves = {"random_abs": growth.measure_growth(Network(""), (4, 8, 16), 8, n_bootstrap=50)[0]}
    rng = np.random.default_rng(7)
    slopes = rng.normal(0.52, 0.02, 400), rng.normal(-0.45, 0.02, 400)
    repeats = growth.RepeatedSlopes("", *slopes)
    named = experiments.name_growth(curves, {"random": {"abs": repeats}})
    # From 400 repeats the standard deviation is known to 1 / sqrt(800) = 4 %, the mean to 0.05 sd.
    assert named["random_abs_size_slope_paper_z"]["value"] == pytest.approx(2, abs=0.3)
    assert named["random_abs_ratio_slope_paper_z"]["value"] == pytest.approx(1, abs=0.3)
    slope = curves["random_abs"].size_slope
    z = (slope.value - curves["random_abs"].predicted.size_slope) / slope.standard_error
    assert named["random_abs_size_slope_z"]["value"] == pytest.approx(z)


def test_a_further_repeat_falls_into_the_spread_of_few():
    rng = np.random.default_rng(8)
    inside, scores = [], []
    for slopes in rng.normal(0.5, 0.02, (4000, 5)):
        repeats = growth.RepeatedSlopes("", slopes[:4], slopes[:4])
        spread = repeats.spread("size")
        inside.append(spread.low <= slopes[4] <= spread.high)
        scores.append(repeats.z_score("size", slopes[4]))
    # 95 % of 4000 within 4 binomial standard errors; the scores are standard normal.
    assert np.mean(inside) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))
    assert np.std(scores) == pytest.approx(1, abs=4 / math.sqrt(8000))


def test_slopes_are_drawn_where_they_were_measured():
    curves = {
        f"random_{c.statistic}": c
        for c in growth.measure_growth(
            Network("A"), (4, 8, 16), 8, n_bootstrap=50, weightings=(False,)
        )
    }
    _, axes = plots.figure(1, 2)
    plots.plot_slopes(axes, curves, {}, experiments.PAPER_SLOPES)
    drawn = [c.lines[0].get_xdata()[0] for c in axes[0].containers]
    assert drawn == [c.size_slope.value for c in curves.values()]
    lines = {line.get_label(): line for line in axes[1].lines}
    assert list(lines["paper, −0.43"].get_xdata()) == [-0.43, -0.43]


def test_a_dead_centre_gives_no_size_and_no_error():
    runs = np.zeros((3, 5, 5))
    runs[:, 1, 1] = 1.0
    assert math.isnan(panels.size_if_any(runs.mean(0), 0.1))
    runs[0, 2, 2] = 1.0  # resamples without the first run have no size
    found = estimates.bootstrap(runs, lambda m: panels.size_if_any(m, 0.1), n_resamples=50, seed=0)
    assert found.value == found.low == found.high == math.sqrt(2)
    assert np.isnan(growth._resampled_sizes(runs, 0.1, 50, seed=0)).any()
