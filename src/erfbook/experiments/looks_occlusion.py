"""Occlusion: cover a patch of the image and see by how much the unit's value falls.

A patch changes the unit only if it meets the unit's field. So along an axis the positions with an
effect are at most r + p - 1 for a field of r and a patch of p pixels, and a map that gives each
pixel the mean effect of the patches over it reaches p - 1 pixels beyond the field on either side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn

from erfbook.experiments.looks_tools import BATCH, evaluate_unit, expected_warnings
from erfbook.experiments.looks_unit import Target, UnitValue


@dataclass(frozen=True)
class Occlusion:
    """What covering each patch did to a unit.

    Args:
        starts: (n, 2) first row and column of each patch.
        patch: (height, width) of a patch in pixels.
        effects: by how much the unit's value fell.
        map: at each pixel, the mean effect of the patches that cover it.
    """

    starts: Int[np.ndarray, "n 2"]
    patch: tuple[int, int]
    effects: Float[np.ndarray, " n"]
    map: Float[np.ndarray, "height width"]


def occlude(
    model: nn.Module,
    image: Float[torch.Tensor, "1 c height width"],
    target: Target,
    *,
    patch: tuple[int, int],
    starts: Int[np.ndarray, "n 2"],
    hidden: Float[torch.Tensor, "1 c height width"] | None = None,
) -> Occlusion:
    """Cover one patch after another and return the effects on a unit.

    Args:
        model: the network.
        image: the image.
        target: the unit.
        patch: (height, width) of the patch; what reaches beyond the image is left out.
        starts: first row and column of each patch.
        hidden: the image that is seen in the patch; by default the mean colour, zero.
    """
    unit = UnitValue(model, target)
    hidden = torch.zeros_like(image) if hidden is None else hidden
    whole = evaluate_unit(unit, image.expand(BATCH, -1, -1, -1))[0]
    effects = []
    for first in range(0, len(starts), BATCH):
        some = starts[first : first + BATCH]
        batch = image.repeat(len(some), 1, 1, 1)
        for covered, start in zip(batch, some, strict=True):
            rows, columns = _window(start, patch)
            covered[:, rows, columns] = hidden[0, :, rows, columns]
        effects.append(whole - evaluate_unit(unit, batch))
    found = torch.cat(effects).double().numpy()
    height, width = image.shape[2:]
    return Occlusion(starts, patch, found, spread(found, starts, patch, (height, width)))


def slide(size: tuple[int, int], patch: tuple[int, int], stride: int) -> Int[np.ndarray, "n 2"]:
    """Return the first row and column of every patch of a sliding window that covers an image.

    The last patch of a row or column may reach beyond the image, as in Captum.

    >>> slide((5, 3), (3, 3), 2)
    array([[0, 0],
           [2, 0]])
    """
    axes = [range(0, max(n - p, 0) + stride, stride) for n, p in zip(size, patch, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


def meet(
    starts: Int[np.ndarray, "n 2"],
    patch: tuple[int, int],
    box: tuple[tuple[int, int], tuple[int, int]],
) -> Bool[np.ndarray, " n"]:
    """Return which patches share a pixel with a box of inclusive (first, last) per axis."""
    first, last = (np.array(side) for side in zip(*box, strict=True))
    ends = starts + np.array(patch) - 1
    return ((starts <= last) & (ends >= first)).all(axis=1)


def spread(
    effects: Float[np.ndarray, " n"],
    starts: Int[np.ndarray, "n 2"],
    patch: tuple[int, int],
    size: tuple[int, int],
) -> Float[np.ndarray, "height width"]:
    """Return at each pixel the mean effect of the patches that cover it, 0 where none does."""
    total, count = np.zeros(size), np.zeros(size)
    for effect, start in zip(effects, starts, strict=True):
        window = _window(start, patch)
        total[window] += effect
        count[window] += 1
    return total / np.maximum(count, 1)


def _window(start: np.ndarray, patch: tuple[int, int]) -> tuple[slice, slice]:
    rows, columns = (slice(max(int(s), 0), int(s) + p) for s, p in zip(start, patch, strict=True))
    return rows, columns


def occlude_with_captum(
    model: nn.Module, image: torch.Tensor, target: Target, patch_px: int, stride_px: int
) -> Float[np.ndarray, "height width"]:
    """Return Captum's occlusion map of the unit, one number a pixel."""
    with expected_warnings():
        from captum.attr import Occlusion as CaptumOcclusion

    def value(images: torch.Tensor) -> torch.Tensor:
        return evaluate_unit(UnitValue(model, target), images)

    found = CaptumOcclusion(value).attribute(
        image,
        sliding_window_shapes=(image.shape[1], patch_px, patch_px),
        strides=(image.shape[1], stride_px, stride_px),
        baselines=0.0,
        perturbations_per_eval=BATCH,
    )
    return found[0, 0].double().numpy()


def scan_bars(
    model: nn.Module, image: torch.Tensor, target: Target, width_px: int, margin: int = 6
) -> int:
    """Return how many positions of a bar, as high as the image, change a unit.

    Every position is tried up to ``margin`` pixels beyond where the field's first and last column
    would be met; positions over the field's inside are taken to have an effect.
    """
    (_, _), (left, right) = target.box
    height, width = image.shape[2:]
    edges = (left - width_px + 1, right)  # the first and the last position that meets the field
    tried = sorted(
        {
            start
            for edge in edges
            for start in range(edge - margin, edge + margin + 1)
            if -width_px < start < width
        }
    )
    starts = np.array([[0, start] for start in tried])
    found = occlude(model, image, target, patch=(height, width_px), starts=starts)
    moved = starts[found.effects != 0, 1]
    return int(moved.max() - moved.min() + 1)
