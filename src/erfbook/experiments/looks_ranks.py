"""How alike two maps of one unit are, with and without the envelope that every map has."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from erfbook.experiments.looks_unit import Target

BLOCK_PX = 8  # the stride of the shallower of the chapter's two layers


def correlate(
    a: Float[np.ndarray, "height width"],
    b: Float[np.ndarray, "height width"],
    target: Target,
    *,
    detail: bool = False,
) -> float:
    """Return Spearman's rank correlation of two maps over blocks of the field's box.

    Single pixels are no fair ground: strides print a comb on every map that goes backwards, and a
    patch cannot see it.

    Args:
        a, b: the maps.
        target: the unit whose field they are compared in.
        detail: leave out the envelope. Ranks are then taken relative to the mean rank of the
            block's images under the mirrors and quarter turns of the box, which makes it a partial
            rank correlation: a map with the box's symmetry has nothing left.
    """
    first, second = (_block_means(one, target) for one in (a, b))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    ranks = [rankdata(values) for values in (first.ravel(), second.ravel())]
    if detail:
        orbit = _orbits(first.shape)
        ranks = [r - (np.bincount(orbit, r) / np.bincount(orbit))[orbit] for r in ranks]
    return float(np.corrcoef(*ranks)[0, 1])


def _block_means(values: np.ndarray, target: Target) -> np.ndarray:
    """Return means over blocks in the middle of the field's box; a rest at its border is left."""
    (rows, top), (columns, left) = (
        ((last - first + 1) // BLOCK_PX, first + (last - first + 1) % BLOCK_PX // 2)
        for first, last in target.box
    )
    shown = values[top : top + rows * BLOCK_PX, left : left + columns * BLOCK_PX]
    return shown.reshape(rows, BLOCK_PX, columns, BLOCK_PX).mean(axis=(1, 3))


def _orbits(shape: tuple[int, int]) -> np.ndarray:
    """Number the blocks so that mirror images and quarter turns of each other are equal."""
    row, column = (np.abs(2 * np.arange(n) - (n - 1)) for n in shape)
    near, far = np.minimum.outer(row, column), np.maximum.outer(row, column)
    return np.unique((near * (far.max() + 1) + far).ravel(), return_inverse=True)[1]
