"""The residual unit that the book's own networks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ConvSpec(NamedTuple):
    """One convolution: side of its kernel, stride, output channels."""

    kernel: int
    stride: int
    channels: int


def conv_unit(n_in: int, spec: ConvSpec, *, active: bool = True) -> nn.Sequential:
    """Return a convolution that keeps n / stride values, batch norm and a ReLU.

    An even kernel has no middle: its plane is padded once more at the end than at the start.
    """
    total = spec.kernel - 1
    unit = nn.Sequential()
    if total % 2:
        unit.add_module("pad", nn.ZeroPad2d((total // 2, total // 2 + 1) * 2))
    padding = 0 if total % 2 else total // 2
    conv = nn.Conv2d(n_in, spec.channels, spec.kernel, spec.stride, padding, bias=False)
    unit.add_module("conv", conv)
    unit.add_module("norm", nn.BatchNorm2d(spec.channels))
    if active:
        unit.add_module("relu", nn.ReLU(inplace=True))
    return unit


class ResidualUnit(nn.Module):
    """Convolutions beside a shortcut: the input itself, or a 1 x 1 layer where shapes differ.

    Args:
        n_in: channels of the input.
        specs: the convolutions, from the input up.
    """

    def __init__(self, n_in: int, specs: Sequence[ConvSpec]) -> None:
        super().__init__()
        self.convs = nn.Sequential()
        stride, n_last = 1, n_in
        for i, spec in enumerate(specs):
            unit = conv_unit(n_last, spec, active=i < len(specs) - 1)
            self.convs.add_module(f"conv{i + 1}", unit)
            stride, n_last = stride * spec.stride, spec.channels
        same = stride == 1 and n_last == n_in
        project = ConvSpec(1, stride, n_last)
        self.shortcut = nn.Identity() if same else conv_unit(n_in, project, active=False)

    def forward(
        self, x: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "batch out_channel out_row out_column"]:
        return F.relu(self.shortcut(x) + self.convs(x))
