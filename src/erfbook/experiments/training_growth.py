"""What several runs of one configuration say together: how the field changed, with intervals.

Seeds are the sample. A ratio is formed within each seed and averaged on the log scale; its interval
is Student's, which holds for few seeds if their logarithms are about normal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from erfbook.errors import UserError
from erfbook.experiments.estimates import Estimate
from erfbook.experiments.photographs import METRICS
from erfbook.experiments.training_fields import CONTROLS, NUMBERS, READINGS
from erfbook.notation import count
from erfbook.records import Record

SETTLED = 0.5  # epochs; before it batch norm's statistics and the first steps' jumps rule
STATISTICS = ("", "_square")  # the ends of the numbers' names: mean |g|, and mean g squared
DIAMETER = 2 / math.sqrt(math.pi)  # of the disc as large as a square of side 1
BEFORE = {reading: f"before, {reading}" for reading in READINGS}


@dataclass(frozen=True)
class Growth:
    """All seeds of one configuration.

    Args:
        config: its settings.
        note: what the data are, in words.
        seeds: of the runs.
        epochs: at which the field was measured; the first is before training.
        numbers: each number of each moment, by name (seed, moment); numbers that were taken before
            and after only have two moments.
        maps: mean over seeds, each of mass 1 (moment, reading, row, column).
        controls: each number of each control, mean over copies, by name (seed,).
        control_maps: mean over seeds (control, row, column).
        depth: theoretical size of the layers from the input up (px), and ``<metric>`` (seed,
            layer); empty where no layers below were measured.
        image_px: sides of the image, which the maps may be coarser than.
    """

    config: Mapping[str, Any]
    note: str
    seeds: tuple[int, ...]
    epochs: Float[np.ndarray, " moment"]
    numbers: Mapping[str, Float[np.ndarray, "seed moment"]]
    maps: Float[np.ndarray, "moment reading row column"]
    controls: Mapping[str, Float[np.ndarray, " seed"]]
    control_maps: Float[np.ndarray, "control row column"]
    depth: Mapping[str, np.ndarray]
    image_px: tuple[int, int]

    def before(self, reading: str, name: str = "mass") -> Float[np.ndarray, " seed"]:
        """Return a number before training."""
        return self.numbers[f"{reading}_{name}"][:, 0]

    def after(self, name: str = "mass") -> Float[np.ndarray, " seed"]:
        """Return a number after training, with the statistics that training left."""
        return self.numbers[f"running_{name}"][:, -1]

    def curve(self, name: str) -> list[Estimate]:
        """Return a number at each moment, with its interval over seeds."""
        return [mean_interval(column) for column in self.numbers[name].T]

    def ratio(self, reading: str, name: str = "mass") -> Estimate:
        """Return a number after training over the same before, read one way or the other."""
        return mean_interval(self.after(name) / self.before(reading, name), log=True)

    def ratio_to_control(self, control: str, name: str = "mass") -> Estimate:
        """Return a number of the trained network over that of a control made from it."""
        return mean_interval(self.after(name) / self.controls[f"{control}_{name}"], log=True)

    def recovery(self, name: str = "mass") -> tuple[Estimate, float]:
        """Return the final size over the smallest on the way, and the epoch of that.

        Which moment is the smallest is decided for each seed by the other ones, so that a chance
        low is not counted as growth; by the seed itself where it is alone.
        """
        found = np.log(self.numbers[f"calibrated_{name}"])
        ratios, moments = [], []
        for i in range(len(found)):
            others = np.delete(found, i, axis=0) if len(found) > 1 else found
            lowest = int(np.argmin(others.mean(0)[1:])) + 1
            moments.append(lowest)
            ratios.append(math.exp(found[i, -1] - found[i, lowest]))
        return mean_interval(np.array(ratios), log=True), float(np.median(self.epochs[moments]))

    def rank_correlation(self, score: str = "accuracy", name: str = "mass") -> Estimate:
        """Return Spearman's correlation of size and score over the moments of each run, averaged.

        Only moments after the first half epoch count. A run whose size or score never moved has
        none; NaN if that is every run.
        """
        late = self.epochs >= SETTLED
        sizes, scores = self.numbers[f"calibrated_{name}"][:, late], self.numbers[score][:, late]
        found = np.array([_spearman(x, y) for x, y in zip(sizes, scores, strict=True)])
        found = found[np.isfinite(found)]
        if not len(found):
            return Estimate(math.nan, math.nan, math.nan, 0)
        e = mean_interval(found)
        return Estimate(e.value, max(e.low, -1.0), min(e.high, 1.0), e.n)

    def depth_slope(self, name: str = "mass") -> Estimate:
        """Return the exponent of measured size against theoretical field, layer by layer."""
        x = np.log(self.depth["field"])
        return mean_interval(
            np.array([np.polyfit(x, np.log(sizes), 1)[0] for sizes in self.depth[name]])
        )

    def pick_moments(self, n: int) -> list[int]:
        """Return the indices of ``n`` moments spread evenly from before training to after."""
        last = len(self.epochs) - 1
        return (
            sorted({round(i * last / (n - 1)) for i in range(n)})
            if last >= n
            else [*range(last + 1)]
        )


def gather(records: Sequence[Record]) -> Growth:
    """Put the runs of one configuration together.

    Raises:
        ValueError: there are none, they are of several configurations, or nothing was measured
            after training.
    """
    if not records:
        raise ValueError("records must hold at least one run")
    if len({replace(r.spec, seed=0).key for r in records}) > 1:
        raise ValueError("records must be of one configuration and one data set, not of several")
    first = records[0].metrics
    n = len(first["epochs"])
    if n < 2:
        raise UserError(
            f"the field of {records[0].spec.experiment} was measured before training alone: "
            f"{records[0].spec.config.get('epochs')} epochs are less than a step; give more"
        )
    lists = {
        k: v
        for k, v in first.items()
        if isinstance(v, list) and k not in ("losses", "steps", "image_px")
    }
    numbers = {
        name: np.array([r.metrics[name] for r in records], dtype=float)
        for name, values in lists.items()
        if len(values) == n or name.endswith("_square")
        if not name.startswith((*CONTROLS, "depth"))
    }
    controls = {
        f"{c}_{m}": np.array([np.mean(r.metrics[f"{c}_{m}"]) for r in records])
        for c in CONTROLS
        for m in NUMBERS
    }
    depth = {}
    if "depth_field" in first:
        depth = {m: np.array([r.metrics[f"depth_{m}"] for r in records]) for m in METRICS}
        depth["field"] = np.array(first["depth_field"])
    maps = np.mean([_of_mass_one(r.arrays["maps"]) for r in records], axis=0)
    sides = first.get("image_px") or maps.shape[-2:]
    return Growth(
        config=records[0].spec.config,
        note=str(first["note"]),
        seeds=tuple(r.spec.seed for r in records),
        epochs=np.array(first["epochs"]),
        numbers=numbers,
        maps=maps,
        controls=controls,
        control_maps=np.mean([_of_mass_one(r.arrays["control_maps"]) for r in records], axis=0),
        depth=depth,
        image_px=(int(sides[0]), int(sides[1])),
    )


def gather_all(records: Iterable[Record]) -> dict[str, Growth]:
    """Return one :class:`Growth` a configuration, by its name, in the order they first appear."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.spec.config["name"], []).append(record)
    return {name: gather(sorted(g, key=lambda r: r.spec.seed)) for name, g in groups.items()}


def mean_interval(values: Float[np.ndarray, " seed"], *, log: bool = False) -> Estimate:
    """Return a mean over seeds with Student's 95 % interval, on the log scale if asked.

    One seed alone has no interval; its ends are its value.

    >>> e = mean_interval(np.array([1.0, 2.0, 3.0]))
    >>> round(e.value, 3), round(e.low, 3), round(e.high, 3)  # 2 -+ 4.303 / sqrt 3
    (2.0, -0.484, 4.484)
    """
    x = np.log(values) if log else np.asarray(values, dtype=float)
    n, middle, half = len(x), float(np.mean(x)), 0.0
    if n > 1:
        half = float(stats.t.ppf(0.975, n - 1) * np.std(x, ddof=1) / math.sqrt(n))
    ends = (middle, middle - half, middle + half)
    value, low, high = (math.exp(e) for e in ends) if log else ends
    return Estimate(value, low, high, n)


def answer(ratio: Estimate) -> str:
    """Say in words what a ratio's interval allows.

    >>> answer(Estimate(1.2, 1.1, 1.3, 3)), answer(Estimate(0.9, 0.8, 1.1, 3))
    ('grew', 'showed no sure change')
    """
    if ratio.n > 1 and ratio.low > 1:
        return "grew"
    return "shrank" if ratio.n > 1 and ratio.high < 1 else "showed no sure change"


def say_data(growth: Growth) -> str:
    """Return what the data are, and which network learned from them for how long, in words."""
    channels, epochs = growth.config.get("channels"), count(float(growth.epochs[-1]), "epoch")
    width = f"{channels} channels, " if channels else ""
    return f"{growth.note}; {width}{epochs}"


def name_growth(growth: Growth, prefix: str) -> dict[str, dict]:
    """Return a configuration's results under the names that prose and the claims ledger use.

    ``<prefix>_growth_<reading>_<metric>`` is the size after training over the size before in that
    reading; ``..._least`` the lowest end of the three metrics' intervals, ``..._most`` the highest:
    growth by every metric has the one above 1, shrinkage the other below 1.
    """
    named: dict[str, dict] = {
        "note": {"value": say_data(growth)},
        "name": {"value": growth.config["name"]},
        "n_seeds": {"value": len(growth.seeds)},
        "n_moments": {"value": len(growth.epochs)},
        "epochs": {"value": float(growth.epochs[-1])},
        "filled_after": mean_interval(growth.after("filled")).with_ends(),
        "edge_after": mean_interval(growth.after("edge")).with_ends(),
        "accuracy": mean_interval(growth.numbers["accuracy"][:, -1]).with_ends(),
        "rank_correlation": growth.rank_correlation().with_ends(),
        "recovery": growth.recovery()[0].with_ends(),
        "lowest_epoch": {"value": growth.recovery()[1]},
        "n_zero": {"value": int(growth.after("zero").sum())},
        "mass_after": _px(growth.after("mass")),
        "diameter_after": _px(growth.after("pixels") * DIAMETER),
    }
    for reading in READINGS:
        named[f"filled_{reading}"] = mean_interval(growth.before(reading, "filled")).with_ends()
        named[f"mass_{reading}"] = _px(growth.before(reading))
        named[f"diameter_{reading}"] = _px(growth.before(reading, "pixels") * DIAMETER)
        ratios = {m: growth.ratio(reading, m) for m in METRICS}
        named |= {f"growth_{reading}_{m}": ratio.with_ends() for m, ratio in ratios.items()}
        named[f"growth_{reading}_least"] = {"value": min(r.low for r in ratios.values())}
        named[f"growth_{reading}_most"] = {"value": max(r.high for r in ratios.values())}
        named[f"answer_{reading}"] = {"value": answer(ratios["mass"])}
        square = growth.ratio(reading, "mass_square")
        named[f"growth_{reading}_square"] = square.with_ends()
    than = {"grew": "larger than", "shrank": "smaller than"}
    for control in CONTROLS:
        ratio = growth.ratio_to_control(control)
        named[f"over_{control}"] = ratio.with_ends()
        words = than.get(answer(ratio), "not to be told from")
        named[f"than_{control}"] = {"value": words}
    if "mean_iou" in growth.numbers:
        named["mean_iou"] = mean_interval(growth.numbers["mean_iou"][:, -1]).with_ends()
    if growth.depth:
        named["depth_slope"] = growth.depth_slope().with_ends()
    return {f"{prefix}_{name}": result for name, result in named.items()}


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    moves = len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0
    return float(stats.spearmanr(x, y).statistic) if moves else math.nan


def _px(values: np.ndarray) -> dict[str, Any]:
    return {**mean_interval(values, log=True).with_ends(), "unit": "px"}


def _of_mass_one(maps: np.ndarray) -> np.ndarray:
    values = maps.astype(float)
    return values / np.maximum(values.sum(axis=(-2, -1), keepdims=True), np.finfo(float).tiny)
