"""What a network says of a split, and how often it is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from torch.nn import functional as F

from erfbook.datasets.sets import ImageSet, Split
from erfbook.training.batches import NOT_COUNTED, mark_labels
from erfbook.training.devices import autocast


@dataclass(frozen=True)
class Confusion:
    """How often which class was taken for which.

    Args:
        counts: images, or pixels, of a class (row) that were taken for a class (column); those
            that are not counted are in none.
    """

    counts: Int[np.ndarray, "n_classes n_classes"]

    @property
    def accuracy(self) -> float:
        """Share of the counted images, or pixels, that were taken for their own class."""
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def class_ious(self) -> Float[np.ndarray, " n_classes"]:
        """Intersection over union of each class; NaN for one that is neither there nor said."""
        hits = np.diag(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - hits
        return np.where(union > 0, hits / np.maximum(union, 1), np.nan)

    @property
    def mean_iou(self) -> float:
        """Mean of the classes' intersection over union, those that are there or said."""
        return float(np.nanmean(self.class_ious))


@torch.no_grad()
def predict(
    model: nn.Module,
    data: ImageSet,
    split: Split,
    batch_size: int = 250,
    *,
    precision: str = "float32",
) -> Float[torch.Tensor, "n ..."]:
    """Return the scores of a split's images, on the CPU, the model in evaluation mode.

    Args:
        model: left in the mode that it came in.
        data: the set the split belongs to.
        split: the images.
        batch_size: images at once.
        precision: as in :class:`Recipe`.

    Returns:
        Scores a class; of a segmentation, at the resolution that the model gives.
    """
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    try:
        found = []
        for images in split.images.split(batch_size):
            batch = data.standardise(images.to(device))
            with autocast(device, precision):
                found.append(model(batch.contiguous(memory_format=torch.channels_last)))
        return torch.cat([scores.float().cpu() for scores in found])
    finally:
        model.train(was_training)


def confusion(
    model: nn.Module,
    data: ImageSet,
    split: Split,
    batch_size: int = 50,
    *,
    precision: str = "float32",
) -> Confusion:
    """Count which class the model takes each image, or each pixel, of a split for.

    Args:
        model, data, split, batch_size, precision: as in :func:`predict`; the scores of regions are
            brought to the size of the labels as in training, bilinearly.
    """
    n_classes, counts = len(data.classes), None
    for first in range(0, len(split), batch_size):
        part = Split(*(t[first : first + batch_size] for t in (split.images, split.labels)))
        scores = predict(model, data, part, batch_size, precision=precision)
        labels = mark_labels(part.labels, data.ignore)
        said = at_labels(scores, labels).argmax(1)
        n_classes = max(n_classes, scores.shape[1])
        if counts is None:
            counts = torch.zeros(n_classes**2, dtype=torch.long)
        counted = labels != NOT_COUNTED
        pairs = labels[counted] * n_classes + said[counted]
        counts += torch.bincount(pairs, minlength=n_classes**2)
    assert counts is not None, "a split has images"
    return Confusion(counts.reshape(n_classes, n_classes).numpy())


def accuracy(model: nn.Module, data: ImageSet, split: Split) -> float:
    """Return the share of a split's images, or counted pixels, whose class scores highest."""
    return confusion(model, data, split, 250 if split.labels.ndim == 1 else 50).accuracy


def mean_iou(model: nn.Module, data: ImageSet, split: Split) -> float:
    """Return the mean over classes of intersection over union, on the counted pixels."""
    return confusion(model, data, split).mean_iou


def at_labels(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the scores of regions at the resolution of the labels, bilinearly."""
    if labels.ndim == 1 or scores.shape[2:] == labels.shape[1:]:
        return scores
    return F.interpolate(scores, labels.shape[1:], mode="bilinear", align_corners=False)


def summed_loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy summed over the counted images, or pixels, in float32."""
    scores = at_labels(scores.float(), labels)
    if labels.ndim > 1:  # one row a pixel: the loss over planes has no repeatable form on a GPU
        scores, labels = scores.movedim(1, -1).flatten(0, -2), labels.flatten()
    return F.cross_entropy(scores, labels, ignore_index=NOT_COUNTED, reduction="sum")
