"""Experiment ``pool-control``: field, detail and plane of the pooled networks, changed one by one.

Avendaño section 4 admits that feature maps shrink while fields grow. Each run trains one network of
:mod:`erfbook.models.pooled_control` by the recipe, the data and the seed of ``pool-training``, from
the same initial weights, and asks how accurate it is dense and pruned.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from erfbook import pruning, training
from erfbook.datasets import ImageSet
from erfbook.errors import UserError
from erfbook.experiments.pooled.control_design import share_kept, share_live
from erfbook.experiments.pooled.networks import (
    STRIDES,
    NetworkConfig,
    build_network,
    load_data,
    train_or_find,
    trained_network,
    with_pool,
)
from erfbook.experiments.pooled.plans import HALF, LAPTOP, QUARTER, QUARTER_RESNET, SMOKE, USUAL
from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.experiments.weights import halve_weights, weights_to_arrays
from erfbook.models.pooled import PooledNet
from erfbook.models.pooled_control import VARIANTS, vary

# The networks of the comparison; "base" has the paper's smallest pool, "strided" a larger one.
KINDS = ("base", "strided", "dilated", "deep", "coarse", "coarse dilated")
FURTHER = ("moved", "sampled")
_OF_BASE = ("base", "deep", "sampled")  # kinds made of the network with the smallest pool
STRIDE = 3  # of the larger pool: planes of dilated networks are base's, their lattices all read
# Least dilation of the last stage with which the field is that of the stride's pool or more.
DEEP = {"vgg": {1: 1, 2: 3, 3: 5, 4: 7}, "resnet50": {1: 1, 2: 5, 3: 8, 4: 11}}
SWAPS = {"strided": "dilated", "dilated": "strided"}  # what else a run's weights are tried as


@dataclass(frozen=True, kw_only=True)
class ControlConfig:
    """One network of the comparison.

    Args:
        name: of the configuration: the scale's, a colon, the kind's, the stride.
        dataset: the network's.
        network: pool, architecture, data and recipe.
        variant: what is changed in it, one of :data:`VARIANTS`.
        step: of the variant, where it has one.
        rates: shares of the weights that are pruned.
    """

    name: str
    dataset: str
    network: NetworkConfig
    variant: str = "strided"
    step: int = 2
    rates: tuple[float, ...] = (0.8, 0.9)

    @property
    def kind(self) -> str:
        """Which network of the comparison it is."""
        alone = self.variant == "strided" and self.network.pool_stride == 1
        return "base" if alone else self.variant


def configure(scale: NetworkConfig, kind: str, stride: int = STRIDE) -> ControlConfig:
    """Return the configuration of one kind at a scale.

    Args:
        scale: data, width and recipe.
        kind: one of :data:`KINDS` or :data:`FURTHER`.
        stride: of the larger pool; ``base`` and the kinds made of it have 1.

    Raises:
        UserError: there is no such kind, or no such stride of it.
    """
    if kind not in (*KINDS, *FURTHER):
        raise UserError(f"kind must be one of {', '.join((*KINDS, *FURTHER))}, not {kind!r}")
    if stride not in STRIDES:
        raise UserError(f"stride must be one of {', '.join(map(str, STRIDES))}, not {stride}")
    own = 1 if kind in _OF_BASE else stride
    if kind == "moved" and own & (own - 1):
        raise UserError(f"moved needs a stride that is a power of 2, not {own}")
    return ControlConfig(
        name=f"{scale.name}: {kind}, {scale.architecture}, pool {stride if kind != 'base' else 1}",
        dataset=scale.dataset,
        network=with_pool(scale, own),
        variant="strided" if kind == "base" else kind,
        step=DEEP[scale.architecture][stride] if kind == "deep" else 2,
    )


def build_control(config: ControlConfig, seed: int, n_classes: int) -> PooledNet:
    """Return the untrained network of a seed; its weights are those of every other variant.

    Raises:
        UserError: there is no such variant.
    """
    if config.variant not in VARIANTS:
        raise UserError(f"variant must be one of {', '.join(VARIANTS)}, not {config.variant!r}")
    return vary(build_network(config.network, seed, n_classes), config.variant, step=config.step)


def run_control(config: ControlConfig, seed: int, workspace: Workspace) -> Outcome:
    """Train one network of the comparison, or find it, and prune it."""
    data = load_data(config.network)
    network, about = _train(config, seed, workspace, data)
    side = int(data.test.images.shape[-1])
    metrics = {
        "accuracy": training.accuracy(network, data, data.test),
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "live_share": share_live(network, side),
        "note": data.note,
    }
    for rate in config.rates:
        pruned = pruning.prune_global(network, rate)
        metrics[f"pruned_{rate:g}"] = training.accuracy(pruned.model, data, data.test)
        for name, share in share_kept(pruned, side).items():
            metrics[f"{name}_{rate:g}"] = share
    if config.variant in SWAPS and config.network.pool_stride > 1:
        other = replace(config, variant=SWAPS[config.variant])
        swapped = build_control(other, seed, len(data.classes)).to(workspace.device)
        swapped.load_state_dict(network.state_dict())
        metrics["swapped"] = training.accuracy(swapped, data, data.test)
    return Outcome(metrics, _keep(config, network), about)


def _keep(config: ControlConfig, network: PooledNet) -> dict[str, np.ndarray]:
    """Return the weights in half precision; the paper's own are in ``pool-training``'s records."""
    if config.variant == "strided":
        return {}
    rounded = copy.deepcopy(network)
    halve_weights(rounded)
    return weights_to_arrays(rounded)


def _train(
    config: ControlConfig, seed: int, workspace: Workspace, data: ImageSet
) -> tuple[PooledNet, dict[str, float]]:
    """Return the trained network; the paper's own are shared with ``pool-training``."""
    if config.variant == "strided" and workspace.store is not None:
        train_or_find(config.network, seed, workspace)
        return trained_network(config.network, seed, workspace), {}
    network = build_control(config, seed, len(data.classes)).to(workspace.device)
    history = training.train(
        network,
        data,
        config.network.recipe,
        seed=seed,
        checkpoint=workspace.checkpoint,
        deadline=workspace.deadline,
        progress=workspace.progress,
    )
    return network.eval(), {"images_per_s": history.images_per_s}


# A reader's own run: six networks and three seeds in a minute, so fewer steps than elsewhere.
SHORT = replace(
    LAPTOP, name="laptop, short", n_train=1200, n_test=400, width=1 / 8, epochs=4, batch_size=32
)
PAPER_SCALES = ("usual recipe", "half width", "quarter width")  # the better one first
SCALES = {"smoke": SMOKE, "laptop": SHORT, "paper": QUARTER}


def configure_all(
    scale: NetworkConfig, stride: int = STRIDE, kinds: Iterable[str] = KINDS
) -> tuple[ControlConfig, ...]:
    """Return the configurations of all kinds at a scale."""
    return tuple(configure(scale, kind, stride) for kind in kinds)


def _plan(*parts: tuple[tuple[ControlConfig, ...], int]) -> tuple[tuple[ControlConfig, int], ...]:
    found: dict[ControlConfig, int] = {}
    for configs, n_seeds in parts:
        for config in configs:
            found[config] = max(n_seeds, found.get(config, 0))
    return tuple(found.items())


_REAL = replace(SHORT, dataset="cifar10")
_LARGE = tuple(kind for kind in KINDS if kind != "base")
POOL_CONTROL = Experiment(
    name="pool-control",
    version=1,
    summary="field, detail and plane of the pooled networks, one at a time (avendano s. 4)",
    config=ControlConfig,
    plans={
        "smoke": _plan((configure_all(SMOKE), 2)),
        "laptop": _plan((configure_all(SHORT), 3), (configure_all(_REAL), 3)),
        "paper": _plan(
            (configure_all(QUARTER), 3),
            (configure_all(QUARTER, 2, _LARGE), 2),
            (configure_all(QUARTER, 4, ("strided", "moved", "sampled")), 2),
            (configure_all(QUARTER_RESNET), 2),
            (configure_all(HALF), 2),
            (configure_all(USUAL), 5),
            (configure_all(USUAL, 2, _LARGE), 5),
        ),
    },
    run=run_control,
)
