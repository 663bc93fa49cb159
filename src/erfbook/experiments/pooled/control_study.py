"""What field, detail and plane each do to accuracy and to pruning, paired by seed.

With a, d, c, b, s the accuracies of ``base``, ``dilated``, ``coarse``, ``coarse dilated`` and
``strided``, what the pool does is the sum of three effects, exactly:

    s - a = [(d - a) + (b - c)] / 2 + [(c - a) + (b - d)] / 2 + (s - b)
            field                     detail                    plane
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from erfbook.experiments.estimates import Estimate, bootstrap, seed_for
from erfbook.experiments.pooled.control import KINDS, PAPER_SCALES, POOL_CONTROL, STRIDE
from erfbook.experiments.pooled.networks import say_data
from erfbook.experiments.side_by_side import NONE_DECIDES
from erfbook.experiments.training_growth import mean_interval
from erfbook.notation import count, percent
from erfbook.records import Record, Store

MEASURES = ("accuracy", "pruned", "gap")  # dense, pruned, dense less pruned: points
RATE = 0.9  # of table 1
# Each effect: what counts how much. The first is the sum of the next three.
EFFECTS: dict[str, dict[str, float]] = {
    "total": {"strided": 1, "base": -1},
    "field": {"dilated": 0.5, "base": -0.5, "coarse dilated": 0.5, "coarse": -0.5},
    "detail": {"coarse": 0.5, "base": -0.5, "coarse dilated": 0.5, "dilated": -0.5},
    "plane": {"strided": 1, "coarse dilated": -1},
    "deep": {"deep": 1, "base": -1},
    "field_fine": {"dilated": 1, "base": -1},
    "field_coarse": {"coarse dilated": 1, "coarse": -1},
    "detail_small": {"coarse": 1, "base": -1},
    "detail_large": {"coarse dilated": 1, "dilated": -1},
    "interaction": {"coarse dilated": 1, "coarse": -1, "dilated": -1, "base": 1},
}
SHOWN = ("total", "field", "detail", "plane", "deep")


@dataclass(frozen=True)
class Study:
    """The networks of the comparison at one scale.

    Args:
        name: of the scale.
        records: by kind, seed by seed; the same seeds in the same order in each.
        rate: share of the weights that is pruned.
    """

    name: str
    records: Mapping[str, Sequence[Record]]
    rate: float = RATE

    def __post_init__(self) -> None:
        missing = [kind for kind in KINDS if kind not in self.records]
        if missing:
            raise ValueError(f"records must hold every kind; missing: {', '.join(missing)}")
        seeds = {kind: [r.spec.seed for r in runs] for kind, runs in self.records.items()}
        if any(own != seeds["base"] for own in seeds.values()):
            raise ValueError(f"every kind must have the same seeds, not {seeds}")

    @property
    def rates(self) -> tuple[float, ...]:
        """Shares of the weights that these networks were pruned by, ascending."""
        return tuple(sorted(self.records["base"][0].spec.config["rates"]))

    @property
    def n_seeds(self) -> int:
        """Training runs of each network."""
        return len(self.records["base"])

    @property
    def note(self) -> str:
        """What the data are and how long networks were trained on them, in words."""
        return say_data(self.records["base"][0])

    def panels(self) -> tuple[tuple[Study, str], ...]:
        """Return what a figure or a table shows: dense accuracy, and the gap at each rate."""
        gaps = ((replace(self, rate=rate), "gap") for rate in self.rates)
        return (self, "accuracy"), *gaps

    def head(self, measure: str) -> str:
        """Return a measure's heading, with the rate where it has one."""
        rate = percent(self.rate)
        return {
            "accuracy": "dense accuracy, %",
            "pruned": f"pruned at {rate}, %",
            "gap": f"gap at {rate}, points",
        }[measure]

    def values(self, kind: str, measure: str) -> Float[np.ndarray, " seed"]:
        """Return a measure of each run, points."""
        dense = take_percent(self.records[kind], "accuracy")
        if measure == "accuracy":
            return dense
        pruned = take_percent(self.records[kind], f"pruned_{self.rate:g}")
        return pruned if measure == "pruned" else dense - pruned

    def mean(self, kind: str, measure: str) -> Estimate:
        """Return a measure's mean over seeds with Student's interval, points."""
        return mean_interval(self.values(kind, measure))

    def differences(self, effect: str, measure: str) -> Float[np.ndarray, " seed"]:
        """Return an effect on a measure, seed by seed, points."""
        parts = EFFECTS[effect].items()
        return np.sum([w * self.values(kind, measure) for kind, w in parts], axis=0)

    def effect(self, effect: str, measure: str) -> Estimate:
        """Return an effect's mean over seeds with Student's interval, points."""
        return mean_interval(self.differences(effect, measure))

    def resampled(self, effect: str, measure: str) -> Estimate:
        """Return the same with a bootstrap interval, which for few seeds is too narrow."""
        seed = seed_for(0, effect, measure)
        draws = self.differences(effect, measure)
        return bootstrap(draws, float, n_resamples=2000, seed=seed)


def take_percent(records: Sequence[Record], name: str) -> Float[np.ndarray, " run"]:
    """Return a metric of each run in percent; NaN where a run has none of this name."""
    return 100 * np.array([float(record.metrics.get(name, math.nan)) for record in records])


def gather(name: str, runs: Mapping[str, Iterable[Record]], rate: float = RATE) -> Study:
    """Return the study of some runs by kind, with the seeds that all kinds have.

    Args:
        name: of the scale.
        runs: by kind.
        rate: share of the weights that is pruned.

    Raises:
        ValueError: a kind is missing, or no seed is shared.
    """
    by_seed = {kind: {r.spec.seed: r for r in records} for kind, records in runs.items()}
    shared = set.intersection(*map(set, by_seed.values())) if by_seed else set()
    if not shared:
        raise ValueError(f"the kinds of {name} share no seed")
    records = {kind: [own[seed] for seed in sorted(shared)] for kind, own in by_seed.items()}
    return Study(name, records, rate)


def read_kinds(stores: Iterable[Store]) -> dict[str, dict[str, dict[int, Record]]]:
    """Return the runs of stores on all of CIFAR-10 at the stride compared: by scale, kind, seed.

    The better scales come first. A run in several stores counts once, as the first store has it.
    """
    found: dict[str, dict[str, dict[int, Record]]] = {}
    for store in stores:
        for record in store.select(POOL_CONTROL.name):
            placed = _place(record.spec.config)
            if placed is not None:
                scale, kind = placed
                runs = found.setdefault(scale, {}).setdefault(kind, {})
                runs.setdefault(record.spec.seed, record)
    return {scale: found[scale] for scale in sorted(found, key=_rank)}


def read_published(stores: Iterable[Store]) -> dict[str, Study]:
    """Return the studies among those runs by scale: two shared seeds of every kind, or more."""
    studies = {}
    for scale, found in read_kinds(stores).items():
        kinds = {kind: list(runs.values()) for kind, runs in found.items() if kind in KINDS}
        shared = set.intersection(*({r.spec.seed for r in runs} for runs in kinds.values()))
        if set(kinds) == set(KINDS) and len(shared) > 1:
            studies[scale] = gather(scale, kinds)
    return studies


def choose_deciding(studies: Mapping[str, Study]) -> Study | None:
    """Return the study that decides claims about CIFAR-10: the best scale of VGG, or none."""
    return next((studies[name] for name in PAPER_SCALES if name in studies), None)


def name_study(study: Study, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Return the results under the names that prose and the ledger use.

    ``field_gap`` is what the field alone does to dense less pruned accuracy, ``field_gap_80`` the
    same at 80 %; ``deep_gap`` the same where only the last stage was dilated.
    """
    named: dict[str, dict[str, Any]] = {
        "scale": {"value": study.name},
        "data": {"value": study.note},
        "n_runs": {"value": study.n_seeds},
    }
    for measure in MEASURES:
        for kind in study.records:
            named[f"{measure}_{kind.replace(' ', '_')}"] = _result(study.mean(kind, measure))
        for effect in EFFECTS:
            named[f"{effect}_{measure}"] = _result(study.effect(effect, measure))
    for one, measure in study.panels()[1:]:
        for effect in SHOWN:
            rate = f"{100 * one.rate:g}"
            named[f"{effect}_gap_{rate}"] = _result(one.effect(effect, measure))
    for kind in ("base", "strided"):
        for alive in ("live", "dead"):
            shares = np.array(
                [r.metrics[f"{alive}_kept_{study.rate:g}"] for r in study.records[kind]]
            )
            named[f"{alive}_kept_{kind}"] = _result(mean_interval(shares))
    for measure, name in (("accuracy", "answer"), ("gap", "answer_gap")):
        named[name] = {"value": summarise(study, measure)}
    return {prefix + name: result for name, result in named.items()}


def name_verdicts(deciding: Study) -> dict[str, dict[str, Any]]:
    """Return what the ledger asks about CIFAR-10: all results, and answers of yes or no."""
    answers = {
        f"cifar_{effect}_lowers_{measure}": {"value": deciding.effect(effect, measure).high < 0}
        for effect in SHOWN
        for measure in ("accuracy", "gap")
    }
    return name_study(deciding, "cifar_") | answers


def summarise(study: Study, measure: str = "accuracy") -> str:
    """Say in words, of a measure, which parts of the pool's effect are sure."""
    names = {"field": "the larger field", "detail": "the lost detail", "plane": "the smaller plane"}
    signs = {part: _sign(study.effect(part, measure)) for part in names}
    words = {True: "lowers it", False: "raises it"}
    sure = [f"{names[p]} {words[sign]}" for p, sign in signs.items() if sign is not None]
    unsure = [names[part] for part, sign in signs.items() if sign is None]
    if not sure:
        return "no part has a sure effect"
    rest = [f"no sure effect of {' and '.join(unsure)}"] if unsure else []
    return "; ".join(sure + rest)


def say_deciding(deciding: Study | None) -> str:
    """Say in words what the networks that decide show of each panel, or that there are none."""
    if deciding is None:
        return NONE_DECIDES
    told = [f"{s.head(m).rpartition(',')[0]} ({summarise(s, m)})" for s, m in deciding.panels()]
    scale = f"{deciding.name}, {count(deciding.n_seeds, 'seed')}, {deciding.note}"
    return f"{', '.join(told)}; {scale}"


def _sign(e: Estimate) -> bool | None:
    """Return whether an effect is below zero; None where its interval holds zero."""
    if e.n < 2 or e.low <= 0 <= e.high:
        return None
    return e.value < 0


def _place(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return scale and kind of a run on all of CIFAR-10 at the stride compared, else None."""
    network = config["network"]
    whole = (network["dataset"], network["n_train"], network["n_test"]) == ("cifar10", 0, 0)
    scale, _, rest = config["name"].partition(": ")
    words = rest.split(", ")
    if not whole or len(words) != 3:
        return None
    kind, architecture, pool = words
    if kind != "base" and pool != f"pool {STRIDE}":
        return None
    return (scale if architecture == "vgg" else f"{scale}, {architecture}"), kind


def _rank(scale: str) -> tuple[int, str]:
    known = PAPER_SCALES.index(scale) if scale in PAPER_SCALES else len(PAPER_SCALES)
    return known, scale


def _result(e: Estimate) -> dict[str, Any]:
    """Return an estimate as a page reports it: always with its ends, which prose refers to."""
    return {"value": e.value, "low": e.low, "high": e.high, "n": e.n}
