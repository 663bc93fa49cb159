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
    # Blocks that a symmetric map makes equal stay equal: their sums differ in the last bits.
    equal = (np.round(values / np.abs(values).max(), 9) for values in (first, second))
    ranks = [rankdata(values.ravel()) for values in equal]
    if detail:
        orbit = _orbits(first.shape)
        ranks = [r - (np.bincount(orbit, r) / np.bincount(orbit))[orbit] for r in ranks]
    return float(np.corrcoef(*ranks)[0, 1])


def _block_means(values: np.ndarray, target: Target) -> np.ndarray:
    """Return means over blocks, placed symmetrically in the field's box."""
    rows, columns = (_block_weights(last - first + 1) for first, last in target.box)
    box = values[tuple(slice(first, last + 1) for first, last in target.box)]
    return rows @ box @ columns.T


def _block_weights(side: int) -> np.ndarray:
    """Return (blocks, pixels) weights of block means along an axis.

    Where blocks cannot lie symmetrically in whole pixels, the mean of the two nearest placements
    is taken: half a pixel off the centre, a steep envelope would not be symmetric.
    """
    n, rest = divmod(side, BLOCK_PX)
    weights = np.zeros((n, side))
    for start in (rest // 2, rest - rest // 2):
        for block in range(n):
            first = start + block * BLOCK_PX
            weights[block, first : first + BLOCK_PX] += 0.5 / BLOCK_PX
    return weights


def _orbits(shape: tuple[int, int]) -> np.ndarray:
    """Number the blocks so that mirror images and quarter turns of each other are equal."""
    row, column = (np.abs(2 * np.arange(n) - (n - 1)) for n in shape)
    near, far = np.minimum.outer(row, column), np.maximum.outer(row, column)
    return np.unique((near * (far.max() + 1) + far).ravel(), return_inverse=True)[1]
