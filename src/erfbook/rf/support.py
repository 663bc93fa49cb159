"""Exactly which pixels reach a unit, and which units a pixel reaches: sets, not spans.

The sets are carried through the graph as masks, padding and all: holes of dilation, crosses of
branches, rows that a stride skips, mirrored and wrapped edges. A structure that a span only
encloses is seen here as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from erfbook.rf.graph import Graph, Link
from erfbook.rf.windows import AnyWindow

MOST_CELLS = 2**22  # of a relation kept as a matrix; larger ones are followed read by read


def pixels_of(graph: Graph, targets: Iterable[int], unit: tuple[int, ...] | None) -> np.ndarray:
    """Return which pixels can influence a unit: bool array of the input's shape.

    Args:
        graph: the graph.
        targets: the nodes of the unit's channels.
        unit: its index on their grid; None for all units together.
    """
    targets = tuple(targets)
    masks: dict[int, np.ndarray] = {}
    for i in targets:
        grid = graph.nodes[i].grid
        masks[i] = np.full(grid, unit is None)
        if unit is not None:
            masks[i][tuple(min(u, n - 1) for u, n in zip(unit, grid, strict=True))] = True
    for i in graph.ancestors(targets):
        mask = masks.pop(i, None)
        if i == 0:
            return np.zeros(graph.nodes[0].grid, bool) if mask is None else mask
        if mask is None or not mask.any():
            continue
        for link in graph.nodes[i].links:
            grid = graph.nodes[link.parent].grid
            found = _carry(mask, link, grid, to_parent=True)
            masks[link.parent] = masks[link.parent] | found if link.parent in masks else found
    return np.zeros(graph.nodes[0].grid, bool)


def units_of(graph: Graph, targets: Iterable[int], pixel: tuple[int, ...]) -> np.ndarray:
    """Return which units a pixel can influence: bool array of the nodes' grid.

    Args:
        graph: the graph; it keeps what it found for the last pixel that was asked for.
        targets: the nodes of the units' channels.
        pixel: its index in the input.
    """
    targets = tuple(targets)
    if graph.asked != pixel:
        first = np.zeros(graph.nodes[0].grid, bool)
        first[pixel] = True
        graph.asked, graph.reached = pixel, {0: first}
    masks = graph.reached
    for i in reversed([i for i in graph.ancestors(targets) if i not in masks]):
        node = graph.nodes[i]
        mask = np.zeros(node.grid, bool)
        for link in node.links:
            if masks[link.parent].any():
                mask = mask | _carry(masks[link.parent], link, node.grid, to_parent=False)
        masks[i] = mask
    return np.any(np.broadcast_arrays(*(masks[i] for i in targets)), axis=0)


def _carry(mask: np.ndarray, link: Link, grid: tuple[int, ...], *, to_parent: bool) -> np.ndarray:
    """Carry a mask through a link, axis by axis, to the parent's grid or from it."""
    for axis, window in enumerate(link.windows):
        if window.is_identity and mask.shape[axis] == grid[axis]:
            continue
        n_from, n_to = mask.shape[axis], grid[axis]
        sizes = (n_from, n_to) if to_parent else (n_to, n_from)
        rows = np.moveaxis(mask, axis, 0)
        flat = rows.reshape(n_from, -1)
        if n_from * n_to <= MOST_CELLS:
            relation = _relation(window, *sizes)
            out = (relation.T if to_parent else relation) @ flat.astype(np.float32) > 0.5
        else:
            out = _read_by_read(flat, window.reads(*sizes), n_to, to_parent=to_parent)
        mask = np.moveaxis(out.reshape(n_to, *rows.shape[1:]), 0, axis)
    return mask


@lru_cache(maxsize=256)
def _relation(window: AnyWindow, n_units: int, n_parent: int) -> np.ndarray:
    """Return which of the parent's units each unit reads: float32 array (n_units, n_parent)."""
    reads = window.reads(n_units, n_parent)
    relation = np.zeros((n_units, n_parent + 1), np.float32)
    relation[np.arange(n_units)[:, None], reads] = 1  # what is not read is -1: the last column
    return relation[:, :-1]


def _read_by_read(flat: np.ndarray, reads: np.ndarray, n_to: int, *, to_parent: bool) -> np.ndarray:
    out = np.zeros((n_to, flat.shape[1]), bool)
    rows = np.flatnonzero(flat.any(axis=1))
    if to_parent:
        for u in rows:
            index = reads[u]
            out[index[index >= 0]] |= flat[u]
    elif len(rows):
        low, high = rows[0], rows[-1]
        for u in np.flatnonzero(((reads >= low) & (reads <= high)).any(axis=1)):
            index = reads[u]
            out[u] = flat[index[(index >= low) & (index <= high)]].any(axis=0)
    return out
