"""The ResNet that Luo et al. (2016) trained on CIFAR-10: 17 residual blocks, no downsampling."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from erfbook.models.residual import ConvSpec, ResidualUnit, conv_unit

N_BLOCKS = 17


class CifarResNet(nn.Module):
    """A stem, equal residual blocks of stride 1, an optional last layer, a mean and a linear head.

    The paper gives the number of blocks; kernels and widths are ours. ``features`` is everything up
    to the last plane, of which the paper states the theoretical receptive field.

    Args:
        channels: of every layer.
        n_blocks: residual blocks.
        block_kernels: sides of the convolutions in each block.
        stem_kernel: side of the first convolution's kernel.
        last_kernel: side of an average pool of stride 1 behind the blocks; none if 1.
        n_classes: outputs.
    """

    def __init__(
        self,
        channels: int = 16,
        *,
        n_blocks: int = N_BLOCKS,
        block_kernels: Sequence[int] = (3, 3),
        stem_kernel: int = 3,
        last_kernel: int = 1,
        n_classes: int = 10,
    ) -> None:
        super().__init__()
        specs = [ConvSpec(kernel, 1, channels) for kernel in block_kernels]
        self.features = nn.Sequential()
        self.features.add_module("stem", conv_unit(3, ConvSpec(stem_kernel, 1, channels)))
        for i in range(n_blocks):
            self.features.add_module(f"block{i + 1}", ResidualUnit(channels, specs))
        if last_kernel > 1:
            self.features.add_module("last", nn.AvgPool2d(last_kernel, 1))
        self.head = nn.Linear(channels, n_classes)

    def forward(self, x: Float[Tensor, "batch 3 row column"]) -> Float[Tensor, "batch n_classes"]:
        return self.head(self.features(x).mean((2, 3)))
