"""Parameters of the sheet of one channel."""

from __future__ import annotations

from erfbook.profiles import Parameters, param


class UnitSheet(Parameters):
    """What one channel of any layer prefers at chosen positions, and everywhere at once."""

    notebook = "unit_sheet"
    limits = {
        "smoke": "Tiny images and four steps: this shows that everything runs, and nothing else.",
        "laptop": "Small images: the border cuts off more of a field than at 224 px.",
        "paper": "Images of 224 px and many steps.",
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
    layer: str = param(
        "path of the module, as model.named_modules() lists it",
        smoke="_blocks.4", laptop="_blocks.6", paper="_blocks.9",
    )  # fmt: skip
    channel: int = param("of the layer's output", low=0, smoke=7, laptop=7, paper=7)
    positions: tuple[str, ...] = param(
        "centre, edge, corner, border, or row:column on the layer's grid",
        smoke=("centre", "corner"), laptop=("centre", "edge", "corner"),
        paper=("centre", "edge", "corner"),
    )  # fmt: skip
    tiled: bool = param(
        "whether all of the channel's units are driven at once too",
        smoke=True, laptop=True, paper=True,
    )  # fmt: skip
    side_px: int = param(
        "side of the images", unit="px", low=32, high=1024, smoke=64, laptop=128, paper=224
    )
    n_restarts: int = param(
        "pictures of each kind", unit="pictures", low=1, high=6, smoke=2, laptop=3, paper=3
    )
    steps: int = param(
        "of each ascent", unit="steps", low=1, high=5000, smoke=4, laptop=48, paper=256
    )
    method: str = param(
        "ascent on pixels, which is the paper's, or on Fourier coefficients",
        choices=("pixels", "fourier"), smoke="pixels", laptop="pixels", paper="pixels",
    )  # fmt: skip
    seed: int = param("of the starts", low=0, high=10_000, smoke=0, laptop=0, paper=0)
