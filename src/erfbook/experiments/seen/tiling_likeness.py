"""How alike the restarts of a channel are, beside pictures of other channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from erfbook.experiments.estimates import Estimate, bootstrap

N_RESAMPLES = 2000
N_SHUFFLES = 999


@dataclass(frozen=True)
class Likeness:
    """How alike the restarts of a channel are, beside pictures of other channels.

    Args:
        within: mean similarity of two restarts of one channel.
        between: the same of two channels.
        excess: mean over channels of (within - between) / (1 - between): 0 where restarts are as
            alike as strangers, 1 where they are the same.
        p: share of shuffles of the pictures among channels with a ``within`` as large.
    """

    within: Estimate
    between: float
    excess: Estimate
    p: float


def estimate_mean(values: Float[np.ndarray, " channel"]) -> Estimate:
    """Return a mean over channels with its percentile bootstrap interval."""
    return bootstrap(np.asarray(values, float), float, n_resamples=N_RESAMPLES, seed=0)


def compare_restarts(similarity: Float[np.ndarray, "n n"], n_channels: int) -> Likeness:
    """Return how much more alike the restarts of a channel are than pictures of two channels.

    Args:
        similarity: of all pictures, restarts of a channel next to each other.
        n_channels: how many channels they come from.

    Raises:
        ValueError: fewer than two channels or restarts.
    """
    n = len(similarity) // n_channels
    if n < 2 or n_channels < 2:
        raise ValueError(f"likeness needs two channels and restarts, not {n_channels} and {n}")
    within, between = means_by_channel(similarity, n)
    random = np.random.default_rng(0)
    shuffled = [
        _within(similarity, random.permutation(len(similarity)), n) for _ in range(N_SHUFFLES)
    ]
    found = _within(similarity, np.arange(len(similarity)), n)
    p = (1 + sum(s >= found - 1e-12 for s in shuffled)) / (1 + N_SHUFFLES)
    excess = estimate_mean(excess_of(within, between))
    return Likeness(estimate_mean(within), float(between.mean()), excess, p)


def excess_of(within: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Return 0 where restarts are as alike as strangers, 1 where they are the same."""
    return (within - between) / (1 - between)


def _within(similarity: np.ndarray, order: np.ndarray, n: int) -> float:
    groups = order.reshape(-1, n)
    blocks = similarity[groups[:, :, None], groups[:, None, :]]
    return float((blocks.sum() - np.trace(blocks, axis1=1, axis2=2).sum()) / len(groups)) / (
        n * (n - 1)
    )


def means_by_channel(similarity: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each channel's mean likeness of its ``n`` restarts, and to all other pictures."""
    groups = np.arange(len(similarity)).reshape(-1, n)
    own = similarity[groups[:, :, None], groups[:, None, :]].sum(axis=(1, 2))
    diagonal = similarity[groups, groups].sum(axis=1)
    rows = similarity[groups].sum(axis=(1, 2))
    within = (own - diagonal) / (n * (n - 1))
    return within, (rows - own) / (n * (len(similarity) - n))


def kind_gaps(similarity: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each channel's likeness within kinds less that between them."""
    same = labels[:, :, None] == labels[:, None, :]
    pair = ~np.eye(labels.shape[1], dtype=bool)
    alike = (similarity * (same & pair)).sum((1, 2)) / (same & pair).sum((1, 2))
    other = (similarity * ~same).sum((1, 2)) / (~same).sum((1, 2))
    return alike - other
