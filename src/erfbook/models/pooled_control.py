"""The pooled networks again, with one thing changed at a time: field, detail or plane.

A stride k of the early pool does three things at once. Later layers step k times as far over the
image (the field grows), the plane that they read has a k-th of the positions a side, and what lay
between these positions is gone (detail is lost). Here each can be had without the others, by
:func:`vary`. No parameter is added, removed or renamed, so every variant loads any other's weights
and begins with the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from erfbook.models.pooled import PooledNet

Layer = nn.Conv2d | nn.MaxPool2d
VARIANTS = ("strided", "dilated", "deep", "coarse", "coarse dilated", "moved", "sampled")


class DensePool(nn.Module):
    """The early pool at every pixel instead of every ``every``-th one.

    The plane ends at the last position that the strided pool has, so that every ``every``-th
    position is that pool's. Values must not be negative: the plane is padded with zeros.

    Args:
        pool: the strided pool; windows may overrun the plane, as its ``ceil_mode`` says.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        sizes = (pool.kernel_size, pool.stride, pool.padding)
        self.kernel, self.every, self.padding = map(_one_side, sizes)

    def forward(self, x: Float[Tensor, "batch c row column"]) -> Float[Tensor, "batch c r2 c2"]:
        pads: list[int] = []
        for n in (x.shape[3], x.shape[2]):
            n_out = self.every * (_n_strided(n, self.kernel, self.every, self.padding) - 1) + 1
            pads += [self.padding, n_out + self.kernel - 1 - n - self.padding]
        return F.max_pool2d(F.pad(x, pads), self.kernel, 1)


class DilatedPool(nn.Module):
    """A 2 x 2 max pool whose two taps lie ``dilation`` apart; it keeps n / stride values.

    Values must not be negative: the plane is padded with zeros at its end.
    """

    def __init__(self, stride: int, dilation: int) -> None:
        super().__init__()
        self.stride, self.dilation = stride, dilation

    def forward(self, x: Float[Tensor, "batch c row column"]) -> Float[Tensor, "batch c r2 c2"]:
        pads: list[int] = []
        for n in (x.shape[3], x.shape[2]):
            last = self.stride * (math.ceil(n / self.stride) - 1) + self.dilation
            pads += [0, max(0, last + 1 - n)]
        return F.max_pool2d(F.pad(x, pads), 2, self.stride, dilation=self.dilation)


class CoarsePool(nn.Module):
    """The strided pool, each of its values then repeated until the plane is that of every pixel.

    Args:
        pool: the strided pool.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Float[Tensor, "batch c row column"]) -> Float[Tensor, "batch c r2 c2"]:
        plane = self.pool(x)
        every = _one_side(self.pool.stride)
        rows, columns = (every * (n - 1) + 1 for n in plane.shape[2:])
        wide = F.interpolate(plane, scale_factor=float(every), mode="nearest")
        return wide[:, :, :rows, :columns]


class Sampled(nn.Module):
    """Every ``every``-th position of a plane.

    Args:
        every: step along both axes.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every

    def forward(self, x: Float[Tensor, "batch c row column"]) -> Float[Tensor, "batch c r2 c2"]:
        return x[:, :, :: self.every, :: self.every]


def vary(network: PooledNet, variant: str, *, step: int = 2) -> PooledNet:
    """Change what a network's early pool of stride k does to field, detail and plane, in place.

    Where k is a power of 2, all paths of the dilated networks that reach the last plane pass
    through every k-th position of the early one: then ``dilated`` sees no more detail than
    ``coarse dilated``. With k = 3 the positions of the last plane stand on several such lattices.

    - ``strided``: nothing is changed; large field, detail lost, small plane (avendano s. 3.2).
    - ``dilated``: the pool at every pixel and all later layers dilated by k: large field, detail
      kept, large plane. Every k-th position of every plane is the strided network's.
    - ``deep``: the 3 x 3 layers behind the last stride are dilated by ``step``, for k = 1: large
      field, and nothing else is changed.
    - ``coarse``: the pool's values are repeated k times along both axes: small field, detail lost,
      large plane.
    - ``coarse dilated``: both: large field, detail lost, large plane. Every k-th position of every
      plane is again the strided network's.
    - ``moved``: the next strides of 2 are left out until the whole stride is that of k = 1, so k
      must be a power of 2: field nearly as with k = 1, detail lost, small early planes.
    - ``sampled``: only every ``step``-th position of the last plane is kept; for k = 1.

    Args:
        network: of :mod:`erfbook.models.pooled`, as built.
        variant: one of :data:`VARIANTS`.
        step: dilation of ``deep``, distance of the positions of ``sampled``.

    Raises:
        ValueError: there is no such variant, or it does not fit the stride.
    """
    pool = network.features.get_submodule("early_pool")
    if not isinstance(pool, nn.MaxPool2d):
        raise ValueError("network must be as it was built; this one was varied before")
    stride = _one_side(pool.stride)
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, not {variant!r}")
    if variant == "dilated":
        network.features.early_pool = DensePool(pool)
    elif variant.startswith("coarse"):
        network.features.early_pool = CoarsePool(pool)
    if variant.endswith("dilated"):
        _dilate(network, _behind_pool(network), stride)
    elif variant == "deep":
        _dilate(network, _last_stage(network), step)
    elif variant == "moved":
        _skip_strides(network, stride)
    elif variant == "sampled":
        network.features.add_module("sampled", Sampled(step))
    return network


def _dilate(network: PooledNet, layers: Iterable[tuple[str, Layer]], dilation: int) -> None:
    for name, layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            pool = DilatedPool(_one_side(layer.stride), dilation)
            network.features.set_submodule(name, pool)
        elif layer.kernel_size != (1, 1):
            layer.dilation = (dilation, dilation)
            before = _one_side(layer.padding)
            layer.padding = (dilation * before, dilation * before)


def _skip_strides(network: PooledNet, stride: int) -> None:
    """Set the first log2(stride) steps of 2 behind the early pool to 1."""
    n_left = stride.bit_length() - 1
    if 2**n_left != stride:
        raise ValueError(f"moved needs an early pool whose stride is a power of 2, not {stride}")
    steps = [name for name, layer in _behind_pool(network) if _one_side(layer.stride) == 2]
    # A unit's convolution and its shortcut take their step together.
    places = list(dict.fromkeys(name.split(".")[0] for name in steps))[:n_left]
    for name in steps:
        layer = network.features.get_submodule(name)
        if name.split(".")[0] not in places:
            continue
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
        else:
            network.features.set_submodule(name, DilatedPool(1, 1))


def _last_stage(network: PooledNet) -> list[tuple[str, Layer]]:
    """Return the convolutions behind the last stride: its own layer reads the plane before."""
    layers = list(_behind_pool(network))
    strided = [i for i, (_, layer) in enumerate(layers) if _one_side(layer.stride) > 1]
    return layers[strided[-1] + 1 :]


def _behind_pool(network: PooledNet) -> Iterator[tuple[str, Layer]]:
    """Yield the convolutions and pools behind the early pool with their names in ``features``."""
    names = list(dict(network.features.named_children()))
    late = set(names[names.index("early_pool") + 1 :])
    for name, layer in list(network.features.named_modules()):
        if name.split(".")[0] in late and isinstance(layer, Layer):
            yield name, layer


def _one_side(size: int | tuple[int, ...] | str) -> int:
    """Return one number where a layer may have one for each axis, which are equal here."""
    return int(size if not isinstance(size, tuple) else size[0])


def _n_strided(n: int, kernel: int, stride: int, padding: int) -> int:
    """Return how many windows a pool with ``ceil_mode`` has: none begins beyond the plane."""
    count = math.ceil((n + 2 * padding - kernel) / stride) + 1
    return count - 1 if (count - 1) * stride >= n + padding else count
