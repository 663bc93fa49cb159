"""What the networks of the comparison have and lack, counted without training any of them.

Besides the field, the planes and the detail there is a fourth thing that changes with the pool: how
many weights ever read the image. A tap whose every read falls into the padding multiplies zeros.
It cannot learn, and pruning it costs nothing.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from erfbook import pruning, rf
from erfbook.experiments.pooled.networks import VGG_STAGES
from erfbook.models.pooled import PooledNet, pooled_vgg
from erfbook.models.pooled_control import CoarsePool, vary
from erfbook.notation import round_to
from erfbook.pruning import Pruned


def share_live(network: nn.Module, side: int) -> float:
    """Return the share of the convolutions' weights that ever read more than padding.

    Args:
        network: a pooled one.
        side: of the image, px.
    """
    unused = pruning.find_unused(network, (3, side, side)).values()
    return 1 - sum(int(w.sum()) for w in unused) / sum(w.numel() for w in unused)


def share_read(network: nn.Module, side: int) -> float:
    """Return the share of its positions at which a weight reads the image, mean over all weights.

    Args:
        network: a pooled one; convolutions alone count.
        side: of the image, px.
    """
    counts = {name: value.numel() for name, value in network.named_parameters()}
    shares = pruning.find_read_shares(network, (3, side, side))
    reads = sum(float(share.mean()) * counts[name] for name, share in shares.items())
    return reads / sum(counts[name] for name in shares)


def share_kept(pruned: Pruned, side: int) -> dict[str, float]:
    """Return which shares of live and of dead weights a pruned network has kept.

    Returns:
        ``live_kept`` and ``dead_kept``; the latter is 0 where no weight is dead.
    """
    kept, total = {"live": 0, "dead": 0}, {"live": 0, "dead": 0}
    for name, unused in pruning.find_unused(pruned.model, (3, side, side)).items():
        mask = pruned.mask[name].cpu()
        for word, chosen in (("live", ~unused), ("dead", unused)):
            kept[word] += int(mask[chosen].sum())
            total[word] += int(chosen.sum())
    return {f"{word}_kept": kept[word] / max(1, total[word]) for word in kept}


@dataclass(frozen=True)
class Design:
    """What one network is like at an image's size.

    Args:
        field: side of the last plane's theoretical receptive field, px.
        planes: sides of the early plane, of the plane of each later stage and of the last plane.
        detail: values of the early plane, a side, that reach the last one.
        live: share of the convolutions' weights that ever read more than padding.
        n_parameters: of the network.
    """

    field: int
    planes: tuple[int, ...]
    detail: int
    live: float
    n_parameters: int


def describe(network: PooledNet, *, side: int = 32) -> Design:
    """Return what a network is like; its own weights are neither used nor changed."""
    probe = copy.deepcopy(network).to("cpu").eval()
    return Design(
        field=rf.analyze(probe, (3, side, side))["features"].size[0],
        planes=_plane_sides(probe, side),
        detail=count_read(probe, side=side),
        live=share_live(probe, side),
        n_parameters=sum(p.numel() for p in network.parameters()),
    )


def compare_lattice(stride: int, *, side: int = 32) -> dict[str, dict[str, Any]]:
    """Return how far dilated networks are from the strided one on their every ``stride``-th unit.

    Args:
        stride: of the early pool.
        side: of the image, px.

    Returns:
        ``lattice_error``: largest difference of the last planes over their largest value, float64;
        ``lattice_error_words``: the same as a text.
    """
    planes = {}
    for variant in ("strided", "dilated", "coarse dilated"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = pooled_vgg(stride + 1, stride, stages=VGG_STAGES, width=1 / 16)
            images = torch.randn(2, 3, side, side, dtype=torch.float64)
        with torch.no_grad():
            planes[variant] = vary(network, variant).double().eval().features(images)
    strided = planes.pop("strided")
    errors = [(p[:, :, ::stride, ::stride] - strided).abs().max() for p in planes.values()]
    error = float(max(errors) / strided.abs().max())
    return {"lattice_error": {"value": error}, "lattice_error_words": {"value": round_to(error, 1)}}


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
        with torch.no_grad():
            network.eval()(_blank(network, side))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(sides)


def _blank(network: nn.Module, side: int) -> torch.Tensor:
    first = next(network.parameters())
    return torch.zeros(1, 3, side, side, dtype=first.dtype, device=first.device)
