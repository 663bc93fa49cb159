"""Parameters of the notebooks about receptive fields and their measurement."""

from __future__ import annotations

from erfbook.profiles import ParameterError, Parameters, param


class FourierBinomial(Parameters):
    """Equations 1 to 12 of Luo et al. (2016) and section 2.5, each with a check that runs."""

    notebook = "fourier_binomial"
    limits = {
        "smoke": "All exact results stand; stacks stop at 128 layers, and 100 random networks a "
        "depth leave the factor of ReLU uncertain by a few per cent.",
        "laptop": "All exact results stand; the simulated networks are one-dimensional, with few "
        "channels and normal weights, and say nothing about trained ones.",
        "paper": "All exact results stand; the simulated networks are one-dimensional, with few "
        "channels and normal weights, and say nothing about trained ones.",
    }
    max_depth: int = param(
        "deepest stack whose coefficients are expanded exactly",
        unit="layers", low=32, high=4096, smoke=128, laptop=512, paper=1024,
    )  # fmt: skip
    kernels: tuple[int, ...] = param(
        "kernels of ones whose growth and limit are shown",
        unit="taps", low=2, high=31, smoke=(2, 3, 5, 7), laptop=(2, 3, 5, 7), paper=(2, 3, 5, 7),
    )  # fmt: skip
    random_depths: tuple[int, ...] = param(
        "depths of the random networks",
        unit="layers", low=1, high=64, smoke=(1, 4, 8), laptop=(1, 2, 4, 8, 12, 16),
        paper=(1, 2, 4, 8, 12, 16, 20),
    )  # fmt: skip
    n_networks: int = param(
        "random networks a depth",
        unit="networks", low=20, high=100_000, smoke=100, laptop=500, paper=2000,
    )  # fmt: skip
    channels: int = param(
        "channels of every layer of the random networks",
        unit="channels", low=1, high=256, smoke=16, laptop=32, paper=32,
    )  # fmt: skip
    seed: int = param(
        "seed of the random networks", low=0, high=2**31 - 1, smoke=0, laptop=0, paper=0
    )


class TheoreticalRf(Parameters):
    """Receptive fields by arithmetic: one path, any graph, the published table, the border."""

    notebook = "theoretical_rf"
    limits = {
        "smoke": "All exact results stand; effective sizes rest on two random networks and a "
        "single crop, and show little more than that they were measured.",
        "laptop": "All exact results stand; effective sizes are those of small ensembles and of "
        "one trained network. Accuracies are published ones, of ten networks.",
        "paper": "All exact results stand; effective sizes are those of small ensembles and of "
        "one trained network. Accuracies are published ones, of ten networks.",
    }
    n_stacks: int = param(
        "random stacks on which recurrences, closed forms and execution are compared",
        unit="stacks", low=10, high=100_000, smoke=50, laptop=200, paper=3000,
    )  # fmt: skip
    side_px: int = param(
        "side of the image whose border cuts fields; the published table is for 224",
        unit="px", low=64, high=2048, smoke=224, laptop=224, paper=224,
    )  # fmt: skip
    padding_sides: tuple[int, ...] = param(
        "sides of the image at which effective paddings are compared with their rule",
        unit="px", low=129, high=1024, smoke=(193, 214, 235, 256),
        laptop=tuple(range(193, 257, 9)), paper=tuple(range(193, 257, 3)),
    )  # fmt: skip
    complete: tuple[str, ...] = param(
        "networks for which the smallest image is searched that holds a whole field",
        choices=("AlexNet", "VGG-16", "GoogLeNet", "ResNet-50", "EfficientNet-Lite0"),
        smoke=("AlexNet", "VGG-16"), laptop=("AlexNet", "VGG-16"),
        paper=("AlexNet", "VGG-16", "GoogLeNet", "ResNet-50", "EfficientNet-Lite0"),
    )  # fmt: skip
    depths: tuple[int, ...] = param(
        "depths of the random stacks whose effective size is measured",
        unit="layers", low=2, high=80, smoke=(5, 10, 20), laptop=(5, 10, 20, 40),
        paper=(5, 10, 20, 40, 80),
    )  # fmt: skip
    n_networks: int = param(
        "random networks of a kind whose effective size is measured",
        unit="networks", low=1, high=1000, smoke=2, laptop=4, paper=20,
    )  # fmt: skip
    n_inputs: int = param(
        "random inputs of each of them", unit="inputs", low=1, high=1000,
        smoke=1, laptop=2, paper=8,
    )  # fmt: skip
    n_crops: int = param(
        "crops of photographs on which the trained network is measured",
        unit="crops", low=1, high=10_000, smoke=1, laptop=4, paper=48,
    )  # fmt: skip
    tile_px: int = param(
        "side of a tile of the U-Net's output", unit="px", low=32, high=128,
        smoke=64, laptop=64, paper=64,
    )  # fmt: skip
    seed: int = param(
        "of the random stacks and of the U-Net's weights", low=0, high=2**31 - 1,
        smoke=0, laptop=0, paper=0,
    )  # fmt: skip


class WhereAUnitLooks(Parameters):
    """The tools that the Distill article names, asked where two units of one network look."""

    notebook = "where_a_unit_looks"
    limits = {
        "smoke": "Few samples, steps and patches: what is exact stays exact, but sizes and "
        "correlations of the sampled methods are rough.",
        "laptop": "One network, two of its units and one photograph: it says how these tools "
        "behave on an input where the right answer is known, not how they behave on average.",
        "paper": "One network, two of its units and one photograph, with finer patches and more "
        "samples: it says how these tools behave here, not how they behave on average.",
    }
    photograph: str = param(
        "the photograph whose middle the units see",
        smoke="cat", laptop="cat", paper="cat",
        choices=("astronaut", "cat", "coffee", "motorcycle", "rocket"),
    )  # fmt: skip
    n_changes: int = param(
        "other photographs, channels and sets of shuffled weights that are tried",
        low=1, high=4, smoke=1, laptop=3, paper=4,
    )  # fmt: skip
    n_steps: int = param(
        "steps of integrated gradients",
        unit="steps", low=4, high=4096, smoke=16, laptop=64, paper=512,
    )  # fmt: skip
    n_samples: int = param(
        "samples of SHAP's GradientExplainer",
        unit="samples", low=2, high=10_000, smoke=8, laptop=32, paper=400,
    )  # fmt: skip
    n_evals: int = param(
        "evaluations of the network by SHAP's PartitionExplainer",
        unit="images", low=16, high=100_000, smoke=64, laptop=500, paper=4000,
    )  # fmt: skip
    patch_px: int = param(
        "side of the patch of occlusion", unit="px", low=4, high=64, smoke=16, laptop=16, paper=16
    )
    stride_px: int = param(
        "step between positions of the patch",
        unit="px", low=1, high=64, smoke=16, laptop=12, paper=4,
    )  # fmt: skip
    bars_px: tuple[int, ...] = param(
        "widths of the bars that test how far occlusion reaches",
        unit="px", low=1, high=64, smoke=(1, 16), laptop=(1, 8, 16, 32),
        paper=(1, 2, 4, 8, 16, 32, 48, 64),
    )  # fmt: skip
    seed: int = param(
        "of SHAP's samples", low=0, high=2**31 - 1, smoke=0, laptop=0, paper=0
    )  # fmt: skip


class ErfVerification(Parameters):
    """Section 3.1 of Luo et al. (2016): every figure at its size, measured and predicted."""

    notebook = "erf_verification"
    limits = {
        "smoke": "Fewer networks and shallower stacks than the paper: it shows that everything "
        "runs; its intervals are too wide to decide on slopes or on how Gaussian a panel is.",
        "laptop": "The paper's own sizes. What stays undecided is what the paper leaves open: its "
        "networks' width, its statistic, its depths, and where its strided layers sit.",
        "paper": "The paper's own sizes, with more resamples and more runs behind the share of "
        "all-zero gradients. What the paper leaves open stays undecided.",
    }
    n_networks: int = param(
        "random networks averaged in a panel of figure 1, at a depth of figure 2, or per structure",
        unit="networks", low=4, high=1000, smoke=8, laptop=20, paper=20,
    )  # fmt: skip
    n_runs: int = param(
        "runs over weights and inputs in the nonlinearity figure",
        unit="runs", low=4, high=10_000, smoke=30, laptop=100, paper=100,
    )  # fmt: skip
    depths: tuple[int, ...] = param(
        "depths of figure 1 and of the share of all-zero gradients",
        unit="layers", low=2, high=100, smoke=(5, 10, 20, 40), laptop=(5, 10, 20, 40),
        paper=(5, 10, 20, 40),
    )  # fmt: skip
    growth_depths: tuple[int, ...] = param(
        "depths of figure 2, which the paper does not list; chosen by us so that both published "
        "slopes can hold at once",
        unit="layers", low=2, high=200, smoke=(10, 20, 30, 40), laptop=tuple(range(10, 101, 10)),
        paper=tuple(range(10, 101, 10)),
    )  # fmt: skip
    n_repeats: int = param(
        "repeats of figure 2 with one-channel networks; wide ones get a quarter as many",
        unit="repeats", low=2, high=1000, smoke=4, laptop=20, paper=80,
    )  # fmt: skip
    channels: int = param(
        "width of the wide random networks; the paper states none, its analysis has 1",
        unit="channels", low=2, high=256, smoke=8, laptop=16, paper=16,
    )  # fmt: skip
    dead_channels: tuple[int, ...] = param(
        "widths at which all-zero gradients are counted",
        unit="channels", low=1, high=256, smoke=(1, 4), laptop=(1, 2, 4, 16), paper=(1, 2, 4, 16),
    )  # fmt: skip
    n_dead: int = param(
        "ReLU networks in which all-zero gradients are counted, for each depth and width",
        unit="networks", low=10, high=100_000, smoke=50, laptop=400, paper=4000,
    )  # fmt: skip
    keep: float = param(
        "probability that dropout keeps an input", low=0.05, high=1.0,
        smoke=0.5, laptop=0.5, paper=0.5,
    )  # fmt: skip
    threshold: float = param(
        "share of the centre above which a pixel counts as effective: the paper's 1 - 95.45 %",
        low=0.001, high=0.9, smoke=0.0455, laptop=0.0455, paper=0.0455,
    )  # fmt: skip
    n_bootstrap: int = param(
        "resamples of the networks behind each interval",
        unit="resamples", low=50, high=100_000, smoke=200, laptop=1000, paper=4000,
    )  # fmt: skip
    seed: int = param("of weights, inputs, dropout and resamples",
        low=0, high=2**31 - 1, smoke=0, laptop=0, paper=0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse depths between which there is no slope.

        Raises:
            ParameterError: ``growth_depths`` names one depth alone.
        """
        if len(set(self.growth_depths)) < 2:
            given = ",".join(map(str, self.growth_depths))
            raise ParameterError(
                "growth_depths must name two depths or more, through which a slope is fitted, such "
                f"as 10,20; not {given}"
            )


class ErfPhotographs(Parameters):
    """The field of a trained network on photographs, against copies that never learnt."""

    notebook = "erf_photographs"
    limits = {
        "smoke": "Two crops, one initialisation: it shows that everything runs; intervals over "
        "crops are not to be trusted and say nothing about initialisations.",
        "laptop": "One network and a handful of photographs: it says what this network does, with "
        "intervals over crops and initialisations, not what training does in general.",
        "paper": "One network and a handful of photographs, with more crops and initialisations: "
        "it says what this network does, not what training does in general.",
    }
    n_crops: int = param(
        "crops of the photographs averaged in a map",
        unit="crops", low=2, high=10_000, smoke=2, laptop=12, paper=96,
    )  # fmt: skip
    crop_px: int = param(
        "side of a crop; photographs that are smaller are left out",
        unit="px", low=224, high=427, smoke=384, laptop=384, paper=384,
    )  # fmt: skip
    n_seeds: int = param(
        "copies of each untrained or shuffled kind",
        unit="copies", low=1, high=100, smoke=1, laptop=3, paper=10,
    )  # fmt: skip
    n_bootstrap: int = param(
        "resamples of crops and copies behind each interval",
        unit="resamples", low=10, high=10_000, smoke=10, laptop=60, paper=400,
    )  # fmt: skip
    seed: int = param(
        "seed of the places of the crops", low=0, high=2**31 - 1, smoke=0, laptop=0, paper=0
    )
