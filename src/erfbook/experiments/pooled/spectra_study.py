"""What spectra of networks behind different pools say together: trends, and what decides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from erfbook.experiments.estimates import Estimate
from erfbook.experiments.pooled.networks import STRIDES, say_data
from erfbook.experiments.training_growth import mean_interval
from erfbook.notation import count, round_to
from erfbook.records import Record, Store

# Largest eigenvalue, the last one listed, the distance between the two, the root of the sum of all
# squares, and the sum of the sizes of the negative ones. The trace, a small difference of large
# sums, is too uncertain for a trend.
MEASURES = ("largest", "last", "spread", "frobenius", "descent")
# Scales on all of CIFAR-10, the one nearest to the paper's first.
DECIDING = ("paper", "usual recipe", "half width", "quarter width")
PAPER_K = 90
LEAST_WIDTH = 0.25
NOT_RUN = "batch norm's running statistics, not yet run"  # a variant


@dataclass(frozen=True)
class Pools:
    """Spectra of one network behind pools of different strides.

    Args:
        records: by stride, in ascending order; the same seeds in each.
    """

    records: Mapping[int, Sequence[Record]]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(record.spec.seed for record in next(iter(self.records.values())))

    @property
    def firsts(self) -> list[Record]:
        """One record a pool, for what does not depend on the seed."""
        return [runs[0] for runs in self.records.values()]

    @property
    def fields(self) -> Float[np.ndarray, " pool"]:
        """Theoretical receptive fields, px."""
        return np.array([float(record.metrics["field_px"]) for record in self.firsts])

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings of the first pool's spectra; the others differ in the network's pool alone."""
        return self.firsts[0].spec.config

    @property
    def note(self) -> str:
        """What the data are, and how long networks were trained on them if they were, in words."""
        return say_data(self.firsts[0])

    def values(self) -> Float[np.ndarray, "pool seed k"]:
        """Return the eigenvalues, each spectrum's in descending order."""
        return np.array([[r.arrays["values"] for r in runs] for runs in self.records.values()])

    def numbers(self, name: str) -> Float[np.ndarray, "pool seed"]:
        """Return one of :data:`MEASURES`, or a metric by its name; NaN where there is none."""
        values = self.values()
        own = {
            "largest": values[..., 0],
            "last": values[..., -1],
            "spread": values[..., 0] - values[..., -1],
        }
        if name in own:
            return own[name]
        runs = self.records.values()
        return np.array([[float(r.metrics.get(name, math.nan)) for r in own] for own in runs])


def gather(records: Mapping[int, Sequence[Record]]) -> Pools:
    """Return spectra by stride as one thing.

    Raises:
        ValueError: pools have different seeds.
    """
    seeds = {stride: [r.spec.seed for r in runs] for stride, runs in records.items()}
    if len({tuple(own) for own in seeds.values()}) != 1:
        raise ValueError(f"every pool must have the same seeds, not {seeds}")
    return Pools({stride: tuple(records[stride]) for stride in sorted(records)})


def measure_growth(pools: Pools, name: str) -> Estimate:
    """Return by what factor a number grows from the smallest field to the largest.

    Seed by seed, a line is fitted to the number's logarithm against the field; the factor is what
    the line rises by over the fields' range. Geometric mean over seeds, Student's 95 % interval;
    NaN where a number is not positive and has no logarithm.
    """
    numbers, fields = pools.numbers(name), pools.fields
    if not (numbers > 0).all():
        return Estimate(math.nan, math.nan, math.nan, len(pools.seeds))
    centred = fields - fields.mean()
    slopes = centred @ np.log(numbers) / (centred @ centred)
    return mean_interval(np.exp(slopes * (fields.max() - fields.min())), log=True)


def compare_fields(pools: Pools, name: str) -> Estimate:
    """Return a number behind the largest field over that behind the smallest, paired by seed."""
    numbers = pools.numbers(name)
    if not (numbers > 0).all():
        return Estimate(math.nan, math.nan, math.nan, len(pools.seeds))
    return mean_interval(numbers[-1] / numbers[0], log=True)


def count_rising(pools: Pools, name: str) -> int:
    """Return the seeds in which a number rises from each field to the next."""
    return int((np.diff(pools.numbers(name), axis=0) > 0).all(axis=0).sum())


def compare_ends(first: Sequence[Record], second: Sequence[Record]) -> Estimate:
    """Return the second runs' largest eigenvalues over the first ones', paired by seed."""
    values = [np.array([float(r.arrays["values"][0]) for r in runs]) for runs in (first, second)]
    return mean_interval(values[1] / values[0], log=True)


@dataclass(frozen=True)
class Separation:
    """Small and large field on small and large planes, before training.

    Args:
        cells: by "small field, large plane" and its like; the same seeds in each.
    """

    cells: Mapping[str, Sequence[Record]]

    def largest(self, field: str, plane: str) -> Float[np.ndarray, " seed"]:
        """Return the largest eigenvalue of each seed in a cell."""
        runs = self.cells[f"{field} field, {plane} plane"]
        return np.array([float(r.arrays["values"][0]) for r in runs])

    def effect(self, of: str) -> Estimate:
        """Return what a larger field, or a smaller plane, does to the largest eigenvalue.

        A ratio: the geometric mean over both settings of the other factor, paired by seed.

        Args:
            of: ``field`` (large over small) or ``plane`` (small over large).
        """
        log = {
            (field, plane): np.log(self.largest(field, plane))
            for field in ("small", "large")
            for plane in ("small", "large")
        }
        ends = [
            (log["large", other] - log["small", other])
            if of == "field"
            else (log[other, "small"] - log[other, "large"])
            for other in ("small", "large")
        ]
        return mean_interval(np.exp(np.mean(ends, axis=0)), log=True)


def name_pools(pools: Pools, prefix: str) -> dict[str, dict]:
    """Return the results of one network at one moment under names that begin with ``prefix``."""
    named: dict[str, dict] = {
        f"{prefix}_n_seeds": {"value": len(pools.seeds)},
        f"{prefix}_seeds_words": {"value": count(len(pools.seeds), "seed")},
        f"{prefix}_k": {"value": int(pools.config["k"])},
        f"{prefix}_n_images": {"value": int(pools.config["n_images"])},
        f"{prefix}_residual": {"value": _worst_residual(pools)},
        f"{prefix}_residual_words": {"value": round_to(_worst_residual(pools), 1)},
        f"{prefix}_products": {"value": int(np.nansum(pools.numbers("n_products")))},
    }
    for name in MEASURES:
        factor = measure_growth(pools, name)
        named[f"{prefix}_{name}"] = _result(factor)
        named[f"{prefix}_{name}_words"] = {"value": factor.text()}
        named[f"{prefix}_{name}_ends"] = {"value": compare_fields(pools, name).text()}
        named[f"{prefix}_{name}_rising"] = {"value": count_rising(pools, name)}
        named[f"{prefix}_{name}_grows"] = {"value": bool(factor.n > 1 and factor.low > 1)}
        named[f"{prefix}_{name}_says"] = {"value": say(factor)}
    negative = pools.numbers("negative").mean(axis=1)
    named[f"{prefix}_negative_smallest"] = {"value": float(negative[0])}
    named[f"{prefix}_negative_greatest"] = {"value": float(negative[-1])}
    return named


def name_separation(separation: Separation) -> dict[str, dict]:
    """Return what field and plane do, each by itself, and whether the field does anything."""
    field, plane = separation.effect("field"), separation.effect("plane")
    return {
        "effect_field": _result(field),
        "effect_plane": _result(plane),
        "effect_field_words": {"value": field.text()},
        "effect_plane_words": {"value": plane.text()},
        "effect_field_says": {"value": say(field)},
        "effect_plane_says": {"value": say(plane)},
        "effect_field_grows": {"value": bool(field.n > 1 and field.low > 1)},
        "effect_field_stronger": {"value": bool(abs(_log(field)) > abs(_log(plane)))},
    }


def name_variants(
    small: Mapping[str, Sequence[Record]], large: Mapping[str, Sequence[Record]]
) -> dict[str, dict]:
    """Return in how many settings the largest eigenvalue is larger for the larger field.

    Args:
        small, large: by setting, runs with the smallest and with the largest field.
    """
    pairs = {word: compare_ends(runs, large[word]) for word, runs in small.items()}
    ratios = list(pairs.values())
    running = {}
    if NOT_RUN in pairs:
        running = {"variants_running_words": {"value": pairs[NOT_RUN].text()}}
    return {
        "n_variants": {"value": len(ratios)},
        "variants_growing": {"value": sum(e.n > 1 and e.low > 1 for e in ratios)},
        "variants_least": {"value": min(e.value for e in ratios)},
        "variants_most": {"value": max(e.value for e in ratios)},
        **running,
    }


def say(factor: Estimate) -> str:
    """Say in words what a factor's interval allows.

    >>> say(Estimate(2.0, 1.5, 2.6, 3)), say(Estimate(0.9, 0.4, 2.0, 3)), say(Estimate(2, 2, 2, 1))
    ('grows', 'shows no sure trend', 'has one seed only, so no interval')
    """
    if math.isnan(factor.value):
        return "is not positive everywhere"
    if factor.n < 2:
        return "has one seed only, so no interval"
    if factor.low > 1:
        return "grows"
    return "shrinks" if factor.high < 1 else "shows no sure trend"


def read_deciding(
    stores: Iterable[Store], architecture: str, moment: str, *, batch_norm: str = "calibrated"
) -> tuple[str, Pools] | None:
    """Return the scale and the spectra that decide what the paper's figure shows, if any do.

    Those are of networks on all of CIFAR-10, at a quarter of the width or more, with the paper's 90
    eigenvalues, as the experiment's plan asks for them, all pools, two seeds or more.
    """
    found: dict[str, dict[int, dict[int, Record]]] = {}
    for store in stores:
        for record in store.select("pool-spectra"):
            config = record.spec.config
            network = config["network"]
            scale = network["name"].partition(":")[0]
            own = (network["architecture"], config["moment"]) == (architecture, moment)
            if own and scale in DECIDING and decides(config, batch_norm):
                pools = found.setdefault(scale, {})
                seeds = pools.setdefault(network["pool_stride"], {})
                seeds.setdefault(record.spec.seed, record)
    for scale in DECIDING:
        pools = found.get(scale, {})
        shared = set.intersection(*(set(own) for own in pools.values())) if pools else set()
        if tuple(sorted(pools)) == STRIDES and len(shared) > 1:
            runs = {stride: [own[s] for s in sorted(shared)] for stride, own in pools.items()}
            return scale, gather(runs)
    return None


def decides(config: Mapping[str, Any], batch_norm: str = "calibrated") -> bool:
    """Return whether settings are those in which the paper's figures are decided."""
    network = config["network"]
    whole = network["dataset"] == "cifar10" and network["n_train"] == 0
    usual = (config["init"], config["image_side"], config["image_seed"]) == ("default", 0, -1)
    enough = network["width"] >= LEAST_WIDTH and config["k"] == PAPER_K
    return whole and usual and enough and config["batch_norm"] == batch_norm


def _worst_residual(pools: Pools) -> float:
    """Return the largest residual as a share of its spectrum's largest eigenvalue."""
    runs = [record.arrays for own in pools.records.values() for record in own]
    return max(float(np.max(a["residuals"]) / abs(a["values"][0])) for a in runs)


def _log(e: Estimate) -> float:
    return math.log(e.value) if e.value > 0 else math.nan


def _result(e: Estimate) -> dict:
    """Return an estimate as a page reports it: always with its ends, which prose refers to."""
    return {"value": e.value, "low": e.low, "high": e.high, "n": e.n}
