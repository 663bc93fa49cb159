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
        """What the data are, in words."""
        return str(self.records["base"][0].metrics["note"])

    @property
    def rates(self) -> tuple[float, ...]:
        """Shares of the weights that were pruned, ascending."""
        return tuple(sorted(self.records["base"][0].spec.config["rates"]))

    def less_base(self, rate: float) -> Estimate:
        """Return pruned accuracy of *deep* less that of *base*, points, over seeds of both."""
        base, deep = (
            {r.spec.seed: 100 * float(r.metrics[f"pruned_{rate:g}"]) for r in self.records[kind]}
            for kind in ("base", "deep")
        )
        shared = sorted(base.keys() & deep.keys())
        return mean_interval(np.array([deep[seed] - base[seed] for seed in shared]))


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
            kept = take_percent(records, f"live_kept_{rate:g}").mean() / 100
            row[f"kept of them at {percent(rate)}"] = percent(kept)
            row[f"accuracy at {percent(rate)}, %"] = mean_text(
                take_percent(records, f"pruned_{rate:g}")
            )
        rows[kind] = row
    return pd.DataFrame.from_dict(rows, orient="index")
