"""ResNet v1 as TF-Slim has it: the stride of a block sits in its last unit.

Two habits of these definitions matter for receptive fields. The 3 x 3 layer of stride 2 pads one
value on each side whatever the plane's size ("fixed" padding), where SAME would pad an even plane
at the end only; and a shortcut that must keep pace takes every second value. With fixed padding
both paths are centred on the same pixel; with SAME they are not on an even plane
(``padding="same"`` builds that network). The pool behind the first layer is SAME in both.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from erfbook.models.slim.padding import SameConv2d, SameMaxPool2d
from erfbook.models.slim.recipes import scaled

RESNET_V1_UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
EXPANSION = 4


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 layers beside a shortcut.

    Args:
        n_in, n_mid: channels of the input and of the 3 x 3 layer; the output has 4 times as many.
        stride: of the 3 x 3 layer and of the shortcut.
        padding: of the 3 x 3 layer, see :func:`resnet_v1`.
    """

    def __init__(self, n_in: int, n_mid: int, stride: int, padding: str) -> None:
        super().__init__()
        n_out = EXPANSION * n_mid
        self.shortcut: nn.Module = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
        if n_in != n_out:
            self.shortcut = _unit(nn.Conv2d(n_in, n_out, 1, stride, bias=False), active=False)
        self.conv1 = _unit(nn.Conv2d(n_in, n_mid, 1, bias=False))
        self.conv2 = _unit(_conv3x3(n_mid, stride, padding))
        self.conv3 = _unit(nn.Conv2d(n_mid, n_out, 1, bias=False), active=False)

    def forward(
        self, x: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "batch out_channel out_row out_column"]:
        return F.relu(self.shortcut(x) + self.conv3(self.conv2(self.conv1(x))))


def resnet_v1(
    n_layers: int, *, width: float = 1.0, stride_at: str = "last", padding: str = "fixed"
) -> nn.Sequential:
    """Return ResNet v1 with 50, 101 or 152 layers, up to ``block4``.

    Args:
        n_layers: names the network.
        width: factor on all channel counts.
        stride_at: ``last`` or ``first``: which unit of a block has its stride. TF-Slim's blocks 1
            to 3 end with it; torchvision's stages 2 to 4 begin with it.
        padding: ``fixed`` pads both sides of a strided 3 x 3 layer; ``same`` as SAME does.

    Raises:
        ValueError: there is no such network or option.
    """
    if n_layers not in RESNET_V1_UNITS:
        raise ValueError(f"n_layers must be one of {list(RESNET_V1_UNITS)}, not {n_layers!r}")
    if stride_at not in ("first", "last"):
        raise ValueError(f"stride_at must be 'first' or 'last', not {stride_at!r}")
    if padding not in ("fixed", "same"):
        raise ValueError(f"padding must be 'fixed' or 'same', not {padding!r}")
    n_channels = scaled(64, width)
    network = nn.Sequential()
    network.add_module("conv1", _unit(nn.Conv2d(3, n_channels, 7, 2, 3, bias=False)))
    network.add_module("pool1", SameMaxPool2d(3, 2))
    for block, n_units in enumerate(RESNET_V1_UNITS[n_layers]):
        n_mid = scaled(64 * 2**block, width)
        units = nn.Sequential()
        strided = _strided_unit(block, n_units, stride_at)
        for i in range(n_units):
            stride = 2 if i == strided else 1
            units.add_module(f"unit_{i + 1}", Bottleneck(n_channels, n_mid, stride, padding))
            n_channels = EXPANSION * n_mid
        network.add_module(f"block{block + 1}", units)
    return network


def _strided_unit(block: int, n_units: int, stride_at: str) -> int | None:
    """Return which unit of a block has stride 2: blocks 1-3 end with one, or blocks 2-4 begin."""
    if stride_at == "last":
        return n_units - 1 if block < 3 else None
    return 0 if block > 0 else None


def _conv3x3(channels: int, stride: int, padding: str) -> nn.Conv2d:
    if padding == "same":
        return SameConv2d(channels, channels, 3, stride, bias=False)
    return nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)


def _unit(conv: nn.Conv2d, *, active: bool = True) -> nn.Sequential:
    unit = nn.Sequential()
    unit.add_module("conv", conv)
    unit.add_module("norm", nn.BatchNorm2d(conv.out_channels, eps=1e-5))
    if active:
        unit.add_module("relu", nn.ReLU(inplace=True))
    return unit
