"""Parameters of the notebooks that train networks."""

from __future__ import annotations

from erfbook.profiles import ParameterError, Parameters, param


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
        unit="images", low=0, high=50_000, smoke=256, laptop=1200, paper=0,
    )  # fmt: skip
    epochs: float = param(
        # From one on, a set of any size gives a step, and so a field after training.
        "passes over them",
        unit="epochs",
        low=1,
        high=1000,
        smoke=2,
        laptop=4,
        paper=60,
    )
    lr: float = param(
        "largest learning rate of the classifier",
        low=1e-6, high=10, smoke=0.03, laptop=0.03, paper=0.1,
    )  # fmt: skip
    other_lr: float = param(
        "a second rate, to see what depends on it; 0 for none",
        low=0, high=10, smoke=0, laptop=0, paper=0,
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
        unit="crops", low=1, high=100, smoke=2, laptop=2, paper=8,
    )  # fmt: skip
    initial_channels: int = param(
        "width of these", unit="channels", low=1, high=256, smoke=6, laptop=8, paper=16
    )


class ErfDistance(Parameters):
    """How far the field grows when the task asks for evidence at a distance."""

    notebook = "erf_distance"
    limits = {
        "smoke": "A small network, short distances and two runs: it shows that everything runs; "
        "intervals over two runs decide little.",
        "laptop": "One plain network of four layers on synthetic images: it says how far such a "
        "field goes when asked, not what photographs ask for.",
        "paper": "One plain network of seven layers on synthetic images, distances up to 24 px: it "
        "says how far such a field goes when asked, not what photographs ask for.",
    }
    n_seeds: int = param(
        "training runs of each task", unit="runs", low=2, high=100, smoke=2, laptop=3, paper=5
    )
    distances: tuple[int, ...] = param(
        "of the marks in an image, each of which is asked for in turn; rising, 0 is the control",
        unit="px", low=0, high=200, smoke=(0, 3, 6), laptop=(0, 4, 8, 12),
        paper=(0, 4, 8, 16, 24),
    )  # fmt: skip
    kernels: tuple[int, ...] = param(
        "kernels of the network's layers, odd; their field must hold the farthest mark",
        unit="px", low=1, high=51, smoke=(5,) * 4, laptop=(9,) * 4, paper=(9,) * 7,
    )  # fmt: skip
    channels: int = param(
        "width of every layer", unit="channels", low=1, high=512, smoke=8, laptop=8, paper=8
    )
    contrast: float = param(
        "how much lighter or darker a mark is than its ground",
        unit="grey levels", low=1, high=127, smoke=100, laptop=80, paper=80,
    )  # fmt: skip
    n_train: int = param(
        "images a network learns from, each seen once",
        unit="images", low=50, high=10_000_000, smoke=2000, laptop=6500, paper=40_000,
    )  # fmt: skip
    n_test: int = param(
        "images behind an accuracy", unit="images", low=50, high=1_000_000,
        smoke=200, laptop=400, paper=2000,
    )  # fmt: skip
    n_maps: int = param(
        "images behind a map", unit="images", low=2, high=100_000, smoke=16, laptop=48, paper=200
    )
    lr: float = param("largest learning rate", low=1e-6, high=10, smoke=0.1, laptop=0.1, paper=0.1)
    n_pairs: int = param(
        "pairs of images behind a measured speed of learning",
        unit="pairs", low=4, high=100_000, smoke=40, laptop=300, paper=2000,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to compare: the centre is the control of the farther marks.

        Raises:
            ParameterError: the first distance is not 0, or fewer than two others follow.
        """
        first, *others = self.distances
        if first != 0 or 0 in others or len(set(others)) < max(2, len(others)):
            given = ",".join(map(str, self.distances))
            raise ParameterError(
                "distances must be 0, the control at the centre, and two others or more, each "
                f"once, such as 0,3,6; not {given}"
            )


class GaussianDamage(Parameters):
    """Initialisations and connections that were proposed against the Gaussian."""

    notebook = "gaussian_damage"
    limits = {
        "smoke": "All exact results stand; the trained networks are tiny, take ten steps and have "
        "two seeds: they show that everything runs, and nothing else.",
        "laptop": "All exact results stand, and initial fields are measured to a few per cent. "
        "Speeds are those of the first hundred steps of small networks on few images; what happens "
        "on all of CIFAR-10 only the paper profile or published records can say.",
        "paper": "The paper describes neither its network nor its profile of weights: those, and "
        "the training, are ours. Seeds are enough to see a difference of 30 %, not one of 3 %.",
    }
    n_seeds: int = param(
        "training runs of each initialisation, paired by seed",
        unit="runs", low=2, high=18, smoke=2, laptop=8, paper=10,
    )  # fmt: skip
    n_link_seeds: int = param(
        "training runs of each kind of connections, paired by seed",
        unit="runs", low=2, high=18, smoke=2, laptop=5, paper=5,
    )  # fmt: skip
    dataset: str = param(
        "images; auto: CIFAR-10 where it is present, else embedded patches",
        choices=("auto", "cifar10", "patches32"), smoke="patches32", laptop="auto", paper="auto",
    )  # fmt: skip
    n_train: int = param(
        "training images; 0 for all",
        unit="images", low=0, high=50_000, smoke=320, laptop=3200, paper=0,
    )  # fmt: skip
    epochs: float = param(
        "passes over them", unit="epochs", low=0.1, high=1000, smoke=1, laptop=1, paper=10
    )
    lr: float = param("learning rate", low=1e-6, high=10, smoke=0.1, laptop=0.1, paper=0.1)
    channels: int = param(
        "width of the trained networks",
        unit="channels", low=1, high=512, smoke=8, laptop=16, paper=64,
    )  # fmt: skip
    depth: int = param(
        "layers of the trained networks; after an odd number of corner-only layers no path leads "
        "to the middle pixel",
        unit="layers", low=1, high=64, smoke=4, laptop=6, paper=10,
    )  # fmt: skip
    field_depth: int = param(
        "layers of the networks whose initial fields are measured",
        unit="layers", low=1, high=40, smoke=4, laptop=10, paper=20,
    )  # fmt: skip
    n_networks: int = param(
        "random networks behind an initial field",
        unit="networks", low=2, high=1000, smoke=3, laptop=12, paper=50,
    )  # fmt: skip
    n_starts: int = param(
        "random kernels that the ascents begin from",
        unit="kernels", low=2, high=10_000, smoke=5, laptop=50, paper=1000,
    )  # fmt: skip
    n_random: int = param(
        "random kernels whose limit is followed",
        unit="kernels", low=2, high=10_000, smoke=20, laptop=100, paper=1000,
    )  # fmt: skip
