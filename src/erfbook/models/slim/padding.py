"""TensorFlow's padding: SAME depends on the size of the plane, and puts the odd value at the end.

SAME makes an output of ceil(n / s) values, and pads as little as that needs:
(ceil(n / s) - 1) s + k - n in all, half of it, rounded down, before the first value. A 3 x 3 layer
of stride 2 thus pads one value on each side of an odd plane, and none before an even one.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def same_padding(n: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many values SAME adds before and after an axis.

    Args:
        n: values along the axis.
        kernel, stride: of the layer that reads it.

    >>> same_padding(224, kernel=3, stride=2), same_padding(225, kernel=3, stride=2)
    ((0, 1), (1, 1))
    """
    total = max((math.ceil(n / stride) - 1) * stride + kernel - n, 0)
    return total // 2, total - total // 2


def pad_same(
    x: Float[Tensor, "batch channel row column"],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    value: float = 0.0,
) -> Float[Tensor, "batch channel wide_row wide_column"]:
    """Pad both axes of a batch of planes as SAME does."""
    rows, columns = (same_padding(*axis) for axis in zip(x.shape[2:], kernel, stride, strict=True))
    return F.pad(x, (*columns, *rows), value=value)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, found anew for every input."""

    def forward(
        self, input: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "batch out_channel out_row out_column"]:
        padded = pad_same(input, self.kernel_size, self.stride)
        return self._conv_forward(padded, self.weight, self.bias)


class SameMaxPool2d(nn.Module):
    """A max pool with SAME padding; padding never wins, because it is minus infinity."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(
        self, x: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "batch channel out_row out_column"]:
        padded = pad_same(x, (self.kernel,) * 2, (self.stride,) * 2, value=-math.inf)
        return F.max_pool2d(padded, self.kernel, self.stride)

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"
