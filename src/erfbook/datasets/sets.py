"""What every data set is once it is loaded: two splits of uint8 images and their labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, UInt8


@dataclass(frozen=True)
class Split:
    """Images and labels, one for one.

    Args:
        images: colours.
        labels: a class an image, or a class a pixel.
    """

    images: UInt8[torch.Tensor, "n 3 height width"]
    labels: UInt8[torch.Tensor, n * pixels]

    def __len__(self) -> int:
        return len(self.images)

    def first(self, n: int) -> Split:
        """Return the first ``n`` images; all of them if ``n`` is 0."""
        return self if n == 0 else Split(self.images[:n], self.labels[:n])


@dataclass(frozen=True)
class ImageSet:
    """A data set in memory.

    Args:
        name: as :func:`erfbook.datasets.load` takes it.
        note: what it is, in the words a page uses ("CIFAR-10, JPEG-encoded copy").
        classes: names, in the order of the labels.
        train, test: the splits, each in an order that is the same everywhere and mixes classes.
        fingerprint: changes with any byte of it.
        ignore: the label that does not count, if there is one.
    """

    name: str
    note: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    fingerprint: str
    ignore: int | None = None

    def limited(self, n_train: int, n_test: int) -> ImageSet:
        """Return the set with the first images of each split only; 0 means all."""
        return replace(self, train=self.train.first(n_train), test=self.test.first(n_test))

    @cached_property
    def mean(self) -> Float[torch.Tensor, 3]:
        """Mean of each channel over the training images, pixels in 0 to 1."""
        return self._moments[0]

    @cached_property
    def std(self) -> Float[torch.Tensor, 3]:
        """Standard deviation of each channel over the training images, pixels in 0 to 1."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        images = self.train.images
        counts = torch.stack(
            [torch.bincount(images[:, c].flatten(), minlength=256) for c in range(3)]
        ).double()
        levels = torch.arange(256, dtype=torch.float64) / 255
        mean = counts @ levels / counts.sum(1)
        variance = counts @ levels**2 / counts.sum(1) - mean**2
        return mean.float(), variance.clamp_min(0).sqrt().float()

    def standardise(
        self, images: UInt8[torch.Tensor, "n 3 height width"]
    ) -> Float[torch.Tensor, "n 3 height width"]:
        """Return images as the networks trained on this set expect them."""
        mean, std = (v.reshape(3, 1, 1).to(images.device) for v in (self.mean, self.std))
        return (images.float() / 255 - mean) / std
