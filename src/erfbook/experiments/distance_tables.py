"""Tables of the controlled task: this run's tasks, and what published records say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from erfbook.experiments.distance_runs import DISTANCE
from erfbook.experiments.distance_summary import (
    LEARNT,
    DistanceStudy,
    Task,
    say_steps,
    summarise_task,
)
from erfbook.experiments.training_growth import mean_interval
from erfbook.models.valid import valid_field_px
from erfbook.notation import count
from erfbook.records import Record, Store


def tabulate_distances(study: DistanceStudy) -> pd.DataFrame:
    """Return accuracy, radii, mass at the circle and steps for every task, means over seeds."""
    rows = {}
    for distance, task in study.tasks.items():
        ring = "–"
        if distance is not None:
            place = study.config.distances.index(distance)
            first, last = task.numbers["ring"][:, [0, -1], place].mean(0)
            ring = f"{first:.0%} → {last:.0%}"
        rows["by lot" if distance is None else f"{distance} px"] = {
            "accuracy": f"{task.after('accuracy').mean():.1%}",
            "half of the mass within": _arrow(task, "radius50"),
            "95 % within": _arrow(task, "radius95"),
            "mass at the circle": ring,
            "size as the paper's": _arrow(task, "size"),
            "steps to halve the loss": say_steps(task),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns="asked for")


def tabulate_published(store: Store) -> pd.DataFrame:
    """Return what published records say, a row a network and a task, learnt or not."""
    groups: dict[str, list[Record]] = {}
    for record in store.select(DISTANCE.name):
        groups.setdefault(json.dumps(record.spec.config, sort_keys=True), []).append(record)
    found = [(records[0].spec.config, summarise_task(records)) for records in groups.values()]
    found.sort(key=lambda f: (describe_network(f[0]), f[1].distance is None, f[1].distance or 0))
    names, rows = [], []  # lists: two configurations may have one name
    for settings, task in found:
        asked = "by lot" if task.distance is None else f"{task.distance} px"
        is_learnt = task.after("accuracy") >= LEARNT
        names.append((describe_network(settings), asked))
        rows.append(
            {
                "learnt by": f"{is_learnt.sum()} of {len(is_learnt)}",
                "half of the mass within": _arrow(task, "radius50"),
                "factor, learnt": _growth(task, "radius50", is_learnt),
                "factor, not learnt": _growth(task, "radius50", ~is_learnt),
            }
        )
    heads = ("network", "asked for")
    return pd.DataFrame(rows, pd.MultiIndex.from_tuples(names, names=heads) if names else None)


def describe_network(settings: Mapping[str, Any]) -> str:
    """Return a network in words.

    >>> describe_network({"kernels": [3, 3], "dilations": [1, 4], "channels": 8})
    '2 layers 3 × 3, dilated, 8 channels, field 11 px'
    >>> describe_network({"kernels": [3, 5], "dilations": [], "channels": 8})
    'layers 3, 5, 8 channels, field 7 px'
    """
    kernels, dilations = settings["kernels"], settings["dilations"]
    sides = sorted(set(kernels))
    layers = f"{count(len(kernels), 'layer')} {sides[0]} × {sides[0]}"
    if len(sides) > 1:
        layers = f"layers {', '.join(map(str, kernels))}"
    dilated = ", dilated" if len(dilations) else ""
    field = valid_field_px(kernels, dilations)
    return f"{layers}{dilated}, {settings['channels']} channels, field {field} px"


def _growth(task: Task, name: str, seeds: Bool[np.ndarray, " seed"]) -> str:
    """Return the factor by which a measure of some seeds changes; a dash where there are none."""
    factors = (task.after(name) / task.before(name))[seeds]
    return mean_interval(factors, log=True).text() if len(factors) else "–"


def _arrow(task: Task, name: str) -> str:
    return f"{task.before(name).mean():.1f} → {task.after(name).mean():.1f} px"
