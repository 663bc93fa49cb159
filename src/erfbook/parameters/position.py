"""Parameters of the chapter on what units prefer at different positions."""

from __future__ import annotations

from erfbook.profiles import Parameters, param


class Position(Parameters):
    """What units of a low, a middle and a high layer prefer at three places of the image."""

    notebook = "position"
    limits = {
        "smoke": "Fields are exact; there are three channels a layer, tiny images and four steps: "
        "this shows that everything runs, and nothing else.",
        "laptop": "Fields are exact, and 20 channels a layer decide whether places differ. Images "
        "have 80 px and ascents take few steps, so pictures are coarse and the layers lower than "
        "they would be on images of 224 px, at which the network was trained.",
        "paper": "Images of 224 px, more channels, restarts and steps. The network and its classes "
        "are not the paper's, whose weights are not published.",
    }
    network: str = param(
        "a name that erfbook's models or torchvision know; all but the default take their "
        "trained weights from the internet",
        smoke="efficientnet_lite0", laptop="efficientnet_lite0", paper="efficientnet_lite0",
    )  # fmt: skip
    weights: str = param(
        "DEFAULT for trained ones, none, or a file",
        smoke="DEFAULT", laptop="DEFAULT", paper="DEFAULT",
    )  # fmt: skip
    side_px: int = param(
        "side of the images, a multiple of 16",
        unit="px", low=64, high=512, smoke=64, laptop=80, paper=224,
    )  # fmt: skip
    n_channels: int = param(
        "channels tested in each layer",
        unit="channels", low=2, high=512, smoke=3, laptop=20, paper=64,
    )  # fmt: skip
    n_restarts: int = param(
        "pictures of a channel at each place",
        unit="pictures", low=2, high=20, smoke=2, laptop=2, paper=4,
    )  # fmt: skip
    steps: int = param(
        "of each ascent", unit="steps", low=1, high=2000, smoke=4, laptop=14, paper=96
    )
    method: str = param(
        "ascent on pixels, which is the paper's, or on Fourier coefficients",
        choices=("pixels", "fourier"), smoke="pixels", laptop="pixels", paper="pixels",
    )  # fmt: skip
    shown_steps: int = param(
        "steps of the pictures shown", unit="steps", low=1, high=2000, smoke=4, laptop=40, paper=256
    )
    shown: str = param(
        "which channel is shown, by how much its places differ",
        choices=("first", "median", "last"), smoke="median", laptop="median", paper="median",
    )  # fmt: skip
