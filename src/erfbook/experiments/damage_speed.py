"""Does one initialisation train faster than another? Paired by seed, with an exact test.

A run's speed is the number of steps until its training loss, averaged over the last few steps,
has fallen to a threshold that is fixed by rule before any comparison: nine tenths of the way that
the median run of the reference goes in *half* the time, so that a slower kind still has the other
half to arrive in. A second measure does the same with test accuracy. A run that
never gets there is counted as if it got there at its end: this pulls a ratio towards 1 and can
hide a difference, never make one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from erfbook.experiments.estimates import Estimate, wilson
from erfbook.experiments.training_growth import mean_interval
from erfbook.records import Record

WINDOW = 10  # steps that the loss is averaged over; chosen by us
SHARE = 0.9  # of the way of the reference's median run; chosen by us, before any run
FASTER = 1.3  # "a 30% speed-up": the old number of steps over the new one
_LARGEST_EXACT = 18  # runs whose sign flips are all tried: 2^18


@dataclass(frozen=True)
class Arrivals:
    """When the runs of one kind arrive.

    Args:
        steps: step at which each run reaches the threshold; its last step where it does not.
        arrived: whether it did.
        curves: what was compared with the threshold, a row a run; NaN where there is nothing.
        curve_steps: the steps at which.
    """

    steps: Float[np.ndarray, " run"]
    arrived: Bool[np.ndarray, " run"]
    curves: Float[np.ndarray, "run moment"]
    curve_steps: Float[np.ndarray, " moment"]


@dataclass(frozen=True)
class Race:
    """One kind of run against another, seed by seed.

    Args:
        name, base: the two kinds.
        ratios: steps of the base over steps of the other; above 1 the other is faster.
        mean: geometric mean with a 95 % interval of Student's t on the logarithms.
        p_value: of the exact two-sided sign-flip test of the logarithms' mean.
        faster: share of seeds that are at least 1.3 times as fast, with Wilson's interval.
        n_censored: runs of either kind that never arrived.
    """

    name: str
    base: str
    ratios: Float[np.ndarray, " run"]
    mean: Estimate
    p_value: float
    faster: Estimate
    n_censored: int

    @property
    def n_faster(self) -> int:
        """Seeds that are at least 1.3 times as fast."""
        return int((self.ratios >= FASTER).sum())

    @property
    def n_slower(self) -> int:
        """Seeds at which the base is at least 1.3 times as fast."""
        return int((self.ratios <= 1 / FASTER).sum())


def loss_threshold(records: Sequence[Record], n_classes: int) -> float:
    """Return the loss nine tenths of the way from guessing to the median run's at half time."""
    curves = [smooth(r.arrays["losses"]) for r in records if not r.metrics["diverged"]]
    ends = [curve[(len(curve) - 1) // 2] for curve in curves]
    start, end = math.log(n_classes), float(np.median(ends)) if ends else math.nan
    return start - SHARE * (start - end)


def accuracy_threshold(records: Sequence[Record]) -> float:
    """Return nine tenths of the accuracy that the median run has at half time."""
    ends = [
        np.interp(r.metrics["n_steps"] / 2, r.arrays["moment_steps"], r.arrays["accuracies"])
        for r in records
        if not r.metrics["diverged"]
    ]
    return SHARE * float(np.median(ends)) if ends else math.nan


def loss_arrivals(records: Sequence[Record], threshold: float) -> Arrivals:
    """Return when each run's smoothed training loss first falls to ``threshold``."""
    curves = _stack([smooth(r.arrays["losses"]) for r in map(_alive, records) if r])
    return _arrive(records, curves, np.arange(curves.shape[1]) + 1.0, curves <= threshold)


def accuracy_arrivals(records: Sequence[Record], threshold: float) -> Arrivals:
    """Return when each run's test accuracy first rises to ``threshold``, between moments linear."""
    alive = [r for r in map(_alive, records) if r]
    taken = alive[0].arrays["moment_steps"].astype(float)
    steps = np.arange(taken[-1]) + 1.0
    curves = _stack([np.interp(steps, taken, r.arrays["accuracies"]) for r in alive])
    return _arrive(records, curves, steps, curves >= threshold)


def smooth(losses: Float[np.ndarray, " step"], window: int = WINDOW) -> Float[np.ndarray, " step"]:
    """Return the mean over the last ``window`` steps, or over those there are.

    >>> smooth(np.array([4.0, 2.0, 0.0]), window=2)
    array([4., 3., 1.])
    """
    total = np.cumsum(np.concatenate([[0.0], np.asarray(losses, dtype=float)]))
    last = np.arange(1, len(total))
    first = np.maximum(last - window, 0)
    return (total[last] - total[first]) / (last - first)


def run_race(name: str, new: Arrivals, base_name: str, base: Arrivals) -> Race:
    """Compare two kinds of run that share their seeds, in order.

    Raises:
        ValueError: they have not as many runs.
    """
    if len(new.steps) != len(base.steps):
        raise ValueError(f"{name} has {len(new.steps)} runs and {base_name} {len(base.steps)}")
    ratios = base.steps / new.steps
    return Race(
        name=name,
        base=base_name,
        ratios=ratios,
        mean=mean_interval(ratios, log=True),
        p_value=sign_flip_test(np.log(ratios)),
        faster=wilson(int((ratios >= FASTER).sum()), len(ratios)),
        n_censored=int((~new.arrived).sum() + (~base.arrived).sum()),
    )


def sign_flip_test(differences: Float[np.ndarray, " run"]) -> float:
    """Return the exact two-sided p-value of paired differences having no preferred sign.

    Under it every pattern of signs is as likely as the one seen. All 2^n are tried, so that the
    smallest p-value of n pairs is 2 / 2^n: five pairs can never fall below 0.05.

    Raises:
        ValueError: there are more pairs than patterns can be tried for.

    >>> sign_flip_test(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    0.0625
    """
    d = np.asarray(differences, dtype=float)
    if not 0 < len(d) <= _LARGEST_EXACT:
        raise ValueError(f"differences must be 1 to {_LARGEST_EXACT}, not {len(d)}")
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(d))))
    sums = np.abs(signs @ d)
    seen = abs(d.sum())
    return float(np.mean(sums >= seen - 1e-12 * max(np.abs(d).sum(), 1e-300)))


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's step-down method, in the same order.

    >>> adjust_holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def chance_of_faster(arrivals: Arrivals) -> float:
    """Return how often a run of one kind beats another *of the same kind* by the 30 % asked for.

    Over all ordered pairs of different seeds: what luck of the seed does alone.
    """
    steps = arrivals.steps
    if len(steps) < 2:
        return math.nan
    ratios = steps[:, None] / steps[None, :]
    return float(np.mean(ratios[~np.eye(len(steps), dtype=bool)] >= FASTER))


def _alive(record: Record) -> Record | None:
    return None if record.metrics["diverged"] else record


def _stack(curves: list[np.ndarray]) -> np.ndarray:
    if not curves:
        raise ValueError("every run diverged: there is no curve to compare")
    return np.stack(curves)


def _arrive(
    records: Sequence[Record], curves: np.ndarray, steps: np.ndarray, there: np.ndarray
) -> Arrivals:
    """Put the curves of the runs that lived back among those that did not."""
    alive = np.array([not r.metrics["diverged"] for r in records])
    every = np.full((len(records), len(steps)), np.nan)
    every[alive] = curves
    arrived = np.zeros(len(records), dtype=bool)
    arrived[alive] = there.any(axis=1)
    when = np.full(len(records), steps[-1])
    when[alive] = np.where(there.any(axis=1), steps[there.argmax(axis=1)], steps[-1])
    return Arrivals(when, arrived, every, steps)
