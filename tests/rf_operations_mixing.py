"""More operations for random graphs: channels, normalisations, attention, products."""

from __future__ import annotations

import rf_blocks as blocks
import torch
from rf_blocks import Do
from rf_operations import POSITIVE, divisors, operation, reach
from torch import nn
from torch.nn import functional as F


@operation()
def channel_slicing(pick, channels, sides):
    first, step = pick.int(0, channels - 1), pick.int(1, 2)
    if pick.flag():
        return Do(f"x[:, {first}::{step}]", lambda x: x[:, first::step])
    if pick.flag():
        return Do(f"select channel {first}", lambda x: x.select(1, first).unsqueeze(1))
    length = pick.int(1, channels - first)
    return Do(f"narrow channels {first} {length}", lambda x: x.narrow(1, first, length))


@operation()
def half(pick, channels, sides):
    """ShuffleNet and Res2Net: only some channels are processed, then perhaps only some are kept."""
    at, n = pick.int(1, max(1, channels - 1)), len(sides)
    width = channels - at
    if not width:
        return nn.Identity()
    kernel = tuple(min(k, s) for k, s in zip(pick.each(1, 3, n), sides, strict=True))
    body = blocks.CONV[n](width, width, kernel, padding="same")
    how, keep = pick.of(["split", "chunk", "unbind", "res2net"]), pick.of([None, "a", "b", "mix"])

    def function(x, body):
        if how == "unbind":
            each = x.unbind(1)
            a, b = torch.stack(each[:at], 1), torch.stack(each[at:], 1)
        elif how == "chunk" and channels % 2 == 0 and at == channels // 2:
            a, b = x.chunk(2, 1)
        else:
            a, b = x.split([at, channels - at], 1)
        if how == "res2net" and at == width:
            b = b + a
        y = torch.cat([a, body(b)], 1)
        if keep == "mix":
            return y[:, ::2]
        return y if keep is None else (y[:, :at] if keep == "a" else y[:, at:])

    return Do(f"{how} at {at}, process the rest, keep {keep or 'all'}", function, body)


@operation()
def channel_shuffle(pick, channels, sides):
    groups = pick.of(divisors(channels))
    if pick.flag():
        return nn.ChannelShuffle(groups)
    return Do(
        f"shuffle {groups} groups of channels",
        lambda x: x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2),
    )


@operation("nan")
def elementwise(pick, channels, sides):
    choices = {
        "gelu": F.gelu,
        "x * sigmoid(x)": lambda x: x * torch.sigmoid(x),
        "1 - clamp(x)": lambda x: 1 - x.clamp(-1, 1),
        "hardswish": F.hardswish,
        "exp(-x * x)": lambda x: torch.exp(-x * x),
        "x / (1 + abs(x))": lambda x: x / (1 + x.abs()),
        "float, double": lambda x: x.float().double(),
        "channel softmax": lambda x: x.softmax(1),
        "local response": lambda x: F.local_response_norm(x, 2),
        "dropout": lambda x: F.dropout(x, 0.5, training=False),
        "addcmul": lambda x: torch.addcmul(x, x, x, value=0.5),
    }
    name = pick.of(choices)
    return Do(name, choices[name])


@operation(*POSITIVE)
def in_place(pick, channels, sides):
    choices = {
        "relu_": lambda x: F.relu_(x * 1),
        "clone, add_, mul_": lambda x: x.clone().add_(x).mul_(2.0),
        "leaky_relu_": lambda x: F.leaky_relu_(x + x, 0.1),
        "y += x": lambda x: (x * 2).add_(x, alpha=3),
    }
    name = pick.of(choices)
    return Do(name, choices[name])


@operation("nan", "impulse")
def row_means(pick, channels, sides):
    axis, how = pick.int(0, len(sides) - 1), pick.of(["mean", "amax", "sum"])
    return Do(f"x + {how} over axis {axis}", lambda x: x + getattr(x, how)(2 + axis, keepdim=True))


@operation("nan")
def centred(pick, channels, sides):
    axis = pick.int(0, len(sides) - 1)
    choices = {
        "x - mean": lambda x: x - x.mean(2 + axis, keepdim=True),
        "softmax": lambda x: x.softmax(2 + axis),
        "x / norm": lambda x: x / (1 + x.norm(dim=2 + axis, keepdim=True)),
    }
    name = pick.of(choices)
    return Do(f"{name} over axis {axis}", choices[name])


@operation("nan")
def squeeze_excite(pick, channels, sides):
    return blocks.Gate(channels, len(sides), pick.flag())


@operation()
def batch_norm_eval(pick, channels, sides):
    return blocks.BATCH[len(sides)](channels).eval()


@operation("nan")
def norm(pick, channels, sides):
    n, kind = len(sides), pick.of(["batch", "instance", "group", "pixel", "plane"])
    if kind == "batch":
        return blocks.BATCH[n](channels).train()
    if kind == "instance":
        return blocks.INSTANCE[n](channels, affine=True)
    if kind == "group":
        return nn.GroupNorm(pick.of(divisors(channels)), channels)
    return blocks.LayerNormPerPixel(channels) if kind == "pixel" else nn.LayerNorm(sides)


@operation(dims=(2, 3))
def transposes(pick, channels, sides):
    """A convolution of the plane with two axes swapped; on a square, added to the plane itself."""
    n, (a, b) = len(sides), pick.of([(-1, -2), (2, -1)])
    kernel = tuple(min(pick.int(1, 3), *sides) for _ in range(n))
    body = blocks.CONV[n](channels, channels, kernel, padding="same")
    if sides[a if a < 0 else a - 2] == sides[b] and pick.flag():
        return Do(f"x + x.transpose({a}, {b})", lambda x, m: m(x) + x.transpose(a, b), body)
    return Do(f"transpose({a}, {b})", lambda x, m: m(x.transpose(a, b)).transpose(a, b), body)


@operation()
def unfolding(pick, channels, sides):
    axis = pick.int(0, len(sides) - 1)
    size, step = pick.int(1, min(3, sides[axis])), pick.int(1, 2)
    mix = blocks.CONV[len(sides)](channels * size, channels, 1)
    return Do(
        f"unfold({2 + axis}, {size}, {step})",
        lambda x, m: m(x.unfold(2 + axis, size, step).movedim(-1, 2).flatten(1, 2)),
        mix,
    )


@operation(dims=(2,))
def patches(pick, channels, sides):
    """F.unfold and a 1x1 mix of its columns, or F.fold of them."""
    padding = pick.int(0, 1)
    kernel, dilation = reach(pick, sides, (padding,) * 2, 3, 2)
    options = {"dilation": dilation, "padding": padding, "stride": pick.int(1, 2)}
    if pick.flag():
        return Do(
            f"fold(unfold) {kernel} {options}",
            lambda x: F.fold(F.unfold(x, kernel, **options), x.shape[2:], kernel, **options),
        )
    grid = [
        (s + 2 * padding - d * (k - 1) - 1) // options["stride"] + 1
        for s, k, d in zip(sides, kernel, dilation, strict=True)
    ]
    mix = nn.Conv2d(channels * kernel[0] * kernel[1], channels, 1)
    return Do(
        f"unfold {kernel} {options}",
        lambda x, m: m(F.unfold(x, kernel, **options).unflatten(2, grid)),
        mix,
    )


@operation("nan")
def window_attention(pick, channels, sides):
    window = tuple(min(pick.int(2, 3), side) for side in sides)
    attention = blocks.Attention(channels, pick.of(["module", "function", "matmul"]))
    return blocks.WindowAttention(attention, window, pick.int(0, 1))


@operation("nan")
def patch_embedding(pick, channels, sides):
    n, out = len(sides), pick.int(1, 3)
    patch = tuple(min(pick.int(1, 3), side) for side in sides)
    mlp = nn.Sequential(
        nn.LayerNorm(out), nn.Linear(out, 2 * out), nn.GELU(), nn.Linear(2 * out, out)
    )
    return nn.Sequential(
        blocks.CONV[n](channels, out, patch, patch), blocks.Tokens(mlp, out, pick.flag())
    )


@operation("nan")
def attention(pick, channels, sides):
    spelling, heads = pick.of(["module", "function", "matmul"]), pick.of(divisors(channels))
    return blocks.Tokens(blocks.Attention(channels, spelling, heads), channels, pick.flag())


@operation()
def flat_linear(pick, channels, sides):
    out, length = pick.int(1, 2), channels
    for side in sides:
        length *= side
    grid = tuple(pick.int(1, 3) for _ in sides)
    units = out
    for side in grid:
        units *= side
    return nn.Sequential(nn.Flatten(), nn.Linear(length, units), nn.Unflatten(1, (out, *grid)))


@operation()
def reused(pick, channels, sides):
    kernel = tuple(min(pick.int(1, 3), side) for side in sides)
    body = blocks.CONV[len(sides)](channels, channels, kernel, padding="same")
    return Do("twice", lambda x, m: m(m(x)), body)


@operation()
def products(pick, channels, sides):
    """Matrix products over channels or over one spatial axis."""
    out = pick.int(1, 3)
    if pick.flag():
        return Do("linear over the last axis", lambda x, m: m(x), nn.Linear(sides[-1], out))
    mix = nn.Linear(channels, out, bias=False)
    choices = {
        "einsum": lambda x, m: torch.einsum("bc...,dc->bd...", x, m.weight),
        "channels last": lambda x, m: m(x.movedim(1, -1)).movedim(-1, 1),
        "matmul": lambda x, m: (m.weight @ x.flatten(2)).unflatten(2, x.shape[2:]),
    }
    name = pick.of(choices)
    return Do(name, choices[name], mix)
