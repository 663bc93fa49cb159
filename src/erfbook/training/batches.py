"""Batches of a data set that lives on the device: order, crops and mirror images without state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn import functional as F

from erfbook.datasets.sets import ImageSet, Split
from erfbook.training.recipe import Recipe

NOT_COUNTED = -100  # the label that PyTorch's losses leave out


class Batches:
    """The training images as batches, each a function of (seed, step) alone.

    Order, crops and mirror images of an epoch come from a generator that is made anew from the
    seed and the number of the epoch, on the CPU: a resumed run needs no state of it, and every
    device sees the same batches.

    Args:
        data: the images; those of the training split are copied to the device once, as uint8.
        recipe: batch size, padding of the crops, mirroring.
        seed: of order, crops and mirror images.
        device: where batches are made.
        layout: of the images in memory.
    """

    def __init__(
        self,
        data: ImageSet,
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        train = Split(data.train.images.to(device), data.train.labels.to(device))
        # On a GPU the channels' mean and deviation have to be there too, or every batch waits.
        self._data = data if device.type == "cpu" else replace(data, train=train)
        self._images, self._labels = train.images, train.labels
        self._recipe, self._seed, self._device = recipe, seed, device
        self._layout = layout
        self._epoch, self._plan = -1, torch.empty(0)
        self.n_per_epoch, self.n_steps = recipe.steps(len(train))

    def __getitem__(
        self, step: int
    ) -> tuple[Float[torch.Tensor, "batch 3 row column"], Int[torch.Tensor, "*batch"]]:
        """Return the standardised images of one step, and their labels.

        Labels that do not count, the ignored one and those of the crops' border, are
        :data:`NOT_COUNTED`.
        """
        epoch, position = divmod(step, self.n_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, self._draw(epoch).to(self._device)
        first = position * self._recipe.batch_size
        chosen, top, left, mirrored = self._plan[:, first : first + self._recipe.batch_size]
        images, labels = self._images[chosen], self._labels[chosen]
        places = self._places(top, left, mirrored) if self._recipe.augments else None
        if places is not None:
            images = _crop(images, self._recipe.crop_padding, places)
        images = self._data.standardise(images).contiguous(memory_format=self._layout)
        labels = mark_labels(labels, self._data.ignore)
        if places is not None and labels.ndim == 3:
            labels = _crop(labels[:, None], self._recipe.crop_padding, places, NOT_COUNTED)[:, 0]
        return images, labels

    def count(self, first: int, last: int) -> int:
        """Return the images in the steps from ``first`` to ``last``, that one not included."""
        n, size = len(self._images), self._recipe.batch_size
        places = [divmod(step, self.n_per_epoch) for step in (first, last)]
        start, end = (epoch * n + position * size for epoch, position in places)
        return end - start

    def _draw(self, epoch: int) -> Int[torch.Tensor, "4 image"]:
        """Return an epoch's images in order; first row and column of each crop; which mirror."""
        random = np.random.default_rng([self._seed, epoch])
        n, reach = len(self._images), 2 * self._recipe.crop_padding + 1
        order, corners = random.permutation(n), random.integers(0, reach, (2, n))
        mirrored = random.integers(0, 2, n) if self._recipe.flip else np.zeros(n, np.int64)
        return torch.from_numpy(np.stack([order, *corners, mirrored]))

    def _places(
        self, top: torch.Tensor, left: torch.Tensor, mirrored: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows and the columns that each crop reads of its padded image."""
        height, width = (torch.arange(n, device=self._device) for n in self._images.shape[2:])
        columns = torch.where(mirrored[:, None] == 1, width.flip(0), width)
        return top[:, None] + height, left[:, None] + columns


def mark_labels(labels: torch.Tensor, ignore: int | None) -> Int[torch.Tensor, "*n"]:
    """Return labels as PyTorch's losses take them, the ignored one as :data:`NOT_COUNTED`."""
    labels = labels.long()
    return labels if ignore is None else labels.masked_fill(labels == ignore, NOT_COUNTED)


def _crop(
    images: torch.Tensor, padding: int, places: tuple[torch.Tensor, torch.Tensor], border: int = 0
) -> torch.Tensor:
    rows, columns = places
    padded = F.pad(images, (padding,) * 4, value=border) if padding else images
    each = torch.arange(len(images), device=images.device)[:, None, None]
    cut = padded[each, :, rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2)
