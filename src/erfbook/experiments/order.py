"""Whether numbers are in the order of the fields more often than chance would have them."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy import stats


def page_p(values: Float[np.ndarray, "field seed"], *, falls: bool = False) -> float:
    """Return the one-sided p-value of Page's test that numbers rise with the field, or NaN.

    NaN for one seed, for fewer than three fields, and where a number is missing: the test is not
    made for them.

    Seeds rank the fields, each by itself; under the hypothesis of no trend every order of a seed's
    ranks is as likely. The distribution is enumerated, not approximated. No number is assumed to be
    normal, and a seed that is better throughout counts no more than another.

    Args:
        values: fields in ascending order.
        falls: whether falling is what is looked for.

    >>> values = np.array([[1.0, 2.0], [2.0, 3.0], [4.0, 5.0]])
    >>> round(page_p(values), 4), page_p(values, falls=True)  # one order of six, for either seed
    (0.0278, 1.0)
    """
    if min(values.shape[0] - 1, values.shape[1]) < 2 or np.isnan(values).any():
        return math.nan
    ranked = values[::-1] if falls else values
    return float(stats.page_trend_test(ranked.T, method="exact").pvalue)


def say_p(p: float) -> str:
    """Return a p-value as a table shows it.

    >>> say_p(0.02777), say_p(1 / 24**5), say_p(1.0), say_p(math.nan)
    ('p = 0.028', 'p < 0.0001', 'p = 1', '–')
    """
    if math.isnan(p):
        return "–"
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
