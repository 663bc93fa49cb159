"""Enumerations and misprints: the checks that the derivation's notebook rests on."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from theory_oracles import count_paths, rejects, throw_all

from erfbook import theory
from erfbook.theory import Layer


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 25), st.integers(1, 7))
def test_packed_power_and_recurrence_agree(depth, kernel):
    packed = theory.pack_coefficients(depth, kernel)
    assert packed == theory.extended_binomial_coefficients(depth, kernel)


def test_packed_power_counts_paths():
    assert theory.pack_coefficients(5, 4) == count_paths(5, 4)


@pytest.mark.parametrize("depth", [1, 3])
def test_enumerated_linear_gradients_are_convolutions(depth):
    rows = []
    for signs in itertools.product([-1.0, 1.0], repeat=3 * depth):
        row = np.ones(1)
        for layer in np.array(signs).reshape(depth, 3):
            row = np.convolve(row, layer)
        rows.append(row)
    mean, power = theory.enumerate_gradient(depth)
    assert np.array_equal(mean, np.mean(rows, axis=0))
    assert np.array_equal(power, np.mean(np.square(rows), axis=0))


def test_enumerated_relu_gradients_are_finite_differences():
    """Two layers, 2^11 networks, each differentiated numerically."""
    roots = np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0])

    def output(x, a, b):
        hidden = np.correlate(np.maximum(x, 0), a, "valid")
        return np.correlate(np.maximum(hidden, 0), b, "valid")[0]

    total, step = np.zeros(5), 1e-6
    for signs in itertools.product([-1.0, 1.0], repeat=11):
        a, b, x = np.array(signs[:3]), np.array(signs[3:6]), np.array(signs[6:]) * roots
        moved = [
            output(x + step * unit, a, b) - output(x - step * unit, a, b) for unit in np.eye(5)
        ]
        total += (np.array(moved) / (2 * step)) ** 2

    def check(power):
        # differences of piecewise linear functions: rounding 1e-16 / 1e-6 an entry
        assert np.allclose(power, total / 2**11, atol=1e-7)

    check(theory.enumerate_gradient(2, relu=True)[1])
    rejects(check, theory.enumerate_gradient(2)[1])
    rejects(check, theory.enumerate_gradient(2)[1] / 16)  # the paper's factor, twice


def test_enumerated_draws_are_all_throws():
    weights = [0.2, 0.5, 0.3]
    assert np.allclose(theory.enumerate_draws(weights, 4), throw_all(weights, 4), atol=1e-15)


def test_printed_index_agrees_only_where_all_signs_do():
    """With p: all pixels and the output positive, or all pixels negative: 1/16 + 1/8 of draws."""
    right, printed = theory.measure_activation_index(n_networks=4000, seed=2)
    assert right == 1.0
    # binomial standard error sqrt(0.1875 * 0.8125 / 4000) = 0.0062
    assert printed == pytest.approx(3 / 16, abs=4 * 0.0062)


def test_adjoint_defect_tells_the_conventions_apart():
    for layer, forward in itertools.product(["convolution", "correlation"], repeat=2):
        defect = theory.measure_adjoint_defect(layer, forward=forward)
        assert defect < 1e-12 if layer == forward else defect > 0.1


def test_printed_radius_differs_from_the_radius():
    for depth, kernel in ((1, 3), (9, 5)):
        second = sum(m**2 for m in range(kernel)) / kernel
        printed = math.sqrt(depth) * math.sqrt(second) - ((kernel - 1) / 2) ** 2
        assert theory.radius_as_printed(depth, kernel) == pytest.approx(printed, rel=1e-12)
        assert abs(printed - theory.predict_radius(depth, kernel)) > 0.1


def test_unset_gradients_are_the_cross_without_its_centre():
    assert [theory.count_unset_gradients(side) for side in (1, 3, 5, 7)] == [0, 4, 8, 12]


def test_example_stacks_have_the_papers_fields():
    """15 layers, three of them strided or dilated by 2, 4 and 8."""
    sizes = {n: theory.receptive_field_size(s) for n, s in theory.example_stacks().items()}
    assert sizes["plain"] == sizes["dropout"] == sizes["skip"] == 31
    assert sizes["dilation"] == 31 + 2 * (1 + 3 + 7)
    assert sizes["subsample"] == 1 + 2 * (4 * 1 + 4 * 2 + 4 * 4 + 3 * 8)


def test_subsampling_goes_through_every_placement():
    got = theory.predict_subsampling(5, 2)
    assert got.shape == (math.comb(5, 2),)
    maps = [
        theory.predict_gradient_power([Layer(stride=2 if n in at else 1) for n in range(5)])
        for at in itertools.combinations(range(5), 2)
    ]
    expected = np.sqrt([theory.measure_erf_variance(power) / (5 * 2 / 3) for power in maps])
    assert np.allclose(got, expected, rtol=1e-12)


def test_too_many_networks_are_refused():
    with pytest.raises(ValueError, match=r"depth 7 has 2\^21 networks; at most 2\^20"):
        theory.enumerate_gradient(7)
