"""Train plain networks that differ in how they begin, or in where their nine weights are.

One run answers both questions of luo section 4: how fast it learns, and how wide its effective
field is before and after. The two experiments differ in the configurations they compare.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook import datasets, erf, theory
from erfbook.errors import UserError
from erfbook.experiments.photographs import METRICS, calibrate_batch_norm, measure_sizes
from erfbook.experiments.registry import Outcome, Workspace
from erfbook.models.plain import BASES, CONNECTIONS, PlainConvNet, SparseConv2d, initialise
from erfbook.training import Diverged, Moment, Recipe, predict, train

PROFILES = ("uniform", "soft", "corners")


@dataclass(frozen=True, kw_only=True)
class DamageConfig:
    """One network of this chapter and how it is trained.

    Args:
        name: of the configuration, as sweeps show it.
        dataset: as :func:`erfbook.datasets.load` takes it.
        n_train, n_test: images of each split that are used; 0 is all.
        base: scheme that sets the weights' total variance, ``he`` or ``xavier``.
        profile: how it is spread over a kernel: ``uniform``, ``soft`` or ``corners``.
        contrast: of a soft profile, standard deviation at a corner over that at the centre.
        connections, window: ``dense``, ``dilated`` or ``sparse``, and what a kernel spans.
        channels, depth, shrink, norm: of the network.
        epochs, batch_size, optimizer, lr, schedule, clip: of the training.
        augment: whether images are mirrored and cropped at random.
        precision: of the computation, as in :class:`Recipe`.
        n_moments: times at which accuracy is taken, the beginning and the end among them.
        n_images: test images the effective field is averaged over.
    """

    name: str
    dataset: str
    n_train: int = 0
    n_test: int = 0
    base: str = "he"
    profile: str = "uniform"
    contrast: float = 1.0
    connections: str = "dense"
    window: int = 3
    channels: int = 16
    depth: int = 8
    shrink: int = 1
    norm: bool = False
    epochs: float = 1.0
    batch_size: int = 32
    lr: float = 0.02
    schedule: str = "constant"
    optimizer: str = "sgd"
    augment: bool = True
    clip: float = 1.0
    precision: str = "float32"
    n_moments: int = 11
    n_images: int = 8

    def __post_init__(self) -> None:
        for name, known in (("base", BASES), ("profile", PROFILES), ("connections", CONNECTIONS)):
            if getattr(self, name) not in known:
                raise UserError(
                    f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}"
                )
        if (self.contrast != 1.0) != (self.profile == "soft") or self.contrast < 1.0:
            raise UserError(
                f"contrast must be above 1 for a soft profile and 1 for any other, not "
                f"{self.contrast:g} for {self.profile}"
            )
        if self.profile != "uniform" and self.connections == "sparse":
            raise UserError("profile must be uniform for sparse connections: they have no centre")

    @property
    def kind(self) -> str:
        """What distinguishes it, in words: its initialisation, or its connections."""
        if self.connections != "dense":
            return f"{self.connections} {self.window} x {self.window}"
        base = "He" if self.base == "he" else "Xavier"
        if self.profile == "uniform":
            return base
        return f"{base}, soft {self.contrast:g}" if self.profile == "soft" else f"{base}, corners"

    @property
    def recipe(self) -> Recipe:
        """How it is trained: no warm-up, which would hide a bad start, and no decay of weights."""
        return Recipe(
            epochs=self.epochs, batch_size=self.batch_size, optimizer=self.optimizer, lr=self.lr,
            schedule=self.schedule, warmup=0.0, weight_decay=0.0, clip=self.clip,
            crop_padding=4 if self.augment else 0, flip=self.augment,
            precision=self.precision,
        )  # fmt: skip

    def kernel(self) -> Float[np.ndarray, "k k"]:
        """Return each tap's share of a kernel's variance."""
        side = 3 if self.connections != "sparse" else self.window
        if self.profile == "uniform":
            return np.full((side, side), 1 / side**2)
        return theory.soft_kernel(side, math.inf if self.profile == "corners" else self.contrast)


def make_network(config: DamageConfig, n_classes: int, seed: int) -> PlainConvNet:
    """Return a configuration's network; its weights, and its sparse taps, are the seed's."""
    model = PlainConvNet(
        config.channels,
        depth=config.depth,
        connections=config.connections,
        window=config.window,
        shrink=config.shrink,
        norm=config.norm,
        n_classes=n_classes,
        seed=seed,
    )
    even = config.connections == "sparse"  # taps without a place in a kernel
    profile = None if even else torch.from_numpy(config.kernel())
    return initialise(model, base=config.base, profile=profile, seed=seed)


def count_weights(model: PlainConvNet) -> int:
    """Return how many weights a network's convolutions have, biases not counted."""
    return sum(conv.weight.numel() for conv in model.convolutions())


def predict_network_power(
    config: DamageConfig, seed: int | None = None
) -> Float[np.ndarray, "side side"]:
    """Return the exact power map of a linear network of this kind on an unbounded plane.

    Args:
        config: the network.
        seed: of sparse taps: their true places; None is the mean over all places.

    Returns:
        The map in input pixels, sum 1; a ReLU scales it and keeps its shape.
    """
    kernel = config.kernel()
    if config.connections == "dilated":
        kernel, dense = np.zeros((config.window, config.window)), kernel
        kernel[:: config.window // 2, :: config.window // 2] = dense
    kernels = [kernel] * config.depth
    if config.connections == "sparse" and seed is not None:
        # All input channels share a filter's taps, so that a layer spreads the power with the mean
        # over its filters; the correlation that is run flips nothing on the way down.
        convs = make_network(config, 1, seed).convolutions()
        sparse = [conv for conv in convs if isinstance(conv, SparseConv2d)]
        kernels = [conv.coverage().numpy().astype(float) for conv in sparse]
    power = theory.predict_kernel_power(kernels)
    return np.kron(power, np.ones((config.shrink, config.shrink))) / config.shrink**2


def measure_field_sizes(found: erf.Map) -> dict[str, float]:
    """Return a map's size by three metrics, NaN where there is none.

    ``pixels`` compares with the centre. An odd number of corner-only layers never reaches the pixel
    in the middle, and then luo's count does not exist. A dead network has no size at all.
    """
    if not found.values.any():
        return dict.fromkeys(METRICS, math.nan)
    try:
        return measure_sizes(found)
    except ValueError:
        row, column = np.unravel_index(found.values.argmax(), found.values.shape)
        peak = replace(found, centre=(float(row), float(column)))
        return {**measure_sizes(peak), "pixels": math.nan}


def run_damage(config: DamageConfig, seed: int, workspace: Workspace) -> Outcome:
    """Train one network; return its losses, accuracies and fields before and after.

    A run whose loss stops being a number is an outcome as well: it never arrived.
    """
    data = datasets.load(config.dataset).limited(config.n_train, config.n_test)
    model = make_network(config, len(data.classes), seed).to(workspace.device)
    observer = _Observer(data, config)
    moments = [float(m) for m in np.linspace(0, config.epochs, config.n_moments)]
    about = {
        "kind": config.kind,
        "note": data.note,
        "n_classes": len(data.classes),
        "n_weights": count_weights(model),
    }
    try:
        history = train(
            model, data, config.recipe, seed=seed, observe=observer, observe_at=moments,
            checkpoint=workspace.checkpoint, deadline=workspace.deadline,
            progress=workspace.progress,
        )  # fmt: skip
    except Diverged as problem:
        return Outcome({**about, "diverged": str(problem)})
    before, after = (m.seen for m in (history.moments[0], history.moments[-1]))
    metrics: dict[str, Any] = {
        **about,
        "diverged": "",
        "n_steps": history.n_steps,
        "accuracy": float(after["accuracy"]),
        "test_loss": float(after["loss"]),
    }
    arrays = {
        "losses": np.asarray(history.losses, dtype=np.float32),
        "moment_steps": np.array([m.step for m in history.moments]),
        "accuracies": np.array([m.seen["accuracy"] for m in history.moments], dtype=np.float32),
        "test_losses": np.array([m.seen["loss"] for m in history.moments], dtype=np.float32),
    }
    for when, seen in (("before", before), ("after", after)):
        arrays[f"map_{when}"] = seen["map"]
        metrics |= {f"{metric}_{when}": float(seen[metric]) for metric in METRICS}
    return Outcome(metrics, arrays, {"images_per_s": history.images_per_s})


class _Observer:
    """Takes accuracy and loss at every moment, and the field at the first and the last."""

    def __init__(self, data: datasets.ImageSet, config: DamageConfig) -> None:
        self.data, self.config = data, config
        per_epoch = math.ceil(len(data.train) / config.batch_size)
        self.last = max(1, round(config.epochs * per_epoch))

    def __call__(self, model: nn.Module, moment: Moment) -> dict[str, Any]:
        scores = predict(model, self.data, self.data.test)
        labels = self.data.test.labels.long().cpu()
        seen: dict[str, Any] = {
            "accuracy": float((scores.argmax(1) == labels).float().mean()),
            "loss": float(nn.functional.cross_entropy(scores, labels)),
        }
        if moment.step in (0, self.last):
            seen |= self._field(model, fresh=moment.step == 0)
        return seen

    def _field(self, model: nn.Module, *, fresh: bool) -> dict[str, Any]:
        device = next(model.parameters()).device
        images = self.data.test.images[: self.config.n_images].to(device)
        inputs = self.data.standardise(images)
        if self.config.norm and fresh:  # on a copy: training is to begin with what it was given
            model = copy.deepcopy(model)
            calibrate_batch_norm(model, inputs)
        found = erf.measure(model, inputs, "features")
        scaled = found.values / (found.values.max() or 1.0)
        return {
            "map": scaled.astype(np.float16),
            **measure_field_sizes(found),
        }
