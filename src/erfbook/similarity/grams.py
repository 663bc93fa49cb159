"""The Gram matrices of a network's layers, packed, and HSIC of all pairs of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from erfbook.similarity.cka import LEAST_IMAGES, coefficients
from erfbook.similarity.layers import Layer


@dataclass(frozen=True)
class Representations:
    """What the layers of one network make of the same images.

    Args:
        layers: in the order of their calls.
        n_features: of each layer.
        below: of each layer's centred Gram matrix what lies below the diagonal, row by row, so
            that the first m images' part comes first.
        diagonal: of each Gram matrix.
    """

    layers: tuple[Layer, ...]
    n_features: tuple[int, ...]
    below: Float[Tensor, "layer pair"]
    diagonal: Float[Tensor, "layer n"]

    @property
    def n(self) -> int:
        """Images."""
        return self.diagonal.shape[1]

    def first(self, n: int) -> Representations:
        """Return the same for the first ``n`` images alone.

        Raises:
            ValueError: there are not so many, or fewer than four are asked for.
        """
        if not LEAST_IMAGES <= n <= self.n:
            raise ValueError(f"n must be {LEAST_IMAGES} to {self.n}, the images at hand, not {n}")
        below, diagonal = self.below[:, : n * (n - 1) // 2], self.diagonal[:, :n]
        return Representations(self.layers, self.n_features, below, diagonal)

    def select(self, rows: list[int]) -> Representations:
        """Return the same for some of the layers."""
        layers = tuple(self.layers[i] for i in rows)
        n_features = tuple(self.n_features[i] for i in rows)
        return Representations(layers, n_features, self.below[rows], self.diagonal[rows])

    def shares(self) -> Float[Tensor, "layer n"]:
        """Return how much of a layer's variance over the images is each image's own.

        Squared distances from the mean of all images, over their sum; NaN for a constant layer.
        """
        return self.diagonal / self.diagonal.sum(1, keepdim=True)

    def at_equal_length(self) -> Representations:
        """Return the same with all images as far as each other from the mean of all.

        A linear CKA weighs images by their squared distance, so that a few far ones can make it
        their own: the dominant datapoints of Nguyen, Raghu and Kornblith (2022). Here only the
        directions count. An image at the mean stays there.
        """
        length = self.diagonal.sqrt()
        scale = torch.where(length > 0, 1 / length, 0)
        row, column = torch.tril_indices(self.n, self.n, -1, device=self.below.device)
        below = torch.empty_like(self.below)
        for i, (values, own) in enumerate(zip(self.below, scale, strict=True)):
            torch.mul(values, own[row] * own[column], out=below[i])
        diagonal = (self.diagonal > 0).to(self.diagonal.dtype)
        return Representations(self.layers, self.n_features, below, diagonal)

    @cached_property
    def row_sums(self) -> Float[Tensor, "layer n"]:
        """The sums of the rows of each Gram matrix without its diagonal."""
        n = self.n
        row, column = torch.tril_indices(n, n, -1, device=self.below.device)
        sums = torch.empty_like(self.diagonal)
        full = self.below.new_zeros(n, n)
        for i, values in enumerate(self.below):
            full[row, column] = values
            sums[i] = full.sum(0) + full.sum(1)
        return sums

    def to(self, device: torch.device) -> Representations:
        """Return the same on a device."""
        if device == self.below.device:
            return self
        below, diagonal = self.below.to(device), self.diagonal.to(device)
        return Representations(self.layers, self.n_features, below, diagonal)


def hsic(a: Representations, b: Representations, debiased: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return HSIC of every layer with every layer, and of a's and b's layers with themselves.

    Up to a factor that depends on the number of images alone. A layer that is constant, or whose
    images are all equally far apart where ``debiased``, has NaN with itself.
    """
    scale_a, scale_b = coefficients(a.n, debiased)
    rows_a, rows_b = a.row_sums, b.row_sums
    if not debiased:
        rows_a, rows_b = rows_a + a.diagonal, rows_b + b.diagonal

    def combine(inner: Tensor, rows: Tensor, totals: Tensor) -> Tensor:
        return inner + scale_a * rows + scale_b * totals

    def own(one: Representations, rows: Tensor) -> Tensor:
        inner = 2 * (one.below**2).sum(1)
        diagonal = (one.diagonal**2).sum(1)
        value = combine(inner + (0 if debiased else diagonal), (rows**2).sum(1), rows.sum(1) ** 2)
        rounding = 1e-13 * (inner + diagonal)  # sums of n^2 float64 terms, n up to thousands
        return torch.where(value > rounding, value, torch.nan)

    inner = 2 * a.below @ b.below.T
    if not debiased:
        inner = inner + a.diagonal @ b.diagonal.T
    totals = rows_a.sum(1)[:, None] * rows_b.sum(1)
    return combine(inner, rows_a @ rows_b.T, totals), own(a, rows_a), own(b, rows_b)
