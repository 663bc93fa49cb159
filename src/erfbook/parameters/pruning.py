"""Parameters of the notebook on pruning."""

from __future__ import annotations

from erfbook.profiles import Parameters, param


class Pruning(Parameters):
    """What networks behind different pools lose when they are pruned."""

    notebook = "pruning"
    limits = {
        "smoke": "Fields and parameters are exact; the trained networks are tiny, take a few steps "
        "and guess: they show that everything runs, and nothing else.",
        "laptop": "Fields and parameters are exact. The trained networks are narrow, see few "
        "images and take about two hundred steps; fine-tuning takes half an epoch. Narrow networks "
        "have little to spare: at 90 % they fall to guessing whatever their field. What the "
        "paper's networks do, only the paper profile or published records can say.",
        "paper": "The paper gives neither widths nor batch size, augmentation, scope or layers of "
        "the pruning: those are ours. Tiny ImageNet has to be fetched.",
    }
    n_seeds: int = param(
        "trained VGG-like networks behind each pool",
        unit="networks", low=1, high=20, smoke=1, laptop=3, paper=5,
    )  # fmt: skip
    n_resnets: int = param(
        "trained ResNet-50s behind each pool",
        unit="networks", low=1, high=20, smoke=1, laptop=1, paper=5,
    )  # fmt: skip
    dataset: str = param(
        "images; auto: CIFAR-10 where it is present, else embedded patches",
        choices=("auto", "cifar10", "patches32"), smoke="patches32", laptop="auto", paper="cifar10",
    )  # fmt: skip
    tuned_epochs: float = param(
        "epochs of fine-tuning with the mask held; the paper's 10",
        unit="epochs", low=0.1, high=1000, smoke=0.5, laptop=0.5, paper=10,
    )  # fmt: skip
