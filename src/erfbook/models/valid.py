"""A network of which one unit alone is read: convolutions without padding, and nothing pooled."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from erfbook.errors import UserError


def valid_field_px(kernels: Sequence[int], dilations: Sequence[int] = ()) -> int:
    """Return the side of the unit's theoretical receptive field, in pixels.

    >>> valid_field_px([3, 3]), valid_field_px([9] * 4), valid_field_px([3, 3], [1, 4])
    (5, 33, 11)
    """
    steps = zip(kernels, dilations or [1] * len(kernels), strict=True)
    return 1 + sum((kernel - 1) * dilation for kernel, dilation in steps)


class Middle(nn.Module):
    """The first channel of the square in the middle of an image.

    Args:
        side: of the square, in pixels.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Float[Tensor, "batch 3 row column"]) -> Float[Tensor, "batch 1 side side"]:
        if min(x.shape[2:]) < self.side:
            raise UserError(
                f"the unit's field spans {self.side} px; an image must be as large, not "
                f"{x.shape[2]} x {x.shape[3]}"
            )
        top, left = ((n - self.side) // 2 for n in x.shape[2:])
        return x[:, :1, top : top + self.side, left : left + self.side]


class ValidLayer(nn.Module):
    """A convolution without padding, batch norm and a ReLU, beside a cropped shortcut if asked.

    Args:
        n_in, channels: channels of the input and of the output.
        kernel: side of the kernel, odd.
        dilation: distance between its taps.
        residual: whether the input's middle is added before the ReLU.
    """

    def __init__(
        self, n_in: int, channels: int, *, kernel: int, dilation: int = 1, residual: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, channels, kernel, dilation=dilation, bias=False)
        # He et al.'s variance, which keeps the scale through a ReLU; the norm makes it immaterial
        # for the values and sets how far one step of a given rate moves the layer.
        nn.init.normal_(self.conv.weight, 0.0, math.sqrt(2 / (n_in * kernel**2)))
        self.norm = nn.BatchNorm2d(channels)
        self.margin = (kernel - 1) // 2 * dilation if residual else None

    def forward(
        self, x: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "batch out_channel out_row out_column"]:
        y = self.norm(self.conv(x))
        if self.margin is not None:
            rows, columns = (slice(self.margin, n - self.margin) for n in x.shape[2:])
            y = y + x[:, :, rows, columns]
        return F.relu(y)


class ValidNet(nn.Module):
    """Layers without padding and a 1 x 1 head, on a square exactly as large as one unit's field.

    There is one unit in the top plane, so it is the centre, no border is padded, and nothing is
    computed that it does not see: of a larger image the middle is cut out first. Of the three
    channels the first is read: the images are grey.

    Args:
        channels: of every layer.
        kernels: sides of the layers' kernels, from the input up; odd.
        dilations: of the layers; all 1 if empty.
        residual: whether every layer but the first adds its cropped input.
        n_classes: outputs.

    Raises:
        UserError: a kernel that has no middle, or as many dilations as there are not kernels.
    """

    def __init__(
        self,
        channels: int,
        kernels: Sequence[int],
        *,
        dilations: Sequence[int] = (),
        residual: bool = False,
        n_classes: int = 2,
    ) -> None:
        super().__init__()
        even = [kernel for kernel in kernels if kernel < 1 or kernel % 2 == 0]
        if even or not kernels:
            raise UserError(f"kernels must be odd numbers, at least one, not {tuple(kernels)}")
        dilations = dilations or [1] * len(kernels)
        if len(dilations) != len(kernels):
            raise UserError(
                f"dilations must be as many as kernels ({len(kernels)}), not {len(dilations)}"
            )
        self.features = nn.Sequential(Middle(valid_field_px(kernels, dilations)))
        for i, (kernel, dilation) in enumerate(zip(kernels, dilations, strict=True)):
            layer = ValidLayer(
                channels if i else 1, channels, kernel=kernel, dilation=dilation,
                residual=residual and i > 0,
            )  # fmt: skip
            self.features.add_module(f"layer{i + 1}", layer)
        self.head = nn.Conv2d(channels, n_classes, 1)
        nn.init.normal_(self.head.weight, 0.0, math.sqrt(1 / channels))
        if self.head.bias is not None:  # for the type checker: there is one
            nn.init.zeros_(self.head.bias)

    def forward(self, x: Float[Tensor, "batch 3 row column"]) -> Float[Tensor, "batch n_classes"]:
        return self.head(self.features(x)).flatten(1)
