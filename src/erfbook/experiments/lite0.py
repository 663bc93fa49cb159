"""EfficientNet-Lite0 and the photographs it is measured on: the parts of one chapter, joined."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import nn

from erfbook import datasets, models
from erfbook.experiments.photographs import Study, study_photographs

NAME = "efficientnet_lite0"
# Blocks of EfficientNet-Lite0 whose theoretical fields span 67, 147, 339 and 851 px: from well
# inside a crop to larger than it. Chosen by us.
LAYERS = ("_blocks.4", "_blocks.7", "_blocks.10", "_blocks.15")


def load_lite0() -> nn.Module:
    """Return EfficientNet-Lite0 with the trained weights that come in its package."""
    return models.load_model(NAME)


def load_crops(n_crops: int, side: int, seed: int) -> Float[torch.Tensor, "n_crops 3 side side"]:
    """Return normalised random crops of the photographs that are large enough, taking turns."""
    crops, _ = datasets.crop_photographs(datasets.load_photographs(), n_crops, side, seed)
    return datasets.normalise(crops)


def load_square(photograph: str, side: int = 224) -> Float[torch.Tensor, "1 3 side side"]:
    """Return a photograph's central square, resized to ``side`` pixels and normalised."""
    pixels = datasets.load_photographs()[photograph].pixels
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    short = min(image.shape[1:])
    top, left = ((n - short) // 2 for n in image.shape[1:])
    square = image[None, :, top : top + short, left : left + short].float()
    resized = nn.functional.interpolate(square, (side, side), mode="bilinear", antialias=True)
    return datasets.normalise(resized.round().clamp(0, 255).to(torch.uint8))


def study_lite0(
    model: nn.Module,
    crops: Float[torch.Tensor, "n_crops 3 side side"],
    *,
    n_seeds: int,
    n_resamples: int,
) -> Study:
    """Compare the trained network with its copies; arguments as for ``study_photographs``."""
    return study_photographs(
        model,
        lambda: models.load_model(NAME, "none"),
        crops,
        LAYERS,
        n_seeds=n_seeds,
        n_resamples=n_resamples,
    )


def classify(model: nn.Module, photograph: str, side: int = 224) -> tuple[int, str, float]:
    """Return the class a network gives to a photograph's central square.

    Args:
        model: a classifier of images normalised as ImageNet's.
        photograph: name of one of the photographs.
        side: the square is resized to this many pixels.

    Returns:
        The class's index, its name in torchvision's list of ImageNet's classes, its probability.

    >>> classify(load_lite0(), "coffee")[:2]
    (967, 'espresso')
    """
    from torchvision.models import ResNet18_Weights  # brings PyTorch's compiler: seconds

    with torch.no_grad():
        logits = model.eval()(load_square(photograph, side))
    probability, index = logits.softmax(dim=1).max(dim=1)
    names = ResNet18_Weights.DEFAULT.meta["categories"]
    return int(index), names[int(index)], float(probability)
