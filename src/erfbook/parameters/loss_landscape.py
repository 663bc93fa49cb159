"""Parameters of the notebook on the loss landscape."""

from __future__ import annotations

from erfbook.profiles import Parameters, param


class LossLandscape(Parameters):
    """Largest eigenvalues of the loss's Hessian, before and after training, behind four pools."""

    notebook = "loss_landscape"
    limits = {
        "smoke": "Networks of a few channels and the loss of a few images: it shows that all of it "
        "runs, and says nothing of the paper.",
        "laptop": "Narrow twins of the paper's networks, the loss of few images and fewer "
        "eigenvalues than the paper's 90. It shows how the twins' landscapes depend on the pool; "
        "the paper's figures need published records of all of CIFAR-10.",
        "paper": "The paper's networks, data and number of eigenvalues; the images of the loss, "
        "batch norm's mode and the initialisation are ours, since the paper does not state them.",
    }
    n_seeds: int = param(
        "seeds of the untrained VGG-like network behind each pool",
        unit="networks", low=1, high=20, smoke=2, laptop=3, paper=5,
    )  # fmt: skip
    n_trained: int = param(
        "seeds of the trained VGG-like network behind each pool",
        unit="networks", low=1, high=20, smoke=1, laptop=2, paper=5,
    )  # fmt: skip
    n_resnets: int = param(
        "seeds of the untrained ResNet-50 behind each pool",
        unit="networks", low=1, high=20, smoke=1, laptop=2, paper=5,
    )  # fmt: skip
    n_trained_resnets: int = param(
        "seeds of the trained ResNet-50 behind each pool; one has no interval",
        unit="networks", low=1, high=20, smoke=1, laptop=1, paper=5,
    )  # fmt: skip
    n_varied: int = param(
        "seeds behind each change of a setting",
        unit="networks", low=1, high=20, smoke=1, laptop=3, paper=3,
    )  # fmt: skip
    dataset: str = param(
        "images of the networks; auto: CIFAR-10 where it is present, else embedded patches",
        choices=("auto", "cifar10", "patches32"), smoke="patches32", laptop="auto", paper="cifar10",
    )  # fmt: skip
