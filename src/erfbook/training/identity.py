"""Which run a checkpoint belongs to: recipe, seed, data, architecture, starting weights."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from erfbook.datasets.sets import ImageSet
from erfbook.errors import UserError
from erfbook.training.recipe import Recipe

# Random weights of one seed agree to a few roundings between processors; those of two seeds, or
# of a shuffled copy, differ in their first digit.
_START_TOLERANCE = 1e-4


def identify(
    model: nn.Module, data: ImageSet, recipe: Recipe, *, seed: int, observed: Sequence[int]
) -> dict[str, Any]:
    """Return what has to agree between a run and its checkpoint, before the first step.

    Args:
        model: with its starting weights.
        data: its training images and labels count, byte by byte.
        recipe, seed: of the run.
        observed: steps before which the model is observed.
    """
    digest = hashlib.sha256(f"{data.ignore} {data.train.images.shape}".encode())
    for tensor in (data.train.images, data.train.labels):
        digest.update(tensor.cpu().contiguous().numpy().data.cast("B"))
    layers = [repr(model)] + [f"{n} {tuple(t.shape)}" for n, t in model.state_dict().items()]
    return {
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "training data": digest.hexdigest()[:16],
        "architecture": hashlib.sha256("\n".join(layers).encode()).hexdigest()[:16],
        "observed steps": list(observed),
        "starting weights": _summary(model),
    }


def check_same_run(path: Path, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another run.

    Args:
        path: its file, for the message.
        kept, wanted: from :func:`identify`, in the checkpoint and now.

    Raises:
        UserError: they differ; the message names in what.
    """
    difference = _first_difference(kept, wanted)
    if difference:
        raise UserError(
            f"the checkpoint {path} is of another run: {difference}; name another file, or remove "
            "it to start again"
        )


def _first_difference(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    for name, value in wanted["recipe"].items():
        other = kept["recipe"].get(name)
        if other != value:
            return f"its recipe.{name} is {other}, not {value}"
    for name in ("seed", "training data", "architecture", "observed steps"):
        if kept[name] != wanted[name]:
            return f"its {name} is {kept[name]}, not {wanted[name]}"
    sums, norms = kept["starting weights"].unbind(1)
    shift = (sums - wanted["starting weights"][:, 0]).abs()
    return "its starting weights differ" if bool((shift > _START_TOLERANCE * norms).any()) else ""


def _summary(model: nn.Module) -> torch.Tensor:
    """Return each floating tensor's sum weighted by a ramp, which sees order, and its norm."""
    rows = []
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            flat = tensor.detach().cpu().double().flatten()
            ramp = torch.linspace(0.5, 1, len(flat), dtype=torch.float64)
            rows.append(torch.stack([flat @ ramp, flat.norm()]))
    return torch.stack(rows)
