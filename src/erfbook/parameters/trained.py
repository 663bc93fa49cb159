"""Parameters of the notebooks that train networks."""

from __future__ import annotations

from erfbook.profiles import Parameters, param


class ErfTraining(Parameters):
    """The effective receptive field before, during and after training."""

    notebook = "erf_training"
    limits = {
        "smoke": "A tiny network, a few steps, two runs: it shows that everything runs; its "
        "intervals and accuracies say nothing.",
        "laptop": "Shallower and narrower networks than the paper's on a small set of images: it "
        "says what training does to these, not what it does to the paper's. Those need the paper "
        "profile or published records.",
        "paper": "The paper's blocks, fields and data; width, kernels, initialisation and recipe "
        "are ours, since the paper does not state them.",
    }
    n_seeds: int = param(
        "training runs of each network", unit="runs", low=2, high=100, smoke=2, laptop=3, paper=5
    )
    dataset: str = param(
        "images of the classifier; auto: CIFAR-10 where it is present, else embedded patches",
        choices=("auto", "cifar10", "patches32"), smoke="patches32", laptop="auto", paper="auto",
    )  # fmt: skip
    n_blocks: int = param(
        "residual blocks of the classifier; the paper's has 17",
        unit="blocks", low=1, high=64, smoke=4, laptop=8, paper=17,
    )  # fmt: skip
    channels: int = param(
        "width of the classifier", unit="channels", low=1, high=512, smoke=4, laptop=8, paper=32
    )
    n_train: int = param(
        "training images of the classifier; 0 for all",
        unit="images", low=0, high=50_000, smoke=256, laptop=1500, paper=0,
    )  # fmt: skip
    epochs: float = param(
        "passes over them", unit="epochs", low=0.01, high=1000, smoke=2, laptop=4, paper=60
    )
    lr: float = param(
        "largest learning rate of the classifier",
        low=1e-6, high=10, smoke=0.03, laptop=0.03, paper=0.1,
    )  # fmt: skip
    other_lr: float = param(
        "a second rate, to see what depends on it; 0 for none",
        low=0, high=10, smoke=0, laptop=0.1, paper=0,
    )  # fmt: skip
    scenes: str = param(
        "images of the segmentation network; auto: CamVid where it is present",
        choices=("auto", "camvid", "streets"), smoke="streets", laptop="streets", paper="auto",
    )  # fmt: skip
    n_initial: int = param(
        "untrained networks of a kind that are measured on photographs",
        unit="networks", low=2, high=100, smoke=2, laptop=3, paper=10,
    )  # fmt: skip
    n_crops: int = param(
        "crops of photographs they are measured on",
        unit="crops", low=1, high=100, smoke=1, laptop=2, paper=8,
    )  # fmt: skip
    initial_channels: int = param(
        "width of these", unit="channels", low=1, high=256, smoke=2, laptop=8, paper=16
    )


class ErfDistance(Parameters):
    """How far the field grows when the task asks for evidence at a distance."""

    notebook = "erf_distance"
    limits = {"smoke": "-", "laptop": "-", "paper": "-"}
    n_seeds: int = param("training runs", unit="runs", low=2, high=100, smoke=2, laptop=3, paper=5)


class GaussianDamage(Parameters):
    """Initialisations and connections that were proposed against the Gaussian."""

    notebook = "gaussian_damage"
    limits = {"smoke": "-", "laptop": "-", "paper": "-"}
    n_seeds: int = param("training runs", unit="runs", low=2, high=100, smoke=2, laptop=5, paper=10)
