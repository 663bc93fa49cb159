"""How large the outer taps of trained kernels are, by how often they read the image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import nn

from erfbook import pruning
from erfbook.experiments.estimates import Estimate
from erfbook.experiments.pooled.networks import TITLES, network_of, say_data
from erfbook.experiments.side_by_side import NONE_DECIDES
from erfbook.experiments.training_growth import mean_interval
from erfbook.experiments.weights import has_weights
from erfbook.notation import count
from erfbook.records import Store, is_quick

SIDE = 32  # px of CIFAR-10's images
PLACES = ("corner", "edge")  # of a 3 x 3 kernel, beside its middle


@dataclass(frozen=True)
class Taps:
    """How large the outer taps of one trained network's 3 x 3 kernels are.

    Args:
        architecture, stride, seed, scale: of the network.
        note: what the data are, in words.
        layers: names of the convolutions.
        shares: at which of its positions a layer's corner and edge taps read.
        ratios: mean magnitude of corner and edge taps over that of the middle ones.
    """

    architecture: str
    stride: int
    seed: int
    scale: str
    note: str
    layers: tuple[str, ...]
    shares: Float[np.ndarray, "layer 2"]
    ratios: Float[np.ndarray, "layer 2"]


def measure_taps(network: nn.Module, side: int = SIDE) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the 3 x 3 convolutions, and for each (reads, magnitude) of corner and edge taps.

    Returns:
        names, and an array (layer, 2, 2): share of positions, then mean magnitude over that of the
        middle taps, each of the corners and of the edges.
    """
    weights = dict(network.named_parameters())
    found = {}
    for name, share in pruning.find_read_shares(network, (3, side, side)).items():
        if tuple(share.shape) == (3, 3):
            size = weights[name].detach().abs().double().mean((0, 1)).cpu()
            found[name] = [[_places(share.numpy())], [_places(size.numpy() / float(size[1, 1]))]]
    return tuple(found), np.array(list(found.values())).reshape(len(found), 2, len(PLACES))


def _places(kernel: np.ndarray) -> tuple[float, float]:
    corners = kernel[[0, 0, 2, 2], [0, 2, 0, 2]]
    edges = kernel[[0, 1, 1, 2], [1, 0, 2, 1]]
    return float(corners.mean()), float(edges.mean())


def read_taps(stores: Iterable[Store]) -> list[Taps]:
    """Measure every network trained on CIFAR-10 by a sweep that a store holds the weights of.

    Those that a build trains for itself have hardly moved from their initial weights.

    Returns:
        them, ordered by architecture, scale, pool and seed.
    """
    found: dict[str, Taps] = {}
    for store in stores:
        for record in store.select("pool-training"):
            config = record.spec.config
            is_wanted = config["dataset"] == "cifar10" and not is_quick(record.spec)
            if record.spec.key in found or not is_wanted or not has_weights(record):
                continue
            layers, values = measure_taps(network_of(record))
            found[record.spec.key] = Taps(
                architecture=config["architecture"],
                stride=config["pool_stride"],
                seed=record.spec.seed,
                scale=config["name"].partition(":")[0],
                note=say_data(record),
                layers=layers,
                shares=values[:, 0],
                ratios=values[:, 1],
            )
    return sorted(found.values(), key=lambda t: (t.architecture, t.scale, t.stride, t.seed))


def fit_exponent(taps: Sequence[Taps]) -> float:
    """Return by which power of their reading share outer taps are smaller, layer by layer.

    Each layer's corners, and each layer's edges, are compared with themselves behind other pools;
    so what a layer prefers of itself does not count. Taps that never read are left out.

    Args:
        taps: of one architecture and seed, behind two pools or more.

    Raises:
        ValueError: no layer's share differs between them.
    """
    x, y = [], []
    for layer in range(len(taps[0].layers)):
        for place in range(len(PLACES)):
            pairs = [(t.shares[layer, place], t.ratios[layer, place]) for t in taps]
            logs = np.log(np.array([p for p in pairs if p[0] > 0]).reshape(-1, 2))
            if len(logs):
                x.extend(logs[:, 0] - logs[:, 0].mean())
                y.extend(logs[:, 1] - logs[:, 1].mean())
    spread = float(np.dot(x, x))
    if spread == 0:
        raise ValueError("taps must be of networks whose layers read at different shares")
    return float(np.dot(x, y)) / spread


def estimate_exponents(taps: Iterable[Taps]) -> dict[str, Estimate]:
    """Return that power by architecture, with an interval over seeds that several pools have."""
    groups: dict[tuple[str, str], dict[int, list[Taps]]] = {}
    for one in taps:
        seeds = groups.setdefault((one.architecture, one.scale), {})
        seeds.setdefault(one.seed, []).append(one)
    found: dict[str, Estimate] = {}
    for (architecture, _), seeds in groups.items():
        whole = [own for own in seeds.values() if len(own) == max(map(len, seeds.values()))]
        if len(whole[0]) > 1:
            values = np.array([fit_exponent(own) for own in whole])
            found.setdefault(architecture, mean_interval(values))
    return found


def say_taps(taps: Sequence[Taps]) -> str:
    """Say in words how the size of outer taps goes with how often they read."""
    powers = estimate_exponents(taps)
    if not powers:
        return NONE_DECIDES
    told = [
        f"{TITLES[name]} {power.text()} ({count(power.n, 'seed')})"
        for name, power in sorted(powers.items(), reverse=True)
    ]
    about = sorted({f"{one.scale}, {one.note}" for one in taps})
    return f"{', '.join(told)} ({'; '.join(about)})"


def corner_ratio(taps: Sequence[Taps], share: float) -> float:
    """Return the magnitude of VGG's corner taps that read at a share, over the middle tap's."""
    own = [t.ratios[np.isclose(t.shares[:, 0], share), 0] for t in taps if t.architecture == "vgg"]
    every = np.concatenate([*own, np.empty(0)])
    return float(every.mean()) if len(every) else float("nan")
