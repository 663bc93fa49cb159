"""Fine-tuning under a mask: what was pruned stays exactly zero."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from erfbook import training
from erfbook.datasets import ImageSet
from erfbook.errors import RunError
from erfbook.pruning.magnitude import Pruned


def fine_tune(
    pruned: Pruned, data: ImageSet, recipe: training.Recipe, *, seed: int, **options: Any
) -> tuple[Pruned, training.History]:
    """Train what is left of a pruned network (avendano s. 4.1.1, figures 14 and 15).

    Pruned weights start at zero and their gradients are set to zero before the optimizer or its
    clipping see them, so momentum and weight decay find nothing to move.

    Args:
        pruned: where to begin; it is left as it is.
        data, recipe, seed: as :func:`erfbook.training.train` takes them.
        options: its other ones, such as ``checkpoint``, ``deadline`` and ``progress``.

    Returns:
        The tuned network with the same mask, and the run's history.

    Raises:
        RunError: a pruned weight is no longer zero.
    """
    model = copy.deepcopy(pruned.model)
    with held(model, pruned.mask):
        history = training.train(model, data, recipe, seed=seed, **options)
    for name, kept in pruned.mask.items():
        weight = model.get_parameter(name)
        if bool(weight.masked_select(~kept.to(weight.device)).any()):
            raise RunError(f"{name}: pruned weights moved away from 0 in fine-tuning")
    return dataclasses.replace(pruned, model=model), history


@contextlib.contextmanager
def held(model: nn.Module, mask: Mapping[str, Tensor]) -> Iterator[None]:
    """Keep gradients from the weights that a mask drops, for as long as the block lasts."""
    handles = []
    for name, kept in mask.items():
        weight = model.get_parameter(name)
        handles.append(weight.register_hook(_silence(~kept.to(weight.device))))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _silence(dropped: Tensor):
    def silence(gradient: Tensor) -> Tensor:
        return torch.where(dropped, torch.zeros_like(gradient), gradient)

    return silence
