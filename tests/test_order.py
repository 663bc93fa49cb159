"""Page's test against the enumeration of every order, and against what it must not depend on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from erfbook.experiments.order import page_p


def enumerate_p(values):
    """Share of all ways to order each seed's numbers that are at least as much in order."""
    n_fields, n_seeds = values.shape
    place = np.arange(1, n_fields + 1)
    orders = list(itertools.permutations(place))
    seen = sum(place @ (values[:, s].argsort().argsort() + 1) for s in range(n_seeds))
    scores = [place @ np.array(order) for order in orders]
    totals = [sum(chosen) for chosen in itertools.product(scores, repeat=n_seeds)]
    return np.mean([total >= seen for total in totals])


@pytest.mark.parametrize(("n_fields", "n_seeds"), [(3, 2), (3, 4), (4, 2), (4, 3)])
def test_p_is_the_share_of_orders_that_are_as_much_in_order(n_fields, n_seeds):
    random = np.random.default_rng(n_fields + 10 * n_seeds)
    for _ in range(4):
        values = random.normal(size=(n_fields, n_seeds)) + 0.4 * np.arange(n_fields)[:, None]
        assert page_p(values) == pytest.approx(enumerate_p(values), abs=1e-9)
        assert page_p(values, falls=True) == pytest.approx(enumerate_p(-values), abs=1e-9)
        # Only ranks within a seed count: a better seed and a stretched scale change nothing.
        assert page_p(np.exp(values) + 100 * np.arange(n_seeds)) == page_p(values)


@pytest.mark.parametrize("shape", [(4, 1), (2, 5)])
def test_too_few_seeds_or_fields_have_no_p(shape):
    assert np.isnan(page_p(np.ones(shape)))


def test_five_seeds_in_order_are_no_accident_and_a_wrong_direction_shows():
    falling = np.arange(4)[::-1, None] + np.zeros((4, 5))
    assert page_p(falling, falls=True) == pytest.approx(1 / 24**5)
    assert page_p(falling) == pytest.approx(1)
