"""Weights that never read the image, by themselves: *deep* has as many of them as *strided*.

All planes of *deep* are those of *base*, and all of its layers before the last stage; there, where
the planes are smaller than the dilated kernels, most taps lie on padding. What pruning costs *deep*
less than *base* is therefore owed to these weights or to the field of the last stage alone, and to
no smaller plane and no lost detail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from erfbook.experiments.estimates import Estimate, mean_text
from erfbook.experiments.pooled.control import KINDS, PAPER_SCALES
from erfbook.experiments.pooled.control_study import read_kinds, take_percent
from erfbook.experiments.pooled.networks import say_data
from erfbook.experiments.side_by_side import NONE_DECIDES
from erfbook.experiments.training_growth import mean_interval
from erfbook.notation import count, percent
from erfbook.records import Record, Store


@dataclass(frozen=True)
class Kinds:
    """Runs of one scale on all of CIFAR-10, of as many kinds as there are.

    Args:
        scale: its name.
        records: by kind, one a seed, ascending.
    """

    scale: str
    records: Mapping[str, Sequence[Record]]

    @property
    def note(self) -> str:
        """What the data are and how long networks were trained on them, in words."""
        return say_data(self.records["base"][0])

    @property
    def rates(self) -> tuple[float, ...]:
        """Shares of the weights that were pruned, ascending."""
        return tuple(sorted(self.records["base"][0].spec.config["rates"]))

    def less_base(self, rate: float) -> Estimate:
        """Return pruned accuracy of *deep* less that of *base*, points, over seeds of both."""
        base, deep = (self._by_seed(kind, f"pruned_{rate:g}") for kind in ("base", "deep"))
        return _difference(deep, base)

    def share_read(self, kind: str, rate: float) -> float:
        """Return how much a network keeps of the weights that read the image, mean of seeds."""
        return take_percent(self.records[kind], f"live_kept_{rate:g}").mean() / 100

    def rate_like_base(self, kind: str) -> float:
        """Return the rate at which a network keeps about what *base* keeps at its lowest rate."""
        wanted = self.share_read("base", self.rates[0])
        return min(self.rates, key=lambda rate: abs(self.share_read(kind, rate) - wanted))

    def gap(self, kind: str) -> dict[int, float]:
        """Return dense less pruned accuracy at that rate, points, by seed."""
        dense = self._by_seed(kind, "accuracy")
        pruned = self._by_seed(kind, f"pruned_{self.rate_like_base(kind):g}")
        return {seed: dense[seed] - pruned[seed] for seed in dense}

    def gap_less_base(self, kind: str) -> Estimate:
        """Return that gap less the one of *base*, points, over seeds of both."""
        return _difference(self.gap(kind), self.gap("base"))

    def _by_seed(self, kind: str, name: str) -> dict[int, float]:
        runs = self.records[kind]
        values = take_percent(runs, name)
        return {record.spec.seed: float(v) for record, v in zip(runs, values, strict=True)}


def _difference(one: Mapping[int, float], other: Mapping[int, float]) -> Estimate:
    shared = sorted(one.keys() & other.keys())
    return mean_interval(np.array([one[seed] - other[seed] for seed in shared]))


def choose_kinds(stores: Iterable[Store]) -> Kinds | None:
    """Return the best scale of the VGG-like network with *base* and *deep* of one seed or more."""
    found = read_kinds(stores)
    for scale in PAPER_SCALES:
        runs = found.get(scale, {})
        if runs.get("base", {}).keys() & runs.get("deep", {}).keys():
            ordered = {kind: runs[kind] for kind in KINDS if kind in runs}
            return Kinds(scale, {k: [own[s] for s in sorted(own)] for k, own in ordered.items()})
    return None


def say_deep(kinds: Kinds | None) -> str:
    """Say in words what *deep* gains on *base* at each rate, or that nothing is published."""
    if kinds is None:
        return NONE_DECIDES
    gains = [(rate, kinds.less_base(rate)) for rate in kinds.rates]
    told = " and ".join(f"{e.text('{:+.1f}')} points at {percent(rate)}" for rate, e in gains)
    return f"{told} ({kinds.scale}, {count(gains[0][1].n, 'seed')}, {kinds.note})"


def say_equal(kinds: Kinds | None) -> str:
    """Say in words how gaps differ from that of *base* where as many read weights are kept."""
    if kinds is None:
        return NONE_DECIDES
    others = {kind: kinds.gap_less_base(kind) for kind in kinds.records if kind != "base"}
    told = [f"{kind} {e.text('{:+.1f}')} ({count(e.n, 'seed')})" for kind, e in others.items()]
    return ", ".join(told)


def tabulate_kinds(kinds: Kinds) -> pd.DataFrame:
    """Return a row a network: accuracy dense and pruned, weights that read, and those kept."""
    rows = {}
    for kind, records in kinds.records.items():
        row = {
            "seeds": f"{len(records)}",
            "dense, %": mean_text(take_percent(records, "accuracy")),
            "weights that read": percent(float(records[0].metrics["live_share"])),
        }
        for rate in kinds.rates:
            row[f"kept of them at {percent(rate)}"] = percent(kinds.share_read(kind, rate))
            row[f"accuracy at {percent(rate)}, %"] = mean_text(
                take_percent(records, f"pruned_{rate:g}")
            )
        rows[kind] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def tabulate_equal(kinds: Kinds) -> pd.DataFrame:
    """Return a row a network: its gap where all keep about as many of the weights that read."""
    rows = {}
    for kind in kinds.records:
        rate = kinds.rate_like_base(kind)
        less = kinds.gap_less_base(kind)
        rows[kind] = {
            "pruned at": percent(rate),
            "kept of the weights that read": percent(kinds.share_read(kind, rate), 1),
            "gap, points": mean_text(np.array(list(kinds.gap(kind).values()))),
            "less base's": "–" if kind == "base" else less.text("{:+.1f}"),
            "seeds of both": f"{less.n}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")
