"""AlexNet v2, VGG-16 and MobileNet v1 as TF-Slim has them, up to the last plane of features."""

from __future__ import annotations

from torch import nn

from erfbook.models.slim.recipes import Builder, Recipe

# Its first layer has no padding, unlike torchvision's.
ALEXNET_V2: dict[str, Recipe] = {
    "conv1": "11x11:64/4v",
    "pool1": "max3/2v",
    "conv2": "5x5:192",
    "pool2": "max3/2v",
    "conv3": "3x3:384",
    "conv4": "3x3:384",
    "conv5": "3x3:256",
    "pool5": "max3/2v",
}
VGG_16_STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, channels
MOBILENET_V1_PAIRS = (  # stride of the depthwise layer, channels of the pointwise one
    *((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)),
    *((1, 512),) * 5,
    *((2, 1024), (1, 1024)),
)


def vgg_recipes(stages: tuple[tuple[int, int], ...] = VGG_16_STAGES) -> dict[str, Recipe]:
    """Return the recipes of a VGG network: stages of 3 x 3 layers, each ended by a 2 x 2 pool."""
    recipes: dict[str, Recipe] = {}
    for stage, (n_layers, channels) in enumerate(stages, 1):
        for layer in range(1, n_layers + 1):
            recipes[f"conv{stage}_{layer}"] = f"3x3:{channels}"
        recipes[f"pool{stage}"] = "max2/2v"
    return recipes


def mobilenet_recipes() -> dict[str, Recipe]:
    """Return the recipes of MobileNet v1: pairs of a depthwise and a pointwise layer."""
    recipes: dict[str, Recipe] = {"Conv2d_0": "3x3:32/2"}
    for i, (stride, channels) in enumerate(MOBILENET_V1_PAIRS, 1):
        recipes[f"Conv2d_{i}_depthwise"] = f"dw3x3/{stride}"
        recipes[f"Conv2d_{i}_pointwise"] = f"1x1:{channels}"
    return recipes


def alexnet_v2(*, width: float = 1.0) -> nn.Sequential:
    """Return AlexNet v2 up to ``pool5``."""
    return Builder(width=width, norm=False).network(ALEXNET_V2)


def vgg_16(*, width: float = 1.0) -> nn.Sequential:
    """Return VGG-16 up to ``pool5``."""
    return Builder(width=width, norm=False).network(vgg_recipes())


def mobilenet_v1(*, width: float = 1.0) -> nn.Sequential:
    """Return MobileNet v1 up to ``Conv2d_13_pointwise``."""
    return Builder(width=width).network(mobilenet_recipes())
