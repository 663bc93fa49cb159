"""Compare the layers of two networks on the same images."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from erfbook.similarity import passes
from erfbook.similarity.cka import LEAST_IMAGES
from erfbook.similarity.grams import Representations, hsic
from erfbook.similarity.layers import Layer, Runner, choose_modules, evaluating, place_of

_LOG = logging.getLogger("erfbook.similarity")
_GIB = 2**30
Patterns = str | Sequence[str] | None


@dataclass(frozen=True)
class Similarity:
    """Linear CKA of every layer of one network with every layer of another.

    Args:
        matrix: NaN in the rows and columns of layers that are the same for every image.
        layers_a, layers_b: of its rows and of its columns, in the order of their calls.
        n: images.
        debiased: whether it rests on HSIC_1.
        batch_size: of the minibatches that HSIC_1 was averaged over; 0 for all images at once.
    """

    matrix: Float[np.ndarray, "layer_a layer_b"]
    layers_a: tuple[Layer, ...]
    layers_b: tuple[Layer, ...]
    n: int
    debiased: bool
    batch_size: int = 0

    @property
    def constant(self) -> tuple[Layer, ...]:
        """The layers of either network that have no CKA, because their output is a constant."""
        rows, columns = np.isnan(self.matrix).all(1), np.isnan(self.matrix).all(0)
        if rows.all():  # one of the two has none at all: look no further
            return self.layers_a
        a = (layer for layer, gone in zip(self.layers_a, rows, strict=True) if gone)
        b = (layer for layer, gone in zip(self.layers_b, columns, strict=True) if gone)
        return tuple(dict.fromkeys((*a, *b)))


def compare(
    model_a: nn.Module,
    model_b: nn.Module,
    batches: Iterable[Any],
    *,
    layers: Patterns = None,
    layers_b: Patterns = None,
    debiased: bool = True,
    minibatch: bool = False,
    progress: str = "",
) -> Similarity:
    """Return the linear CKA of all pairs of layers of two networks (avendano s. 3.3, figure 3).

    Models run in evaluation mode on their own devices and are left as they were. Every call of a
    module and every tensor it returns is a layer, copied before anything can overwrite it.

    Args:
        model_a, model_b: they may be the same one, which is then run once.
        batches: (inputs, targets) or inputs; a sequence, or a loader that does not shuffle.
        layers: paths of modules, or patterns with * and ?; by default every convolution, linear,
            pooling, recurrent and activation module.
        layers_b: of ``model_b``; by default ``layers``.
        debiased: rest it on HSIC_1.
        minibatch: average HSIC_1 over batches, which needs no matrix of all images: for sets so
            large that n x n numbers a layer do not fit. Noisier than all images at once, so
            products are in float32 (of centred features, summed in float64), and on a processor
            planes have channels last where the model takes them so: faster, rounded otherwise.
        progress: name for a progress bar; empty for none.

    Raises:
        ValueError: batches that cannot be gone through again, or change; fewer than four images
            (in a batch, for ``minibatch``); no such layer; a layer that does not give a row an
            image, or is not finite; the biased estimate of minibatches.
    """
    same = model_a is model_b and layers_b in (None, layers)
    patterns = layers if layers_b is None else layers_b
    if minibatch:
        if not debiased:
            raise ValueError("minibatch needs debiased=True: bias does not average out")
        other = None if same else (model_b, patterns)
        return _compare_minibatches((model_a, layers), other, batches, progress)
    first = represent(model_a, batches, layers=layers, progress=progress)
    second = first
    if not same:
        second = represent(model_b, batches, layers=patterns, progress=progress)
    return compare_representations(first, second, debiased=debiased)


def represent(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    layers: Patterns = None,
    reduce: Callable[[Tensor], Tensor] | None = None,
    memory_gib: float = 1.0,
    progress: str = "",
) -> Representations:
    """Return the Gram matrices of a model's layers, n x n numbers in float64 for each.

    They stay on the model's device, or go to the host's memory with a line on the log where the
    device's does not hold them.

    Args:
        model, batches, layers, progress: as :func:`compare` takes them.
        reduce: from a layer's output to the features to compare, an image a row; by default the
            output itself, flattened. It must not change what it is given.
        memory_gib: of features held at once; more passes are made over the batches for less.

    Raises:
        ValueError: see :func:`compare`.
    """
    if not memory_gib > 0:
        raise ValueError(f"memory_gib must be positive, not {memory_gib}")
    modules = choose_modules(model, layers)
    checked = passes.Batches.check(batches)
    budget = int(memory_gib * _GIB)

    def attempt(place: torch.device) -> Representations:
        return passes.measure(
            model, checked, modules, place, budget=budget, reduce=reduce, progress=progress
        )

    with evaluating(model):
        return fall_back(attempt, place_of(model))


def compare_representations(
    a: Representations, b: Representations, *, debiased: bool = True
) -> Similarity:
    """Return the linear CKA of all pairs of layers whose Gram matrices are at hand.

    Raises:
        ValueError: they are of different numbers of images.
    """
    if a.n != b.n:
        raise ValueError(f"a has {a.n} images and b {b.n}; they must be the same")
    cross, own_a, own_b = hsic(a, b.to(a.below.device), debiased)
    return Similarity(_normalise(cross, own_a, own_b), a.layers, b.layers, a.n, debiased)


def fall_back(
    attempt: Callable[[torch.device], Representations], device: torch.device
) -> Representations:
    """Try on a device, and in the host's memory if the device's is full or has no float64."""
    host = torch.device("cpu")
    if device.type == "mps":
        return attempt(host)
    try:
        return attempt(device)
    except torch.OutOfMemoryError:
        if device.type == "cpu":
            raise
        _LOG.warning("the memory of %s is full: representations go to the host's", device)
    torch.cuda.empty_cache()
    return attempt(host)


def _compare_minibatches(
    a: tuple[nn.Module, Patterns],
    b: tuple[nn.Module, Patterns] | None,
    batches: Iterable[Any],
    progress: str,
) -> Similarity:
    """HSIC_1 of each batch is free of bias, so its mean over images is too."""
    checked = passes.Batches.check(batches)
    small = min(count for count, _ in checked.prints)
    if small < LEAST_IMAGES:
        raise ValueError(f"a batch has {small} images; minibatch needs {LEAST_IMAGES} in each")
    modules = [choose_modules(*one) for one in (a, *([b] if b else []))]
    models = [one[0] for one in (a, *([b] if b else []))]
    runners = [Runner(model) for model in models]
    total: list[Tensor] = []
    with evaluating(models[0]), evaluating(models[-1]):
        for inputs in tqdm(checked, desc=progress, disable=None if progress else True, leave=False):
            found = [
                fall_back(
                    functools.partial(passes.measure_batch, runner, inputs, chosen),
                    place_of(runner.model),
                )
                for runner, chosen in zip(runners, modules, strict=True)
            ]
            first, second = found[0], found[-1]
            moved = second.to(first.below.device)
            n = len(inputs)
            # hsic() leaves out 1 / (n (n - 3)); a batch counts by its images
            each = [value.nan_to_num() / (n - 3) for value in hsic(first, moved, True)]
            total = each if not total else [t + e for t, e in zip(total, each, strict=True)]
    cross, own_a, own_b = total
    own_a, own_b = (torch.where(own > 0, own, torch.nan) for own in (own_a, own_b))
    size = max(count for count, _ in checked.prints)
    matrix = _normalise(cross, own_a, own_b)
    return Similarity(matrix, first.layers, second.layers, checked.n, True, size)


def _normalise(cross: Tensor, own_a: Tensor, own_b: Tensor) -> np.ndarray:
    return (cross / own_a[:, None].sqrt() / own_b.sqrt()).cpu().numpy()
