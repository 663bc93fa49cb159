"""Experiment ``pool-pruning``: what a trained network behind a pool loses when it is pruned.

Avendaño section 3.3 (tables 1, 2), section 4.1 (figures 6 to 13) and 4.1.1 (14, 15). The paper
names neither scope nor layers, so the others are asked too. Two explanations are measured beside
the accuracy: batch norm's statistics, which are those of the dense network and no longer
fit, and weights that only ever multiply padding, which cost nothing to prune.
"""

from __future__ import annotations

import copy
import functools
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook import pruning, training
from erfbook.datasets import ImageSet
from erfbook.experiments.photographs import calibrate_batch_norm
from erfbook.experiments.pooled import plans
from erfbook.experiments.pooled.networks import NetworkConfig, load_data, trained_network
from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.records.files import write_whole
from erfbook.training.batches import Batches

RATES = (0.5, 0.6, 0.7, 0.8, 0.9)
# How weights are chosen: (scope, layers). The first is how the tables are read.
CHOICES = {
    "global": ("global", "conv+linear"),
    "layer": ("layer", "conv+linear"),
    "conv": ("global", "conv"),
    "inner": ("global", "all but first and last"),
}
# What is fine-tuned, and how: (scope of the pruning, recipe).
TUNINGS = {
    "tuned_printed": ("global", "printed"),
    "tuned_layer": ("layer", "printed"),
    "tuned_usual": ("global", "usual"),
}
TUNED_SHARE = 10 / 200  # of the epochs of training: as long as the paper tunes


@dataclass(frozen=True, kw_only=True)
class PruningConfig:
    """How one network is pruned.

    Args:
        name: of the configuration, as pages and sweeps show it.
        dataset: the network's.
        network: which network, and how it was trained.
        rates: shares of the weights that are pruned, each from the dense network.
        compared: rates at which each layer alone, the convolutions alone, all layers but the first
            and the last, and recalibrated statistics are asked too.
        n_calibration: training images that batch norm's statistics are taken from, cropped and
            mirrored as in training: statistics of whole images lower even a dense network's
            accuracy by points.
        tuned: rates at which networks are fine-tuned by the paper's recipe, pruned all layers
            together and each alone; none for no fine-tuning.
        tuned_usual: rates at which a tenth of the network's own rate is tried as well.
        tuned_epochs: how long.
    """

    name: str
    dataset: str
    network: NetworkConfig
    rates: tuple[float, ...] = RATES
    compared: tuple[float, ...] = RATES
    n_calibration: int = 2000
    tuned: tuple[float, ...] = RATES
    tuned_usual: tuple[float, ...] = (0.9,)
    tuned_epochs: float = 10

    def rates_of(self, what: str) -> tuple[float, ...]:
        """Return the rates at which one of :data:`TUNINGS` is asked."""
        return self.tuned_usual if what == "tuned_usual" else self.tuned


def tuning_recipe(config: PruningConfig, recipe: str) -> training.Recipe:
    """Return a recipe of fine-tuning: the paper's numbers, or a tenth of the network's own rate.

    Both keep the network's batches and augmentation, which the paper does not tell.
    """
    own = replace(config.network.recipe, epochs=config.tuned_epochs, warmup=0.0)
    if recipe == "printed":
        return replace(own, lr=1e-4, weight_decay=5e-4, clip=0.1)
    return replace(own, lr=own.lr / 10)


def run_pruning(config: PruningConfig, seed: int, workspace: Workspace) -> Outcome:
    """Prune one trained network in all ways; a paused run keeps the parts that are done."""
    model = trained_network(config.network, seed, workspace)
    data = load_data(config.network)
    shown = draw_training_images(config.network.recipe, data, config.n_calibration)
    kept, target = Parts(workspace), Target(model, data, shown)
    metrics: dict[str, Any] = {
        "rates": list(config.rates),
        "compared": list(config.compared),
        "tuned_rates": {what: list(config.rates_of(what)) for what in TUNINGS},
        "tuned_epochs": config.tuned_epochs,
        "field_px": config.network.theoretical_field,
        "pool_stride": config.network.pool_stride,
        "architecture": config.network.architecture,
        "n_classes": len(data.classes),
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "note": data.note,
    }
    metrics["dense"] = kept.do("dense", lambda: training.accuracy(model, data, data.test))
    for choice in CHOICES:
        rates = config.rates if choice == "global" else config.compared
        metrics[choice] = [
            kept.do(f"{choice} {rate}", functools.partial(target.shoot, choice, rate))
            for rate in rates
        ]
    metrics["calibrated"] = [
        kept.do(
            f"calibrated {rate}",
            functools.partial(target.shoot, "global", rate, calibrated=True),
        )
        for rate in config.compared
    ]
    for what in TUNINGS:
        metrics[what] = [
            kept.do(
                f"{what} {rate}",
                functools.partial(_tune, model, data, config, (what, rate), seed, workspace),
            )
            for rate in config.rates_of(what)
        ]  # fmt: skip
    counts, arrays = _count(model, data, config.rates)
    return Outcome(metrics | counts, arrays)


class Parts:
    """What a run has found so far, by name, in a file beside its checkpoint.

    Args:
        workspace: of the run; without a checkpoint nothing is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        path = workspace.checkpoint
        self._path = path.with_name(f"{path.name}.parts") if path else None
        self._deadline, self._advanced = workspace.deadline, False
        there = self._path is not None and self._path.exists()
        self._done: dict[str, Any] = json.loads(self._path.read_text()) if there else {}  # type: ignore[union-attr]

    def do(self, name: str, work: Callable[[], Any]) -> Any:
        """Return a part's value, from the file or by doing it.

        Raises:
            Paused: the deadline came, after at least one part.
        """
        if name in self._done:
            return self._done[name]
        late = self._deadline is not None and time.monotonic() >= self._deadline
        if late and self._advanced:
            raise training.Paused(f"paused before {name}; {len(self._done)} parts are kept")
        self._done[name] = work()
        self._advanced = True
        if self._path is not None:
            write_whole(self._path, json.dumps(self._done).encode(), replace=True)
        return self._done[name]


class Target:
    """A trained network's copy that is pruned again and again, each time from the dense weights.

    Args:
        model: the trained network.
        data: its images.
        shown: standardised images that batch norm is calibrated on.
    """

    def __init__(
        self, model: nn.Module, data: ImageSet, shown: Float[torch.Tensor, "n 3 row column"]
    ) -> None:
        self._dense, self._data, self._shown = model.state_dict(), data, shown
        self._model = copy.deepcopy(model).eval()

    def shoot(self, choice: str, rate: float, *, calibrated: bool = False) -> float:
        """Return the accuracy after pruning once.

        Args:
            choice: a key of :data:`CHOICES`.
            rate: share that is pruned.
            calibrated: take batch norm's statistics anew.
        """
        self._model.load_state_dict(self._dense)
        scope, layers = CHOICES[choice]
        mask = pruning.choose_mask(self._model, rate, scope=scope, layers=layers)
        pruning.apply_mask(self._model, mask)
        if calibrated:
            device = next(self._model.parameters()).device
            calibrate_batch_norm(self._model, self._shown.to(device), batch_size=128)
        return training.accuracy(self._model, self._data, self._data.test)


def draw_training_images(
    recipe: training.Recipe, data: ImageSet, n: int
) -> Float[torch.Tensor, "n 3 row column"]:
    """Return the first images, standardised, that training by a recipe shows with seed 0."""
    batches = Batches(data, recipe, seed=0, device=torch.device("cpu"))
    n_batches = math.ceil(min(n, len(data.train)) / recipe.batch_size)
    return torch.cat([batches[step][0] for step in range(n_batches)])[:n]


def _tune(
    model: nn.Module,
    data: ImageSet,
    config: PruningConfig,
    how: tuple[str, float],
    seed: int,
    workspace: Workspace,
) -> float:
    """Return the accuracy of a pruned network after fine-tuning with its mask."""
    what, rate = how
    scope, recipe = TUNINGS[what]
    kept = workspace.checkpoint
    path: Path | None = kept.with_name(f"{kept.name}.{what}-{rate:g}") if kept else None
    label = f"{workspace.progress}, fine-tuning" if workspace.progress else ""
    tuned, _ = pruning.fine_tune(
        pruning.prune_global(model, rate, scope=scope),
        data,
        tuning_recipe(config, recipe),
        seed=seed,
        checkpoint=path,
        deadline=workspace.deadline,
        progress=label,
    )
    return training.accuracy(tuned.model, data, data.test)


def _count(
    model: nn.Module, data: ImageSet, rates: tuple[float, ...]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return where the pruned weights are, and how many of them only ever saw padding."""
    unused = pruning.find_unused(model, tuple(data.train.images.shape[1:]))
    weights = pruning.choose_weights(model, "conv+linear")
    n_weights = sum(weight.numel() for weight in weights.values())
    n_unused = sum(int(mask.sum()) for mask in unused.values())
    shares, free, emptied = [], [], []
    for rate in rates:
        pruned = {name: ~kept for name, kept in pruning.choose_mask(model, rate).items()}
        shares.append([float(mask.double().mean()) for mask in pruned.values()])
        n_pruned = sum(int(mask.sum()) for mask in pruned.values())
        hit = sum(int((pruned[name] & mask).sum()) for name, mask in unused.items())
        free.append(hit / max(1, n_pruned))
        emptied.append(shares[-1].count(1.0))
    counts: Mapping[str, Any] = {
        "n_weights": n_weights,
        "unused": n_unused / n_weights,
        "pruned_unused": free,
        "emptied_layers": emptied,
        "layers": [name.removesuffix(".weight") for name in weights],
    }
    sizes = torch.tensor([weight.numel() for weight in weights.values()]).numpy()
    return dict(counts), {"shares": np.array(shares, np.float32), "layer_weights": sizes}


def configure_pruning(network: NetworkConfig) -> PruningConfig:
    """Return how a network is pruned at its scale: small ones are asked less.

    Fine-tuning takes the paper's share of the epochs: ten of two hundred.
    """
    small = network.name.split(":")[0] in ("smoke", "laptop")
    settings: dict[str, Any] = {"name": network.name, "dataset": network.dataset}
    if small:
        least = {"compared": (0.9,), "tuned": (0.9,)}
        settings |= {**least, "n_calibration": 256, "tuned_epochs": 0.5}
    else:
        settings["tuned_epochs"] = network.epochs * TUNED_SHARE
    return PruningConfig(network=network, **settings)


def plan_prunings() -> plans.Plans:
    """Return every network's pruning, and a longer fine-tuning of one seed behind each pool."""
    made = plans.plan_all(configure_pruning)
    longer = []
    for network in plans.configure_pools(plans.QUARTER):
        scale, _, pool = network.name.partition(": ")
        longer.append(
            replace(
                configure_pruning(network),
                name=f"{scale}, ten epochs of tuning: {pool}",
                tuned=(0.9,),
                tuned_epochs=10,
            )
        )
    return {**made, "paper": (*made["paper"], *((config, 1) for config in longer))}


POOL_PRUNING = Experiment(
    name="pool-pruning",
    version=3,
    summary="what networks behind different pools lose when they are pruned (avendano s. 3.3)",
    config=PruningConfig,
    plans=plan_prunings(),
    run=run_pruning,
)
