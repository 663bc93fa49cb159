"""One run of either experiment on training: a network learns, and its central unit is followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from erfbook import datasets, training
from erfbook.datasets import ImageSet, Split
from erfbook.experiments.registry import Outcome, Workspace
from erfbook.experiments.training_fields import (
    Probe,
    collect,
    control_fields,
    look,
    split_arrays,
)
from erfbook.experiments.weights import weights_to_arrays

KEPT = 250_000  # parameters; their network goes into the record

Score = Callable[[nn.Module, ImageSet, Split], dict[str, float]]
Afterwards = Callable[[nn.Module, Probe], dict]


@runtime_checkable
class Followed(Protocol):
    """What a configuration has to say."""

    @property
    def dataset(self) -> str: ...
    @property
    def n_train(self) -> int: ...
    @property
    def n_test(self) -> int: ...
    @property
    def n_images(self) -> int: ...
    @property
    def n_calibration(self) -> int: ...
    @property
    def n_controls(self) -> int: ...
    @property
    def epochs(self) -> float: ...
    @property
    def moments(self) -> tuple[float, ...]: ...
    @property
    def recipe(self) -> training.Recipe: ...
    def build(self, n_classes: int) -> nn.Module: ...


def follow(
    config: Followed, seed: int, workspace: Workspace, *, score: Score, afterwards: Afterwards
) -> Outcome:
    """Train one network and measure its central unit's field before, during and after.

    Args:
        config, seed, workspace: as an experiment's run takes them.
        score: how well the network does on a split.
        afterwards: what else is asked of the trained network.
    """
    data = datasets.load(config.dataset).limited(config.n_train, config.n_test)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = config.build(len(data.classes)).to(workspace.device)
    probe = Probe.of(data, config.n_images, config.n_calibration)

    def observe(model: nn.Module, moment: training.Moment) -> dict:
        ends = moment.step == 0 or moment.epoch >= config.epochs
        seen = look(model, probe, statistics=("abs", "square") if ends else ("abs",))
        return seen | score(model, data, data.test)

    history = training.train(
        model,
        data,
        config.recipe,
        seed=seed,
        observe=observe,
        observe_at=config.moments,
        checkpoint=workspace.checkpoint,
        deadline=workspace.deadline,
        progress=workspace.progress,
    )
    metrics, arrays = collect(history.moments)
    controls, control_maps = split_arrays(control_fields(model, probe, config.n_controls))
    metrics |= controls | afterwards(model, probe)
    metrics |= {
        "losses": [float(x) for x in history.losses[:: max(1, history.n_steps // 200)]],
        "n_steps": history.n_steps,
        "note": data.note,
    }
    arrays |= control_maps
    # A small network trained on all of a set is worth keeping; a reader's short run is not.
    if not config.n_train and sum(p.numel() for p in model.parameters()) <= KEPT:
        arrays |= weights_to_arrays(model)
    return Outcome(metrics, arrays, {"images_per_s": history.images_per_s})
