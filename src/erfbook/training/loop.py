"""The one training loop of the book."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from erfbook.datasets.sets import ImageSet
from erfbook.errors import RunError, UserError
from erfbook.progress import open_bar
from erfbook.training.batches import Batches
from erfbook.training.checkpoint import Checkpoint
from erfbook.training.devices import choose_layout, repeatable, warn_of_precision
from erfbook.training.history import History
from erfbook.training.identity import identify
from erfbook.training.interrupts import HeldInterrupt
from erfbook.training.keeper import Keeper
from erfbook.training.recipe import Recipe
from erfbook.training.run import Observer, Run


def train(
    model: nn.Module,
    data: ImageSet,
    recipe: Recipe,
    *,
    seed: int,
    observe: Observer | None = None,
    observe_at: Sequence[float] = (),
    checkpoint: Path | Checkpoint | None = None,
    deadline: float | None = None,
    progress: str = "",
) -> History:
    """Train ``model`` in place on ``data.train``, on the device it is on.

    Two runs of one seed on one device, with the same number of threads, give the same bits; so
    does a run that was stopped anywhere and taken up from its checkpoint.

    Args:
        model: gives scores of the classes, for an image or for each of its regions; regions'
            scores are brought to the size of the labels bilinearly. Afterwards it is in evaluation
            mode, its weights channels-last where that is safe.
        data: the images; a class an image, or a class a pixel.
        recipe: how.
        seed: of order, crops, mirror images and dropout; the weights are the model's own.
        observe: called with the model, in evaluation mode, and the moment; what it returns is kept.
        observe_at: epochs at which it is called; 0 is before training.
        checkpoint: file that the run is kept in while it is under way, and resumed from. A run
            that is through is kept too: :func:`remove_checkpoint` is the caller's, once the result
            is safe.
        deadline: reading of ``time.monotonic()`` at which to keep the run and stop; one step or
            one observation is always made.
        progress: name on the progress bar; empty for no bar.

    Returns:
        The history.

    Raises:
        Paused: the deadline came first.
        Diverged: the loss stopped being a number; the message names the step.
        UserError: model, data and recipe do not fit, or the checkpoint is of another run.
        RunError: the run cannot be kept at its deadline, or the GPU's memory does not suffice.
        KeyboardInterrupt: Ctrl-C came; the run is kept first.
    """
    highest = _highest_label(data)
    if seed < 0 or seed != int(seed):
        raise UserError(f"the seed must be a whole number of at least 0, not {seed}")
    device = next(model.parameters()).device
    warn_of_precision(device, recipe.precision)
    layout = choose_layout(model, device)
    model.to(memory_format=layout)  # type: ignore[call-overload]
    batches = Batches(data, recipe, seed=seed, device=device, layout=layout)
    due = _due(observe_at if observe else (), batches)
    keeper = None
    if checkpoint is not None:
        settings = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
        identity = identify(model, data, recipe, seed=seed, observed=due)
        keeper = Keeper(settings, identity)
    run = Run(model, batches, recipe, seed=seed, highest_label=highest, keeper=keeper)
    try:
        with repeatable(device), HeldInterrupt(keeper is not None) as interrupt:
            run.resume()
            done, total = batches.count(0, run.step), batches.count(0, run.n_steps)
            with open_bar(progress, total, "images", done) as b:
                run.go(observe, due, deadline=deadline, interrupt=interrupt, bar=b)
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the memory of {device} does not suffice for {recipe.batch_size // recipe.accumulate} "
            "images at once: raise recipe.accumulate, or lower recipe.batch_size"
        ) from error
    return run.history()


def _due(observe_at: Sequence[float], batches: Batches) -> list[int]:
    """Return the steps before which the model is observed, in order."""
    for epoch in observe_at:
        if not epoch >= 0:
            raise UserError(f"observe_at must be epochs of at least 0, not {epoch}")
    return sorted({min(batches.n_steps, round(e * batches.n_per_epoch)) for e in observe_at})


def _highest_label(data: ImageSet) -> int:
    """Return the highest label that counts."""
    labels = data.train.labels
    counted = labels if data.ignore is None else labels[labels != data.ignore]
    if len(data.train.images) != len(labels) or not len(counted):
        raise UserError(
            f"the training split of {data.name} has {len(data.train.images)} images and "
            f"{len(labels)} labels, {len(counted)} of which count; it needs as many, and one at "
            "least"
        )
    return int(counted.max())
