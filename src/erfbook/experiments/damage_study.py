"""What the runs of several kinds say together: races, widths, accuracies, and what decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from erfbook.experiments.damage_speed import (
    Arrivals,
    Race,
    accuracy_arrivals,
    accuracy_threshold,
    adjust_holm,
    chance_of_faster,
    loss_arrivals,
    loss_threshold,
    run_race,
    sign_flip_test,
)
from erfbook.experiments.estimates import Estimate
from erfbook.experiments.photographs import METRICS
from erfbook.experiments.training_growth import mean_interval
from erfbook.records import Record

MEASURES = ("loss", "accuracy")
# (kind, what it is compared with). All of them, on the loss, are one family for Holm's method.
# Soft weights on He's scale differ from Xavier's in their total variance as well; what that alone
# is worth, "he" against "xavier" shows.
COMPARISONS = (
    ("soft", "he"),
    ("xavier_soft", "xavier"),
    ("soft", "xavier"),
    ("he", "xavier"),
    ("corners", "he"),
    ("soft", "corners"),
)
PROPOSED = (("soft", "he"), ("xavier_soft", "xavier"))  # pairs that differ in the profile alone
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Starts:
    """Runs that differ in how they begin.

    Args:
        records: of each kind, seed by seed.
        thresholds: by measure.
        arrivals: by kind and measure.
        races: by kind, base and measure.
        holm: p-values of the races on the loss, adjusted for their number.
        luck: how often a He run is 1.3 times as fast as a He run of another seed.
    """

    records: Mapping[str, Sequence[Record]]
    thresholds: Mapping[str, float]
    arrivals: Mapping[tuple[str, str], Arrivals]
    races: Mapping[tuple[str, str, str], Race]
    holm: Mapping[tuple[str, str], float]
    luck: float

    @property
    def note(self) -> str:
        """What the data are, in words."""
        return self.records["he"][0].metrics["note"]

    @property
    def n_seeds(self) -> int:
        return len(self.records["he"])

    def sizes(self, kind: str, when: str, metric: str = "mass") -> Float[np.ndarray, " run"]:
        """Return the field's size in px of each run, NaN where it has none."""
        return take(self.records[kind], f"{metric}_{when}")

    def width(self, kind: str, when: str, metric: str = "mass") -> Estimate:
        """Return the field's size over that of He's start, paired by seed."""
        return _mean(self.sizes(kind, when, metric) / self.sizes("he", when, metric), log=True)


def compare_starts(records: Mapping[str, Sequence[Record]]) -> Starts:
    """Race all kinds that are there against each other; ``he`` sets the thresholds.

    Args:
        records: by kind; the same seeds in the same order in each.

    Raises:
        ValueError: there is no ``he``, or kinds have different seeds.
    """
    if "he" not in records:
        raise ValueError(f"records must hold the kind 'he', not only {', '.join(records)}")
    seeds = {kind: [r.spec.seed for r in runs] for kind, runs in records.items()}
    if any(own != seeds["he"] for own in seeds.values()):
        raise ValueError(f"every kind must have the same seeds, not {seeds}")
    he = records["he"]
    thresholds = {
        "loss": loss_threshold(he, he[0].metrics["n_classes"]),
        "accuracy": accuracy_threshold(he),
    }
    arrive = {"loss": loss_arrivals, "accuracy": accuracy_arrivals}
    arrivals = {
        (kind, measure): arrive[measure](runs, thresholds[measure])
        for kind, runs in records.items()
        for measure in MEASURES
    }
    pairs = [pair for pair in COMPARISONS if set(pair) <= set(records)]
    races = {
        (new, base, measure): run_race(new, arrivals[new, measure], base, arrivals[base, measure])
        for new, base in pairs
        for measure in MEASURES
    }
    holm = adjust_holm([races[new, base, "loss"].p_value for new, base in pairs])
    return Starts(
        records=dict(records),
        thresholds=thresholds,
        arrivals=arrivals,
        races=races,
        holm=dict(zip(pairs, holm, strict=True)),
        luck=chance_of_faster(arrivals["he", "loss"]),
    )


def name_starts(starts: Starts, prefix: str = "") -> dict[str, dict]:
    """Return the results under the names that prose and the ledger use.

    ``speed_soft_he`` is how many times as fast the soft start is as He's, on the training loss.
    """
    he = starts.records["he"]
    proposed = [pair for pair in PROPOSED if pair in starts.holm]
    named: dict[str, dict] = {
        "data": {"value": starts.note},
        "n_steps": {"value": max(int(r.metrics.get("n_steps", 0)) for r in he)},
        "n_runs": {"value": starts.n_seeds},
        "n_races": {"value": len(starts.holm)},
        "n_significant": {"value": sum(p < SIGNIFICANT for p in starts.holm.values())},
        "n_proposed": {"value": len(proposed)},
        "n_proposed_insignificant": {
            "value": sum(starts.holm[pair] >= SIGNIFICANT for pair in proposed)
        },
        "least_p": {"value": len(starts.holm) * 2.0 ** (1 - starts.n_seeds)},
        "luck": {"value": starts.luck},
    }
    faster, slower = (
        sum(getattr(starts.races[*pair, "loss"], name) for pair in proposed)
        for name in ("n_faster", "n_slower")
    )
    named["n_pairs"] = {"value": len(proposed) * starts.n_seeds}
    named["n_faster"], named["n_slower"] = {"value": faster}, {"value": slower}
    named["n_faster_net"] = {"value": faster - slower}
    for measure in MEASURES:
        named[f"threshold_{measure}"] = {"value": starts.thresholds[measure]}
    for kind, runs in starts.records.items():
        arrivals = starts.arrivals[kind, "loss"]
        named[f"steps_{kind}"] = {"value": float(np.median(arrivals.steps))}
        named[f"arrived_{kind}"] = {"value": int(arrivals.arrived.sum()), "n": len(runs)}
        named[f"trained_{kind}"] = _result(shrinkage(starts, kind))
        named[f"accuracy_{kind}"] = _result(_mean(take(runs, "accuracy")))
        for when in ("before", "after") if kind != "he" else ():
            named[f"width_{when}_{kind}"] = _result(starts.width(kind, when))
    for (new, base, measure), race in starts.races.items():
        tail = "" if measure == "loss" else "_accuracy"
        named[f"speed_{new}_{base}{tail}"] = race.mean.with_ends()
        named[f"p_{new}_{base}{tail}"] = {"value": race.p_value}
        named[f"faster_{new}_{base}{tail}"] = {"value": race.n_faster, "n": starts.n_seeds}
    for (new, base), p in starts.holm.items():
        named[f"holm_{new}_{base}"] = {"value": p}
    return {f"{prefix}{name}": result for name, result in named.items()}


def decide(records: Mapping[str, Sequence[Record]]) -> Starts | None:
    """Return the races of the runs that may decide claims about CIFAR-10, if there are any."""
    return compare_starts(records) if {"he", "soft", "corners", "xavier"} <= set(records) else None


def name_verdicts(deciding: Starts) -> dict[str, dict]:
    """Return what the ledger asks about CIFAR-10: all results, and two answers of yes or no."""
    slow = deciding.races["corners", "he", "loss"].mean
    soft = deciding.races["soft", "corners", "loss"].mean
    answers = {
        "cifar_corners_slower": {"value": slow.high < 1},
        "cifar_soft_better": {"value": soft.low > 1},
    }
    return name_starts(deciding, "cifar_") | answers


def compare_links(records: Mapping[str, Sequence[Record]]) -> dict[str, dict]:
    """Return accuracies of each kind of connections against dense ones, paired by seed.

    Args:
        records: by kind; ``he`` are the dense ones. Only seeds that all have count.

    Returns:
        Results by name: ``links_accuracy_sparse5``, and ``links_gain_sparse5`` (points of accuracy
        over dense) with ``links_p_sparse5``, the exact sign-flip test.
    """
    shared = set.intersection(*({r.spec.seed for r in runs} for runs in records.values()))
    values = {
        kind: take([r for r in runs if r.spec.seed in shared], "accuracy")
        for kind, runs in records.items()
    }
    named: dict[str, dict] = {"links_n_runs": {"value": len(shared)}}
    for kind, accuracies in values.items():
        named[f"links_accuracy_{kind}"] = _result(_mean(accuracies))
        if kind != "he":
            gain = 100 * (accuracies - values["he"])
            named[f"links_gain_{kind}"] = {**_result(_mean(gain)), "unit": "points"}
            named[f"links_p_{kind}"] = {"value": sign_flip_test(np.nan_to_num(gain))}
    weights = {int(r.metrics["n_weights"]) for runs in records.values() for r in runs}
    named["links_same_weights"] = {"value": len(weights) == 1}
    return named


def take(records: Sequence[Record], name: str) -> Float[np.ndarray, " run"]:
    """Return one number of each run; NaN where a run diverged or has none."""
    return np.array([float(r.metrics.get(name, math.nan)) for r in records])


def shrinkage(starts: Starts, kind: str, metric: str = METRICS[1]) -> Estimate:
    """Return a kind's field after training over before, mean over seeds."""
    return _mean(
        starts.sizes(kind, "after", metric) / starts.sizes(kind, "before", metric), log=True
    )


def _mean(values: Float[np.ndarray, " run"], *, log: bool = False) -> Estimate:
    """Return the mean over runs that have a value, with its interval."""
    there = values[np.isfinite(values)]
    if not len(there):
        return Estimate(math.nan, math.nan, math.nan, 0)
    return mean_interval(there, log=log)


def _result(e: Estimate) -> dict:
    """Return an estimate as a page reports it: always with its ends, which prose refers to."""
    return {"value": e.value, "low": e.low, "high": e.high, "n": e.n}
