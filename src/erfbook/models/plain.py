"""A plain stack of equal convolutions: dense, dilated, or sparse in a larger window."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

CONNECTIONS = ("dense", "dilated", "sparse")
BASES = ("he", "xavier")
N_TAPS = 9  # weights between one input and one output channel, however they are placed


class SparseConv2d(nn.Module):
    """A convolution of stride 1 whose filters each read a few taps at random places of a window.

    The places are drawn once and kept: one set for each output channel, the same for all of its
    input channels. Computed as a convolution with the whole window, in which all other taps are
    zero: on the windows used here that is faster than gathering the few.

    Args:
        n_in, n_out: channels.
        window: side of the window, odd.
        n_taps: taps a filter has.
        generator: of the places.
    """

    taps: Int[Tensor, "n_out n_taps"]

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        window: int,
        n_taps: int = N_TAPS,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        _check_window(window, n_taps)
        self.window = window
        self.weight = nn.Parameter(torch.zeros(n_out, n_in, n_taps))
        self.bias = nn.Parameter(torch.zeros(n_out))
        places = [torch.randperm(window**2, generator=generator)[:n_taps] for _ in range(n_out)]
        self.register_buffer("taps", torch.stack(places))

    def kernel(self) -> Float[Tensor, "n_out n_in window window"]:
        """Return the weights where they are in the window, zeros elsewhere."""
        n_out, n_in, n_taps = self.weight.shape
        empty = self.weight.new_zeros(n_out, n_in, self.window**2)
        places = self.taps[:, None].expand(n_out, n_in, n_taps)
        return empty.scatter(2, places, self.weight).unflatten(2, (self.window, self.window))

    def coverage(self) -> Float[Tensor, "window window"]:
        """Return the share of filters that have a tap at each place of the window."""
        counts = torch.bincount(self.taps.flatten(), minlength=self.window**2)
        return (counts / len(self.taps)).unflatten(0, (self.window, self.window))

    def forward(
        self, x: Float[Tensor, "batch n_in row column"]
    ) -> Float[Tensor, "batch n_out row column"]:
        return F.conv2d(x, self.kernel(), self.bias, padding=self.window // 2)


class PlainConvNet(nn.Module):
    """Equal convolutions of stride 1 with ReLU, a mean over the plane, and a linear head.

    Every layer has nine weights between an input and an output channel. ``features`` is everything
    up to the last plane.

    Args:
        channels: of every layer.
        depth: convolutions.
        connections: ``dense`` 3 x 3 kernels; ``dilated`` 3 x 3 kernels that span the window; or
            ``sparse``, nine taps of the window at random.
        window: side of what a kernel spans: 3 if dense.
        shrink: side of the blocks of pixels that are averaged before the first layer.
        norm: whether each convolution is followed by batch norm.
        n_classes: outputs.
        seed: of the places of sparse taps.

    Raises:
        ValueError: unknown connections, or a window they cannot have.
    """

    def __init__(
        self,
        channels: int = 16,
        *,
        depth: int = 8,
        connections: str = "dense",
        window: int = 3,
        shrink: int = 1,
        norm: bool = False,
        n_classes: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if connections not in CONNECTIONS:
            raise ValueError(
                f"connections must be one of {', '.join(CONNECTIONS)}, not {connections!r}"
            )
        generator = torch.Generator().manual_seed(seed)
        self.features = nn.Sequential()
        if shrink > 1:
            self.features.add_module("shrink", nn.AvgPool2d(shrink))
        for i in range(depth):
            n_in = channels if i else 3
            conv = _connect(n_in, channels, connections, window, generator)
            self.features.add_module(f"conv{i + 1}", conv)
            if norm:
                self.features.add_module(f"norm{i + 1}", nn.BatchNorm2d(channels))
            self.features.add_module(f"relu{i + 1}", nn.ReLU(inplace=True))
        self.head = nn.Linear(channels, n_classes)

    def convolutions(self) -> list[nn.Conv2d | SparseConv2d]:
        """Return the convolutions, from the input up."""
        return [m for m in self.features if isinstance(m, nn.Conv2d | SparseConv2d)]

    def forward(self, x: Float[Tensor, "batch 3 row column"]) -> Float[Tensor, "batch n_classes"]:
        return self.head(self.features(x).mean((2, 3)))


@torch.no_grad()
def initialise(
    model: PlainConvNet,
    *,
    base: str = "he",
    profile: Float[Tensor, "k k"] | None = None,
    seed: int,
) -> PlainConvNet:
    """Draw a network's weights: normal, with a base scheme's variance, spread over a kernel.

    The same seed draws the same normal numbers for every base and profile, so that two of them can
    be compared pair by pair. Biases start at 0; the head is the same for all.

    Args:
        model: changed in place, and returned.
        base: ``he``, variance 2 / inputs, or ``xavier``, 2 / (inputs + outputs) of a unit.
        profile: share of a kernel's total variance at each tap, sum 1; None is the same at all.
            The total is the base scheme's either way.
        seed: of the draws.

    Raises:
        ValueError: an unknown base, or a profile that does not fit the kernels.
    """
    if base not in BASES:
        raise ValueError(f"base must be one of {', '.join(BASES)}, not {base!r}")
    generator = torch.Generator().manual_seed(seed)
    for conv in model.convolutions():
        n_out, n_in, *kernel = conv.weight.shape
        n_taps = math.prod(kernel)
        n_units = n_in if base == "he" else (n_in + n_out) / 2
        draws = torch.randn(conv.weight.shape, generator=generator, dtype=conv.weight.dtype)
        scale = torch.full(kernel, 1 / n_taps) if profile is None else profile
        if list(scale.shape) != kernel:
            raise ValueError(
                f"profile must be of the kernel's shape {tuple(kernel)}, not {tuple(scale.shape)}"
            )
        variance = (2.0 if base == "he" else 1.0) / n_units * scale
        conv.weight.copy_(draws * variance.sqrt().to(draws.dtype))
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    draws = torch.randn(model.head.weight.shape, generator=generator, dtype=model.head.weight.dtype)
    model.head.weight.copy_(draws / math.sqrt(model.head.in_features))
    model.head.bias.zero_()
    return model


def _connect(
    n_in: int, n_out: int, connections: str, window: int, generator: torch.Generator
) -> nn.Conv2d | SparseConv2d:
    if connections == "sparse":
        return SparseConv2d(n_in, n_out, window=window, generator=generator)
    _check_window(window, N_TAPS)
    if connections == "dense" and window != 3:
        raise ValueError(f"window must be 3 for dense connections, not {window}")
    step = window // 2
    return nn.Conv2d(n_in, n_out, 3, padding=step, dilation=step)


def _check_window(window: int, n_taps: int) -> None:
    if window < 3 or window % 2 == 0 or window**2 < n_taps:
        raise ValueError(
            f"window must be odd and hold {n_taps} taps, so at least 3, not {window!r}"
        )
