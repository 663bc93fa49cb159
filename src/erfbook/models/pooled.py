"""Networks with a max pool behind the first convolution (Avendaño): the pool alone sets the field.

No parameter depends on the pool, and heads read the mean of the last plane, so networks that differ
in their pool have the same number of parameters. Pools round up, because on a 32 px image a wide
first pool leaves planes of a single unit before the last stage.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from erfbook.models.residual import ConvSpec, ResidualUnit, conv_unit

VGG_16_STAGES = (2, 2, 3, 3, 3)
VGG_CHANNELS = (64, 128, 256, 512, 512)
RESNET_50_STAGES = (3, 4, 6, 3)


class PooledNet(nn.Module):
    """Features, the mean over the plane, a linear head.

    Args:
        features: everything up to the last plane.
        channels: of that plane.
        n_classes: outputs.
    """

    def __init__(self, features: nn.Sequential, channels: int, n_classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(channels, n_classes)

    def forward(self, x: Float[Tensor, "batch 3 row column"]) -> Float[Tensor, "batch n_classes"]:
        return self.head(self.features(x).mean((2, 3)))


def pooled_vgg(
    pool_kernel: int,
    pool_stride: int,
    *,
    stages: Sequence[int] = VGG_16_STAGES,
    last_pool: bool = False,
    width: float = 1.0,
    n_classes: int = 10,
) -> PooledNet:
    """Return a VGG-like network with a pool of its own behind the first convolution.

    Args:
        pool_kernel, pool_stride: of that pool.
        stages: 3 x 3 convolutions before each 2 x 2 pool; the first one is before the early pool.
        last_pool: whether a 2 x 2 pool ends the last stage too.
        width: factor on the channels of VGG-16.
        n_classes: outputs.

    >>> def count(net): return sum(p.numel() for p in net.parameters())
    >>> count(pooled_vgg(2, 1, width=0.1)) == count(pooled_vgg(5, 4, width=0.1))
    True
    """
    features = nn.Sequential()
    n_in = 3
    for stage, n_convs in enumerate(stages):
        channels = _scaled(VGG_CHANNELS[min(stage, 4)], width)
        for i in range(n_convs):
            spec = ConvSpec(3, 1, channels)
            features.add_module(f"conv{stage + 1}_{i + 1}", conv_unit(n_in, spec))
            n_in = channels
            if stage == i == 0:
                features.add_module("early_pool", _early_pool(pool_kernel, pool_stride))
        if last_pool or stage < len(stages) - 1:
            features.add_module(f"pool{stage + 1}", nn.MaxPool2d(2, 2, ceil_mode=True))
    return PooledNet(features, n_in, n_classes)


def pooled_resnet50(
    pool_kernel: int,
    pool_stride: int,
    *,
    stem_kernel: int = 3,
    width: float = 1.0,
    n_classes: int = 10,
) -> PooledNet:
    """Return ResNet-50 with a stem of stride 1 and a max pool of any kernel and stride.

    The strides of the stages sit in the 3 x 3 layer of their first block, as in torchvision.

    Args:
        pool_kernel, pool_stride: of the pool behind the stem.
        stem_kernel: side of the first convolution's kernel.
        width: factor on the channels.
        n_classes: outputs.
    """
    channels = _scaled(64, width)
    features = nn.Sequential()
    features.add_module("stem", conv_unit(3, ConvSpec(stem_kernel, 1, channels)))
    features.add_module("early_pool", _early_pool(pool_kernel, pool_stride))
    n_in = channels
    for stage, n_blocks in enumerate(RESNET_50_STAGES):
        n_mid = channels * 2**stage
        blocks = nn.Sequential()
        for i in range(n_blocks):
            stride = 2 if stage > 0 and i == 0 else 1
            specs = [ConvSpec(1, 1, n_mid), ConvSpec(3, stride, n_mid), ConvSpec(1, 1, 4 * n_mid)]
            blocks.append(ResidualUnit(n_in, specs))
            n_in = 4 * n_mid
        features.add_module(f"layer{stage + 1}", blocks)
    return PooledNet(features, n_in, n_classes)


def _early_pool(kernel: int, stride: int) -> nn.MaxPool2d:
    """Padding centres the windows as far as the framework lets it: by half a kernel at most."""
    if kernel < 1 or stride < 1:
        raise ValueError(
            f"the early pool needs kernel and stride of 1 or more, not {kernel, stride}"
        )
    return nn.MaxPool2d(kernel, stride, padding=(kernel - 1) // 2, ceil_mode=True)


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))
