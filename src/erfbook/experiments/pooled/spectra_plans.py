"""Whose spectra are asked for: the plans of ``pool-spectra``, and one change at a time of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from erfbook.experiments.pooled import plans
from erfbook.experiments.pooled.networks import STRIDES, NetworkConfig
from erfbook.experiments.pooled.spectra import MOMENTS, SpectraConfig, run_spectra
from erfbook.experiments.registry import Experiment

# Eigenvalues, images, probes and steps of the density: what a scale can pay for. One product with
# 256 images costs a second and a half on one core at a quarter of the width.
FULL = {"k": 90, "n_images": 1024, "n_probes": 8, "n_steps": 80}
NARROW = {"k": 90, "n_images": 256, "n_probes": 4, "n_steps": 60}
SCALES: Mapping[str, Mapping[str, Any]] = {
    "smoke vgg": {"k": 5, "n_images": 16, "n_probes": 1, "n_steps": 8, "tolerance": 1e-2},
    "smoke resnet50": {"k": 3, "n_images": 8, "n_probes": 1, "n_steps": 6, "tolerance": 1e-2},
    "laptop vgg": {"k": 20, "n_images": 32, "n_probes": 1, "n_steps": 20, "tolerance": 1e-2},
    "laptop resnet50": {"k": 10, "n_images": 16, "n_probes": 1, "n_steps": 16, "tolerance": 1e-2},
}
ENDS = (1, 4)  # strides of the smallest and the largest pool
# The plane behind the early pool is 31 px wide at stride 1 and 9 px at stride 4, on 32 px images.
CROPPED_SIDE = 10  # px: at stride 1 a plane of 9
REPEATED_SIDE = 121  # px: at stride 4 a plane of 31


def ask(network: NetworkConfig, moment: str, **changes: Any) -> SpectraConfig:
    """Return what is asked of a network at a moment, at what its scale can pay for."""
    scale = SCALES.get(f"{network.name.split(':')[0]} {network.architecture}")
    if scale is None:
        scale = NARROW if network.width < 1 else FULL
    settings = {"dataset": network.dataset, "network": network, "moment": moment}
    return SpectraConfig(name=f"{network.name}, {moment}", **{**settings, **scale, **changes})


def vary(asked: SpectraConfig) -> dict[str, SpectraConfig]:
    """Return a configuration with one setting changed at a time, by what changed.

    Only the moment before training, which is what the paper speaks of, and the five largest
    eigenvalues without a density; the first is the configuration itself at that.
    """
    base = replace(asked, moment="before", k=min(5, asked.k), n_probes=0)
    changes: dict[str, dict[str, Any]] = {
        "as above": {},
        "batch norm in training mode": {"batch_norm": "train"},
        "batch norm's running statistics, not yet run": {"batch_norm": "running"},
        "twice the images": {"n_images": 2 * asked.n_images},
        "other images": {"image_seed": 0},
        "He's initial weights": {"init": "he"},
    }
    return {
        word: replace(base, name=f"{asked.name}, {word}", **change)
        for word, change in changes.items()
    }


def separate(small: SpectraConfig, large: SpectraConfig) -> dict[str, SpectraConfig]:
    """Return small and large field on small and large planes: four configurations before training.

    The plane is that behind the early pool. Images are cropped for the smallest pool and repeated
    for the largest one, so that it is as wide as the other's; all that follows then has the same
    planes too.

    Args:
        small, large: with the pools of stride 1 and 4, on images of 32 px.
    """
    cells = {
        "small field, large plane": (small, 0),
        "small field, small plane": (small, CROPPED_SIDE),
        "large field, large plane": (large, REPEATED_SIDE),
        "large field, small plane": (large, 0),
    }
    return {
        word: replace(vary(one)["as above"], name=f"{one.name}, {word}", image_side=side)
        for word, (one, side) in cells.items()
    }


@functools.cache
def pool_spectra() -> Experiment:
    """Return the experiment: every network before training, which needs none, then after it."""
    before, after = (plans.plan_all(functools.partial(ask, moment=m)) for m in MOMENTS)
    quarter = plans.configure_pools(plans.QUARTER)
    small, large = (ask(quarter[STRIDES.index(stride)], "before") for stride in ENDS)
    varied = (*vary(small).values(), *vary(large).values(), *separate(small, large).values())
    extra = tuple((config, 3) for config in varied)
    return Experiment(
        name="pool-spectra",
        version=1,
        summary="largest eigenvalues of the loss's Hessian, before and after (avendano s. 3.3)",
        config=SpectraConfig,
        plans={
            profile: (*before[profile], *after[profile], *(extra if profile == "paper" else ()))
            for profile in before
        },
        run=run_spectra,
        can_pause=False,
    )
