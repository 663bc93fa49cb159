"""Experiment ``erf-camvid``: the field of a segmentation network while it learns street scenes.

luo section 3.2, figure 3 (right): 16 residual blocks, four subsamplings, output at 1/16, field
505 px, CamVid. The plain layout that reaches 505 stands here for the paper's, which is not
stated: 3 x 3 layers, 3 x 3 max pools, and ResNet-34's stages of 3, 4, 6 and 3 blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from erfbook import training
from erfbook.datasets import ImageSet, Split
from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.experiments.training_fields import Probe, initialise
from erfbook.experiments.training_follow import follow
from erfbook.models.camvid_resnet import CamvidLayout, CamvidResNet

STAGES = (3, 4, 6, 3)  # ResNet-34's: 16 blocks


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """One kind of run.

    Args:
        name: of the configuration, as pages and sweeps show it.
        dataset: as :func:`erfbook.datasets.load` takes it.
        n_train, n_test: first images of each split; 0 for all.
        channels: of the first stage.
        stages: residual blocks between one max pool and the next; the first pool is before them.
        init: as :func:`initialise` takes it.
        epochs, batch_size, accumulate, lr, weight_decay, flip, precision: of the recipe: SGD with
            Nesterov momentum 0.9 and a cosine schedule; no crops.
        moments: epochs at which the field is measured.
        n_images: test images the field is averaged over.
        n_calibration: training images that batch norm is calibrated on.
        n_controls: copies of each control after training.
    """

    name: str
    dataset: str
    n_train: int = 0
    n_test: int = 0
    channels: int = 32
    stages: tuple[int, ...] = STAGES
    init: str = "default"
    epochs: float = 200
    batch_size: int = 8
    accumulate: int = 1
    lr: float = 0.05
    weight_decay: float = 5e-4
    flip: bool = True
    precision: str = "auto"
    moments: tuple[float, ...] = (0, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 150, 200)
    n_images: int = 32
    n_calibration: int = 64
    n_controls: int = 2

    @property
    def layout(self) -> CamvidLayout:
        """Where the layers sit."""
        return CamvidLayout(
            stem_kernel=3, stem_stride=1, stem_pool=3, stages=self.stages, transition="max3"
        )

    def build(self, n_classes: int) -> CamvidResNet:
        """Return the untrained network, from the current seed."""
        network = CamvidResNet(self.layout, self.channels, n_classes=n_classes)
        initialise(network, self.init)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def recipe(self) -> training.Recipe:
        """How it is trained."""
        return training.Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            accumulate=self.accumulate,
            lr=self.lr,
            weight_decay=self.weight_decay,
            crop_padding=0,
            flip=self.flip,
            precision=self.precision,
        )


def run_scenes(config: SceneConfig, seed: int, workspace: Workspace) -> Outcome:
    """Train one segmentation network and measure its central unit's field while it learns."""
    return follow(config, seed, workspace, score=score_scenes, afterwards=image_side)


def image_side(model: nn.Module, probe: Probe) -> dict[str, list[int]]:
    """Return rows and columns of the images, beside which a diameter is read."""
    return {"image_px": list(probe.images.shape[-2:])}


def score_scenes(model: nn.Module, data: ImageSet, split: Split) -> dict[str, float]:
    """Return pixel accuracy and mean IoU of a segmentation network on a split."""
    found = training.confusion(model, data, split, batch_size=8)
    return {"accuracy": found.accuracy, "mean_iou": found.mean_iou}


# CamVid at 360 x 480, as a GPU trains it; recipe chosen by us, the paper states none.
PAPER = SceneConfig(name="paper", dataset="camvid")
# The same at half the width and a seventh of the epochs: hours on two cores.
CPU = replace(
    PAPER,
    name="cpu",
    channels=16,
    epochs=30,
    batch_size=4,
    moments=(0, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 25, 30),
    n_images=8,
    n_calibration=16,
)
VARIANTS = (
    replace(CPU, name="cpu, He's weights", init="he"),
    replace(CPU, name="cpu, a third of the rate", lr=0.015),
)
# A reader's own run: 5 blocks (field 185 px) on procedurally drawn scenes.
LAPTOP = SceneConfig(
    name="laptop",
    dataset="streets",
    n_train=80,
    n_test=20,
    channels=8,
    stages=(1, 1, 2, 1),
    epochs=4,
    batch_size=5,
    precision="float32",
    moments=(0, 0.2, 0.5, 1, 2, 3, 4),
    n_images=8,
    n_calibration=24,
)
SMOKE = replace(
    LAPTOP,
    name="smoke",
    n_train=24,
    n_test=8,
    channels=4,
    stages=(1, 1, 1, 1),
    epochs=1,
    moments=(0, 0.5, 1),
    n_images=2,
    n_calibration=8,
    n_controls=1,
)

ERF_CAMVID = Experiment(
    name="erf-camvid",
    version=1,
    summary="the effective field of a segmentation network while it learns (luo figure 3 right)",
    config=SceneConfig,
    plans={
        "smoke": ((SMOKE, 2),),
        "laptop": ((LAPTOP, 3),),
        "paper": ((CPU, 2), (PAPER, 3), *((variant, 1) for variant in VARIANTS)),
    },
    run=run_scenes,
)
