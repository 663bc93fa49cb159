"""Exact coefficients: four independent ways to the same integers."""

import math
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from theory_oracles import count_paths, rejects

from erfbook import theory


def off_by_one(depth, kernel):
    """The recurrence with n in the place of n + 1: a mistake that is easy to make."""
    coefficients = [1]
    for t in range(1, depth * (kernel - 1) + 1):
        terms = range(1, min(kernel - 1, t) + 1)
        coefficients.append(sum((m * depth - t) * coefficients[t - m] for m in terms) // t)
    return coefficients


@pytest.mark.parametrize(
    ("depth", "kernel"), [(0, 3), (1, 1), (4, 1), (1, 5), (7, 2), (6, 3), (4, 5)]
)
def test_coefficients_count_paths(depth, kernel):
    assert theory.extended_binomial_coefficients(depth, kernel) == count_paths(depth, kernel)


def test_enumeration_rejects_the_recurrence_off_by_one():
    def check(coefficients):
        assert coefficients(6, 3) == count_paths(6, 3)

    check(theory.extended_binomial_coefficients)
    rejects(check, off_by_one)


@pytest.mark.parametrize("depth", [1, 30, 500])
def test_two_taps_give_binomial_coefficients(depth):
    expected = [math.comb(depth, t) for t in range(depth + 1)]
    assert theory.extended_binomial_coefficients(depth, 2) == expected


@pytest.mark.parametrize(("depth", "kernel"), [(12, 3), (9, 4), (7, 7)])
def test_coefficients_are_sympys(depth, kernel):
    x = sympy.symbols("x")
    expanded = sympy.Poly(sum(x**m for m in range(kernel)) ** depth, x).all_coeffs()
    assert theory.extended_binomial_coefficients(depth, kernel) == [int(c) for c in expanded]


@pytest.mark.parametrize(("depth", "kernel"), [(400, 3), (90, 6)])
def test_big_coefficients_are_inclusion_exclusion(depth, kernel):
    """c_t = sum_i (-1)^i binom(n, i) binom(t - k i + n - 1, n - 1)."""
    got = theory.extended_binomial_coefficients(depth, kernel)
    for t in range(0, len(got), 37):
        signed = (
            (-1) ** i * math.comb(depth, i) * math.comb(t - kernel * i + depth - 1, depth - 1)
            for i in range(t // kernel + 1)
        )
        assert got[t] == sum(signed)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 40))
def test_coefficients_are_a_symmetric_semigroup(n, k, m):
    c = theory.extended_binomial_coefficients
    assert sum(c(n, k)) == k**n
    assert c(n, k) == c(n, k)[::-1]
    product = np.convolve(np.array(c(n, k), dtype=object), np.array(c(m, k), dtype=object))
    assert product.tolist() == c(n + m, k)


def test_distribution_is_the_exact_ratio_rounded_once():
    got = theory.predict_uniform_distribution(300, 3)
    exact = theory.extended_binomial_coefficients(300, 3)
    assert got.tolist() == [float(Fraction(c, 3**300)) for c in exact]


@pytest.mark.parametrize(
    ("depth", "kernel", "message"),
    [
        (-1, 3, "depth must be .* not -1"),
        (3, 0, "kernel must be .* not 0"),
        (True, 2, "depth must"),
    ],
)
def test_bad_counts_are_refused(depth, kernel, message):
    with pytest.raises(ValueError, match=message):
        theory.extended_binomial_coefficients(depth, kernel)
