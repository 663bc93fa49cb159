"""Which networks are trained, at which scale and by which recipe.

The paper prints a learning rate of 1e-4 with gradients clipped at 0.1, and neither batch size nor
augmentation nor widths. Those are chosen by us; each recipe has a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from erfbook.experiments.pooled.networks import STRIDES, NetworkConfig, with_pool

# As printed, at full width: for a GPU.
PAPER = NetworkConfig(name="paper", dataset="cifar10")
TINY = replace(PAPER, name="paper, Tiny ImageNet", dataset="tiny-imagenet")
# The same networks by a recipe that is usual for them, in fewer epochs.
USUAL = replace(
    PAPER, name="usual recipe", epochs=30, lr=0.1, warmup=0.1, weight_decay=5e-4, clip=0.0
)
# Widths that two cores train in minutes an epoch. In float32: at these widths a processor with bf16
# gains little by it, and one without is many times slower.
QUARTER = replace(USUAL, name="quarter width", width=0.25, epochs=20, precision="float32")
QUARTER_RESNET = replace(QUARTER, architecture="resnet50", epochs=15)
HALF = replace(QUARTER, name="half width", width=0.5)
PRINTED = replace(
    QUARTER, name="quarter width, printed recipe", lr=1e-4, warmup=0.0, weight_decay=5e-5, clip=0.1
)
PLAIN = replace(QUARTER, name="quarter width, no crops or mirrors", crop_padding=0, flip=False)
# A reader's own run: twins with the same fields, on few images. A full recipe decays weights that
# no gradient reaches by a quarter or so (rate x decay x steps); over two hundred steps that takes
# a decay of 0.02. Without crops, which few steps have no use for.
LAPTOP = NetworkConfig(
    name="laptop",
    dataset="patches32",
    n_train=1200,
    n_test=490,
    width=1 / 8,
    epochs=6,
    batch_size=32,
    lr=0.05,
    warmup=0.1,
    weight_decay=0.02,
    clip=1.0,
    crop_padding=0,
    precision="float32",
)
LAPTOP_RESNET = replace(
    LAPTOP, architecture="resnet50", width=1 / 16, n_train=800, epochs=3, lr=0.1
)
SMOKE = replace(LAPTOP, name="smoke", n_train=160, n_test=70, width=1 / 16, epochs=1)
SMOKE_RESNET = replace(SMOKE, architecture="resnet50", width=1 / 32)

Plans = dict[str, tuple[tuple[Any, int], ...]]


def configure_pools(base: NetworkConfig) -> tuple[NetworkConfig, ...]:
    """Return a configuration with each of the paper's four pools."""
    return tuple(with_pool(base, stride) for stride in STRIDES)


def plan_all(asked: Callable[[NetworkConfig], Any]) -> Plans:
    """Return the plans of an experiment that asks something of every network.

    Args:
        asked: from a network's configuration to the experiment's own.
    """

    def pairs(*scales: tuple[NetworkConfig, int]) -> tuple[tuple[Any, int], ...]:
        return tuple((asked(one), n) for base, n in scales for one in configure_pools(base))

    resnet = replace(PAPER, architecture="resnet50"), replace(USUAL, architecture="resnet50")
    tiny_resnet = replace(TINY, architecture="resnet50")
    return {
        "smoke": pairs((SMOKE, 2), (SMOKE_RESNET, 1)),
        "laptop": pairs((LAPTOP, 3), (LAPTOP_RESNET, 2)),
        "paper": pairs(
            (QUARTER, 5),
            (QUARTER_RESNET, 3),  # of two seeds' likeness there is no interval
            (HALF, 1),
            (USUAL, 5),
            (resnet[1], 5),
            (PRINTED, 1),
            (PLAIN, 1),
            (PAPER, 5),
            (resnet[0], 5),
            (TINY, 5),
            (tiny_resnet, 5),
        ),
    }
