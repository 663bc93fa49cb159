"""The widest kernel, by formula, by ascent and by trying all; how power spreads through kernels."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from theory_oracles import rejects

from erfbook import theory

kernels = st.integers(2, 5).flatmap(
    lambda k: arrays(float, (k, k), elements=st.floats(0, 1))
).filter(lambda w: w.sum() > 0.1)  # fmt: skip


def moments_by_loop(weights):
    """Return the covariance from its definition, one pair of taps at a time."""
    w = weights / weights.sum()
    taps = list(itertools.product(range(len(w)), repeat=2))
    pairs = [(w[a] * w[b], np.subtract(a, b)) for a in taps for b in taps]
    return sum(p * np.outer(d, d) for p, d in pairs) / 2  # Cov = E[(X - Y)(X - Y)^T] / 2


@settings(max_examples=40, deadline=None)
@given(kernels)
def test_covariance_is_half_that_of_the_difference_of_two_draws(weights):
    def check(moments):
        # a few hundred products of numbers up to 16, each rounded once
        assert np.allclose(moments(weights).covariance, moments_by_loop(weights), atol=1e-12)

    check(theory.kernel_moments)


@pytest.mark.parametrize("kernel", [2, 3, 5, 7])
def test_each_axis_has_the_variance_of_its_marginal(kernel):
    weights = np.random.default_rng(kernel).dirichlet(np.ones(kernel**2)).reshape(kernel, kernel)
    covariance = theory.kernel_moments(weights).covariance
    for axis in (0, 1):
        _, variance = theory.predict_moments(weights.sum(1 - axis), 1)
        assert math.isclose(covariance[axis, axis], variance, rel_tol=1e-12)


@settings(max_examples=60, deadline=None)
@given(kernels)
def test_no_kernel_is_wider_than_the_corners(weights):
    found = theory.kernel_moments(weights)
    corners = theory.kernel_moments(theory.corner_kernel(len(weights)))
    for criterion in ("trace", "area", "least"):
        assert found.criterion(criterion) <= corners.criterion(criterion) * (1 + 1e-12)


@pytest.mark.parametrize("diagonal", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_all_splits_between_diagonals_share_the_trace_and_differ_in_area(kernel, diagonal):
    d, lean = (kernel - 1) / 2, abs(2 * diagonal - 1)
    found = theory.kernel_moments(theory.corner_kernel(kernel, diagonal))
    assert math.isclose(found.criterion("trace"), 2 * d**2)
    assert math.isclose(found.criterion("area"), d**4 * (1 - lean**2), abs_tol=1e-12)
    assert math.isclose(found.criterion("greatest"), d**2 * (1 + lean))
    assert math.isclose(found.criterion("least"), d**2 * (1 - lean), abs_tol=1e-12)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("criterion", ["trace", "area"])
def test_ascents_from_random_kernels_end_at_the_corners(kernel, criterion):
    d = (kernel - 1) / 2
    top = {"trace": 2 * d**2, "area": d**4}[criterion]
    for seed in range(5):
        found = theory.maximise_criterion(kernel, criterion, seed=seed)
        # the tangent plane: short of the top by the gap at most, of the area by that share of it
        assert top * (1 - 2e-6) <= found.value <= top * (1 + 1e-12)
        assert found.gap <= 1e-6
        assert found.weights[theory.corner_kernel(kernel) == 0].sum() < 1e-6


def test_an_ascents_certificate_sees_a_kernel_that_is_not_the_widest():
    stopped = theory.maximise_criterion(5, "trace", seed=0, max_steps=1)
    assert stopped.gap > 0.1


@pytest.mark.parametrize("parts", [2, 4])
def test_trying_all_kernels_finds_the_same_as_a_loop(parts):
    def by_loop(criterion):
        best, found = -1.0, []
        for taps in itertools.combinations_with_replacement(range(9), parts):
            kernel = np.bincount(taps, minlength=9).reshape(3, 3)
            value = theory.kernel_moments(kernel / parts).criterion(criterion)
            if value > best + 1e-9:
                best, found = value, []
            if value > best - 1e-9:
                found.append(kernel.tolist())
        return best, found

    def check(enumerate_maximisers):
        for criterion in ("trace", "area", "least", "greatest"):
            value, found = enumerate_maximisers(3, parts, criterion)
            best, expected = by_loop(criterion)
            assert math.isclose(value, best, abs_tol=1e-12)
            assert sorted(found.tolist()) == sorted(expected)

    check(theory.enumerate_maximisers)
    rejects(check, lambda k, n, c: theory.enumerate_maximisers(k, n, "trace"))


def test_four_equal_corners_are_one_of_several_by_trace_and_alone_by_area():
    four = theory.corner_kernel(3)
    _, by_trace = theory.enumerate_maximisers(3, 8, "trace")
    _, by_area = theory.enumerate_maximisers(3, 8, "area")
    assert len(by_trace) == 5 and (by_area / 8 == four).all() and len(by_area) == 1
    assert not by_trace[:, four == 0].any()


@pytest.mark.parametrize("kernel", [2, 3, 5, 9])
def test_gain_is_the_ratio_of_standard_deviations(kernel):
    corners, equal = (
        theory.kernel_moments(w).covariance[0, 0]
        for w in (theory.corner_kernel(kernel), np.full((kernel, kernel), kernel**-2.0))
    )
    assert math.isclose(theory.predict_size_gain(kernel), math.sqrt(corners / equal))
    assert theory.predict_size_gain(kernel) < math.sqrt(3)


def test_contrast_leads_from_equal_weights_to_the_corners():
    assert np.allclose(theory.soft_kernel(5, 1.0), 1 / 25)
    assert (theory.soft_kernel(5, math.inf) == theory.corner_kernel(5)).all()
    assert np.allclose(theory.soft_kernel(5, 1e9), theory.corner_kernel(5), atol=1e-6)
    soft = theory.soft_kernel(5, 3.0)
    assert math.isclose(math.sqrt(soft[0, 0] / soft[2, 2]), 3.0) and math.isclose(soft.sum(), 1)
    widths = [theory.kernel_moments(theory.soft_kernel(3, c)).criterion("trace") for c in (1, 2, 4)]
    assert widths == sorted(widths)


def test_corners_power_is_a_product_of_binomials_on_every_other_pixel():
    def check(predict):
        power = predict([theory.corner_kernel(3)] * 6)
        along = np.zeros(13)
        along[::2] = stats.binom.pmf(np.arange(7), 6, 0.5)
        assert np.allclose(power, np.outer(along, along), atol=1e-15)

    check(theory.predict_kernel_power)
    rejects(check, lambda layers: theory.predict_kernel_power([np.ones((3, 3)) / 9] * len(layers)))


def test_power_of_equal_weights_is_the_other_modules():
    """Against the propagation of `propagation.py`, which knows no kernels, only their sides."""
    layers = [3, 5, 2, 7]
    expected = theory.predict_gradient_power([theory.Layer(k) for k in layers])
    found = theory.predict_kernel_power([np.ones((k, k)) for k in layers])
    assert np.allclose(found, expected / expected.sum(), atol=1e-15)


def test_power_has_the_covariances_of_its_layers_added():
    random = np.random.default_rng(0)
    layers = [random.random((k, k)) for k in (3, 5, 3)]
    power = theory.predict_kernel_power(layers)
    expected = sum(theory.kernel_moments(kernel).covariance for kernel in layers)
    assert np.allclose(theory.kernel_moments(power).covariance, expected, atol=1e-12)


def test_an_odd_number_of_corner_layers_leaves_the_middle_dark():
    for depth in range(1, 6):
        power = theory.predict_kernel_power([theory.corner_kernel(3)] * depth)
        assert (power[depth, depth] > 0) == (depth % 2 == 0)
        assert math.isclose(theory.live_share(power), ((depth + 1) / (2 * depth + 1)) ** 2)


def test_nearest_distribution_is_scipys():
    from scipy.optimize import minimize

    random = np.random.default_rng(1)
    for _ in range(5):
        point = random.normal(size=5)
        best = minimize(
            lambda x, p=point: ((x - p) ** 2).sum(), np.full(5, 0.2), method="SLSQP",
            bounds=[(0, 1)] * 5, constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            options={"ftol": 1e-14},
        )  # fmt: skip
        # SLSQP stops where the squared distance changes by 1e-14, so within 1e-6 of the point
        assert np.allclose(theory.project_to_simplex(point), best.x, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.corner_kernel(1), "kernel must be"),
        (lambda: theory.corner_kernel(3, 1.5), "diagonal must be a share"),
        (lambda: theory.soft_kernel(3, 0.5), "contrast must be at least 1, not 0.5"),
        (lambda: theory.predict_kernel_power([np.ones((2, 3))]), "square kernel, not of shape"),
        (lambda: theory.kernel_moments(-np.ones((2, 2))), "must not be negative"),
        (lambda: theory.predict_kernel_power([]), "a layer or more"),
        (lambda: theory.maximise_criterion(3, "least", seed=0), "criterion must be one of trace"),
        (lambda: theory.enumerate_maximisers(3, 4, "size"), "criterion must be one of trace"),
        (lambda: theory.enumerate_maximisers(9, 9, "trace"), "choose fewer"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
