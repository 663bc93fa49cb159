"""Small networks whose receptive fields are known, because a NaN was put into every pixel.

Each case asks one question: the field's size, the first pixel of the central unit's field, or the
number of units. The answer is found by running the network, not by reading it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import SqueezeExcitation

C2, POOL = nn.Conv2d, nn.MaxPool2d


class Wired(nn.Module):
    """Modules by name and a function that wires them."""

    def __init__(self, wire: Callable[..., torch.Tensor], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self._wire = wire

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the wiring."""
        return self._wire(self, x)


@dataclass(frozen=True)
class Case:
    """One network, the size of its input and what is asked: ``size``, ``first`` or ``grid``."""

    name: str
    make: Callable[[], nn.Module]
    input_size: tuple[int, ...] = (4, 40, 40)
    asks: str = "size"

    def model(self) -> nn.Module:
        """Return the network in evaluation mode with equal positive weights, as peers advise."""
        model = self.make().eval()
        for parameter in model.parameters():
            nn.init.constant_(parameter, 0.1)
        return model


def chain(*parts: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*parts)


def wired(wire: Callable[..., torch.Tensor], **parts: nn.Module) -> Callable[[], nn.Module]:
    return lambda: Wired(wire, **parts)


def _shifted(m: Any, x: torch.Tensor) -> torch.Tensor:
    left, right = m.left(x), m.right(x)
    return left[..., :16, :16] + right[..., 2:18, 2:18]


def _sliced(m: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([m.wide(x[:, :2]), m.narrow(x[:, 2:])], 1)


CASES = (
    Case("one path: stride and pooling", chain(C2(4, 4, 3, 2, 1), POOL(3, 2, 1), C2(4, 4, 3))),
    Case("dilation", chain(C2(4, 4, 3, padding=1), C2(4, 4, 3, padding=2, dilation=2))),
    Case("strided, then dilated", chain(C2(4, 4, 3, 2), C2(4, 4, 3, dilation=3))),
    Case(
        "two branches, concatenated",
        wired(
            lambda m, x: m.last(torch.cat([m.left(x), m.right(x)], 1)),
            left=C2(4, 4, 3, padding=1),
            right=nn.Sequential(C2(4, 4, 3, padding=1), C2(4, 4, 5, padding=2)),
            last=C2(8, 4, 3),
        ),
    ),
    Case(
        "residual block",
        wired(lambda m, x: m.last(x + m.body(x)), body=C2(4, 4, 5, padding=2), last=C2(4, 4, 3)),
    ),
    Case("misaligned branches", wired(_shifted, left=C2(4, 4, 3, 2), right=POOL(2, 2))),
    Case(
        "transposed conv", chain(C2(4, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 4, 2, 1), C2(4, 4, 3))
    ),
    Case(
        "upsampling, bilinear",
        chain(C2(4, 4, 3, 2, 1), nn.Upsample(scale_factor=2, mode="bilinear"), C2(4, 4, 3)),
    ),
    Case(
        "upsampling, nearest", chain(POOL(2), nn.Upsample(scale_factor=2), C2(4, 4, 3, padding=1))
    ),
    Case("global pooling", chain(C2(4, 4, 3), nn.AdaptiveAvgPool2d(1), C2(4, 4, 1))),
    Case("squeeze and excite", chain(C2(4, 4, 3), SqueezeExcitation(4, 2), C2(4, 4, 3))),
    Case("where the field begins: padding", chain(C2(4, 4, 5, 2), C2(4, 4, 3, 2, 1)), asks="first"),
    Case(
        "where it begins: dilated padding",
        chain(C2(4, 4, 3, 2, padding=2, dilation=2), C2(4, 4, 3)),
        asks="first",
    ),
    Case(
        "where it begins: F.pad",
        wired(lambda m, x: m.c(F.pad(x, (3, 0, 3, 0))), c=C2(4, 4, 4)),
        asks="first",
    ),
    Case(
        "ceil mode: how many units",
        chain(C2(4, 4, 1), POOL(3, 2, ceil_mode=True), POOL(3, 2, ceil_mode=True)),
        asks="grid",
    ),
    Case("functional pooling", wired(lambda m, x: m.c(F.max_pool2d(x, 2)), c=C2(4, 4, 3))),
    Case("a module used twice", wired(lambda m, x: m.c(m.c(x)), c=C2(4, 4, 3))),
    Case("grouped conv", chain(C2(4, 8, 3, groups=4), C2(8, 8, 3, groups=8))),
    Case(
        "channel slices", wired(_sliced, wide=C2(2, 2, 7, padding=3), narrow=C2(2, 2, 3, padding=1))
    ),
    Case("non-square kernel", chain(C2(4, 4, (3, 7), stride=(1, 2)), C2(4, 4, (3, 1)))),
    Case("1-D", chain(nn.Conv1d(2, 2, 5, 2), nn.Conv1d(2, 2, 3, dilation=4)), (2, 80)),
    Case("3-D", chain(nn.Conv3d(1, 2, 3, 2), nn.Conv3d(2, 2, 3)), (1, 13, 13, 13)),
)


def probe(case: Case) -> tuple[int, ...]:
    """Return the true answer: what a NaN in each single pixel reaches.

    A field's size is its largest extent over all units: at the border only less is read.
    """
    model, sides = case.model(), case.input_size[1:]
    n_pixels = int(np.prod(sides))
    reached = []
    with torch.no_grad():
        for pixels in torch.arange(n_pixels).split(256):
            images = torch.zeros(len(pixels), case.input_size[0], n_pixels)
            images[torch.arange(len(pixels)), :, pixels] = torch.nan
            output = model(images.reshape(len(pixels), *case.input_size))
            reached.append(output.isnan().any(1).numpy())
    seen = np.concatenate(reached)  # pixels, then units
    grid = seen.shape[1:]
    if case.asks == "grid":
        return grid
    if case.asks == "first":
        mask = seen[(slice(None), *(n // 2 for n in grid))].reshape(sides)
        return tuple(int(axis.min()) for axis in np.nonzero(mask))
    extents = []
    for column in seen.reshape(n_pixels, -1).T:
        where = np.nonzero(column.reshape(sides))
        extents.append([axis.max() - axis.min() + 1 for axis in where])
    return tuple(int(n) for n in np.max(extents, axis=0))
