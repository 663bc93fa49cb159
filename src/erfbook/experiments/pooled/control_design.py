"""What the networks of the comparison have and lack, counted without training any of them.

Besides the field, the planes and the detail there is a fourth thing that changes with the pool: how
many weights ever read the image. A tap whose every read falls into the padding multiplies zeros.
It cannot learn, and pruning it costs nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import nn

from erfbook import rf
from erfbook.models.pooled import PooledNet
from erfbook.models.pooled_control import CoarsePool


@dataclass(frozen=True)
class LiveTaps:
    """Which taps of each convolution read a plane, and not its padding alone.

    Args:
        live: by layer, whether a tap reads the plane at any position, (rows, columns) of a kernel.
        used: by layer, the share of positions at which it does.
        n_weights: by layer, weights of each tap.
    """

    live: Mapping[str, Bool[np.ndarray, "row column"]]
    used: Mapping[str, Float[np.ndarray, "row column"]]
    n_weights: Mapping[str, int]

    @property
    def share(self) -> float:
        """Share of the convolutions' weights that ever read a plane."""
        return self._mean(self.live)

    @property
    def use(self) -> float:
        """Share of positions at which a weight reads a plane, mean over weights."""
        return self._mean(self.used)

    def _mean(self, taps: Mapping[str, np.ndarray]) -> float:
        total = sum(n * taps[name].size for name, n in self.n_weights.items())
        return float(sum(n * taps[name].sum() for name, n in self.n_weights.items()) / total)


def find_live_taps(network: nn.Module, side: int) -> LiveTaps:
    """Count which taps of a network's convolutions read the plane before them.

    Args:
        network: its convolutions are square or not, dilated or not, padded with zeros.
        side: of the image, px.
    """
    sizes: dict[str, tuple[int, int]] = {}
    convs = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}

    def note(name: str):
        return lambda module, inputs: sizes.__setitem__(name, tuple(inputs[0].shape[2:]))

    hooks = [conv.register_forward_pre_hook(note(name)) for name, conv in convs.items()]
    try:
        _run_blank(network, side)
    finally:
        for hook in hooks:
            hook.remove()
    live, used, n_weights = {}, {}, {}
    for name, conv in convs.items():
        rows, columns = (_reads(conv, axis, sizes[name][axis]) for axis in (0, 1))
        live[name] = np.outer(rows.any(1), columns.any(1))
        used[name] = np.outer(rows.mean(1), columns.mean(1))
        n_weights[name] = conv.weight.shape[0] * conv.weight.shape[1]
    return LiveTaps(live, used, n_weights)


def live_kept(pruned: nn.Module, live: LiveTaps) -> dict[str, float]:
    """Return which shares of live and of dead weights a pruned network has kept.

    Returns:
        ``live_kept`` and ``dead_kept``; the latter is 0 where no weight is dead.
    """
    kept, total = {True: 0, False: 0}, {True: 0, False: 0}
    for name, taps in live.live.items():
        weight = pruned.get_submodule(name).weight.detach()  # type: ignore[union-attr,operator]
        n_kept = (weight != 0).sum((0, 1)).cpu().numpy()  # type: ignore[union-attr]
        for alive in (True, False):
            kept[alive] += int(n_kept[taps == alive].sum())
            total[alive] += int((taps == alive).sum()) * live.n_weights[name]
    shares = {alive: kept[alive] / total[alive] if total[alive] else 0.0 for alive in kept}
    return {"live_kept": shares[True], "dead_kept": shares[False]}


@dataclass(frozen=True)
class Design:
    """What one network is like at an image's size.

    Args:
        field: side of the last plane's theoretical receptive field, px.
        planes: sides of the early plane, of the plane of each later stage and of the last plane.
        detail: values of the early plane, a side, that reach the last one.
        live: taps that read more than padding.
        n_parameters: of the network.
    """

    field: int
    planes: tuple[int, ...]
    detail: int
    live: LiveTaps
    n_parameters: int


def describe(network: PooledNet, *, side: int = 32) -> Design:
    """Return what a network is like; its own weights are neither used nor changed."""
    probe = copy.deepcopy(network).to("cpu").eval()
    return Design(
        field=rf.analyze(probe, (3, side, side))["features"].size[0],
        planes=_plane_sides(probe, side),
        detail=count_read(probe, side=side),
        live=find_live_taps(probe, side),
        n_parameters=sum(p.numel() for p in network.parameters()),
    )


def count_read(network: PooledNet, *, side: int = 32) -> int:
    """Return how many values of the early plane, a side, have any path to the last plane.

    A NaN is put at each place of the plane's diagonal in turn; rows and columns are read alike.

    Args:
        network: its convolutions must not hold zeros, through which a NaN passes all the same.
        side: of the image, px.
    """
    early = network.features.get_submodule("early_pool")
    place = early.pool if isinstance(early, CoarsePool) else early

    def poison(module: nn.Module, inputs: tuple, plane: torch.Tensor) -> torch.Tensor:
        diagonal = torch.arange(plane.shape[2])
        spoilt = plane.expand(len(diagonal), -1, -1, -1).clone()
        spoilt[diagonal, :, diagonal, diagonal] = torch.nan
        return spoilt

    hook = place.register_forward_hook(poison)
    try:
        last = network.eval().features(_blank(network, side))
    finally:
        hook.remove()
    return int(last.isnan().flatten(1).any(1).sum())


def _plane_sides(network: PooledNet, side: int) -> tuple[int, ...]:
    """Return the sides of the plane behind the early pool and of every other size after it."""
    names = [name for name, _ in network.features.named_children()]
    late = names[names.index("early_pool") :]
    sides: list[int] = []

    def note(module: nn.Module, inputs: tuple, plane: torch.Tensor) -> None:
        sides.append(int(plane.shape[-1]))

    hooks = [
        network.features.get_submodule(name).register_forward_hook(note)
        for name in late
        if "pool" in name or name.startswith("layer") or name == "sampled"
    ]
    try:
        _run_blank(network, side)
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(sides)


def _reads(conv: nn.Conv2d, axis: int, n: int) -> Bool[np.ndarray, "tap position"]:
    """Return at which positions along an axis each tap reads one of the n values."""
    padding = conv.padding[axis]
    assert not isinstance(padding, str), "the pooled networks name their padding in numbers"
    reach = conv.dilation[axis] * (conv.kernel_size[axis] - 1)
    n_out = (n + 2 * padding - reach - 1) // conv.stride[axis] + 1
    first = np.arange(n_out) * conv.stride[axis] - padding
    read = first[None, :] + conv.dilation[axis] * np.arange(conv.kernel_size[axis])[:, None]
    return (read >= 0) & (read < n)


def _blank(network: nn.Module, side: int) -> torch.Tensor:
    first = next(network.parameters())
    return torch.zeros(1, 3, side, side, dtype=first.dtype, device=first.device)


@torch.no_grad()
def _run_blank(network: nn.Module, side: int) -> None:
    """Pass an empty image through a network that must not take note of it."""
    was_training = network.training
    network.eval()
    network(_blank(network, side))
    network.train(was_training)
