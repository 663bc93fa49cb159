"""More operations alone: channels, normalisations, axes, tokens, joins (see rf_cases.py)."""

from __future__ import annotations

import rf_blocks as blocks
import torch
from rf_blocks import Do
from rf_cases import LINE, PLANE, SQUARE, VOLUME, left
from torch import nn
from torch.nn import functional as F


def _channels():
    wide, narrow = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 1)
    for how, take in (
        ("slice", lambda x: (x[:, :1], x[:, 1:])),
        ("split", lambda x: x.split(1, 1)),
        ("chunk", lambda x: x.chunk(2, 1)),
        ("unbind", lambda x: [t.unsqueeze(1) for t in x.unbind(1)]),
        ("select", lambda x: (x.select(1, 0)[:, None], x.select(1, 1)[:, None])),
        ("tensor_split", lambda x: x.tensor_split(2, 1)),
    ):

        def processed(x, wide, narrow, take=take, keep=None):
            a, b = take(x)
            y = torch.cat([narrow(a), wide(b)], 1)
            return y if keep is None else y[:, keep]

        yield f"half processed, {how}", SQUARE, Do(how, processed, wide, narrow), "nan"
        for keep in (slice(0, 1), slice(1, 2)):
            one = Do(how, lambda x, a, b, f=processed, k=keep: f(x, a, b, keep=k), wide, narrow)
            yield f"half processed, {how}, {keep.start} kept", SQUARE, one, "nan"
    shuffle = nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.ChannelShuffle(2), nn.Conv2d(4, 2, 1, groups=2)
    )
    yield "channel shuffle of unequal halves", SQUARE, _mixed(wide, narrow, shuffle), "nan"
    yield (
        "groups keep halves apart",
        SQUARE,
        _mixed(wide, narrow, left(nn.Conv2d(2, 2, 1, groups=2), 1)),
        "nan",
    )
    yield "glu", SQUARE, _mixed(wide, narrow, nn.GLU(1)), "nan"
    yield (
        "mean over channels",
        SQUARE,
        _mixed(wide, narrow, Do("mean", lambda x: x.mean(1, keepdim=True))),
        "nan",
    )
    yield (
        "flip of channels",
        SQUARE,
        _mixed(wide, narrow, Do("flip", lambda x: x.flip(1)[:, :1])),
        "nan",
    )
    yield (
        "roll of channels",
        SQUARE,
        _mixed(wide, narrow, Do("roll", lambda x: x.roll(1, 1)[:, :1])),
        "nan",
    )
    yield "strided channels", SQUARE, _mixed(wide, narrow, Do("::2", lambda x: x[:, ::2])), "nan"
    yield "group norm of one half", SQUARE, left(nn.GroupNorm(2, 2), 1), "nan"
    thirds = nn.Sequential(
        nn.Conv2d(2, 6, 3, groups=2), Do("lrn", lambda x: F.local_response_norm(x, 3)[:, :2])
    )
    yield "local response norm reads neighbours", SQUARE, thirds, "nan"
    yield "channels moved to the batch", SQUARE, Do("batch", _channel_by_channel, wide), "nan"


def _mixed(wide, narrow, body):
    """A body whose two input channels see different fields."""
    function = lambda x, a, b, m: m(torch.cat([a(x[:, :1]), b(x[:, 1:])], 1))  # noqa: E731
    return Do("unequal channels", function, wide, narrow, body)


def _channel_by_channel(x, conv):
    batch, channels = x.shape[:2]
    return conv(x.flatten(0, 1).unsqueeze(1)).unflatten(0, (batch, channels)).flatten(1, 2)


def _means_and_norms():
    rows = Do("x - mean(-1)", lambda x: x - x.mean(-1, keepdim=True))
    for n, shape in ((1, LINE), (2, PLANE), (3, VOLUME)):
        conv = blocks.CONV[n](2, 2, 2, 3)  # its stride leaves pixels out: global is not everything
        for label, body in (
            ("batch norm, eval", blocks.BATCH[n](2).eval()),
            ("batch norm, train", blocks.BATCH[n](2).train()),
            ("instance norm", blocks.INSTANCE[n](2)),
            ("group norm", nn.GroupNorm(1, 2)),
            ("layer norm over channels", blocks.LayerNormPerPixel(2)),
            ("local response norm", nn.LocalResponseNorm(2)),
            ("softmax over channels", nn.Softmax(1)),
            ("softmax over the last axis", nn.Softmax(-1)),
            ("row means", rows),
            ("column maxima", Do("x * amax(2)", lambda x: x * x.amax(2, keepdim=True))),
            ("standardised rows", Do("x / std(-1)", lambda x: x / x.std(-1, keepdim=True))),
            ("squeeze-excite", blocks.Gate(2, n, True)),
            ("squeeze-excite, mean", blocks.Gate(2, n, False)),
        ):
            yield f"{label} {n}d", shape, nn.Sequential(conv, body), "nan"
    grid = nn.Conv2d(2, 2, 2, 2)
    yield "layer norm over the plane", SQUARE, nn.Sequential(grid, nn.LayerNorm((3, 3))), "nan"
    yield "layer norm over everything", SQUARE, nn.Sequential(grid, nn.LayerNorm((2, 3, 3))), "nan"
    yield (
        "rms norm",
        SQUARE,
        Do("rms", lambda x: F.rms_norm(x.movedim(1, -1), (2,)).movedim(-1, 1)),
        "nan",
    )
    yield "log softmax of rows", SQUARE, nn.LogSoftmax(2), "nan"
    yield (
        "mean over both axes, put back",
        SQUARE,
        Do("mean", lambda x: x.mean((2, 3))[..., None, None]),
        "nan",
    )


def _axes():
    tall = nn.Conv2d(2, 2, (3, 1), padding=(1, 0))
    back = Do("transpose, conv, transpose", lambda x, m: m(x.transpose(2, 3)).transpose(2, 3), tall)
    yield "convolution of the transposed plane", PLANE, back, "nan"
    yield "x + its transpose", SQUARE, Do("x + x.mT", lambda x, m: m(x) + x.mT, tall), "nan"
    yield (
        "permute, work, permute",
        VOLUME,
        Do("permute", lambda x: x.permute(0, 1, 4, 2, 3)[..., :3, 1:].permute(0, 1, 3, 4, 2)),
        "nan",
    )
    yield "Tensor.unfold", LINE, Do("unfold", lambda x: x.unfold(2, 3, 2).mean(-1)), "nan"
    yield (
        "Tensor.unfold twice",
        PLANE,
        Do("unfold", lambda x: x.unfold(2, 2, 2).unfold(3, 3, 2).amax((-1, -2))),
        "nan",
    )
    yield (
        "F.unfold",
        PLANE,
        Do(
            "unfold",
            lambda x, m: m(F.unfold(x, (2, 3), padding=1).unflatten(2, (8, 9))),
            nn.Conv2d(12, 2, 1),
        ),
        "nan",
    )
    yield (
        "one column of F.unfold",
        PLANE,
        Do("unfold", lambda x: F.unfold(x, (2, 3)).unflatten(2, (6, 7))[:, 1:2]),
        "nan",
    )
    yield (
        "fold of unfold",
        PLANE,
        Do("fold", lambda x: F.fold(F.unfold(x, 3, 2, 1), (7, 9), 3, 2, 1)),
        "nan",
    )
    for n, shape in ((1, (2, 12)), (2, (2, 6, 8)), (3, (2, 4, 4, 6))):
        yield f"space to depth {n}d", shape, Do("s2d", lambda x: blocks.space_to_depth(x, 2)), "nan"
        conv = blocks.CONV[n](2, 2**n, 3, padding=1)
        yield (
            f"depth to space {n}d",
            shape,
            Do("d2s", lambda x, m: blocks.depth_to_space(m(x), 2), conv),
            "nan",
        )
        for shift in (0, 1):
            windows = blocks.WindowAttention(blocks.Attention(2, "matmul"), (2,) * n, shift)
            yield f"window attention {n}d, shift {shift}", shape, windows, "nan"
    yield (
        "windows that do not divide the plane",
        PLANE,
        blocks.WindowAttention(blocks.Attention(2, "function"), (3, 4), 1),
        "nan",
    )


def _tokens():
    for spelling in ("module", "function", "matmul"):
        for class_token in (False, True):
            attention = blocks.Tokens(blocks.Attention(2, spelling, 2), 2, class_token)
            name = f"attention, {spelling}, class token {class_token}"
            yield name, SQUARE, nn.Sequential(nn.Conv2d(2, 2, 2, 3), attention), "nan"
    weights = Do("mha", lambda t, m: m(t, t, t)[0], nn.MultiheadAttention(2, 1, batch_first=True))
    yield "attention with its weights", SQUARE, blocks.Tokens(weights, 2, False), "nan"
    mlp = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 6), nn.GELU(), nn.Linear(6, 3))
    for n, shape in ((1, LINE), (2, PLANE), (3, VOLUME)):
        for class_token in (False, True):
            tokens = nn.Sequential(blocks.CONV[n](2, 3, 2, 2), blocks.Tokens(mlp, 3, class_token))
            yield f"patch embedding {n}d, class token {class_token}", shape, tokens, "nan"
        last = nn.Linear(shape[-1], 3)
        yield f"linear over the last axis {n}d", shape, last, "nan"
    flat = nn.Sequential(
        nn.Conv2d(2, 1, 2, 3), nn.Flatten(), nn.Linear(4, 6), nn.Unflatten(1, (1, 2, 3))
    )
    yield "flatten, linear, unflatten", SQUARE, flat, "nan"
    yield (
        "einsum over channels",
        PLANE,
        Do("einsum", lambda x, m: torch.einsum("bchw,dc->bdhw", x, m.weight), nn.Linear(2, 3)),
        "nan",
    )
    yield (
        "einsum over rows",
        PLANE,
        Do("einsum", lambda x, m: torch.einsum("bchw,dh->bcdw", x, m.weight), nn.Linear(7, 3)),
        "nan",
    )
    yield (
        "matmul over channels",
        PLANE,
        Do("matmul", lambda x, m: (m.weight @ x.flatten(2)).unflatten(2, (7, 9)), nn.Linear(2, 3)),
        "nan",
    )


def _joins():
    conv = nn.Conv2d(2, 2, 3, 1, 0, 2)
    for how in ("add", "sub", "mul", "maximum", "cat"):
        for at in ("start", "middle", "end"):
            both = blocks.Both(nn.Sequential(), conv, how, at)
            yield f"{how} with a crop at the {at}", PLANE, both, "nan"
    yield "where", PLANE, blocks.Both(nn.Sequential(), conv, "where", "middle"), "impulse"
    strides = blocks.Both(nn.MaxPool2d(2), nn.Sequential(), "add", "start")
    yield "paths of unequal stride", PLANE, strides, "nan"
    same = nn.Conv2d(2, 2, 3, padding=1)
    yield "one module twice", PLANE, nn.Sequential(same, same), "nan"
    yield (
        "zeros_like reads nothing",
        PLANE,
        Do("x + zeros_like(conv(x))", lambda x, m: x + torch.zeros_like(m(x)), same),
        "nan",
    )
    yield (
        "only a size is used",
        PLANE,
        Do("interpolate to a size", lambda x, m: F.interpolate(x[..., ::2], m(x).shape[2:]), same),
        "nan",
    )
    yield "nothing but padding", PLANE, Do("padding", lambda x: F.pad(x, (9, 0))[..., :12]), "nan"
    yield (
        "in place",
        PLANE,
        Do("x += 1, relu_", lambda x, m: F.relu_(m(x).add_(1)).mul_(2), same),
        "nan",
    )
    yield "sum of a list", PLANE, Do("sum", lambda x, m: torch.stack([x, m(x)]).sum(0), same), "nan"


GROUPS = (_channels, _means_and_norms, _axes, _tokens, _joins)
CASES = [case for group in GROUPS for case in group()]
