"""The one training loop of the book."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional as F

from erfbook.datasets.sets import ImageSet, Split
from erfbook.errors import RunError
from erfbook.training.history import History, Moment
from erfbook.training.recipe import Recipe

Observer = Callable[[nn.Module, Moment], Mapping[str, Any]]


class Paused(Exception):
    """The deadline came: the run is in its checkpoint and can be taken up again."""


class Diverged(RunError):
    """The loss is no longer a number."""


def train(
    model: nn.Module,
    data: ImageSet,
    recipe: Recipe,
    *,
    seed: int,
    observe: Observer | None = None,
    observe_at: Sequence[float] = (),
    checkpoint: Path | None = None,
    deadline: float | None = None,
    progress: str = "",
) -> History:
    """Train ``model`` in place on ``data.train``, on the device it is on.

    Args:
        model: gives scores of the classes, for an image or for each of its regions.
        data: the images; a class an image, or a class a pixel.
        recipe: how.
        seed: of order, crops and flips; the weights are the model's own.
        observe: called with the model, in evaluation mode, and the moment; what it returns is kept.
        observe_at: epochs at which it is called; 0 is before training.
        checkpoint: file that the run is kept in while it is under way, and resumed from.
        deadline: reading of ``time.monotonic()`` at which to keep the run and stop.
        progress: name on the progress bar; empty for no bar.

    Returns:
        The history.

    Raises:
        Paused: the deadline came first.
        Diverged: the loss stopped being a number; the message names the step.
    """
    device = next(model.parameters()).device
    images, labels = data.train.images.to(device), data.train.labels.to(device)
    n_per_epoch = math.ceil(len(images) / recipe.batch_size)
    n_steps = max(1, round(recipe.epochs * n_per_epoch))
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, nesterov=True,
        weight_decay=recipe.weight_decay,
    )  # fmt: skip
    due = sorted({min(n_steps, round(e * n_per_epoch)) for e in observe_at})
    losses: list[float] = []
    moments: list[Moment] = []
    start = time.perf_counter()
    for step in range(n_steps + 1):
        if observe is not None and step in due:
            model.eval()
            moment = Moment(step, step / n_per_epoch, {})
            moments.append(Moment(step, moment.epoch, dict(observe(model, moment))))
        if step == n_steps:
            break
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * 0.5 * (1 + math.cos(math.pi * step / n_steps))
        epoch, position = divmod(step, n_per_epoch)
        order = torch.randperm(
            len(images), generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        )
        chosen = order[position * recipe.batch_size : (position + 1) * recipe.batch_size]
        x = data.standardise(images[chosen.to(device)])
        loss = _loss(model(x), labels[chosen.to(device)], data.ignore)
        if not torch.isfinite(loss):
            raise Diverged(f"the loss is {loss.item()} at step {step}; lower lr ({recipe.lr:g})")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    seconds = time.perf_counter() - start
    return History(
        np.array(losses), tuple(moments), n_steps, n_steps * recipe.batch_size / seconds, seconds
    )


@torch.no_grad()
def predict(
    model: nn.Module, data: ImageSet, split: Split, batch_size: int = 250
) -> Float[torch.Tensor, "n ..."]:
    """Return the scores of a split's images, on the CPU, the model in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    batches = split.images.split(batch_size)
    return torch.cat([model(data.standardise(x.to(device))).float().cpu() for x in batches])


def accuracy(model: nn.Module, data: ImageSet, split: Split) -> float:
    """Return the share of a split's images whose class has the largest score."""
    return float((predict(model, data, split).argmax(1) == split.labels).float().mean())


def _loss(scores: torch.Tensor, labels: torch.Tensor, ignore: int | None) -> torch.Tensor:
    if labels.ndim > 1:
        scores = F.interpolate(scores, labels.shape[1:], mode="bilinear", align_corners=False)
    return F.cross_entropy(scores, labels.long(), ignore_index=-100 if ignore is None else ignore)
