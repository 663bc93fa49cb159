"""Which stacks of layers have the odd receptive fields that two papers state.

Luo et al. (2016) give 74 px for a ResNet on CIFAR-10 and 505 px for one on CamVid; Avendaño gives
181 to 715 px for a VGG-like network and 110 to 423 px for a ResNet-50. None says how the layers
sit. A single path's field follows from kernels and strides alone,
:func:`erfbook.theory.recurrences.predict_field_size`, so every arrangement of a stated kind can be
tried; those that reach the number are built and analysed.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import nn

from erfbook import rf
from erfbook.models.camvid_resnet import BLOCKS, TRANSITIONS, CamvidLayout, CamvidResNet
from erfbook.models.cifar_resnet import N_BLOCKS, CifarResNet
from erfbook.theory.recurrences import Window, predict_effective_stride, predict_field_size

CIFAR_SIZE, CAMVID_SIZE = 74, 505  # px, as stated
CAMVID_BLOCKS, CAMVID_SUBSAMPLINGS = 16, 4
BLOCK_CHOICES = tuple(
    kernels
    for n in (1, 2, 3)
    for kernels in itertools.combinations_with_replacement(range(1, 8), n)
    if max(kernels) > 1
)

Found = TypeVar("Found")


@dataclass(frozen=True)
class CifarLayout:
    """A ResNet of stride 1.

    Args:
        stem_kernel: of the first convolution; 1 stands for none as well.
        block_kernels: of the convolutions in each of the blocks.
        last_kernel: of a layer behind them.
    """

    stem_kernel: int
    block_kernels: tuple[int, ...]
    last_kernel: int = 1

    @property
    def windows(self) -> list[Window]:
        """The longest path's layers."""
        blocks = self.block_kernels * N_BLOCKS
        return [Window(k) for k in (self.stem_kernel, *blocks, self.last_kernel)]

    @property
    def size(self) -> int:
        """Theoretical receptive field, px."""
        kernels = self.stem_kernel + self.last_kernel - 2
        return 1 + kernels + N_BLOCKS * sum(k - 1 for k in self.block_kernels)

    @property
    def is_odd(self) -> bool:
        """Whether every kernel is odd."""
        return all(k % 2 for k in (self.stem_kernel, self.last_kernel, *self.block_kernels))

    def build(self, channels: int = 2) -> nn.Module:
        """Return the network."""
        kernels = {"stem_kernel": self.stem_kernel, "last_kernel": self.last_kernel}
        return CifarResNet(channels, block_kernels=self.block_kernels, **kernels)


@dataclass(frozen=True)
class Search(Generic[Found]):
    """What trying every arrangement of one kind gave.

    Args:
        target: the stated size, px.
        n_tried: arrangements.
        exact: those that reach the target.
        below, above: the nearest sizes that some arrangement has, other than the target, px.
        near: how many arrangements lie within 8 px, by size.
    """

    target: int
    n_tried: int
    exact: tuple[Found, ...]
    below: int
    above: int
    near: dict[int, int] = field(repr=False)


def enumerate_cifar(
    stem_kernels: Iterable[int] = range(1, 8),
    blocks: Iterable[tuple[int, ...]] = BLOCK_CHOICES,
    last_kernels: Iterable[int] = range(1, 9),
) -> Iterator[CifarLayout]:
    """Yield ResNets of 17 equal blocks of stride 1."""
    for choice in itertools.product(stem_kernels, blocks, last_kernels):
        yield CifarLayout(*choice)


def search_cifar(target: int = CIFAR_SIZE, *, odd: bool | None = None) -> Search[CifarLayout]:
    """Find the ResNets of stride 1 with a stated field.

    With stride 1 a field is 1 plus the sum of k - 1, so it is odd unless an odd number of layers
    has an even kernel: no stack of 1 x 1, 3 x 3, 5 x 5 and 7 x 7 layers reaches 74. Dilation does
    not help, since it multiplies k - 1.

    Args:
        target: px.
        odd: only layouts whose kernels are all odd (True), or not all (False).
    """
    layouts = [x for x in enumerate_cifar() if odd is None or x.is_odd == odd]
    return _search(target, layouts)


def enumerate_camvid(
    stem_kernels: Iterable[int] = (3, 5, 7), last_kernels: Sequence[int] = (1, 3)
) -> Iterator[CamvidLayout]:
    """Yield front-ends of 16 equal blocks and 4 subsamplings, at least one block between two.

    Stem of stride 1 or 2, with or without a max pool of side 2 or 3; the other subsamplings are all
    of one kind.
    """
    for kernel, stride, pool in itertools.product(stem_kernels, (1, 2), (0, 2, 3)):
        n_left = CAMVID_SUBSAMPLINGS - (stride == 2) - (pool > 0)
        for stages in _compositions(CAMVID_BLOCKS, n_left + 1):
            for rest in itertools.product(BLOCKS, TRANSITIONS, last_kernels):
                yield CamvidLayout(kernel, stride, pool, stages, *rest)


def camvid_size(layout: CamvidLayout) -> int:
    """Return the field of a front-end's scores, px: a sum over stages, not over layers.

    A stage of n blocks with c 3 x 3 layers each adds 2 c n times its stride; a strided 3 x 3 layer
    reads at the stride before.
    """
    stride = layout.stem_stride
    total = layout.stem_kernel - 1
    if layout.stem_pool:
        total, stride = total + (layout.stem_pool - 1) * stride, stride * 2
    for stage, n_blocks in enumerate(layout.stages):
        if stage:
            if layout.transition.startswith("max"):
                total += (int(layout.transition[-1]) - 1) * stride
            elif layout.transition == "strided":
                total -= 2 * stride
            stride *= 2
        total += 2 * BLOCKS[layout.block] * n_blocks * stride
    return 1 + total + (layout.last_kernel - 1) * stride


def camvid_windows(layout: CamvidLayout) -> list[Window]:
    """Return the layers on the longest path of a front-end, for the closed form over layers."""
    windows = [Window(layout.stem_kernel, layout.stem_stride)]
    if layout.stem_pool:
        windows.append(Window(layout.stem_pool, 2))
    n_convs = BLOCKS[layout.block]
    for stage, n_blocks in enumerate(layout.stages):
        if stage and layout.transition.startswith("max"):
            windows.append(Window(int(layout.transition[-1]), 2))
        strides = [1] * (n_blocks * n_convs)
        if stage and layout.transition == "strided":
            strides[0] = 2
        if stage < len(layout.stages) - 1 and layout.transition == "subsample":
            strides[-1] = 2
        windows += [Window(3, stride) for stride in strides]
    return [*windows, Window(layout.last_kernel)]


def is_uniform(layout: CamvidLayout) -> bool:
    """Return whether a 3 x 3 max pool makes every subsampling, and every other kernel is 3 x 3 too.

    The scores' 1 x 1 layer apart.
    """
    pools = (layout.stem_pool, layout.transition) == (3, "max3")
    return pools and (layout.stem_kernel, layout.stem_stride, layout.last_kernel) == (3, 1, 1)


def search_camvid(target: int = CAMVID_SIZE) -> Search[CamvidLayout]:
    """Find the front-ends with a stated field, the most even distribution of blocks first."""
    return _search(target, list(enumerate_camvid()))


def count_by(layouts: Iterable[CamvidLayout], *names: str) -> dict[tuple, int]:
    """Count layouts by some of their fields, the most frequent first.

    >>> count_by([CamvidLayout(), CamvidLayout(stem_kernel=3)], "block")
    {('basic',): 2}
    """
    counts = Counter(tuple(getattr(x, name) for name in names) for x in layouts)
    return dict(counts.most_common())


def confirm(network: nn.Module, path: str, *, side: int = 64) -> rf.Field:
    """Analyse a network that an enumeration found, at one of its layers.

    Args:
        network: any of this module's networks.
        path: of the layer.
        side: of the input, px.
    """
    return rf.analyze(network.eval(), (3, side, side))[path]


def confirm_camvid(layout: CamvidLayout, channels: int = 1) -> tuple[int, int]:
    """Build a front-end and return the size and stride of its scores' fields, px."""
    with torch.device("meta"):
        network = CamvidResNet(layout, channels)
    found = confirm(network, "head", side=64)
    return found.size[0], found.stride[0]  # type: ignore[return-value]


def confirm_cifar(layout: CifarLayout) -> int:
    """Build a ResNet of stride 1 and return the size of its last plane's fields, px."""
    with torch.device("meta"):
        network = layout.build()
    return confirm(network, "features", side=32).size[0]


def unevenness(stages: Sequence[int]) -> int:
    """Return how far a distribution of blocks is from an even one: its largest difference."""
    return max(stages) - min(stages)


def _search(target: int, layouts: Sequence) -> Search:
    sized = [(_size(x), x) for x in layouts]
    sizes = {size for size, _ in sized} - {target}
    exact = [x for size, x in sized if size == target]
    exact.sort(key=_plainness)
    near = Counter(size for size, _ in sized if abs(size - target) <= 8)
    return Search(
        target,
        len(sized),
        tuple(exact),
        max(size for size in sizes if size < target),
        min(size for size in sizes if size > target),
        dict(sorted(near.items())),
    )


def _plainness(layout: CifarLayout | CamvidLayout) -> tuple[int, ...]:
    """Order layouts: plain basic blocks first, then even distributions of blocks."""
    if isinstance(layout, CifarLayout):
        return (layout.block_kernels != (3, 3), abs(layout.stem_kernel - 3))
    return (unevenness(layout.stages),)


def _size(layout: CifarLayout | CamvidLayout) -> int:
    return layout.size if isinstance(layout, CifarLayout) else camvid_size(layout)


def _compositions(total: int, n_parts: int) -> Iterator[tuple[int, ...]]:
    """Yield the ways to write a number as an ordered sum of positive parts."""
    for cuts in itertools.combinations(range(1, total), n_parts - 1):
        ends = (0, *cuts, total)
        yield tuple(b - a for a, b in itertools.pairwise(ends))


def path_numbers(windows: Sequence[Window]) -> tuple[int, int]:
    """Return size and stride of a path of layers, px."""
    return int(predict_field_size(windows)), int(predict_effective_stride(windows))
