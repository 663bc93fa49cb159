"""Measure the effective receptive field of one unit: average the gradient it sends to the input.

Only what the unit can see is computed. The forward pass stops at the layer, no parameter gets a
gradient, and the input is cut to the window on which the unit's value is exactly the one on the
whole image (:mod:`erfbook.rf.crop` says why, and when there is none).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook.erf.gradient import input_gradient
from erfbook.erf.mixing import mixes_inputs
from erfbook.erf.opaque import check_model
from erfbook.erf.plan import make_plan
from erfbook.erf.sizes import Map
from erfbook.models.frozen import frozen

STATISTICS = {
    "abs": torch.abs,
    "square": torch.square,
    "signed": lambda gradient: gradient,
    "relu": torch.relu,
}
MEMORY_BUDGET = 2**29  # bytes of activations in one batch; chosen by us to suit a laptop


def measure(
    model: nn.Module,
    inputs: Float[torch.Tensor, "n channels height width"] | Iterable[torch.Tensor],
    layer: str | None = None,
    unit: tuple[int, int] | None = None,
    *,
    channel: int | None = None,
    statistic: str = "abs",
    batch_size: int | None = None,
    crop: bool = True,
) -> Map:
    """Return the effective receptive field of a unit, averaged over inputs (luo section 3.1).

    The gradient of the unit (the sum over the layer's channels, or one channel) with respect to
    the input is taken for every input, turned into a statistic, averaged over the inputs and
    summed over the input's channels. Each gradient is that of the input alone: where a model mixes
    the inputs of a batch, as a batch norm without running statistics does, they are computed one by
    one, and the map says so. The model runs in evaluation mode and is left as it was.

    Args:
        model: any module that takes one tensor (N, C, H, W).
        inputs: one such tensor, or an iterable of tensors (N, C, H, W) or (C, H, W) of one size.
        layer: path of a module whose output is (N, channels, rows, columns); by default the last
            one whose plane still has more than one unit. Of a module that is used several times
            the last call is measured.
        unit: (row, column) on the layer's grid; by default (rows // 2, columns // 2), the central
            one, which on an even grid is the later of the two.
        channel: one channel of the layer; by default the sum over all of them.
        statistic: ``abs`` averages |g|, ``square`` g squared, ``signed`` g, and ``relu`` g where
            it is positive, as Ding et al. (2022) do (they clip the unit's activation as well).
            For a Gaussian field with random signs ``abs`` is sqrt 2 times as wide as ``square``.
        batch_size: most inputs computed at once; by default as many as fit half a GiB of
            activations. It changes the time that is taken and not the map.
        crop: compute only the part of the input that the unit can see, where that is exact.

    Returns:
        The map over the whole input, zero outside the unit's receptive field.

    Raises:
        ValueError: a model that cannot be watched (scripted, compiled) or has no forward pass; no
            such layer (the nearest names are given), unit or channel; a layer without a plane; no
            inputs; inputs of different sizes or that the model refuses; a gradient that is not
            finite or that the model does not let through.
    """
    total, n_inputs, n_zero = 0.0, 0, 0
    asked = (model, inputs, layer, unit, channel, statistic, batch_size, crop)
    with _measuring(*asked) as (plan, batches):
        for batch in batches:
            each, is_zero = _statistic_of(model, batch, plan, channel, statistic, n_inputs)
            total = total + each.sum(axis=0)
            n_inputs += len(each)
            n_zero += int(is_zero.sum())
    return _as_map(plan, total / n_inputs, statistic, channel, n_inputs, n_zero)


def measure_each(
    model: nn.Module,
    inputs: Float[torch.Tensor, "n channels height width"] | Iterable[torch.Tensor],
    layer: str | None = None,
    unit: tuple[int, int] | None = None,
    *,
    channel: int | None = None,
    statistic: str = "abs",
    batch_size: int | None = None,
    crop: bool = True,
) -> tuple[Map, ...]:
    """Return one map for each input, of which :func:`measure` is the mean; arguments as there."""
    maps: list[Map] = []
    asked = (model, inputs, layer, unit, channel, statistic, batch_size, crop)
    with _measuring(*asked) as (plan, batches):
        for batch in batches:
            each, is_zero = _statistic_of(model, batch, plan, channel, statistic, len(maps))
            for values, zero in zip(each, is_zero, strict=True):
                maps.append(_as_map(plan, values, statistic, channel, 1, int(zero)))
    return tuple(maps)


@contextmanager
def _measuring(model, inputs, layer, unit, channel, statistic, batch_size, crop):
    """Check the arguments, freeze the model, and yield the plan and the batches to compute."""
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(STATISTICS)}, not {statistic!r}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    check_model(model)
    images, first = _each_input(inputs)
    with frozen(model):
        plan = make_plan(model, tuple(first.shape), layer, unit, crop=crop)
        fitting = int(np.clip(MEMORY_BUDGET // max(plan.bytes_per_input, 1), 1, 64))
        rest = _batches(images, batch_size or fitting)
        first_batch = next(rest)
        batches = chain([first_batch], rest)
        if len(first_batch) > 1:
            part = _window_of(first_batch, plan)
            plan = replace(plan, one_by_one=mixes_inputs(model, part, plan, channel))
        yield (
            plan,
            (chain.from_iterable(b.split(1) for b in batches) if plan.one_by_one else batches),
        )


def _statistic_of(model, batch, plan, channel, statistic, n_before):
    """Return each input's statistic on the window, and whether its gradient was zero."""
    gradient = input_gradient(model, _window_of(batch, plan), plan, channel)
    finite = gradient.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        where = n_before + int((~finite).nonzero()[0])
        raise ValueError(f"the gradient of input {where} at {plan.layer!r} is not finite")
    each = STATISTICS[statistic](gradient.double()).sum(dim=1)
    return each.cpu().numpy(), (gradient == 0).flatten(1).all(dim=1).cpu().numpy()


def _window_of(batch, plan) -> torch.Tensor:
    (top, bottom), (left, right) = plan.window
    return batch[:, :, top : bottom + 1, left : right + 1]


def _as_map(plan, values, statistic, channel, n_inputs, n_zero) -> Map:
    """Put the window's values where they belong in the whole input."""
    everywhere = np.zeros(plan.input_size)
    (top, bottom), (left, right) = plan.window
    everywhere[top : bottom + 1, left : right + 1] = values
    return Map(
        values=everywhere,
        statistic=statistic,
        layer=plan.layer,
        unit=plan.unit,
        channel=channel,
        centre=plan.centre,
        n_inputs=n_inputs,
        n_zero=n_zero,
        input_size=plan.input_size,
        region=plan.region,
        cropped=plan.is_cropped,
        one_by_one=plan.one_by_one,
    )


def _each_input(inputs) -> tuple[Iterator[torch.Tensor], torch.Tensor]:
    """Return an iterator over (C, H, W) and its first item, which it yields again."""
    images = _unbatched(inputs)
    first = next(images, None)
    if first is None:
        raise ValueError("inputs holds no image")

    def every():
        yield first
        yield from images

    return every(), first


def _unbatched(inputs) -> Iterator[torch.Tensor]:
    size = None
    for item in [inputs] if isinstance(inputs, torch.Tensor) else inputs:
        if not isinstance(item, torch.Tensor) or item.ndim not in (3, 4):
            shape = tuple(item.shape) if isinstance(item, torch.Tensor) else type(item).__name__
            raise ValueError(f"inputs must be tensors (N, C, H, W) or (C, H, W), not {shape}")
        for image in item if item.ndim == 4 else [item]:
            size = size or image.shape
            if image.shape != size:
                shapes = f"{tuple(size)} came first, then {tuple(image.shape)}"
                raise ValueError(f"inputs must have one size: {shapes}")
            yield image


def _batches(images: Iterable[torch.Tensor], batch_size: int) -> Iterator[torch.Tensor]:
    batch: list[torch.Tensor] = []
    for image in images:
        batch.append(image)
        if len(batch) == batch_size:
            yield torch.stack(batch)
            batch = []
    if batch:
        yield torch.stack(batch)
