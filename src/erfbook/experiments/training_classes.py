"""Experiment ``erf-training``: the field of a classifier's last plane while it learns.

luo section 3.2, figure 3 (left): 17 residual blocks, no downsampling, CIFAR-10. The paper states
neither width, kernels, initialisation nor recipe; what stands here is chosen by us. A 5 x 5 first
layer brings the field to 73 px, the nearest that odd kernels reach to the stated 74.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from erfbook import training
from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.experiments.training_fields import depth_fields, initialise, score_classes
from erfbook.experiments.training_follow import follow
from erfbook.models.cifar_resnet import N_BLOCKS, CifarResNet

# Epochs: close together where the field changes fastest, then evenly.
EARLY = (0, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, kw_only=True)
class ClassConfig:
    """One kind of run.

    Args:
        name: of the configuration, as pages and sweeps show it.
        dataset: as :func:`erfbook.datasets.load` takes it.
        n_train, n_test: first images of each split; 0 for all.
        channels, n_blocks, stem_kernel: of :class:`CifarResNet`.
        init: as :func:`initialise` takes it.
        epochs, batch_size, lr, weight_decay, crop_padding, flip, precision: of the recipe: SGD
            with Nesterov momentum 0.9 and a cosine schedule.
        moments: epochs at which the field is measured.
        n_images: test images the field is averaged over.
        n_calibration: training images that batch norm is calibrated on.
        n_controls: copies of each control after training.
    """

    name: str
    dataset: str
    n_train: int = 0
    n_test: int = 0
    channels: int = 16
    n_blocks: int = N_BLOCKS
    stem_kernel: int = 5
    init: str = "default"
    epochs: float = 12
    batch_size: int = 128
    lr: float = 0.1
    weight_decay: float = 5e-4
    crop_padding: int = 4
    flip: bool = True
    precision: str = "auto"
    moments: tuple[float, ...] = (*EARLY, 1, 2, 3, 4, 6, 8, 10, 12)
    n_images: int = 64
    n_calibration: int = 256
    n_controls: int = 3

    def build(self, n_classes: int) -> CifarResNet:
        """Return the untrained network, from the current seed."""
        network = CifarResNet(
            self.channels,
            n_blocks=self.n_blocks,
            stem_kernel=self.stem_kernel,
            n_classes=n_classes,
        )
        initialise(network, self.init)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def recipe(self) -> training.Recipe:
        """How it is trained."""
        return training.Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
            crop_padding=self.crop_padding,
            flip=self.flip,
            precision=self.precision,
        )


@dataclass(frozen=True, kw_only=True)
class ChangedConfig(ClassConfig):
    """A run of a network that differs in what a plain configuration takes for granted.

    Args:
        padding_mode: ``zeros``, or ``circular``: on a ring no unit is near a border.
        norm: ``batch``, or ``group``: four groups of channels within each image, which have no
            running statistics, so that the network before training is one network.

    Raises:
        ValueError: on building, for another norm.
    """

    padding_mode: str = "zeros"
    norm: str = "batch"

    def build(self, n_classes: int) -> CifarResNet:
        """Return the untrained network, from the current seed."""
        if self.norm not in ("batch", "group"):
            raise ValueError(f"norm must be batch or group, not {self.norm!r}")
        network = super().build(n_classes)
        for module in list(network.modules()):
            if isinstance(module, nn.Conv2d):
                module.padding_mode = self.padding_mode  # type: ignore[assignment]
            norm = getattr(module, "norm", None)
            if self.norm == "group" and isinstance(norm, nn.BatchNorm2d):
                group = nn.GroupNorm(4, norm.num_features)
                group.weight = norm.weight  # as initialised
                module.norm = group
        return network


def run_classes(config: ClassConfig, seed: int, workspace: Workspace) -> Outcome:
    """Train one classifier and measure its central unit's field before, during and after."""
    return follow(config, seed, workspace, score=score_classes, afterwards=depth_fields)


# The paper's network and data; width and recipe are chosen by us to pass the paper's 89 %.
PAPER = ClassConfig(
    name="paper",
    dataset="cifar10",
    channels=32,
    epochs=60,
    moments=(*EARLY, 1, 2, 3, 4, 6, 8, 12, 16, 20, 30, 40, 50, 60),
    n_images=256,
)
# The same network and data at half that width and a fifth of the epochs: hours on two cores.
CPU = replace(
    PAPER,
    name="cpu",
    channels=16,
    epochs=12,
    precision="bf16",
    moments=(*EARLY, 1, 2, 3, 4, 6, 8, 10, 12),
)
# As many epochs as PAPER, with the weight decay usual for CIFAR's small ResNets.
LONG = replace(
    CPU,
    name="cpu, 60 epochs",
    epochs=60,
    weight_decay=1e-4,
    moments=PAPER.moments,
)
# PAPER's width and weight decay for as many epochs as two cores do in a few hours, with the rate
# and batches at which three epochs of CPU's network ended best.
WIDE = replace(
    CPU,
    name="cpu, 32 channels",
    channels=32,
    epochs=24,
    batch_size=64,
    lr=0.03,
    moments=(*EARLY, 1, 2, 3, 4, 6, 8, 12, 16, 20, 24),
)
# What else could explain a difference from the paper: one change each.
VARIANTS = (
    replace(CPU, name="cpu, He's weights", init="he"),
    replace(CPU, name="cpu, branches start at 0", init="quiet"),
    replace(CPU, name="cpu, a third of the rate", lr=0.03),
    replace(CPU, name="cpu, no weight decay", weight_decay=0.0),
    replace(CPU, name="cpu, no crops or mirrors", crop_padding=0, flip=False),
    replace(CPU, name="cpu, half the width", channels=8),
    ChangedConfig(**{**vars(CPU), "name": "cpu, group norm", "norm": "group"}),
    ChangedConfig(**{**vars(CPU), "name": "cpu, circular padding", "padding_mode": "circular"}),
)
# A reader's own run: fewer blocks (field 37 px, still more than the image), fewer images.
LAPTOP = ClassConfig(
    name="laptop",
    dataset="patches32",
    n_train=1200,
    n_test=300,
    channels=8,
    n_blocks=8,
    epochs=4,
    batch_size=32,
    lr=0.03,
    crop_padding=0,  # chosen by us: with so few steps, runs with crops ended farther apart
    precision="float32",
    moments=(0, 0.05, 0.1, 0.2, 0.5, 1, 1.5, 2, 3, 4),
    n_images=16,
    n_calibration=128,
    n_controls=2,
)
SMOKE = replace(
    LAPTOP,
    name="smoke",
    n_train=256,
    n_test=100,
    channels=4,
    n_blocks=4,
    epochs=2,
    moments=(0, 0.25, 0.5, 1, 2),
    n_images=8,
    n_calibration=64,
    n_controls=1,
)

ERF_TRAINING = Experiment(
    name="erf-training",
    version=1,
    summary="the effective field of a classifier while it learns (luo s. 3.2, figure 3 left)",
    config=ClassConfig,
    plans={
        "smoke": ((SMOKE, 2),),
        "laptop": ((LAPTOP, 3), (replace(LAPTOP, dataset="cifar10"), 3)),
        "paper": (
            (WIDE, 3),
            (LONG, 3),
            (CPU, 3),
            (PAPER, 5),
            *((variant, 2) for variant in VARIANTS),
        ),
    },
    run=run_classes,
)
