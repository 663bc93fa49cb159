"""Parameters of the notebook on the similarity of representations."""

from __future__ import annotations

from erfbook.profiles import Parameters, param


class Representations(Parameters):
    """How alike the layers of two seeds are, behind pools of different sizes."""

    notebook = "representations"
    limits = {
        "smoke": "Networks of a few channels after one pass over few images, two seeds of each: it "
        "shows that everything runs, and says nothing of the paper.",
        "laptop": "Narrow twins of the paper's networks after a few epochs on few images; the "
        "ResNet-50 has hardly begun to learn. It shows how the measurement works and what these "
        "twins do; the paper's figure needs published records of all of CIFAR-10.",
        "paper": "The paper's networks, data and number of images; widths, batch size and "
        "augmentation are ours, since the paper does not state them.",
    }
    n_networks: int = param(
        "seeds of the VGG-like network behind each pool; all pairs are compared",
        unit="networks", low=2, high=20, smoke=2, laptop=3, paper=5,
    )  # fmt: skip
    n_resnets: int = param(
        "seeds of ResNet-50 behind each pool; two make one pair and no interval",
        unit="networks", low=2, high=20, smoke=2, laptop=2, paper=5,
    )  # fmt: skip
    n_images: int = param(
        "first test images that layers are compared on; the paper's 1000",
        unit="images", low=32, high=10_000, smoke=48, laptop=200, paper=1000,
    )  # fmt: skip
    n_draws: int = param(
        "draws of unrelated features for each number of them",
        unit="draws", low=1, high=1000, smoke=1, laptop=3, paper=20,
    )  # fmt: skip
    dataset: str = param(
        "images of the networks; auto: CIFAR-10 where it is present, else embedded patches",
        choices=("auto", "cifar10", "patches32"), smoke="patches32", laptop="auto", paper="cifar10",
    )  # fmt: skip
