"""Train a network to answer for a mark at a distance, and watch its effective receptive field.

The unit measured is the decision: the difference of the two scores at the one central unit. Maps
are the mean of |g| over test images, brought to a mass of one, since the scale of a score says
nothing about where it comes from.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook import erf, training
from erfbook.datasets import ImageSet
from erfbook.errors import UserError
from erfbook.experiments.distance_task import Rings, distance_px, make_ring_set
from erfbook.experiments.estimates import seed_for
from erfbook.experiments.photographs import calibrate_batch_norm, shuffle_weights
from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.models.valid import ValidNet, valid_field_px

BAND_PX = 2.0  # a mark of 3 px touches pixels up to 2.1 px from its circle; chosen by us
# Shares of a run at which the field is measured: closer at its start, where most happens.
MOMENTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class DistanceConfig:
    """One task for one network.

    Args:
        distance: of the mark that is asked for, in pixels; None for labels drawn by lot.
        distances: of all marks in an image, in pixels.
        kernels, dilations, residual, channels: of the network, as in :class:`ValidNet`.
        image_px: side of an image; 0 for that of the unit's theoretical receptive field.
        contrast, noise: of the marks and the ground, in grey levels.
        n_train, n_test, n_maps: images to train on, to test on, and behind a map.
        epochs, batch_size, lr, weight_decay: of the recipe: SGD with momentum, cosine schedule.
    """

    distance: int | None
    distances: tuple[int, ...] = (0, 4, 8, 12)
    kernels: tuple[int, ...] = (9, 9, 9, 9)
    dilations: tuple[int, ...] = ()
    residual: bool = False
    channels: int = 8
    image_px: int = 0
    contrast: float = 80.0
    noise: float = 20.0
    n_train: int = 6500
    n_test: int = 400
    n_maps: int = 48
    epochs: float = 1.0
    batch_size: int = 40
    lr: float = 0.1
    weight_decay: float = 0.0

    @property
    def field_px(self) -> int:
        """Side of the unit's theoretical receptive field."""
        return valid_field_px(self.kernels, self.dilations)

    @property
    def rings(self) -> Rings:
        """What the images are like."""
        side = self.image_px or self.field_px
        return Rings(side, self.distances, contrast=self.contrast, noise=self.noise)

    @property
    def recipe(self) -> training.Recipe:
        """How the network is trained; images are neither shifted nor mirrored."""
        return training.Recipe(
            epochs=self.epochs, batch_size=self.batch_size, lr=self.lr, warmup=0.0,
            weight_decay=self.weight_decay, crop_padding=0, flip=False,
        )  # fmt: skip

    def asks(self, distance: int | None) -> DistanceConfig:
        """Return the same with another task."""
        return dataclasses.replace(self, distance=distance)

    def blinded(self) -> DistanceConfig:
        """Return the task of the farthest mark for the network's first layers, too few to see it.

        Raises:
            UserError: one layer sees it already.
        """
        farthest, side = self.distances[-1], self.rings.side_px
        for n in range(len(self.kernels) - 1, 0, -1):
            cut = dataclasses.replace(
                self, distance=farthest, kernels=self.kernels[:n], dilations=self.dilations[:n],
                image_px=side,
            )  # fmt: skip
            if math.sqrt(2) * (cut.field_px // 2) < farthest - self.rings.reach_px:
                return cut
        raise UserError(f"the first layer alone sees a mark at {farthest} px; ask for one farther")


def build_network(config: DistanceConfig, seed: int) -> ValidNet:
    """Return the untrained network of a seed: the same one for every task."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "network"))
        return ValidNet(
            config.channels, config.kernels, dilations=config.dilations, residual=config.residual
        )


def make_data(config: DistanceConfig, seed: int) -> ImageSet:
    """Return the images and labels of a task; the images of a seed are the same for every task."""
    return make_ring_set(
        config.rings, config.distance, n_train=config.n_train, n_test=config.n_test, seed=seed
    )


def measure_decision(
    network: nn.Module, images: Float[torch.Tensor, "n 3 side side"]
) -> Float[np.ndarray, "side side"]:
    """Return the decision's effective receptive field with a mass of one.

    As ``erf.measure`` finds it, which here would trace the network anew at every moment only to
    learn that the one unit sees the one square. The network is left in evaluation mode.
    """
    network.eval()
    total = torch.zeros(images.shape[2:], dtype=torch.float64, device=images.device)
    for batch in images.split(256):
        leaf = batch.detach().clone().requires_grad_()
        scores = network(leaf)
        (gradient,) = torch.autograd.grad((scores[:, 1] - scores[:, 0]).sum(), leaf)
        total += gradient.abs().double().sum((0, 1))
    return (total / total.sum()).cpu().numpy()


def run_distance(config: DistanceConfig, seed: int, workspace: Workspace) -> Outcome:
    """Train one network on one task; return its fields, accuracies and controls.

    Arrays: ``maps`` (moment, row, column) and ``map_*`` for the controls, of mass one; ``losses``
    (step). Metrics are lists over moments, or single numbers where their names say which copy
    they belong to.
    """
    data = make_data(config, seed)
    network = build_network(config, seed).to(workspace.device)
    images = data.standardise(data.test.images[: config.n_maps]).to(workspace.device)
    fresh = measure_decision(network, images)

    def observe(model: nn.Module, moment: training.Moment) -> Mapping[str, Any]:
        if moment.step == 0:  # the statistics that its first step will use, in place of 0 and 1
            model = _calibrated(model, images)
        field = measure_decision(model, images)
        return {"map": field, "accuracy": training.accuracy(model, data, data.test)}

    history = training.train(
        network, data, config.recipe, seed=seed, observe=observe,
        observe_at=[share * config.epochs for share in MOMENTS],
        checkpoint=workspace.checkpoint, deadline=workspace.deadline, progress=workspace.progress,
    )  # fmt: skip
    shuffled = _calibrated(shuffle_weights(network, seed_for(seed, "shuffle")), images)
    maps = np.stack([moment.seen["map"] for moment in history.moments])
    controls = {"map_fresh": fresh, "map_shuffled": measure_decision(shuffled, images)}
    metrics = _measure_all(config, maps, controls)
    metrics["steps"] = [moment.step for moment in history.moments]
    metrics["accuracy"] = [float(moment.seen["accuracy"]) for moment in history.moments]
    metrics["accuracy_shuffled"] = training.accuracy(shuffled, data, data.test)
    arrays = {"maps": maps, **controls, "losses": history.losses}
    narrow = {name: array.astype(np.float32) for name, array in arrays.items()}
    return Outcome(metrics, narrow, {"data": data.note})


def _calibrated(model: nn.Module, images: torch.Tensor) -> nn.Module:
    model = copy.deepcopy(model)
    calibrate_batch_norm(model, images, batch_size=len(images))
    return model


def _measure_all(
    config: DistanceConfig, maps: np.ndarray, controls: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return each measure as a list over moments, and of each control under its own name."""
    rows = [measure_reach(field, config.distances) for field in maps]
    metrics: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    for name, field in controls.items():
        for measure, value in measure_reach(field, config.distances).items():
            metrics[f"{measure}_{name.removeprefix('map_')}"] = value
    return metrics


def measure_reach(
    field: Float[np.ndarray, "side side"], distances: tuple[int, ...]
) -> dict[str, float | list[float]]:
    """Return how far a map of mass one reaches.

    Returns:
        ``radius50`` and ``radius95``, of the disc around the centre that holds the share of the
        mass; ``size``, luo's, which compares all pixels with the centre; ``mass``, the side of the
        smallest set that holds 95.45 %; ``ring``, the share within :data:`BAND_PX` of each
        distance.
    """
    away = distance_px(len(field))
    held = erf.area_ratio(field, 1 - erf.TWO_SIGMA, method="smallest-set") * field.size
    return {
        "radius50": radius_of_share(field, 0.5),
        "radius95": radius_of_share(field, 0.95),
        "size": erf.size(field),
        "mass": float(np.sqrt(held)),
        "ring": [float(field[np.abs(away - d) <= BAND_PX].sum()) for d in distances],
    }


def radius_of_share(field: Float[np.ndarray, "side side"], share: float) -> float:
    """Return the radius of the disc around the centre that holds a share of the map's mass.

    The mass of all pixels at one distance counts as spread evenly between the circles halfway to
    the neighbouring distances, so that the radius is not a step function of the share.

    >>> flat = np.ones((101, 101)) * (distance_px(101) <= 50)
    >>> round(radius_of_share(flat, 0.5), 1)  # half the area of a disc of 50 px: 50 / sqrt(2)
    35.3
    """
    away = distance_px(len(field)).ravel()
    circles, index = np.unique(np.round(away, 9), return_inverse=True)
    held = np.cumsum(np.bincount(index, weights=field.ravel()))
    edges = np.append((circles[:-1] + circles[1:]) / 2, circles[-1])
    return float(np.interp(share * held[-1], np.append(0, held), np.append(0, edges)))


def mass_by_radius(field: Float[np.ndarray, "side side"]) -> Float[np.ndarray, " radius"]:
    """Return the mass at each whole distance from the centre, pixels counted at the nearest one."""
    away = np.rint(distance_px(len(field))).astype(int)
    return np.bincount(away.ravel(), weights=field.ravel())


def plan_tasks(config: DistanceConfig, n_seeds: int) -> tuple[tuple[DistanceConfig, int], ...]:
    """Return every task of one network: each distance, labels drawn by lot, and the blind one."""
    tasks = [config.asks(distance) for distance in (*config.distances, None)]
    return tuple((task, n_seeds) for task in (*tasks, config.blinded()))


SMOKE = DistanceConfig(
    None, distances=(0, 3, 6), kernels=(5,) * 4, contrast=100.0, n_train=2000, n_test=200, n_maps=16
)
LAPTOP = DistanceConfig(None)
PAPER = DistanceConfig(
    None, distances=(0, 4, 8, 16, 24), kernels=(9,) * 7, n_train=40_000, n_test=2000, n_maps=200
)
# As many layers and the same theoretical field, with a ninth of the weights: a wider start.
SPREAD = dataclasses.replace(PAPER, kernels=(3,) * 7, dilations=(1, 2, 4, 8, 8, 4, 1))
PAPERS = (PAPER, SPREAD)

DISTANCE = Experiment(
    name="erf-distance",
    version=1,
    summary="the effective field when the label depends on a mark at a chosen distance",
    config=DistanceConfig,
    plans={
        "smoke": plan_tasks(SMOKE, 2),
        "laptop": plan_tasks(LAPTOP, 3),
        "paper": tuple(pair for config in PAPERS for pair in plan_tasks(config, 5)),
    },
    run=run_distance,
    fingerprint=lambda config: config.rings.fingerprint,
)
