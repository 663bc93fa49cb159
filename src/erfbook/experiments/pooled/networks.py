"""Experiment ``pool-training``: networks behind an early max pool are trained; weights are kept.

Avendaño section 3.1 and 3.2. What pruning, Hessian spectra and similarity say is asked of these
weights by experiments of their own, which train a network only where its record is missing.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from erfbook import datasets, training
from erfbook.datasets import ImageSet
from erfbook.errors import RunError, UserError
from erfbook.experiments.registry import Experiment, Outcome, Workspace, make
from erfbook.experiments.weights import (
    WEIGHTS,
    halve_weights,
    has_weights,
    load_weights,
    weights_to_arrays,
)
from erfbook.models.pooled import PooledNet, pooled_resnet50, pooled_vgg
from erfbook.notation import count
from erfbook.records import Record, Store

STRIDES = (1, 2, 3, 4)  # of the early pool; its kernel is one more
# VGG-16 without one convolution of its fourth stage: fields of 181, 359, 537 and 715 px exactly.
VGG_STAGES = (2, 2, 3, 2, 3)
TITLES = {"vgg": "VGG", "resnet50": "ResNet-50"}
FIELDS = {"vgg": (181, 359, 537, 715), "resnet50": (108, 213, 318, 423)}  # px, by stride
STATED = {"vgg": (181, 359, 537, 715), "resnet50": (110, 213, 318, 423)}  # px, as printed
FIRST_CHANNELS = 64  # of both networks at full width


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """One kind of network and how it is trained.

    Args:
        name: of the configuration, as pages and sweeps show it.
        dataset: as :func:`erfbook.datasets.load` takes it.
        n_train, n_test: first images of each split; 0 for all.
        architecture: ``vgg`` or ``resnet50``.
        pool_kernel, pool_stride: of the max pool behind the first convolution.
        stages: 3 x 3 convolutions before each later pool of a ``vgg``.
        width: factor on the channels of the full network.
        epochs, batch_size, lr, schedule, warmup, weight_decay, clip, crop_padding, flip, precision:
            of the recipe: SGD with Nesterov momentum 0.9.
    """

    name: str
    dataset: str
    n_train: int = 0
    n_test: int = 0
    architecture: str = "vgg"
    pool_kernel: int = 2
    pool_stride: int = 1
    stages: tuple[int, ...] = VGG_STAGES
    width: float = 1.0
    epochs: float = 200
    batch_size: int = 128
    lr: float = 1e-4
    schedule: str = "cosine"
    warmup: float = 0.0
    weight_decay: float = 5e-5
    clip: float = 0.1
    crop_padding: int = 4
    flip: bool = True
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.architecture not in FIELDS:
            raise UserError(
                f"architecture must be {' or '.join(FIELDS)}, not {self.architecture!r}"
            )
        if not self.width > 0 or round(FIRST_CHANNELS * self.width) < 1:
            raise UserError(
                f"width must leave a channel of the first {FIRST_CHANNELS}, so be above "
                f"{0.5 / FIRST_CHANNELS:g}, not {self.width:g}"
            )
        for name in ("pool_kernel", "pool_stride"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1 px, not {getattr(self, name)}")

    def build(self, n_classes: int) -> PooledNet:
        """Return the untrained network, from the current seed."""
        if self.architecture == "vgg":
            make_network = functools.partial(pooled_vgg, stages=self.stages)
        else:
            make_network = pooled_resnet50  # type: ignore[assignment]
        network = make_network(
            self.pool_kernel, self.pool_stride, width=self.width, n_classes=n_classes
        )
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def recipe(self) -> training.Recipe:
        """How it is trained."""
        names = [
            *("epochs", "batch_size", "lr", "schedule", "warmup", "weight_decay", "clip"),
            *("crop_padding", "flip", "precision"),
        ]
        return training.Recipe(**{name: getattr(self, name) for name in names})

    @property
    def theoretical_field(self) -> int:
        """Side of the theoretical receptive field of the last plane, px (see ``pool_rules``)."""
        return 3 + (self.pool_kernel - 1) + self.pool_stride * _rest(self.architecture, self.stages)


def with_pool(config: NetworkConfig, stride: int) -> NetworkConfig:
    """Return a configuration with the paper's pool of a stride: a kernel of one more."""
    name = f"{config.name}: {config.architecture}, pool {stride}"
    return replace(config, name=name, pool_kernel=stride + 1, pool_stride=stride)


def build_network(config: NetworkConfig, seed: int, n_classes: int) -> PooledNet:
    """Return the untrained network of a seed: the one that training starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return config.build(n_classes)


def load_data(config: NetworkConfig) -> ImageSet:
    """Return the images that a configuration is trained and tested on."""
    return datasets.load(config.dataset).limited(config.n_train, config.n_test)


def check_fits(config: NetworkConfig, data: ImageSet) -> None:
    """Refuse a pool that is larger than the plane it reads, and batches of one image.

    Raises:
        UserError: the message says which receptive field can be had at this image size.
    """
    side = min(data.train.images.shape[2:])
    if config.pool_kernel > side:
        largest = side - 1  # a stride whose kernel, one more, still fits
        reach = replace(config, pool_kernel=side, pool_stride=largest).theoretical_field
        raise UserError(
            f"pool_kernel {config.pool_kernel} is larger than the {side} px plane that it pools: "
            f"images of {side} px allow strides up to {largest}, a receptive field of {reach} px "
            f"and not {config.theoretical_field} px"
        )
    if len(data.train) % config.batch_size == 1:  # batch norm has nothing to divide one pixel by
        raise UserError(
            f"batch_size {config.batch_size} leaves a last batch of one of {len(data.train)} "
            "images, which batch norm cannot be trained on: change it, or n_train, by one"
        )


def run_training(config: NetworkConfig, seed: int, workspace: Workspace) -> Outcome:
    """Train one network; the outcome's arrays are its weights and batch norm's statistics.

    Weights are rounded to half precision once they are trained, and ``accuracy`` is that of the
    rounded ones, of which all later questions are asked too.
    """
    data = load_data(config)
    check_fits(config, data)
    model = build_network(config, seed, len(data.classes)).to(workspace.device)

    def observe(model: nn.Module, moment: training.Moment) -> dict:
        return {"accuracy": training.accuracy(model, data, data.test)}

    history = training.train(
        model,
        data,
        config.recipe,
        seed=seed,
        observe=observe,
        observe_at=(*range(math.ceil(config.epochs)), config.epochs),
        checkpoint=workspace.checkpoint,
        deadline=workspace.deadline,
        progress=workspace.progress,
    )
    halve_weights(model)
    moments = history.moments
    metrics = {
        "epochs": [m.epoch for m in moments],
        "accuracies": [m.seen["accuracy"] for m in moments],
        "accuracy": training.accuracy(model, data, data.test),
        "train_accuracy": training.accuracy(model, data, data.train),
        "losses": [float(x) for x in history.losses[:: max(1, history.n_steps // 200)]],
        "n_steps": history.n_steps,
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "field_px": config.theoretical_field,
        "note": data.note,
    }
    return Outcome(metrics, weights_to_arrays(model))


def train_or_find(config: NetworkConfig, seed: int, workspace: Workspace) -> Record:
    """Return the record of a trained network, training it where it or its weights are missing.

    Args:
        config, seed: the network.
        workspace: of the run that asks; its store is where the record is looked for and put.
    """
    store = workspace.store
    if store is None:
        raise ValueError("workspace.store: a run that asks for trained networks needs a store")
    experiment = pool_training()
    found = store.find(experiment.spec(config, seed))
    if found is not None and has_weights(found):
        return found
    alone = Store(store.folder)  # not what was published without weights
    return make(experiment, config, seed, alone, workspace)


def trained_network(config: NetworkConfig, seed: int, workspace: Workspace) -> PooledNet:
    """Return a trained network in evaluation mode, on the workspace's device."""
    return network_of(train_or_find(config, seed, workspace)).to(workspace.device)


def network_of(record: Record) -> PooledNet:
    """Return the network of a ``pool-training`` record in evaluation mode: no training, no data.

    Raises:
        RunError: the record was published without weights.
    """
    if not has_weights(record):
        spec = record.spec
        raise RunError(
            f"the record {spec.key} of {spec.experiment}, seed {spec.seed}, holds no weights; "
            f"remove the file {spec.key}.npz, and the run is made again"
        )
    settings = dict(record.spec.config)
    config = NetworkConfig(**{**settings, "stages": tuple(settings["stages"])})
    n_classes = len(record.arrays[f"{WEIGHTS}head.bias"])
    model = build_network(config, record.spec.seed, n_classes)
    load_weights(model, record)
    return model.eval()


def say_data(record: Record) -> str:
    """Return what a run's data are and how long its network was trained on them, in words.

    Args:
        record: of any experiment on pooled networks.
    """
    config = record.spec.config
    note = str(record.metrics["note"])
    if config.get("moment") == "before":
        return note
    return f"{note}, {count(config.get('network', config)['epochs'], 'epoch')}"


@functools.cache
def pool_training() -> Experiment:
    """Return the experiment, whose plans are made of the configurations above."""
    from erfbook.experiments.pooled.plans import plan_all

    return Experiment(
        name="pool-training",
        version=2,
        summary="networks that differ in the pool behind their first layer (avendano s. 3.2)",
        config=NetworkConfig,
        plans=plan_all(lambda config: config),
        run=run_training,
    )


def _rest(architecture: str, stages: tuple[int, ...]) -> int:
    from erfbook.experiments.pool_rules import resnet_rest, vgg_rest

    return vgg_rest(stages) if architecture == "vgg" else resnet_rest()
