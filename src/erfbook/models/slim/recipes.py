"""Networks written down as recipes: one short word for each layer.

A word is ``kernel[:channels][/stride][v]``, and ``v`` means VALID padding instead of SAME:

===============  ==================================================================================
``3x3:64/2v``    convolution of 3 rows by 3 columns, 64 channels, stride 2, VALID
``dw3x3/2``      depthwise convolution: each channel by itself
``sep7x7:64/2``  separable convolution: depthwise with 8 filters a channel, then 1 x 1
``max3/2v``      max pool of 3 by 3, stride 2
``avg3``         average pool of stride 1
``(1x3:8|3x1:8)``  two layers side by side, their channels concatenated
===============  ==================================================================================

Words in a row are a chain; a list of chains is a block of branches whose outputs are concatenated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from erfbook.models.slim.padding import SameConv2d, SameMaxPool2d

Recipe = str | Sequence[str]
WORD = re.compile(
    r"(?P<kind>dw|sep|max|avg)?(?P<rows>\d+)(x(?P<columns>\d+))?"
    r"(:(?P<channels>\d+))?(/(?P<stride>\d))?(?P<valid>v)?"
)
SEPARABLE_MULTIPLIER = 8  # filters a channel in Inception v2's first layer
NORM_EPSILON = 1e-3


def scaled(channels: int, width: float) -> int:
    """Return a layer's channels at a relative width, at least one."""
    return max(1, round(channels * width))


class Mixed(nn.Module):
    """Branches that read the same input; their channels are concatenated."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        for i, branch in enumerate(branches):
            self.add_module(f"Branch_{i}", branch)

    def forward(
        self, x: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "batch out_channel out_row out_column"]:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class Builder:
    """Turns recipes into modules, and remembers how many channels the last one left.

    Args:
        channels: channels of the input.
        width: factor on all channel counts of the recipes.
        norm: whether batch norm follows a convolution, instead of a bias.
    """

    def __init__(self, channels: int = 3, *, width: float = 1.0, norm: bool = True) -> None:
        self.channels, self.width, self.norm = channels, width, norm

    def network(self, recipes: Mapping[str, Recipe]) -> nn.Sequential:
        """Return a chain of named end points."""
        network = nn.Sequential()
        for name, recipe in recipes.items():
            network.add_module(name, self.layer(recipe))
        return network

    def layer(self, recipe: Recipe) -> nn.Module:
        """Return what one recipe describes: a chain, or a block of branches."""
        if isinstance(recipe, str):
            return self.chain(recipe)
        before, after, branches = self.channels, 0, []
        for branch in recipe:
            self.channels = before
            branches.append(self.chain(branch))
            after += self.channels
        self.channels = after
        return Mixed(branches)

    def chain(self, recipe: str) -> nn.Module:
        """Return the layers of a chain; a single one stands by itself."""
        words = recipe.split()
        if len(words) == 1:
            return self._word(words[0])
        chain = nn.Sequential()
        for letter, word in zip("abcdefgh", words, strict=False):
            chain.add_module(f"{letter}_{_plain_name(word)}", self._word(word))
        return chain

    def _word(self, word: str) -> nn.Module:
        if word.startswith("("):
            return self.layer(word.strip("()").split("|"))
        match = WORD.fullmatch(word)
        if match is None:
            raise ValueError(f"a layer is written like 3x3:64/2v, not {word!r}")
        kind, stride = match["kind"], int(match["stride"] or 1)
        kernel = (int(match["rows"]), int(match["columns"] or match["rows"]))
        if kind in ("max", "avg"):
            return _pool(kind, kernel[0], stride, valid=bool(match["valid"]))
        if kind == "sep":
            deep = self._convolution(
                self.channels * SEPARABLE_MULTIPLIER, kernel, stride, self.channels
            )
            return nn.Sequential(deep, self.unit(int(match["channels"]), (1, 1)))
        if kind == "dw":
            return self.unit(None, kernel, stride)
        return self.unit(int(match["channels"]), kernel, stride, valid=bool(match["valid"]))

    def unit(
        self,
        channels: int | None,
        kernel: tuple[int, int],
        stride: int = 1,
        *,
        valid: bool = False,
        active: bool = True,
    ) -> nn.Sequential:
        """Return a convolution, its batch norm where there is one, and its ReLU.

        Args:
            channels: output channels before the width's factor; None for a depthwise layer.
            kernel, stride: of the convolution.
            valid: VALID padding instead of SAME.
            active: whether a ReLU follows.
        """
        groups = self.channels if channels is None else 1
        n_out = self.channels if channels is None else scaled(channels, self.width)
        unit = nn.Sequential()
        unit.add_module("conv", self._convolution(n_out, kernel, stride, groups, valid))
        if self.norm:
            norm = nn.BatchNorm2d(n_out, eps=NORM_EPSILON)
            unit.add_module("norm", norm)
        if active:
            unit.add_module("relu", nn.ReLU(inplace=True))
        return unit

    def _convolution(self, n_out, kernel, stride, groups=1, valid=False) -> nn.Conv2d:
        layer = nn.Conv2d if valid else SameConv2d
        n_in, self.channels = self.channels, n_out
        return layer(n_in, n_out, kernel, stride, groups=groups, bias=not self.norm)


def _pool(kind: str, kernel: int, stride: int, *, valid: bool) -> nn.Module:
    if kind == "avg":  # SAME, of stride 1 everywhere: padding does not count in the mean
        return nn.AvgPool2d(kernel, 1, kernel // 2, count_include_pad=False)
    return nn.MaxPool2d(kernel, stride) if valid else SameMaxPool2d(kernel, stride)


def _plain_name(word: str) -> str:
    """Return a word as a module's name: its kind and kernel."""
    return "fork" if word.startswith("(") else re.findall(r"[a-z]*[\dx]+", word)[0]
