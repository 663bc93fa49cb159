"""The graph that a forward pass leaves behind: what each tensor's units read from their parents.

A node stands for those channels of one tensor whose units look alike: the two halves of a
concatenation are two nodes, so that what is taken out of it again has its own field. An operation
that neither moves nor joins anything makes no node at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from erfbook.rf.windows import AnyWindow, Table


@dataclass(frozen=True)
class Link:
    """One path into a node: the parent's index and the window along each axis of the input."""

    parent: int
    windows: tuple[AnyWindow, ...]

    @property
    def is_identity(self) -> bool:
        """Whether each unit reads the parent's unit of the same index alone."""
        return all(w.is_identity for w in self.windows)


@dataclass(frozen=True)
class Node:
    """Channels of one tensor whose units see alike.

    Args:
        op: name of the ATen operation that made it, or ``input``.
        module: path of the module that was running.
        grid: units along each axis of the input; 1 where the tensor has that axis no more.
        links: what its units read; none for the input and for what does not depend on it.
        why: what made its field global along an axis; empty where nothing did.
        fixed: whether the operation depends on where in the image a unit lies, so that moving
            the input does not just move the output (a position embedding, a crop at fixed ends).
        apart: the axis whose positions, or whose digits, became channels here, of which this node
            is one; None where none did.
    """

    op: str
    module: str
    grid: tuple[int, ...]
    links: tuple[Link, ...] = ()
    why: str = ""
    fixed: bool = False
    apart: int | None = None

    @property
    def name(self) -> str:
        """Operation and module, for people."""
        op = self.op.removeprefix("aten.")
        return f"{op} in {self.module!r}" if self.module else op


@dataclass(frozen=True)
class Call:
    """One call of one module.

    Args:
        path: path of the module; ``path[key]`` where it returns several tensors.
        index: which call of that module it was, from 0.
        op: the ATen operation that made its output.
        shape: shape of the output, batch first.
        nodes: the nodes of its channels.
        grid: units along each axis, as a person counts them in the output.
        is_plane: whether the last dimensions of the output are the axes of the input, in order.
        why: what joined the positions of the plane into one vector; empty where they are apart.
        elements: elements of all tensors made so far.
        n_ops: operations on the input so far.
    """

    path: str
    index: int
    op: str
    shape: tuple[int, ...]
    nodes: tuple[int, ...]
    grid: tuple[int, ...]
    is_plane: bool
    why: str
    elements: int
    n_ops: int


@dataclass
class Graph:
    """All nodes in the order of execution (node 0 is the input) and all calls of modules.

    ``ops`` names every operation on the input, those that neither move nor join anything too;
    ``reached`` keeps, for each node, which units the pixel ``asked`` for last reaches.
    """

    nodes: list[Node] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    ops: list[str] = field(default_factory=list)
    asked: tuple[int, ...] | None = field(default=None, repr=False)
    reached: dict = field(default_factory=dict, repr=False)

    def ancestors(self, targets: Iterable[int]) -> list[int]:
        """Return the nodes that some nodes depend on, themselves included, latest first."""
        seen = set(targets)
        for i in range(max(seen), -1, -1):  # parents always precede their children
            if i in seen:
                seen.update(link.parent for link in self.nodes[i].links)
        return sorted(seen, reverse=True)

    def reach(
        self, targets: Iterable[int], first: tuple[int, ...], last: tuple[int, ...]
    ) -> dict[int, list[tuple[int, int]]]:
        """Return, for each node, the range of units on which some units depend, per axis.

        Padding is not cut off: a range may begin before 0 or end after the last unit.

        Args:
            targets: the nodes whose units are wanted.
            first, last: their range, inclusive, per axis.
        """
        targets = tuple(targets)
        ranges = {i: list(zip(first, last, strict=True)) for i in targets}
        for i in self.ancestors(targets):
            for link in self.nodes[i].links if i in ranges else ():
                grid = self.nodes[link.parent].grid
                each = zip(link.windows, ranges[i], grid, strict=True)
                spans = [_hull(w, span, n) for w, span, n in each]
                read = [span for span in spans if span is not None]
                if len(read) < len(spans):
                    continue
                known = ranges.get(link.parent, read)
                ranges[link.parent] = [
                    (min(a, c), max(b, d)) for (a, b), (c, d) in zip(known, read, strict=True)
                ]
        return ranges


def _hull(window: AnyWindow, span: tuple[int, int], n_parent: int) -> tuple[int, int] | None:
    """Return the range of the parent's units that a range of units reads."""
    if window.whole:
        return 0, n_parent - 1
    low, high = span
    # The comb meets whole numbers in the same way again after ``repeats`` units, so that the
    # extremes lie among as many at either end.
    n = high - low + 1
    n = n if isinstance(window, Table) else min(window.repeats, n)
    looked = {*range(low, low + n), *range(high - n + 1, high + 1)}
    read = [units for units in map(window.units, looked) if units]
    return (min(map(min, read)), max(map(max, read))) if read else None
