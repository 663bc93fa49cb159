"""Exactly which pixels reach a unit, and which units a pixel reaches: sets, not spans.

The sets are carried through the graph as masks, padding and all: holes of dilation, crosses of
branches, rows that a stride skips, mirrored and wrapped edges. A structure that a span only
encloses is seen here as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from erfbook.rf.graph import Graph, Link


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
            found = masks.setdefault(link.parent, np.zeros(grid, bool))
            found |= _carry(mask, link, grid, to_parent=True)
    return np.zeros(graph.nodes[0].grid, bool)


def units_of(graph: Graph, targets: Iterable[int], pixel: tuple[int, ...]) -> np.ndarray:
    """Return which units a pixel can influence: bool array of the nodes' grid.

    Args:
        graph: the graph.
        targets: the nodes of the units' channels.
        pixel: its index in the input.
    """
    targets = tuple(targets)
    masks: dict[int, np.ndarray] = {}
    for i in reversed(graph.ancestors(targets)):
        node = graph.nodes[i]
        mask = np.zeros(node.grid, bool)
        if i == 0:
            mask[pixel] = True
        for link in node.links:
            if masks[link.parent].any():
                mask |= _carry(masks[link.parent], link, node.grid, to_parent=False)
        masks[i] = mask
    return np.any(np.broadcast_arrays(*(masks[i] for i in targets)), axis=0)


def _carry(mask: np.ndarray, link: Link, grid: tuple[int, ...], *, to_parent: bool) -> np.ndarray:
    """Carry a mask through a link, axis by axis, to the parent's grid or from it."""
    for axis, window in enumerate(link.windows):
        if window.is_identity and mask.shape[axis] == grid[axis]:
            continue
        n_from, n_to = mask.shape[axis], grid[axis]
        n_units, n_parent = (n_from, n_to) if to_parent else (n_to, n_from)
        rows = np.moveaxis(mask, axis, 0)
        flat = rows.reshape(n_from, -1)
        reads = window.reads(n_units, n_parent)
        out = _to_parent(flat, reads, n_to) if to_parent else _to_units(flat, reads)
        mask = np.moveaxis(out.reshape(n_to, *rows.shape[1:]), 0, axis)
    return mask


def _to_parent(flat: np.ndarray, reads: np.ndarray, n_parent: int) -> np.ndarray:
    out = np.zeros((n_parent, flat.shape[1]), bool)
    rows = np.flatnonzero(flat.any(axis=1))
    for j in range(reads.shape[1]) if len(rows) > reads.shape[1] else ():
        index = reads[rows, j]
        valid = index >= 0
        if len(set(index[valid].tolist())) == valid.sum():  # no place twice: a plain assignment
            out[index[valid]] |= flat[rows[valid]]
        else:
            np.logical_or.at(out, index[valid], flat[rows[valid]])
    for u in rows if len(rows) <= reads.shape[1] else ():
        index = reads[u]
        out[index[index >= 0]] |= flat[u]
    return out


def _to_units(flat: np.ndarray, reads: np.ndarray) -> np.ndarray:
    out = np.zeros((reads.shape[0], flat.shape[1]), bool)
    columns = np.flatnonzero(flat.any(axis=1))
    if len(columns) == 0:
        return out
    low, high = columns[0], columns[-1]
    touched = np.flatnonzero(((reads >= low) & (reads <= high)).any(axis=1))
    for u in touched:
        index = reads[u]
        index = index[(index >= low) & (index <= high)]
        out[u] = flat[index].any(axis=0)
    return out
