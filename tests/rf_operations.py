"""Every kind of operation a random graph is built from: how to draw one that fits a plane.

An operation names the oracles that are exact for it (see rf_oracles.py) and the number of spatial
axes it exists for. It receives a `Pick` and the shape (channels, sides), and returns a module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import rf_blocks as blocks
from hypothesis import strategies as st
from rf_blocks import Do
from torch import nn
from torch.nn import functional as F


class Pick:
    """Choices that Hypothesis makes, and can shrink."""

    def __init__(self, draw: Callable):
        self.draw = draw

    def int(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def of(self, values):
        return self.draw(st.sampled_from(list(values)))

    def flag(self) -> bool:
        return self.draw(st.booleans())

    def each(self, low: int, high: int, n: int) -> tuple[int, ...]:
        return tuple(self.int(low, high) for _ in range(n))


@dataclass(frozen=True)
class Operation:
    name: str
    build: Callable[[Pick, int, tuple[int, ...]], nn.Module]
    oracles: tuple[str, ...]
    dims: tuple[int, ...]


OPERATIONS: dict[str, Operation] = {}
ALL = ("nan", "impulse", "generic")
POSITIVE = ("nan", "impulse")  # a maximum, or a mean that could cancel what a bicubic tap brought


def operation(*oracles: str, dims: tuple[int, ...] = (1, 2, 3)):
    def enter(build):
        name = build.__name__
        OPERATIONS[name] = Operation(name, build, oracles or ALL, dims)
        return build

    return enter


def available(how: str, n: int) -> list[str]:
    """Return the names of the operations that an oracle is exact for."""
    return [o.name for o in OPERATIONS.values() if how in o.oracles and n in o.dims]


def divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def reach(pick: Pick, sides, padding, most_kernel: int = 4, most_dilation: int = 3):
    """Return kernel and dilation per axis that fit into the padded plane."""
    kernel, dilation = [], []
    for side, pad in zip(sides, padding, strict=True):
        k = min(pick.int(1, most_kernel), side + 2 * pad)
        room = (side + 2 * pad - 1) // max(k - 1, 1)
        kernel.append(k)
        dilation.append(min(pick.int(1, most_dilation), max(room, 1)))
    return tuple(kernel), tuple(dilation)


def _one(values: tuple[int, ...]):
    """Return what the pooling modules of one axis want: a number."""
    return values[0] if len(values) == 1 else values


@operation()
def convolution(pick, channels, sides):
    n, groups = len(sides), pick.of(divisors(channels))
    mode = pick.of(["zeros", "zeros", "zeros", "reflect", "replicate", "circular"])
    same = pick.int(0, 4) == 0
    padding = (0,) * n if same else tuple(min(pick.int(0, 2), s - 1) for s in sides)
    kernel, dilation = reach(pick, sides, padding)
    if same:
        padding, stride = "same", 1
        if mode == "reflect":
            mode = "zeros"
    else:
        stride = pick.each(1, 3, n)
    out = groups * pick.int(1, max(1, 4 // groups))
    return blocks.CONV[n](
        channels, out, kernel, stride, padding, dilation, groups, padding_mode=mode
    )


@operation()
def separable(pick, channels, sides):
    n = len(sides)
    kernel = tuple(min(k, s) for k, s in zip(pick.each(1, 3, n), sides, strict=True))
    depthwise = blocks.CONV[n](channels, channels, kernel, groups=channels, padding="same")
    return nn.Sequential(depthwise, blocks.CONV[n](channels, pick.int(1, 4), 1))


@operation()
def transposed(pick, channels, sides):
    n, groups = len(sides), pick.of(divisors(channels))
    kernel, stride, dilation = pick.each(1, 4, n), pick.each(1, 3, n), pick.each(1, 2, n)
    padding, extra = (
        pick.each(0, 2, n),
        tuple(pick.int(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)),
    )
    out = groups * pick.int(1, max(1, 4 // groups))
    return blocks.DECONV[n](
        channels, out, kernel, stride, padding, extra, groups, dilation=dilation
    )


@operation(*POSITIVE)
def pooling(pick, channels, sides):
    n, kind = len(sides), pick.of(["max", "avg", "lp"])
    kernel, dilation = reach(pick, sides, (0,) * n, 3, 2)
    stride, ceil = pick.each(1, 3, n), pick.flag()
    padding = tuple(pick.int(0, k // 2) for k in kernel)
    if kind == "max":
        return blocks.MAX[n](
            _one(kernel), _one(stride), _one(padding), _one(dilation), ceil_mode=ceil
        )
    if kind == "lp":
        return nn.Sequential(nn.ReLU(), blocks.LP[n](2, _one(kernel), _one(stride), ceil))
    return blocks.AVG[n](
        _one(kernel), _one(stride), _one(padding), ceil, count_include_pad=pick.flag()
    )


@operation(*POSITIVE)
def adaptive(pick, channels, sides):
    kind = pick.of([blocks.ADAPTIVE_AVG, blocks.ADAPTIVE_MAX])
    return kind[len(sides)](_one(tuple(pick.int(1, side + 2) for side in sides)))


def _resize(pick, sides, mode, **options):
    if pick.flag():
        size = tuple(pick.int(1, 2 * side) for side in sides)
        return Do(
            f"{mode} to {size} {options}", lambda x: F.interpolate(x, size, mode=mode, **options)
        )
    factors = [pick.of([0.5, 0.6, 0.75, 1.3, 1.5, 2.0, 2.0, 3.0]) for _ in sides]
    options["recompute_scale_factor"] = pick.of([None, True])
    return Do(
        f"{mode} by {factors} {options}",
        lambda x: F.interpolate(x, scale_factor=factors, mode=mode, **options),
    )


@operation()
def nearest(pick, channels, sides):
    return _resize(pick, sides, pick.of(["nearest", "nearest-exact"]))


@operation("impulse", "generic")
def linear_interpolation(pick, channels, sides):
    return _resize(pick, sides, blocks.LINEAR[len(sides)], align_corners=pick.flag())


@operation("generic", dims=(2,))
def bicubic(pick, channels, sides):
    return _resize(pick, sides, "bicubic", align_corners=pick.flag())


@operation(dims=(2,))
def pixel_shuffle(pick, channels, sides):
    out, block = pick.int(1, 2), pick.of([2, 3])
    return nn.Sequential(nn.Conv2d(channels, out * block**2, 1), nn.PixelShuffle(block))


@operation(dims=(2,))
def pixel_unshuffle(pick, channels, sides):
    block = min(2, *sides)
    whole = [side // block * block for side in sides]
    fit = Do(f"crop to {whole}", lambda x: blocks.crop(x, whole))
    return nn.Sequential(fit, nn.PixelUnshuffle(block))


@operation()
def blocks_of_pixels(pick, channels, sides):
    if pick.flag():
        block = min(2, *sides)
        whole = [side // block * block for side in sides]
        return Do("to depth", lambda x: blocks.space_to_depth(blocks.crop(x, whole), block))
    mix = blocks.CONV[len(sides)](channels, 2 ** len(sides) * pick.int(1, 2), 1)
    return Do("to space", lambda x, m: blocks.depth_to_space(m(x), 2), mix)


@operation()
def padding(pick, channels, sides):
    mode = pick.of(["constant", "constant", "reflect", "replicate", "circular"])
    amounts = []
    for side in reversed(sides):
        if mode == "constant":
            low = -((side - 1) // 2)
            amounts += [pick.int(max(low, -2), 2), pick.int(max(low, -2), 2)]
        else:
            most = min(3, side - 1) if mode != "replicate" else 3
            amounts += [pick.int(0, most), pick.int(0, most)]
    return Do(f"pad {amounts} {mode}", lambda x: F.pad(x, amounts, mode=mode))


@operation()
def slicing(pick, channels, sides):
    cuts = [slice(None), slice(None)]
    for side in sides:
        first = pick.int(0, min(2, side - 1))
        last = pick.int(max(first + 1, side - 2), side)
        cuts.append(slice(first, last, pick.of([1, 1, 2, 3])))
    return Do(f"x[{cuts[2:]}]", lambda x: x[tuple(cuts)])


@operation()
def moves(pick, channels, sides):
    """Flips and rolls of some axes, and of the channels."""
    n = len(sides)
    dims = tuple(sorted({1 + pick.int(0, n) for _ in range(2)}))
    if pick.flag():
        return Do(f"flip {dims}", lambda x: x.flip(dims))
    shifts = pick.each(-3, 3, len(dims))
    return Do(f"roll {shifts} {dims}", lambda x: x.roll(shifts, dims))
