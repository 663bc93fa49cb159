"""Make the nodes of one operation at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from erfbook.rf.graph import Graph, Link, Node
from erfbook.rf.layout import Dims, Layout
from erfbook.rf.windows import AnyWindow

Read = tuple[int, tuple[AnyWindow, ...]]
Columns = list[tuple[np.ndarray, tuple[AnyWindow, ...]]]


class Builder:
    """Adds nodes to a graph on behalf of one operation at a time."""

    def __init__(self, graph: Graph, n_axes: int) -> None:
        self.graph, self.n_axes = graph, n_axes
        self.op, self.module = "input", ""
        self._made: dict[tuple, int] = {}
        self._unions: dict[tuple, int] = {}
        self._nothing: dict[tuple, int] = {}

    def begin(self, op: str, module: str) -> None:
        """Name the operation to which the nodes made from now on belong."""
        self.op, self.module = op, module
        self._made = {}

    def node(
        self,
        reads: Iterable[Read],
        grid: tuple[int, ...],
        why: str = "",
        fixed: bool = False,
        apart: int | None = None,
    ) -> int:
        """Return a node that reads all of ``reads``; an old one where it is the same."""
        wanted = self._without_repeats(dict.fromkeys(reads))
        if len(wanted) == 1 and not fixed:
            index, windows = wanted[0]
            if all(w.is_identity for w in windows) and self.graph.nodes[index].grid == grid:
                return index
        key = (frozenset(wanted), grid, why, fixed, apart)
        plain = not fixed and all(w.is_identity for _, windows in wanted for w in windows)
        if plain and key in self._unions:
            return self._unions[key]
        if key not in self._made:
            links = tuple(Link(*read) for read in wanted)
            if why and self.module:
                why = f"{why}, in {self.module!r}"
            self._made[key] = self._add(Node(self.op, self.module, grid, links, why, fixed, apart))
        if plain:
            self._unions[key] = self._made[key]
        return self._made[key]

    def nothing(self, grid: tuple[int, ...], *, fixed: bool = False) -> int:
        """Return a node of units that do not depend on the input."""
        key = (grid, fixed)
        if key not in self._nothing:
            self._nothing[key] = self._add(Node(self.op, self.module, grid, fixed=fixed))
        return self._nothing[key]

    def _add(self, node: Node) -> int:
        self.graph.nodes.append(node)
        return len(self.graph.nodes) - 1

    def _without_repeats(self, reads: dict[Read, None]) -> list[Read]:
        """Leave out what another of the reads has read already, in the same place."""
        plain = {i for i, windows in reads if all(w.is_identity for w in windows)}
        if len(plain) < 2:
            return list(reads)
        links = (link for i in plain for link in self.graph.nodes[i].links)
        covered = {link.parent for link in links if link.is_identity}
        return [r for r in reads if not (r[0] in plain and r[0] in covered)]

    def each(
        self,
        layout: Layout,
        windows: tuple[AnyWindow, ...],
        dims: Dims,
        *,
        grid: tuple[int, ...],
        why: str = "",
        fixed: bool = False,
        apart: int | None = None,
    ) -> Layout:
        """Return a layout with the same channels, each reading its old node through ``windows``."""
        new = {i: self.node([(i, windows)], grid, why, fixed, apart) for i in layout.distinct}
        return layout.with_dims(dims, replace(layout.nodes, new))

    def gather(
        self,
        nodes: np.ndarray,
        axes: Sequence[int],
        windows: tuple[AnyWindow, ...],
        grid: tuple[int, ...],
        why: str = "",
    ) -> np.ndarray:
        """Return nodes that each read everything along some axes of ``nodes``."""
        kept = [n for a, n in enumerate(nodes.shape) if a not in axes]
        thin = _thin(nodes)
        shape = [n for a, n in enumerate(thin.shape) if a not in axes]
        rows = np.moveaxis(thin, axes, range(-len(axes), 0)) if axes else thin[..., None]
        made = [
            self.node([(i, windows) for i in dict.fromkeys(row)], grid, why)
            for row in rows.reshape(prod(shape), -1).tolist()
        ]
        return np.broadcast_to(tight(np.array(made, dtype=np.int64).reshape(shape)), kept)

    def columns(self, reads: Columns, grid: tuple[int, ...], fixed: bool = False) -> np.ndarray:
        """Return nodes that each read their own node of every array, through its windows."""
        full = reads[0][0].shape
        arrays = np.broadcast_arrays(*(_thin(nodes) for nodes, _ in reads))
        stacked = np.stack([a.ravel() for a in arrays], axis=1)
        rows, inverse = np.unique(stacked, axis=0, return_inverse=True)
        made = [
            self.node([(i, w) for i, (_, w) in zip(r, reads, strict=True)], grid, fixed=fixed)
            for r in rows.tolist()
        ]
        found = np.array(made, dtype=np.int64)[inverse.ravel()].reshape(arrays[0].shape)
        return np.broadcast_to(tight(found), full)


def replace(nodes: np.ndarray, new: dict[int, int]) -> np.ndarray:
    """Return nodes with each replaced by another."""
    values, inverse = np.unique(_thin(nodes), return_inverse=True)
    found = np.array([new[v] for v in values.tolist()], dtype=np.int64)[inverse.ravel()]
    return np.broadcast_to(tight(found.reshape(_thin(nodes).shape)), nodes.shape)


def tight(nodes: np.ndarray) -> np.ndarray:
    """Return nodes in a form that shows at once along which axes they are all the same."""
    thin = _thin(nodes)
    for axis, n in enumerate(thin.shape):
        first = thin.take([0], axis) if n > 1 else thin
        if n > 1 and (thin == first).all():
            thin = first
    return np.broadcast_to(thin, nodes.shape)


def _thin(nodes: np.ndarray) -> np.ndarray:
    """Return nodes with size 1 along the axes on which they are known to be the same."""
    return nodes[(*(slice(0, 1) if step == 0 else slice(None) for step in nodes.strides), ...)]
