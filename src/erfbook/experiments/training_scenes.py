"""Experiment ``erf-camvid``: the field of a segmentation network while it learns street scenes.

luo section 3.2, figure 3 (right): 16 residual blocks, four subsamplings, output at 1/16, field
505 px, CamVid. The plain layout that reaches 505 stands here for the paper's, which is not
stated: 3 x 3 layers, 3 x 3 max pools, and ResNet-34's stages of 3, 4, 6 and 3 blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from erfbook import datasets, training
from erfbook.datasets import ImageSet, Split
from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.experiments.training_fields import (
    Probe,
    collect,
    control_fields,
    initialise,
    look,
    split_arrays,
)
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
    data = datasets.load(config.dataset).limited(config.n_train, config.n_test)
    n_classes = len(data.classes) - (data.ignore is not None and data.ignore < len(data.classes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = config.build(n_classes).to(workspace.device)
    probe = Probe.of(data, config.n_images, config.n_calibration)

    def observe(model: nn.Module, moment: training.Moment) -> dict:
        ends = moment.step == 0 or moment.epoch >= config.epochs
        seen = look(model, probe, statistics=("abs", "square") if ends else ("abs",))
        return seen | score_scenes(model, data, data.test, n_classes)

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
    metrics |= controls | {
        "losses": [float(x) for x in history.losses[:: max(1, history.n_steps // 200)]],
        "n_steps": history.n_steps,
        "note": data.note,
        "image_px": list(data.test.images.shape[-2:]),
    }
    about = {"images_per_s": history.images_per_s}
    return Outcome(metrics, arrays | control_maps, about)


@torch.no_grad()
def score_scenes(
    model: nn.Module, data: ImageSet, split: Split, n_classes: int, batch_size: int = 8
) -> dict[str, float]:
    """Return pixel accuracy, mean IoU and mean loss of a segmentation network on a split.

    Scores are brought to the labels' size bilinearly. A class's IoU is its intersection over its
    union, both summed over the whole split; classes that are neither there nor predicted do not
    count, nor do pixels of the ignored label.

    Args:
        model: gives scores on a plane of any size.
        data, split: images, and labels a pixel.
        n_classes: scores a unit.
        batch_size: images at once; the sums are the same for any.
    """
    model.eval()
    device = next(model.parameters()).device
    table = torch.zeros(n_classes, n_classes, dtype=torch.long)  # label, prediction
    loss, n_pixels = 0.0, 0
    pairs = zip(split.images.split(batch_size), split.labels.split(batch_size), strict=True)
    for images, labels in pairs:
        scores = model(data.standardise(images.to(device))).float()
        scores = F.interpolate(scores, labels.shape[1:], mode="bilinear", align_corners=False)
        wanted = labels.to(device).long()
        counted = torch.ones_like(wanted, dtype=torch.bool)
        if data.ignore is not None:
            counted = wanted != data.ignore
        wanted = wanted[counted]
        scores = scores.permute(0, 2, 3, 1)[counted]
        loss += float(F.cross_entropy(scores, wanted, reduction="sum"))
        n_pixels += len(wanted)
        index = wanted * n_classes + scores.argmax(1)
        table += torch.bincount(index, minlength=n_classes**2).cpu().reshape(n_classes, n_classes)
    hit = table.diagonal().double()
    union = (table.sum(0) + table.sum(1)).double() - hit
    return {
        "accuracy": float(hit.sum() / n_pixels),
        "mean_iou": float((hit / union)[union > 0].mean()),
        "loss": loss / n_pixels,
    }


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
    n_train=120,
    n_test=24,
    channels=8,
    stages=(1, 1, 2, 1),
    epochs=4,
    batch_size=8,
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
