"""Parameters of the chapter on the gradient that a last layer sends to a random image."""

from __future__ import annotations

from erfbook.profiles import Parameters, param


class PixelImportance(Parameters):
    """How much a last layer's gradient weighs on each pixel, behind pools of different sizes."""

    notebook = "pixel_importance"
    limits = {
        "smoke": "Counts and predictions are exact; the networks have a sixteenth of the channels "
        "and there are four of each, so that their means scatter widely.",
        "laptop": "Counts and predictions are exact; the networks have a quarter of the channels. "
        "The paper's numbers are judged by published records at full width only.",
        "paper": "Full width. What the section leaves open is chosen by us, and varied one choice "
        "at a time in the experiment's sweep.",
    }
    n_networks: int = param(
        "networks behind each pool, one random image each",
        unit="networks", low=4, high=10_000, smoke=4, laptop=50, paper=50,
    )  # fmt: skip
    width: float = param(
        "factor on the channels of the full networks",
        low=0.01, high=2, smoke=1 / 16, laptop=1 / 4, paper=1,
    )  # fmt: skip
