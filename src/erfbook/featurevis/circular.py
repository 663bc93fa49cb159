"""A network without borders: the same weights on an image whose opposite sides touch.

A unit of a padded network sees where it lies, because the border lies at another place of its
field. Where every convolution and pool reads on at the opposite side instead, a shift of the image
by a layer's stride shifts the layer's output and changes nothing else: all positions are equal.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from erfbook.errors import UserError

_SIDES = ("height", "width")


def with_circular_padding(model: nn.Module) -> nn.Module:
    """Return a copy of a 2-D network whose convolutions and pools pad circularly.

    Every window begins where it began (the padding in front stays), and each layer gives exactly
    one unit for each stride of its input, whatever its padding and rounding were: a valid
    convolution is padded too, a ceil-mode pool reads on at the other side. The image's sides must
    therefore be multiples of the network's stride; a layer that meets another size says so.
    Operations that are no modules are not seen; a padded one among them keeps its border.

    Args:
        model: a network of ``Conv2d``, ``MaxPool2d`` and ``AvgPool2d`` and modules that read no
            neighbours; convolutions with a ``static_padding`` of their own, as in
            EfficientNet-Lite's package, are understood.

    Raises:
        UserError: a module that reads neighbours in another way.
    """
    changed = copy.deepcopy(model)
    own_padding = {id(getattr(m, "static_padding", None)) for m in changed.modules()}
    for path, module in changed.named_modules():
        if isinstance(module, nn.Conv2d):
            _wrap_convolution(path, module)
        elif type(module) in (nn.MaxPool2d, nn.AvgPool2d):
            dilation = _pair(getattr(module, "dilation", 1))
            before = _pair(module.padding)
            kernel, stride = _pair(module.kernel_size), _pair(module.stride)
            module.padding, module.ceil_mode = 0, False
            _hook(path, module, before, _extent(kernel, dilation), stride)
        elif _reads_neighbours(module) and id(module) not in own_padding:
            raise UserError(
                f"{path!r} is a {type(module).__name__}, for which there is no circular padding"
            )
    return changed


def _wrap_convolution(path: str, module: nn.Conv2d) -> None:
    pad = getattr(module, "static_padding", None)
    plain = type(module).forward is nn.Conv2d.forward
    extent = _extent(_pair(module.kernel_size), _pair(module.dilation))
    if plain and module.padding_mode in ("zeros", "circular"):
        if module.padding == "same":
            before = tuple((n - 1) // 2 for n in extent)
        elif module.padding == "valid":
            before = (0, 0)
        else:
            before = _pair(module.padding)
        module.padding, module.padding_mode = (0, 0), "zeros"
    elif _is_zeros_or_nothing(pad) and _pair(module.padding) == (0, 0):
        left, _, top, _ = getattr(pad, "padding", (0, 0, 0, 0))
        before = (top, left)
        module.static_padding = nn.Identity()
    else:
        raise UserError(
            f"{path!r} pads in its own way ({type(module).__name__}, {module.padding_mode}), for "
            "which there is no circular padding"
        )
    _hook(path, module, before, extent, _pair(module.stride))


def _hook(path: str, module: nn.Module, before, extent, stride) -> None:
    module.register_forward_pre_hook(
        partial(_pad, path=path, before=before, extent=extent, stride=stride)
    )


def _pad(module: nn.Module, inputs: tuple, *, path: str, before, extent, stride) -> tuple:
    """Put the opposite side's pixels in front and behind, so that the grid is side / stride."""
    image, *rest = inputs
    sides = image.shape[-2:]
    for side, step, name in zip(sides, stride, _SIDES, strict=True):
        if side % step:
            raise UserError(
                f"{path!r} meets a {name} of {side}, which is no multiple of its stride {step}: "
                "circular padding needs images whose sides are multiples of the network's stride"
            )
    # The last window begins a stride before the end, and may end before it too.
    behind = [max(n - s - b, 0) for n, s, b in zip(extent, stride, before, strict=True)]
    if all(max(b, a) <= n for b, a, n in zip(before, behind, sides, strict=True)):
        padded = F.pad(image, (before[1], behind[1], before[0], behind[0]), mode="circular")
        return (padded, *rest)
    for axis, (b, a, n) in enumerate(zip(before, behind, sides, strict=True)):
        places = torch.arange(-b, n + a, device=image.device) % n  # around more than once
        image = image.index_select(axis - 2, places)
    return (image, *rest)


def _is_zeros_or_nothing(pad: object) -> bool:
    """Whether a convolution's own padding is understood; some packages write their own identity."""
    return isinstance(pad, nn.ZeroPad2d) or type(pad).__name__ == "Identity"


def _reads_neighbours(module: nn.Module) -> bool:
    kinds = (
        *(nn.modules.conv._ConvNd, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d),
        *(nn.ConstantPad2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.FractionalMaxPool2d),
        *(nn.MaxUnpool2d, nn.Unfold, nn.Fold, nn.Upsample, nn.MultiheadAttention),
    )
    return isinstance(module, kinds)


def _extent(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


def _pair(value) -> tuple[int, int]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)
