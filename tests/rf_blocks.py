"""Small modules that move pixels about the way published networks do, in 1-D to 3-D."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
DECONV = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVG = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
LP = {1: nn.LPPool1d, 2: nn.LPPool2d, 3: nn.LPPool3d}
ADAPTIVE_AVG = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
ADAPTIVE_MAX = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}
BATCH = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Do(nn.Module):
    """A function of the image and of submodules, with a label that a person can read."""

    def __init__(self, label: str, function: Callable, *parts: nn.Module):
        super().__init__()
        self.label, self.function = label, function
        self.parts = nn.ModuleList(parts)

    def forward(self, x):
        return self.function(x, *self.parts)

    def extra_repr(self) -> str:
        return self.label


class Both(nn.Module):
    """Two paths brought to one size and number of channels, then joined.

    Args:
        left, right: the paths; an empty `nn.Sequential` is the shortcut.
        how: ``add``, ``sub``, ``mul``, ``maximum``, ``where``, ``cat``.
        at: where the larger plane is cropped: ``start``, ``middle`` or ``end``; any but the one
            that suits both paths leaves them misaligned.
        meet: 1x1 convolution of the right path to the channels of the left one, if they differ.
    """

    def __init__(self, left, right, how: str, at: str, meet: nn.Module | None = None):
        super().__init__()
        self.left, self.right, self.how, self.at = left, right, how, at
        self.meet = meet or nn.Identity()

    def forward(self, x):
        a, b = self.left(x), self.right(x)
        sides = [min(m, n) for m, n in zip(a.shape[2:], b.shape[2:], strict=True)]
        a, b = (crop(t, sides, self.at) for t in (a, b))
        if self.how == "cat":
            return torch.cat([a, b], 1)
        b = self.meet(b)
        if self.how == "where":  # a maximum in other words
            return torch.where(a > b, a, b)
        return getattr(torch, self.how)(a, b)

    def extra_repr(self) -> str:
        return f"{self.how}, crop at the {self.at}"


def crop(x, sides, at: str = "start"):
    """Cut a plane down to ``sides`` pixels."""
    for axis, (old, new) in enumerate(zip(x.shape[2:], sides, strict=True)):
        first = {"start": 0, "middle": (old - new) // 2, "end": old - new}[at]
        x = x.narrow(2 + axis, first, new)
    return x


def space_to_depth(x, block: int):
    """Move each block of pixels into channels, by view and permute."""
    n, batch, channels = x.ndim - 2, x.shape[0], x.shape[1]
    sides = [side // block for side in x.shape[2:]]
    x = x.reshape(batch, channels, *(part for side in sides for part in (side, block)))
    x = x.permute(0, 1, *(3 + 2 * i for i in range(n)), *(2 + 2 * i for i in range(n)))
    return x.reshape(batch, channels * block**n, *sides)


def depth_to_space(x, block: int):
    """Undo `space_to_depth`."""
    n, batch, sides = x.ndim - 2, x.shape[0], x.shape[2:]
    x = x.reshape(batch, -1, *(block,) * n, *sides)
    x = x.permute(0, 1, *(part for i in range(n) for part in (2 + n + i, 2 + i)))
    return x.reshape(batch, x.shape[1], *(side * block for side in sides))


def to_windows(x, window: tuple[int, ...]):
    """Return (batch * windows, tokens, channels) of a plane, as Swin does."""
    n, batch, channels = x.ndim - 2, x.shape[0], x.shape[1]
    each = zip(x.shape[2:], window, strict=True)
    x = x.view(batch, channels, *(part for side, w in each for part in (side // w, w)))
    x = x.permute(0, *(2 + 2 * i for i in range(n)), *(3 + 2 * i for i in range(n)), 1)
    return x.reshape(-1, math.prod(window), channels)


def from_windows(tokens, window: tuple[int, ...], sides: tuple[int, ...]):
    """Undo `to_windows` for a plane of the given sides."""
    n, channels = len(sides), tokens.shape[-1]
    counts = [side // w for side, w in zip(sides, window, strict=True)]
    x = tokens.view(-1, *counts, *window, channels)
    x = x.permute(0, 1 + 2 * n, *(part for i in range(n) for part in (1 + i, 1 + n + i)))
    return x.reshape(x.shape[0], channels, *sides)


class Attention(nn.Module):
    """Attention of (batch, tokens, channels) over all tokens, in one of three spellings."""

    def __init__(self, channels: int, spelling: str, heads: int = 1):
        super().__init__()
        self.spelling, self.heads = spelling, heads
        if spelling == "module":
            self.attend = nn.MultiheadAttention(channels, heads, batch_first=True)
        else:
            self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, tokens):
        if self.spelling == "module":
            return self.attend(tokens, tokens, tokens, need_weights=False)[0]
        batch, length, channels = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, length, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if self.spelling == "function":
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.transpose(-2, -1) * 0.3).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, length, channels))

    def extra_repr(self) -> str:
        return f"{self.spelling}, heads={self.heads}"


class WindowAttention(nn.Module):
    """Attention inside windows of a plane, shifted by a roll if ``shift`` is not 0."""

    def __init__(self, attention: nn.Module, window: tuple[int, ...], shift: int):
        super().__init__()
        self.attention, self.window, self.shift = attention, window, shift

    def forward(self, x):
        sides, dims = x.shape[2:], tuple(range(2, x.ndim))
        short = [-side % w for side, w in zip(sides, self.window, strict=True)]
        y = F.pad(x, [part for s in reversed(short) for part in (0, s)])
        shifts = [self.shift] * len(dims)
        if self.shift:
            y = torch.roll(y, [-s for s in shifts], dims)
        y = from_windows(self.attention(to_windows(y, self.window)), self.window, y.shape[2:])
        if self.shift:
            y = torch.roll(y, shifts, dims)
        return x + crop(y, sides)

    def extra_repr(self) -> str:
        return f"window={self.window}, shift={self.shift}"


class Tokens(nn.Module):
    """A body that works on (batch, tokens, channels), with a class token in front or without."""

    def __init__(self, body: nn.Module, channels: int, class_token: bool):
        super().__init__()
        self.body = body
        self.first = nn.Parameter(torch.ones(1, 1, channels)) if class_token else None

    def forward(self, x):
        sides, tokens = x.shape[2:], x.flatten(2).transpose(1, 2)
        if self.first is not None:
            tokens = torch.cat([self.first.expand(len(x), -1, -1), tokens], 1)
        tokens = tokens + self.body(tokens)
        if self.first is not None:
            tokens = tokens[:, 1:]
        return tokens.transpose(1, 2).unflatten(2, sides)

    def extra_repr(self) -> str:
        return "with a class token" if self.first is not None else ""


class Gate(nn.Module):
    """Squeeze-and-excitation: channels scaled by a function of their means over the plane."""

    def __init__(self, channels: int, n: int, module: bool):
        super().__init__()
        self.pool = ADAPTIVE_AVG[n](1) if module else None
        self.mix = CONV[n](channels, channels, 1)

    def forward(self, x):
        dims = tuple(range(2, x.ndim))
        means = self.pool(x) if self.pool else x.mean(dims, keepdim=True)
        return x * torch.sigmoid(self.mix(means))


def channels_last(x):
    """Return (batch, *sides, channels)."""
    return x.movedim(1, -1)


class LayerNormPerPixel(nn.Module):
    """Layer norm over channels, as in ConvNeXt."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x):
        return self.norm(channels_last(x)).movedim(-1, 1)
