"""The derivation's figures draw the numbers they are given, on the axes they are given."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest

from erfbook import plots, theory
from erfbook.notation import percent


@pytest.fixture
def axes():
    fig, axes = plots.figure(1, 2)
    yield axes
    fig.canvas.draw()  # a broken label or layout fails here
    plt.close(fig)


def drawn(ax):
    return [line.get_ydata() for line in ax.get_lines()]


def test_inverse_transform_shows_both_formulas(axes):
    coefficients, poster = [1, 2, 1], np.ones(3)
    result = plots.plot_inverse_transform(
        axes, {1: np.ones(5)}, coefficients, np.array([1.0, 2.0, 1.0]), poster
    )
    assert result is axes
    assert [list(y) for y in drawn(axes[1])] == [[1, 2, 1], [1, 1, 1]]


def test_coefficients_lie_on_the_axes_they_are_given(axes):
    tail = theory.predict_uniform_distribution(4, 3)
    plots.plot_coefficients(axes, {"a": (np.arange(3), np.ones(3))}, (tail, tail / 2))
    assert np.array_equal(drawn(axes[1])[1], tail)


def test_erf_radius_is_drawn_over_the_field_on_the_right(axes):
    depths, radius = np.array([4, 8]), {3: np.array([1.6, 2.3])}
    plots.plot_erf_radius(axes, depths, radius, radius)
    assert np.allclose(drawn(axes[0])[1], radius[3])
    assert np.allclose(drawn(axes[1])[1], radius[3] / (2 * depths + 1))


def test_gaussian_limit_draws_bound_limit_and_distance(axes):
    result = theory.predict_convergence([0.5, 0.5], [4, 16])
    plots.plot_gaussian_limit(axes, {"k = 2": (result, 0.4)}, result, result)
    bound, limit, distance = drawn(axes[0])
    assert np.array_equal(bound, result.bound)
    assert np.allclose(limit, 0.4 / np.sqrt([4, 16]))
    assert np.array_equal(distance, result.distance)


def test_relu_factor_draws_every_depth(axes):
    runs = {n: theory.measure_gradient_power(n, channels=2, n_networks=20) for n in (1, 3)}
    plots.plot_relu_factor(axes, runs, [0.5, 0.125], theory.predict_uniform_distribution(3, 3))
    assert any(list(y) == [runs[1].total, runs[3].total] for y in drawn(axes[0]))


def test_architectures_keep_one_scale_and_size_every_map():
    fig, axes = plots.figure(1, 3)
    maps = {"small": (np.eye(3), 1.0), "large": (np.eye(7), 2.0)}
    plots.plot_architectures(axes, maps)
    fig.canvas.draw()
    assert [ax.images[0].get_array().shape for ax in axes[:2]] == [(7, 7), (7, 7)]
    assert axes[0].get_xlabel() == "size 1.0 px of 3 px"
    plt.close(fig)


def test_threshold_marks_both_readings():
    fig, ax = plots.figure()
    plots.plot_threshold(ax, at_two_sigma=0.135, threshold=0.0455, radius=2.486)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    fig.canvas.draw()
    assert f"2 σ, {percent(0.865, 1)} of the mass inside" in labels
    assert f"2.49 σ, {percent(0.9545, 2)} of the mass inside" in labels
    plt.close(fig)
