"""What the biased estimate of CKA adds: to unrelated features, and to the layers of two seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from erfbook.experiments.estimates import seed_for
from erfbook.experiments.pooled.likeness_study import Family, Likeness, split_depth
from erfbook.similarity import linear_cka, predict_independent_cka


@dataclass(frozen=True)
class Bias:
    """CKA of features that have nothing in common.

    Args:
        n_images: images.
        n_features: of both sets.
        biased, debiased: mean over draws.
        predicted: of the biased one.
    """

    n_images: int
    n_features: Float[np.ndarray, " d"]
    biased: Float[np.ndarray, " d"]
    debiased: Float[np.ndarray, " d"]
    predicted: Float[np.ndarray, " d"]


def measure_bias(n_images: int, n_draws: int, largest: int = 4096) -> Bias:
    """Return both estimates for independent Gaussian features, by their number."""
    dims = [2**i for i in range(1, int(math.log2(largest)) + 1)]
    found = np.empty((2, len(dims), n_draws))
    for i, d in enumerate(dims):
        for draw in range(n_draws):
            source = torch.Generator().manual_seed(seed_for(draw, "independent", n_images, d))
            x, y = (torch.randn(n_images, d, generator=source) for _ in range(2))
            found[:, i, draw] = linear_cka(x, y, debiased=False), linear_cka(x, y)
    means = found.mean(2)
    predicted = np.array([predict_independent_cka(n_images, d, d) for d in dims])
    return Bias(n_images, np.array(dims, dtype=float), means[0], means[1], predicted)


def added_by_images(
    family: Family,
) -> tuple[Int[np.ndarray, " part"], Float[np.ndarray, "field part"]]:
    """Return numbers of images, and by how much the bias raises deep layers' CKA at each."""
    metrics = family.members[0].records[0].metrics
    n_images = np.array([metrics["n_images"], *metrics["n_parts"]])
    return n_images, np.array([_added(member, n_images[1:]) for member in family.members])


def _added(member: Likeness, parts: np.ndarray) -> list[float]:
    rows = member.rows()
    deep = split_depth(len(rows))["deep"]
    found = []
    for suffix in ("", *(f"_{n}" for n in parts)):
        names = f"trained_curve_biased{suffix}", f"trained_curve{suffix}"
        biased, debiased = (
            np.array([r.arrays[name][rows][deep] for r in member.records], dtype=float)
            for name in names
        )
        found.append(float((biased - debiased).mean()))
    return found
