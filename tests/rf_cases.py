"""Every operation alone, once or more: (label, shape of the image, module, oracle)."""

from __future__ import annotations

import rf_blocks as blocks
import torch
from rf_blocks import Do
from torch import nn
from torch.nn import functional as F

LINE, PLANE, SQUARE, VOLUME = (2, 13), (2, 7, 9), (2, 6, 6), (2, 4, 5, 6)


def _convolutions():
    for n, shape in ((1, LINE), (2, PLANE), (3, VOLUME)):
        conv, deconv = blocks.CONV[n], blocks.DECONV[n]
        yield f"conv {n}d", shape, conv(2, 3, 3), "nan"
        kernel, stride = (3, 1, 2)[:n], (1, 2, 2)[:n]
        padding, dilation = (2, 0, 1)[:n], (2, 1, 3)[:n]
        yield (
            f"conv {n}d, axes differ",
            shape,
            conv(2, 4, kernel, stride, padding, dilation, 2),
            "nan",
        )
        yield f"conv {n}d same", shape, conv(2, 2, 3, padding="same", dilation=2), "nan"
        yield f"conv {n}d same, even kernel", shape, conv(2, 2, 4, padding="same"), "nan"
        for mode in ("reflect", "replicate", "circular"):
            yield f"conv {n}d {mode}", shape, conv(2, 2, 3, 2, 2, padding_mode=mode), "nan"
        yield f"depthwise, one half kept {n}d", shape, left(conv(2, 4, 3, groups=2), 2), "nan"
        yield f"transposed {n}d", shape, deconv(2, 2, 3, 2, 1, 1), "nan"
        yield f"transposed {n}d with holes", shape, deconv(2, 2, 1, 3), "nan"
        yield f"transposed {n}d dilated", shape, deconv(2, 2, 3, 2, 0, 1, 2, dilation=3), "nan"
        yield f"transposed {n}d that crops", shape, deconv(2, 2, 2, 1, 1), "nan"
        yield f"down and up {n}d", shape, nn.Sequential(conv(2, 2, 2, 2), deconv(2, 2, 2, 2)), "nan"


def left(model, keep):
    return Do(f"first {keep} channels", lambda x, m: m(x)[:, :keep], model)


def _pools():
    for n, shape in ((1, LINE), (2, PLANE), (3, VOLUME)):
        big, odd = shape[1:], (5, 4, 3)[:n] if n > 1 else 5
        for ceil in (False, True):
            name = f"{n}d{' ceil' if ceil else ''}"
            yield f"max pool {name}", shape, blocks.MAX[n](3, 2, 1, ceil_mode=ceil), "nan"
            yield f"avg pool {name}", shape, blocks.AVG[n](2, 3, 1, ceil), "nan"
            yield f"lp pool {name}", shape, blocks.LP[n](2, 3, 2, ceil), "nan"
        yield f"max pool {n}d dilated", shape, blocks.MAX[n](2, 1, 1, 3), "nan"
        yield f"adaptive avg {n}d", shape, blocks.ADAPTIVE_AVG[n](odd), "nan"
        yield f"adaptive max {n}d", shape, blocks.ADAPTIVE_MAX[n](odd), "nan"
        larger = tuple(side + 2 for side in big)
        yield f"adaptive avg {n}d, larger", shape, blocks.ADAPTIVE_AVG[n](larger), "nan"
        yield f"global pool {n}d", shape, blocks.ADAPTIVE_AVG[n](1), "nan"
    yield "adaptive avg, one side kept", PLANE, nn.AdaptiveAvgPool2d((None, 2)), "nan"
    yield (
        "max pool, indices too",
        PLANE,
        Do("[0]", lambda x: F.max_pool2d(x, 2, return_indices=True)[0]),
        "nan",
    )


def _sizes():
    for n, shape in ((1, LINE), (2, PLANE), (3, VOLUME)):
        larger = tuple(2 * side - 1 for side in shape[1:])
        smaller = tuple(side // 2 + 1 for side in shape[1:])
        for mode in ("nearest", "nearest-exact", "area", blocks.LINEAR[n]):
            how = "impulse" if mode == blocks.LINEAR[n] else "nan"
            for size in (larger, smaller):
                yield f"{mode} to {size}", shape, nn.Upsample(size, mode=mode), how
            if mode != "area":
                for factor in (2, 1.6, 0.7):
                    yield f"{mode} {n}d by {factor}", shape, _scaled(factor, mode), how
        for size in (larger, smaller):
            linear = nn.Upsample(size, mode=blocks.LINEAR[n], align_corners=True)
            yield f"{blocks.LINEAR[n]} corners to {size}", shape, linear, "impulse"
    for size in ((13, 17), (4, 5), (7, 9), (14, 3)):
        for corners in (False, True):
            bicubic = nn.Upsample(size, mode="bicubic", align_corners=corners)
            yield f"bicubic to {size}, corners {corners}", PLANE, bicubic, "generic"
    yield "bicubic by 2", PLANE, _scaled(2, "bicubic"), "generic"
    yield "pixel shuffle", (8, 4, 5), nn.PixelShuffle(2), "nan"
    yield "pixel unshuffle", (2, 6, 8), nn.PixelUnshuffle(2), "nan"
    shuffled = nn.Sequential(
        nn.Conv2d(2, 8, (3, 1), padding=(1, 0)), nn.PixelShuffle(2), nn.Conv2d(2, 2, 3)
    )
    yield "pixel shuffle between convolutions", PLANE, shuffled, "nan"
    back = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(8, 8, 3, groups=4), nn.PixelShuffle(2))
    yield "unshuffle, group by group, shuffle", (2, 8, 8), back, "nan"


def _scaled(factor, mode):
    return Do(f"{mode} by {factor}", lambda x: F.interpolate(x, scale_factor=factor, mode=mode))


def _pads_and_slices():
    for n, shape in ((1, LINE), (2, PLANE), (3, VOLUME)):
        amounts = [2, 1, 0, 3, 1, 2][: 2 * n]
        for mode in ("constant", "reflect", "replicate", "circular"):
            yield (
                f"pad {mode} {n}d",
                shape,
                Do("pad", lambda x, a=amounts, m=mode: F.pad(x, a, m)),
                "nan",
            )
        yield f"pad that crops {n}d", shape, Do("pad", lambda x, n=n: F.pad(x, [-1, 2] * n)), "nan"
        yield f"every second from 1 {n}d", shape, Do("[..., 1::2]", lambda x: x[..., 1::2]), "nan"
        yield f"flip {n}d", shape, Do("flip", lambda x: x.flip(-1)), "nan"
        yield f"roll {n}d", shape, Do("roll", lambda x: x.roll(-3, 2)), "nan"
        cat = Do("cat", lambda x: torch.cat([x, x.flip(-1)[..., 2:]], -1))
        yield f"cat along the last axis {n}d", shape, cat, "nan"
    yield "reflection module", PLANE, nn.ReflectionPad2d((1, 2, 3, 0)), "nan"
    yield "select a row", PLANE, Do("row", lambda x: x.select(2, 3).unsqueeze(2)), "nan"
    yield (
        "narrow, ellipsis, negative",
        PLANE,
        Do("narrow", lambda x: x.narrow(3, 2, 4)[:, :, -3:]),
        "nan",
    )
    yield "split an axis", PLANE, Do("split", lambda x: x.split([3, 6], 3)[1]), "nan"
    yield "chunk an axis", PLANE, Do("chunk", lambda x: sum(x.chunk(3, 3))), "nan"
    yield "unbind an axis", PLANE, Do("unbind", lambda x: torch.stack(x.unbind(2)[::-1], 2)), "nan"


GROUPS = (_convolutions, _pools, _sizes, _pads_and_slices)
CASES = [case for group in GROUPS for case in group()]
