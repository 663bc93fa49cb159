"""What the runs of all tasks of one network say together.

Seeds are the sample. A seed has the same untrained network and the same images in every task, so
tasks are compared within a seed, and the interval is Student's over the differences.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from erfbook.errors import UserError
from erfbook.experiments.distance_runs import (
    BAND_PX,
    DISTANCE,
    DistanceConfig,
    mass_by_radius,
)
from erfbook.experiments.distance_speed import measure_speeds, predict_speeds, steps_to_learn
from erfbook.experiments.distance_task import distance_px
from erfbook.experiments.estimates import Estimate
from erfbook.experiments.registry import obtain
from erfbook.experiments.training_growth import answer, mean_interval
from erfbook.records import Record, Store

LEARNT = 0.9  # accuracy from which a task counts as learnt; chosen by us


@dataclass(frozen=True)
class Task:
    """All seeds of one task.

    Args:
        distance: of the asked mark; None for labels drawn by lot.
        steps: of training done at each moment.
        numbers: each measure by name, (seed, moment) over the run and (seed,) for a control.
        maps: mean over seeds, each of mass one (moment, row, column).
        shuffled: the mean map of the trained weights in random order.
        steps_to_learn: steps until the loss had halved, infinite where it did not (seed,).
    """

    distance: int | None
    steps: Float[np.ndarray, " moment"]
    numbers: Mapping[str, Float[np.ndarray, "seed ..."]]
    maps: Float[np.ndarray, "moment row column"]
    shuffled: Float[np.ndarray, "row column"]
    steps_to_learn: Float[np.ndarray, " seed"]

    def before(self, name: str) -> Float[np.ndarray, " seed"]:
        """Return a measure before training, with the statistics of the first step."""
        return self.numbers[name][:, 0]

    def after(self, name: str) -> Float[np.ndarray, " seed"]:
        """Return a measure after training."""
        return self.numbers[name][:, -1]

    def curve(self, name: str) -> list[Estimate]:
        """Return a measure at each moment, with its interval over seeds."""
        return [mean_interval(column) for column in self.numbers[name].T]


@dataclass(frozen=True)
class DistanceStudy:
    """Every task of one network; ``study[8]``, ``study[None]`` for labels drawn by lot.

    Args:
        config: of all tasks but for the distance.
        seeds: of the runs.
        tasks: by distance.
        blind: the farthest mark asked of a network whose theoretical field ends before it.
        predicted: S(d) from the untrained field, in units of the first distance's.
        measured: the same, measured on each untrained network (seed, distance).
    """

    config: DistanceConfig
    seeds: tuple[int, ...]
    tasks: Mapping[int | None, Task]
    blind: Task
    predicted: Float[np.ndarray, " distance"]
    measured: Float[np.ndarray, "seed distance"]

    def __getitem__(self, distance: int | None) -> Task:
        return self.tasks[distance]

    @property
    def far(self) -> tuple[int, ...]:
        """The distances at which a mark does not lie at the centre itself."""
        return tuple(d for d in self.config.distances if d > 0)

    def growth(self, distance: int | None, name: str = "radius50") -> Estimate:
        """Return a measure after training over the same before."""
        task = self.tasks[distance]
        return mean_interval(task.after(name) / task.before(name), log=True)

    def extra(self, distance: int, name: str = "radius50") -> Estimate:
        """Return how much more a measure changed than it did with labels drawn by lot."""
        return mean_interval(self._extra(distance, name))

    def slope(self, name: str = "radius50") -> Estimate:
        """Return the slope of :meth:`extra` against distance, fitted in each seed."""
        extra = np.array([self._extra(d, name) for d in self.far])
        return mean_interval(np.polyfit(self.far, extra, 1)[0])

    def steps_exponent(self) -> Estimate:
        """Return the slope of log steps to learn against minus log predicted speed.

        Fitted in each seed to the marks off the centre that it learnt; not a number unless every
        seed learnt two. Gradient descent that kept its first speed would have 1.
        """
        far = [i for i, distance in enumerate(self.config.distances) if distance > 0]
        steps = np.array([self.tasks[self.config.distances[i]].steps_to_learn for i in far])
        slopes = []
        for column in steps.T:
            done = np.isfinite(column)
            x, y = -np.log(self.predicted[far][done]), np.log(column[done])
            slopes.append(float(np.polyfit(x, y, 1)[0]) if done.sum() > 1 else math.nan)
        return mean_interval(np.array(slopes))

    def ring_ratio(self, distance: int) -> Estimate:
        """Return the mass near the asked circle after training over that before."""
        task, ring = self.tasks[distance], self.config.distances.index(distance)
        found = task.numbers["ring"][:, :, ring]
        return mean_interval(found[:, -1] / found[:, 0], log=True)

    def beyond(self, distance: int) -> tuple[float, float]:
        """Return the mass farther than the asked mark reaches, before training and after."""
        away = distance_px(self.tasks[distance].maps.shape[-1])
        outside = away > distance + BAND_PX
        first, last = self.tasks[distance].maps[[0, -1]]
        return float(first[outside].sum()), float(last[outside].sum())

    def _extra(self, distance: int, name: str) -> Float[np.ndarray, " seed"]:
        task, lots = self.tasks[distance], self.tasks[None]
        grown = task.after(name) - task.before(name)
        return grown - (lots.after(name) - lots.before(name))


def study_distances(
    config: DistanceConfig, *, n_seeds: int, n_pairs: int, store: Store
) -> DistanceStudy:
    """Train, or find the records of, every task of a network, and put them side by side.

    Args:
        config: the network, its images and its recipe; the distance in it does not count.
        n_seeds: runs of each task.
        n_pairs: pairs of images behind the measured speeds.
        store: of the records.

    Raises:
        UserError: the first distance is not 0, or fewer than two follow; the network cannot see
            the farthest mark, or its first layer alone can.
    """
    if config.distances[0] != 0 or len(config.distances) < 3:
        raise UserError(
            "distances must be 0, the control at the centre, and at least two more, between which "
            f"there is a slope; not {config.distances}"
        )
    seeds = range(n_seeds)
    blind = config.blinded()
    tasks = {
        distance: summarise_task(obtain(DISTANCE, config.asks(distance), seeds, store))
        for distance in (*config.distances, None)
    }
    speeds = np.array([measure_speeds(config, seed, n_pairs=n_pairs) for seed in seeds])
    predicted = predict_speeds(config)
    return DistanceStudy(
        config=config,
        seeds=tuple(seeds),
        tasks=tasks,
        blind=summarise_task(obtain(DISTANCE, blind, seeds, store)),
        predicted=predicted / predicted[0],
        measured=speeds / speeds[:, :1],
    )


def summarise_task(records: Iterable[Record]) -> Task:
    """Return the seeds of one task together."""
    records = list(records)
    first = records[0]
    metrics = {
        name: np.array([record.metrics[name] for record in records], dtype=float)
        for name, value in first.metrics.items()
        if isinstance(value, float | int | list) and name != "steps"
    }
    mean = {
        name: np.mean([record.arrays[name] for record in records], axis=0, dtype=float)
        for name in ("maps", "map_shuffled")
    }
    return Task(
        distance=first.spec.config["distance"],
        steps=np.array(first.metrics["steps"], dtype=float),
        numbers=metrics,
        maps=mean["maps"],
        shuffled=mean["map_shuffled"],
        steps_to_learn=np.array([steps_to_learn(r.arrays["losses"]) for r in records]),
    )


def name_distances(study: DistanceStudy) -> dict[str, dict[str, Any]]:
    """Return the study's results under the names that prose and the ledger use.

    ``near`` and ``far`` are the nearest and the farthest mark that is not at the centre, ``lots``
    the labels drawn by lot.
    """
    near, far, config = study.far[0], study.far[-1], study.config
    named: dict[str, dict[str, Any]] = {
        "near_px": {"value": near, "unit": "px"},
        "far_px": {"value": far, "unit": "px"},
        "field_px": {"value": config.field_px, "unit": "px"},
        "blind_field_px": {"value": config.blinded().field_px, "unit": "px"},
        "n_seeds": {"value": len(study.seeds)},
        "n_train": {"value": config.n_train},
        "n_layers": {"value": len(config.kernels)},
        "channels": {"value": config.channels},
    }
    for word, distance in (("centre", config.distances[0]), ("near", near), ("far", far)):
        task = study[distance]
        named[f"accuracy_{word}"] = mean_interval(task.after("accuracy")).with_ends()
        named[f"growth_{word}"] = study.growth(distance).with_ends()
        named[f"extra_{word}"] = {**study.extra(distance).with_ends(), "unit": "px"}
        named[f"ring_ratio_{word}"] = study.ring_ratio(distance).with_ends()
        first, last = study.beyond(distance)
        named[f"beyond_before_{word}"], named[f"beyond_{word}"] = {"value": first}, {"value": last}
        named[f"size_ratio_{word}"] = study.growth(distance, "size").with_ends()
        named[f"radius_{word}"] = _pixels(task.after("radius50"))
        named[f"radius_shuffled_{word}"] = _pixels(task.numbers["radius50_shuffled"])
        named[f"steps_{word}"] = {"value": say_steps(task)}
    lots = study[None]
    named["radius_before"] = _pixels(lots.before("radius50"))
    named["radius_fresh"] = _pixels(lots.numbers["radius50_fresh"])
    named["radius_lots"] = _pixels(lots.after("radius50"))
    named["growth_lots"] = study.growth(None).with_ends()
    named["accuracy_lots"] = mean_interval(lots.after("accuracy")).with_ends()
    named["accuracy_blind"] = mean_interval(study.blind.after("accuracy")).with_ends()
    named["accuracy_blind_gap"] = {"value": _gap_to_guessing(study.blind, config.n_test)}
    named["slope"] = study.slope().with_ends()
    named["slope_95"] = study.slope("radius95").with_ends()
    power = study.steps_exponent()
    known = math.isfinite(power.value)
    named["steps_power"] = {"value": f"{power.value:.2f}" if known else "(too few to say)"}
    late, early = (np.minimum(study[d].steps_to_learn, study[d].steps[-1]) for d in (far, near))
    named["steps_ratio"] = mean_interval(late / early, log=True).with_ends()
    named["steps_ratio_least"] = {"value": mean_interval(late / early, log=True).low}
    named["n_learnt"] = {"value": len(learnt(study))}
    named["n_distances"] = {"value": len(study.far)}
    for word, distance in (("near", near), ("far", far)):
        place = config.distances.index(distance)
        found = study.measured[:, place]
        # Products of two noisy gradients may be negative; ratios are averaged as such where not.
        speed = mean_interval(found, log=bool((found > 0).all()))
        named[f"speed_{word}"] = speed.with_ends()
        named[f"speed_predicted_{word}"] = {"value": float(study.predicted[place])}
    named["answer_far"] = {"value": answer(study.growth(far))}
    named["answer_near"] = {"value": answer(study.growth(near))}
    named["answer_lots"] = {"value": answer(study.growth(None))}
    return named


def learnt(study: DistanceStudy) -> tuple[int, ...]:
    """Return the distances, other than 0, that every seed has learnt."""
    return tuple(d for d in study.far if study[d].after("accuracy").min() >= LEARNT)


def say_steps(task: Task) -> str:
    """Return the median of the steps to learn in words; a task may not be learnt in the run."""
    steps = float(np.median(task.steps_to_learn))
    return f"{steps:.0f}" if math.isfinite(steps) else f"more than {task.steps[-1]:.0f}"


def profile_tasks(study: DistanceStudy) -> dict[int | str | None, Float[np.ndarray, " radius"]]:
    """Return the mass at each whole distance from the centre, before training and by task."""
    found: dict[int | str | None, np.ndarray] = {"before": mass_by_radius(study[None].maps[0])}
    return found | {distance: mass_by_radius(t.maps[-1]) for distance, t in study.tasks.items()}


def _pixels(values: Float[np.ndarray, " seed"]) -> dict[str, Any]:
    return {**mean_interval(values).with_ends(), "unit": "px"}


def _gap_to_guessing(task: Task, n_test: int) -> float:
    """Return how many standard errors of a fair coin the mean accuracy lies from one half."""
    found = task.after("accuracy")
    return float(abs(found.mean() - 0.5) / (0.5 / math.sqrt(n_test * len(found))))
