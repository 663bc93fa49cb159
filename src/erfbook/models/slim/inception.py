"""Inception v2, v3, v4 and Inception-ResNet v2 as TF-Slim has them, up to the last plane.

End points bear TF-Slim's names. Inside a ``Mixed`` block a layer is named by its branch, its place
and its kernel: ``Mixed_5b.Branch_1.b_5x5``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from erfbook.models.slim.recipes import Builder, Recipe


def _v2_block(one: int, three: str, double: str, pool: str) -> list[str]:
    """Four branches: 1 x 1, 3 x 3, twice 3 x 3, pool; "a b" are channels along a branch."""
    reduce_3, out_3 = three.split()
    reduce_d, out_d = double.split()
    return [
        f"1x1:{one}",
        f"1x1:{reduce_3} 3x3:{out_3}",
        f"1x1:{reduce_d} 3x3:{out_d} 3x3:{out_d}",
        pool,
    ]


INCEPTION_V2: dict[str, Recipe] = {
    "Conv2d_1a_7x7": "sep7x7:64/2",
    "MaxPool_2a_3x3": "max3/2",
    "Conv2d_2b_1x1": "1x1:64",
    "Conv2d_2c_3x3": "3x3:192",
    "MaxPool_3a_3x3": "max3/2",
    "Mixed_3b": _v2_block(64, "64 64", "64 96", "avg3 1x1:32"),
    "Mixed_3c": _v2_block(64, "64 96", "64 96", "avg3 1x1:64"),
    "Mixed_4a": ["1x1:128 3x3:160/2", "1x1:64 3x3:96 3x3:96/2", "max3/2"],
    "Mixed_4b": _v2_block(224, "64 96", "96 128", "avg3 1x1:128"),
    "Mixed_4c": _v2_block(192, "96 128", "96 128", "avg3 1x1:128"),
    "Mixed_4d": _v2_block(160, "128 160", "128 160", "avg3 1x1:96"),
    "Mixed_4e": _v2_block(96, "128 192", "160 192", "avg3 1x1:96"),
    "Mixed_5a": ["1x1:128 3x3:192/2", "1x1:192 3x3:256 3x3:256/2", "max3/2"],
    "Mixed_5b": _v2_block(352, "192 320", "160 224", "avg3 1x1:128"),
    "Mixed_5c": _v2_block(352, "192 320", "192 224", "max3 1x1:128"),
}


def _v3_block_5(pool: int) -> list[str]:
    branches = ["1x1:64", "1x1:48 5x5:64", "1x1:64 3x3:96 3x3:96"]
    return [*branches, f"avg3 1x1:{pool}"]


def _v3_block_6(n: int) -> list[str]:
    return [
        "1x1:192",
        f"1x1:{n} 1x7:{n} 7x1:192",
        f"1x1:{n} 7x1:{n} 1x7:{n} 7x1:{n} 1x7:192",
        "avg3 1x1:192",
    ]


V3_BLOCK_7 = [
    "1x1:320",
    "1x1:384 (1x3:384|3x1:384)",
    "1x1:448 3x3:384 (1x3:384|3x1:384)",
    "avg3 1x1:192",
]
# The start that v3 and Inception-ResNet v2 share: all VALID but one layer.
V3_STEM: dict[str, Recipe] = {
    "Conv2d_1a_3x3": "3x3:32/2v",
    "Conv2d_2a_3x3": "3x3:32v",
    "Conv2d_2b_3x3": "3x3:64",
    "MaxPool_3a_3x3": "max3/2v",
    "Conv2d_3b_1x1": "1x1:80v",
    "Conv2d_4a_3x3": "3x3:192v",
    "MaxPool_5a_3x3": "max3/2v",
}
INCEPTION_V3: dict[str, Recipe] = {
    **V3_STEM,
    "Mixed_5b": _v3_block_5(32),
    "Mixed_5c": _v3_block_5(64),
    "Mixed_5d": _v3_block_5(64),
    "Mixed_6a": ["3x3:384/2v", "1x1:64 3x3:96 3x3:96/2v", "max3/2v"],
    "Mixed_6b": _v3_block_6(128),
    "Mixed_6c": _v3_block_6(160),
    "Mixed_6d": _v3_block_6(160),
    "Mixed_6e": _v3_block_6(192),
    "Mixed_7a": ["1x1:192 3x3:320/2v", "1x1:192 1x7:192 7x1:192 3x3:192/2v", "max3/2v"],
    "Mixed_7b": V3_BLOCK_7,
    "Mixed_7c": V3_BLOCK_7,
}

V4_BLOCK_A = ["1x1:96", "1x1:64 3x3:96", "1x1:64 3x3:96 3x3:96", "avg3 1x1:96"]
V4_BLOCK_B = [
    "1x1:384",
    "1x1:192 1x7:224 7x1:256",
    "1x1:192 7x1:192 1x7:224 7x1:224 1x7:256",
    "avg3 1x1:128",
]
V4_BLOCK_C = [
    "1x1:256",
    "1x1:384 (1x3:256|3x1:256)",
    "1x1:384 3x1:448 1x3:512 (1x3:256|3x1:256)",
    "avg3 1x1:256",
]
INCEPTION_V4: dict[str, Recipe] = {
    "Conv2d_1a_3x3": "3x3:32/2v",
    "Conv2d_2a_3x3": "3x3:32v",
    "Conv2d_2b_3x3": "3x3:64",
    "Mixed_3a": ["max3/2v", "3x3:96/2v"],
    "Mixed_4a": ["1x1:64 3x3:96v", "1x1:64 1x7:64 7x1:64 3x3:96v"],
    "Mixed_5a": ["3x3:192/2v", "max3/2v"],
    **{f"Mixed_5{letter}": V4_BLOCK_A for letter in "bcde"},
    "Mixed_6a": ["3x3:384/2v", "1x1:192 3x3:224 3x3:256/2v", "max3/2v"],
    **{f"Mixed_6{letter}": V4_BLOCK_B for letter in "bcdefgh"},
    "Mixed_7a": ["1x1:192 3x3:192/2v", "1x1:256 1x7:256 7x1:320 3x3:320/2v", "max3/2v"],
    **{f"Mixed_7{letter}": V4_BLOCK_C for letter in "bcd"},
}

BLOCK_35 = ["1x1:32", "1x1:32 3x3:32", "1x1:32 3x3:48 3x3:64"]
BLOCK_17 = ["1x1:192", "1x1:128 1x7:160 7x1:192"]
BLOCK_8 = ["1x1:192", "1x1:192 1x3:224 3x1:256"]
RESNET_MIXED_5B = ["1x1:96", "1x1:48 5x5:64", "1x1:64 3x3:96 3x3:96", "avg3 1x1:64"]
RESNET_MIXED_6A = ["3x3:384/2v", "1x1:256 3x3:256 3x3:384/2v", "max3/2v"]
RESNET_MIXED_7A = [
    "1x1:256 3x3:384/2v",
    "1x1:256 3x3:288/2v",
    "1x1:256 3x3:288 3x3:320/2v",
    "max3/2v",
]


class ResidualBlock(nn.Module):
    """Branches, a 1 x 1 layer back to the input's channels, and the input added to a share of it.

    Args:
        builder: knows the channels of the input.
        branches: recipes.
        scale: share of the branches that is added.
        active: whether a ReLU follows the sum.
    """

    def __init__(
        self, builder: Builder, branches: Recipe, scale: float, *, active: bool = True
    ) -> None:
        super().__init__()
        channels = builder.channels
        self.branches = builder.layer(branches)
        self.up = nn.Conv2d(builder.channels, channels, 1)
        builder.channels = channels
        self.scale = scale
        self.relu = nn.ReLU() if active else nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "batch channel row column"]:
        branches: Tensor = torch.mul(self.up(self.branches(x)), self.scale)
        return self.relu(x + branches)


def inception_v2(*, width: float = 1.0) -> nn.Sequential:
    """Return Inception v2 up to ``Mixed_5c``."""
    return Builder(width=width).network(INCEPTION_V2)


def inception_v3(*, width: float = 1.0) -> nn.Sequential:
    """Return Inception v3 up to ``Mixed_7c``."""
    return Builder(width=width).network(INCEPTION_V3)


def inception_v4(*, width: float = 1.0) -> nn.Sequential:
    """Return Inception v4 up to ``Mixed_7d``."""
    return Builder(width=width).network(INCEPTION_V4)


def inception_resnet_v2(*, width: float = 1.0) -> nn.Sequential:
    """Return Inception-ResNet v2 up to ``Conv2d_7b_1x1``."""
    builder = Builder(width=width)
    network = builder.network(V3_STEM)
    network.add_module("Mixed_5b", builder.layer(RESNET_MIXED_5B))
    network.add_module("Repeat", _repeat(builder, "block35", BLOCK_35, 10, 0.17))
    network.add_module("Mixed_6a", builder.layer(RESNET_MIXED_6A))
    network.add_module("Repeat_1", _repeat(builder, "block17", BLOCK_17, 20, 0.10))
    network.add_module("Mixed_7a", builder.layer(RESNET_MIXED_7A))
    network.add_module("Repeat_2", _repeat(builder, "block8", BLOCK_8, 9, 0.20))
    network.add_module("Block8", ResidualBlock(builder, BLOCK_8, 1.0, active=False))
    network.add_module("Conv2d_7b_1x1", builder.layer("1x1:1536"))
    return network


def _repeat(
    builder: Builder, name: str, branches: Recipe, n_blocks: int, scale: float
) -> nn.Sequential:
    blocks = nn.Sequential()
    for i in range(1, n_blocks + 1):
        blocks.add_module(f"{name}_{i}", ResidualBlock(builder, branches, scale))
    return blocks
