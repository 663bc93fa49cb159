"""The columns "the paper | published records | this run", and which runs may decide a claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from erfbook.experiments.side_by_side import NONE_DECIDES, set_side_by_side
from erfbook.experiments.training_classes import ERF_TRAINING as CLASSES
from erfbook.experiments.training_classes import ClassConfig
from erfbook.experiments.training_fields import READINGS, choose_dataset
from erfbook.experiments.training_growth import (
    DIAMETER,
    Growth,
    answer,
    gather_all,
    mean_interval,
)
from erfbook.experiments.training_scenes import ERF_CAMVID as SCENES
from erfbook.experiments.training_scenes import STAGES, SceneConfig
from erfbook.models.cifar_resnet import N_BLOCKS
from erfbook.notation import count
from erfbook.records import Record, Store

DECIDING = (
    "paper",
    "cpu, 32 channels",
    "cpu, 60 epochs",
    "cpu",
)  # configurations of the paper's network and data, the better one first


def configure_classes(profile: str, **changes: Any) -> ClassConfig:
    """Return a profile's configuration of ``erf-training`` with some settings changed.

    Args:
        profile: smoke, laptop or paper.
        changes: settings by name; ``dataset`` may be ``auto``.
    """
    base = _base(CLASSES.plans[profile], profile)
    name = changes.pop("dataset", base.dataset)
    wanted = replace(base, dataset=choose_dataset(name, real="cifar10", embedded="patches32"))
    return _change(wanted, changes)


def configure_scenes(profile: str, **changes: Any) -> SceneConfig:
    """Return a profile's configuration of ``erf-camvid`` with some settings changed."""
    base = _base(SCENES.plans[profile], profile)
    name = changes.pop("dataset", base.dataset)
    wanted = replace(base, dataset=choose_dataset(name, real="camvid", embedded="streets"))
    return _change(wanted, changes)


def change_rate(config: ClassConfig, lr: float) -> ClassConfig:
    """Return a configuration with another learning rate, named by it."""
    return replace(config, lr=lr, name=f"{config.name}, rate {lr:g}")


def read_published(stores: Iterable[Store], experiment: str) -> dict[str, Growth]:
    """Return what stores hold of the paper's network and data, by configuration as planned.

    Runs that are in several stores count once; the first store's record is taken.
    """
    found: dict[str, Record] = {}
    for store in stores:
        for record in store.select(experiment):
            if is_whole(record.spec.config):
                found.setdefault(record.spec.key, record)
    names = [config.name for e in (CLASSES, SCENES) for config, _ in e.plans["paper"]]
    growths = gather_all(found.values())
    place = {name: i for i, name in enumerate(names)}
    return dict(sorted(growths.items(), key=lambda one: (place.get(one[0], len(names)), one[0])))


def choose_whole(published: Mapping[str, Growth]) -> dict[str, Growth]:
    """Return the configurations that differ from the paper's in scale alone, the best first."""
    return {name: published[name] for name in DECIDING if name in published}


def is_whole(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration is the paper's network on all of the paper's data."""
    data = (config.get("dataset"), config.get("n_train"), config.get("n_test"))
    if data == ("cifar10", 0, 0):
        return config.get("n_blocks") == N_BLOCKS
    return data == ("camvid", 0, 0) and tuple(config.get("stages", ())) == STAGES


def choose_deciding(growths: Mapping[str, Growth]) -> Growth | None:
    """Return the configuration that decides the paper's claims: with an interval, or none."""
    return next((growths[n] for n in DECIDING if n in growths and len(growths[n].seeds) > 1), None)


def say_deciding(deciding: Growth | None) -> str:
    """Say in words what the runs that decide found, or that there are none."""
    if deciding is None:
        return NONE_DECIDES
    ratios = {reading: deciding.ratio(reading) for reading in READINGS}
    parts = [
        f"from {reading} statistics the field {answer(ratio)} ({ratio.text()} times, by mass)"
        for reading, ratio in ratios.items()
    ]
    accuracy = mean_interval(deciding.numbers["accuracy"][:, -1])
    name, runs = deciding.config["name"], len(deciding.seeds)
    reached = f"{runs} runs of “{name}”, which reach {accuracy.value:.1%}"
    return f"{', '.join(parts)}; {reached}, on {deciding.note}"


def say_controls(deciding: Growth | None) -> str:
    """Say in words how the deciding runs' trained field compares with copies that forget."""
    if deciding is None:
        return NONE_DECIDES
    words = {"shuffled": "shuffled copies", "taps": "shuffled taps", "redrawn": "redrawn kernels"}
    ratios = {word: deciding.ratio_to_control(control) for control, word in words.items()}
    told = ", ".join(f"{ratio.text()} times that of {word}" for word, ratio in ratios.items())
    return f"{told} ({count(len(deciding.seeds), 'run')} of “{deciding.config['name']}”)"


def say_structure(deciding: Growth | None) -> str:
    """Say in words whether shuffled copies of the deciding runs are of the trained size."""
    if deciding is None:
        return NONE_DECIDES
    ratio = deciding.ratio_to_control("shuffled")
    answers = {
        "shrank": "holds there too",
        "grew": "is refuted there: the trained field is the larger one",
        "showed no sure change": "is not seen there: the two sizes cannot be told apart",
    }
    return f"{answers[answer(ratio)]} ({ratio.text()})"


def say_correlation(deciding: Growth | None) -> str:
    """Say in words how size and accuracy go together along the deciding runs."""
    if deciding is None:
        return NONE_DECIDES
    runs = count(len(deciding.seeds), "run")
    return f"{deciding.rank_correlation().text()} ({runs} of “{deciding.config['name']}”)"


def say_scales(published: Mapping[str, Growth]) -> str:
    """Say in words what the names of published classifiers mean."""
    told = []
    for name, growth in published.items():
        config = growth.config
        if "channels" in config:
            size = f"{config['channels']} channels, {count(config['epochs'], 'epoch')}"
            told.append(f"“{name}”: {size}, {count(len(growth.seeds), 'run')}")
    return "; ".join(told) or NONE_DECIDES


def split_variants(published: Mapping[str, Growth]) -> tuple[dict[str, Growth], list[str]]:
    """Return published configurations that change one thing, and the names of those not run."""
    names = [config.name for config, _ in CLASSES.plans["paper"] if config.name not in DECIDING]
    return (
        {name: published[name] for name in names if name in published},
        [name.removeprefix("cpu, ") for name in names if name not in published],
    )


def tabulate_classes(published: Mapping[str, Growth], ours: Sequence[Growth]) -> pd.DataFrame:
    """Return figure 3 (left) side by side: the paper, our records, this run."""
    paper = {
        "test accuracy": "89 %",
        "size before, running statistics": "“significantly smaller” than 74 px",
        "size before, calibrated": "not distinguished",
        "size after": "“significantly larger”",
        "after over before, running statistics": "above 1",
        "after over before, calibrated": "not distinguished",
        "share of the image after": "does not fill it",
    }
    return set_side_by_side(paper, *_cells(published, ours, _class_cells))


def tabulate_scenes(published: Mapping[str, Growth], ours: Sequence[Growth]) -> pd.DataFrame:
    """Return figure 3 (right) side by side: the paper, our records, this run."""
    paper = {
        "mean IoU": "not stated",
        "diameter before, running statistics": "about 100 px",
        "diameter before, calibrated": "not distinguished",
        "diameter after": "about 150 px",
        "after over before, running statistics": "about 1.5",
        "after over before, calibrated": "not distinguished",
    }
    return set_side_by_side(paper, *_cells(published, ours, _scene_cells))


def tabulate_growths(growths: Sequence[Growth]) -> pd.DataFrame:
    """Return a row a configuration: what changes when one setting does."""
    rows = []
    for growth in growths:
        accuracy = mean_interval(growth.numbers["accuracy"][:, -1]).text("{:.0%}")
        row = {"configuration": title(growth), "accuracy": accuracy}
        for reading in READINGS:
            for name, word in (("mass", "|g|"), ("mass_square", "g²"), ("pixels", "luo's size")):
                row[f"{reading}, {word}"] = growth.ratio(reading, name).text("{:.2f}")
        rows.append(row)
    return (
        pd.DataFrame(rows)
        .set_index("configuration")
        .rename_axis(index=None, columns="configuration")
    )


def _class_cells(growth: Growth) -> dict[str, str]:
    return {
        "test accuracy": _percent(growth, "accuracy"),
        "size before, running statistics": _px(growth.before("running")),
        "size before, calibrated": _px(growth.before("calibrated")),
        "size after": _px(growth.after()),
        "share of the image after": mean_interval(growth.after("filled")).text("{:.0%}"),
        **_ratios(growth, "mass"),
    }


def _scene_cells(growth: Growth) -> dict[str, str]:
    return {
        "mean IoU": _percent(growth, "mean_iou"),
        "diameter before, running statistics": _px(growth.before("running", "pixels") * DIAMETER),
        "diameter before, calibrated": _px(growth.before("calibrated", "pixels") * DIAMETER),
        "diameter after": _px(growth.after("pixels") * DIAMETER),
        **_ratios(growth, "pixels"),
    }


def _ratios(growth: Growth, name: str) -> dict[str, str]:
    words = {"running": "running statistics", "calibrated": "calibrated"}
    return {
        f"after over before, {words[r]}": growth.ratio(r, name).text("{:.2f}") for r in READINGS
    }


def _cells(published, ours, cells):
    return (
        {title(g): cells(g) for g in published.values()},
        {title(g): cells(g) for g in ours},
    )


def title(growth: Growth) -> str:
    """Return configuration, data and number of runs in words."""
    return f"{growth.config['name']}, {growth.note}, {count(len(growth.seeds), 'run')}"


def _percent(growth: Growth, name: str) -> str:
    return mean_interval(growth.numbers[name][:, -1]).text("{:.1%}")


def _px(values) -> str:
    return mean_interval(values, log=True).text("{:.1f}") + " px"


def _base(plan: Sequence[tuple[Any, int]], profile: str) -> Any:
    """Return a plan's configuration of the profile's own name; variants have longer names."""
    return next(config for config, _ in plan if config.name == profile)


def _change(config: Any, changes: Mapping[str, Any]) -> Any:
    changed = replace(config, **changes)
    if changed == config:
        return config
    end = changed.epochs
    moments = (*(m for m in config.moments if m < end), end)
    return replace(changed, moments=moments, name=f"{config.name}, changed")
