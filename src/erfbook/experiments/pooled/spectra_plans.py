"""Whose spectra are asked for: the plans of ``pool-spectra``, and one change at a time of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from erfbook.experiments.pooled import plans
from erfbook.experiments.pooled.networks import STRIDES, NetworkConfig
from erfbook.experiments.pooled.spectra import MOMENTS, SpectraConfig, run_spectra
from erfbook.experiments.pooled.spectra_study import NOT_RUN
from erfbook.experiments.registry import Experiment

# Eigenvalues, images, probes and steps of the density: what a scale can pay for. Ninety eigenvalues
# take about 450 products. At a quarter of the width and stride 1 one of 128 images costs half a
# second on one core behind VGG's pool, and four behind ResNet-50's.
FULL = {"k": 90, "n_images": 1024, "n_probes": 8, "n_steps": 80}
NARROW = {
    "vgg": {"k": 90, "n_images": 128, "n_probes": 2, "n_steps": 40},
    "resnet50": {"k": 90, "n_images": 64, "n_probes": 2, "n_steps": 40},
}
SCALES: Mapping[str, Mapping[str, Any]] = {
    "smoke vgg": {"k": 3, "n_images": 6, "n_probes": 2, "n_steps": 3},
    "smoke resnet50": {"k": 2, "n_images": 4, "n_probes": 2, "n_steps": 2},
    "laptop vgg": {"k": 10, "n_images": 16, "n_probes": 2, "n_steps": 10},
    "laptop resnet50": {"k": 5, "n_images": 12, "n_probes": 2, "n_steps": 6},
}
ENDS = (1, 4)  # strides of the smallest and the largest pool
# The plane behind the early pool is 31 px wide at stride 1 and 9 px at stride 4, on 32 px images.
CROPPED_SIDE = 10  # px: at stride 1 a plane of 9
REPEATED_SIDE = 121  # px: at stride 4 a plane of 31


def ask(network: NetworkConfig, moment: str, **changes: Any) -> SpectraConfig:
    """Return what is asked of a network at a moment, at what its scale can pay for."""
    scale = SCALES.get(f"{network.name.split(':')[0]} {network.architecture}")
    if scale is None:
        scale = NARROW[network.architecture] if network.width < 1 else FULL
    settings = {"name": f"{network.name}, {moment}", "dataset": network.dataset}
    return SpectraConfig(network=network, moment=moment, **{**settings, **scale, **changes})


def vary(asked: SpectraConfig) -> dict[str, SpectraConfig]:
    """Return a configuration with one setting changed at a time, by what changed.

    The largest eigenvalue alone and no density; the first is the configuration itself.

    Args:
        asked: before training, which is what the paper speaks of.
    """
    changes: dict[str, dict[str, Any]] = {
        "batch norm in training mode": {"batch_norm": "train"},
        NOT_RUN: {"batch_norm": "running"},
        "twice the images": {"n_images": 2 * asked.n_images},
        "other images": {"image_seed": 0},
        "He's initial weights": {"init": "he"},
    }
    varied = {word: _brief(asked, word, **change) for word, change in changes.items()}
    return {"as above": asked, **varied}


def separate(small: SpectraConfig, large: SpectraConfig) -> dict[str, SpectraConfig]:
    """Return small and large field on small and large planes: four configurations before training.

    The plane is that behind the early pool. Images are cropped for the smallest pool and repeated
    for the largest one, so that it is as wide as the other's; all that follows then has the same
    planes too.

    Args:
        small, large: before training, with the pools of stride 1 and 4, on images of 32 px.
    """
    cropped, repeated = "small field, small plane", "large field, large plane"
    return {
        "small field, large plane": small,
        cropped: _brief(small, cropped, image_side=CROPPED_SIDE),
        repeated: _brief(large, repeated, image_side=REPEATED_SIDE),
        "large field, small plane": large,
    }


def _brief(asked: SpectraConfig, word: str, **change: Any) -> SpectraConfig:
    named: dict[str, Any] = {"name": f"{asked.name}, {word}", "k": 1, "n_probes": 0}
    return replace(asked, **named, **change)


@functools.cache
def pool_spectra() -> Experiment:
    """Return the experiment: every network before training, which needs none, then after it."""
    before, after = (plans.plan_all(functools.partial(ask, moment=m)) for m in MOMENTS)
    quarter = plans.configure_pools(plans.QUARTER)
    small, large = (ask(quarter[STRIDES.index(stride)], "before") for stride in ENDS)
    mode = "batch norm in training mode, 90 eigenvalues"
    varied = [ask(one, "before", name=f"{one.name}, before, {mode}", batch_norm="train")
              for one in quarter]  # fmt: skip
    varied += [*vary(small).values(), *vary(large).values(), *separate(small, large).values()]
    extra = tuple((config, 3) for config in dict.fromkeys(varied) if config not in (small, large))
    return Experiment(
        name="pool-spectra",
        version=2,
        summary="largest eigenvalues of the loss's Hessian, before and after (avendano s. 3.3)",
        config=SpectraConfig,
        plans={
            profile: (*before[profile], *after[profile], *(extra if profile == "paper" else ()))
            for profile in before
        },
        run=run_spectra,
        can_pause=False,
    )
