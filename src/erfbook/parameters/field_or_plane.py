"""Parameters of the notebook that takes the pool's effect apart."""

from __future__ import annotations

from erfbook.profiles import Parameters, param


class FieldOrPlane(Parameters):
    """Field, detail and plane of the pooled networks, changed one at a time."""

    notebook = "field_or_plane"
    limits = {
        "smoke": "All counts are exact; the trained networks are tiny, take a few steps and have "
        "two seeds: they show that everything runs, and nothing else.",
        "laptop": "All counts are exact. The trained networks have an eighth of the channels, few "
        "images and about 150 steps: they may show which part of the effect is large there, not "
        "what happens on all of CIFAR-10 after full training.",
        "paper": "VGG-like networks of a quarter of the width and 20 epochs by a usual recipe, not "
        "the paper's 200 epochs at full width; seeds enough for differences of a point or more.",
    }
    n_seeds: int = param(
        "training runs of each network, paired by seed",
        unit="runs", low=2, high=50, smoke=2, laptop=3, paper=3,
    )  # fmt: skip
    dataset: str = param(
        "images; auto: CIFAR-10 where it is present, else embedded patches",
        choices=("auto", "cifar10", "patches32"), smoke="patches32", laptop="auto", paper="auto",
    )  # fmt: skip
    n_train: int = param(
        "training images; 0 for all",
        unit="images", low=0, high=50_000, smoke=160, laptop=1200, paper=0,
    )  # fmt: skip
    epochs: float = param(
        "passes over them", unit="epochs", low=0.1, high=1000, smoke=1, laptop=4, paper=20
    )
    width: float = param(
        "channels over those of the full network",
        low=0.01, high=2, smoke=0.0625, laptop=0.125, paper=0.25,
    )  # fmt: skip
    rate: float = param(
        "share of the weights pruned in the figure; narrow networks fall to chance at the paper's",
        choices=(0.8, 0.9), smoke=0.8, laptop=0.8, paper=0.9,
    )  # fmt: skip
