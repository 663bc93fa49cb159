"""Which first pool and which network give the fields that Avendaño states.

A 3 x 3 layer, a pool of kernel p and stride k and a rest that adds X pixels of its own input have a
field of 3 + (p - 1) + k X. The stated sizes rise in equal steps, so with strides 1, 2, 3, 4 the
step is X plus what the kernel grows by, and the remainder fixes the kernel at stride 0.

A second reading is possible, because the sizes were not computed but read off a gradient on a dummy
image. A max pool passes its gradient to one value of each window; on a constant image that is the
same corner of every window, so every max pool acts as a kernel of one tap and adds nothing to the
extent. :func:`measure_gradient_extent` repeats such a reading.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from erfbook import rf
from erfbook.models.pooled import (
    RESNET_50_STAGES,
    VGG_16_STAGES,
    PooledNet,
    pooled_resnet50,
    pooled_vgg,
)
from erfbook.theory.recurrences import Window, predict_field_size

VGG_SIZES = (181, 359, 537, 715)  # px, as stated
RESNET_SIZES = (110, 213, 318, 423)
STRIDES = (1, 2, 3, 4)
THIN = 1e-6  # a width at which every layer has one channel


@dataclass(frozen=True)
class PoolRule:
    """A pool whose kernel is ``growth * k + offset`` at stride k, before a rest that adds ``rest``.

    Args:
        growth, offset: of the kernel.
        rest: what all later layers add, in units of the pool's output.
        stem_kernel: side of the layer before the pool.
    """

    growth: int
    offset: int
    rest: int
    stem_kernel: int = 3

    def kernel(self, stride: int) -> int:
        """Return the pool's kernel at a stride."""
        return self.growth * stride + self.offset

    def size(self, stride: int) -> int:
        """Return the field at a stride, px."""
        return self.stem_kernel + self.kernel(stride) - 1 + stride * self.rest


def find_pool_rules(
    sizes: Sequence[int],
    strides: Sequence[int] = STRIDES,
    *,
    growths: Iterable[int] = (0, 1, 2),
    stem_kernel: int = 3,
) -> tuple[PoolRule, ...]:
    """Return the rules that give every stated size exactly; none where the steps are unequal.

    Args:
        sizes: px, one a stride.
        strides: of the pool.
        growths: of the kernel: constant, k plus a constant, 2 k plus a constant.
        stem_kernel: side of the layer before the pool.

    >>> find_pool_rules(VGG_SIZES)[1]
    PoolRule(growth=1, offset=1, rest=177, stem_kernel=3)
    """
    pairs = list(zip(strides, sizes, strict=True))
    (k0, r0), (k1, r1) = pairs[0], pairs[1]
    step = (r1 - r0) // (k1 - k0)
    offset = r0 - step * k0 - stem_kernel + 1
    rules = (PoolRule(growth, offset, step - growth, stem_kernel) for growth in growths)
    return tuple(
        rule for rule in rules if all(rule.size(k) == r and rule.kernel(k) >= 1 for k, r in pairs)
    )


def vgg_rest(stages: Sequence[int], *, last_pool: bool = False) -> int:
    """Return what a VGG-like network adds behind its first layer and the early pool.

    >>> vgg_rest(VGG_16_STAGES)
    193
    """
    windows: list[Window] = []
    for stage, n_convs in enumerate(stages):
        windows += [Window(3)] * (n_convs - (stage == 0))
        if last_pool or stage < len(stages) - 1:
            windows.append(Window(2, 2))
    return int(predict_field_size(windows)) - 1


def resnet_rest(stages: Sequence[int] = RESNET_50_STAGES) -> int:
    """Return what ResNet-50 adds behind the early pool, strides in the 3 x 3 layers.

    >>> resnet_rest()
    104
    """
    strides = [2 if stage and not i else 1 for stage, n in enumerate(stages) for i in range(n)]
    return int(predict_field_size([Window(3, stride) for stride in strides])) - 1


@dataclass(frozen=True)
class VggLayout:
    """A VGG-like network.

    Args:
        stages: convolutions before each 2 x 2 pool.
        last_pool: whether the field is that of the pool behind the last stage.
    """

    stages: tuple[int, ...]
    last_pool: bool

    @property
    def distance(self) -> int:
        """Convolutions to add or take away to make this a VGG-16."""
        pairs = itertools.zip_longest(self.stages, VGG_16_STAGES, fillvalue=0)
        return sum(abs(a - b) for a, b in pairs)


def search_vgg(rest: int, *, most: int = 4) -> tuple[VggLayout, ...]:
    """Return the VGG-like networks with a given rest, those most like VGG-16 first.

    Four or five stages of one to ``most`` convolutions, 2 x 2 pools between them, with or without
    a pool at the end.
    """
    found = []
    for n_stages, last_pool in itertools.product((4, 5), (False, True)):
        for stages in itertools.product(range(1, most + 1), repeat=n_stages):
            if vgg_rest(stages, last_pool=last_pool) == rest:
                found.append(VggLayout(stages, last_pool))
    return tuple(sorted(found, key=lambda layout: layout.distance))


def search_pools(
    size: int,
    rest: int,
    *,
    stem_kernels: Iterable[int] = (3, 5, 7),
    kernels: Iterable[int] = range(1, 10),
    strides: Iterable[int] = STRIDES,
) -> tuple[tuple[int, int, int], ...]:
    """Return every (stem kernel, pool kernel, pool stride) that gives one size before a rest."""
    return tuple(
        (stem, kernel, stride)
        for stem, stride, kernel in itertools.product(stem_kernels, strides, kernels)
        if stem + kernel - 1 + stride * rest == size and kernel >= stride
    )


def confirm_pooled(network: PooledNet, *, side: int = 64) -> int:
    """Return the size of the last plane's fields of a network as built, px."""
    return rf.analyze(network.eval(), (3, side, side))["features"].size[0]


def confirm_vgg(layout: VggLayout, pool_kernel: int, pool_stride: int) -> int:
    """Build a VGG-like network and return the size of its last plane's fields, px."""
    with torch.device("meta"):
        network = pooled_vgg(
            pool_kernel, pool_stride, stages=layout.stages, last_pool=layout.last_pool, width=THIN
        )
    return confirm_pooled(network)


def confirm_resnet(pool_kernel: int, pool_stride: int, stem_kernel: int = 3) -> int:
    """Build the ResNet-50 with this first pool and return its last plane's field size, px."""
    with torch.device("meta"):
        network = pooled_resnet50(pool_kernel, pool_stride, stem_kernel=stem_kernel, width=THIN)
    return confirm_pooled(network)


def measure_gradient_extent(pool_kernel: int, pool_stride: int, *, n_pixels: int = 1024) -> int:
    """Read VGG-16's field off a gradient on a constant image, as a gradient probe would, px.

    Weights of one in float64, one channel a layer and no batch norm: all values are whole numbers
    below 2^53, so ties in a pool's windows are exact, as they are in a constant image's interior.

    Args:
        pool_kernel, pool_stride: of the early pool.
        n_pixels: length of the image along the axis that is read; 16 px across.

    Returns:
        From the first to the last column with a gradient that is not zero.
    """
    network = pooled_vgg(pool_kernel, pool_stride, width=THIN).double().eval()
    for name, module in list(network.features.named_modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            network.features.set_submodule(name, nn.Identity())
    image = torch.ones(1, 3, 16, n_pixels, dtype=torch.float64, requires_grad=True)
    plane = network.features(image)
    plane[0, :, plane.shape[2] // 2, plane.shape[3] // 2].sum().backward()
    seen = image.grad.abs().sum((0, 1, 2)).nonzero()  # type: ignore[union-attr]
    return int(seen.max() - seen.min()) + 1
