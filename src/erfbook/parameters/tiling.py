"""Parameters of the chapter on pictures that drive all units of a channel."""

from __future__ import annotations

from erfbook.profiles import Parameters, param


class Tiling(Parameters):
    """What a channel prefers when all of its units are driven at once."""

    notebook = "tiling"
    limits = {
        "smoke": "Fields are exact; the pictures are small, of four channels and after six steps: "
        "they show that everything runs, and nothing else.",
        "laptop": "Fields are exact. Pictures have 128 px instead of 224, take fourteen steps, and "
        "there are twelve channels a layer, with two or three restarts. Layers are chosen by their "
        "share of this smaller picture and are therefore shallower than at 224 px.",
        "paper": "The paper's network, a GoogLeNet for 869 classes of persons and clothing, was "
        "not published; nor are its steps, its blur or its step size.",
    }
    network: str = param(
        "efficientnet_lite0 or any of torchvision's networks (whose weights may be downloaded)",
        smoke="efficientnet_lite0", laptop="efficientnet_lite0", paper="efficientnet_lite0",
    )  # fmt: skip
    side: int = param(
        "side of a picture, a multiple of the network's stride",
        unit="px", low=64, high=1024, smoke=64, laptop=128, paper=224,
    )  # fmt: skip
    n_channels: int = param(
        "channels a layer, drawn at random",
        unit="channels", low=2, high=1000, smoke=4, laptop=12, paper=20,
    )  # fmt: skip
    steps: int = param(
        "steps of the ascent", unit="steps", low=1, high=10_000, smoke=6, laptop=14, paper=96,
    )  # fmt: skip
    seed: int = param(
        "seed of channels, starts and crops", low=0, high=10_000, smoke=0, laptop=0, paper=0
    )  # fmt: skip
