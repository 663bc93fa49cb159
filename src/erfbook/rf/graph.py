"""The graph that a forward pass leaves behind: what each tensor's units read from their parents.

Everything here is exact integer or rational arithmetic, per spatial axis of the input.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, lcm


@dataclass(frozen=True)
class Window:
    """What unit u of an axis reads from its parent: ``offset + stride*u`` and ``size - 1`` on.

    Args:
        stride: step of the window from one unit to the next, in the parent's units.
        offset: first parent unit that unit 0 reads; minus the padding.
        size: parent units from the first to the last one read, inclusive.
    """

    stride: Fraction | int = 1
    offset: Fraction | int = 0
    size: int = 1

    def __post_init__(self) -> None:  # a quotient of whole numbers must stay exact
        object.__setattr__(self, "stride", Fraction(self.stride))
        object.__setattr__(self, "offset", Fraction(self.offset))


IDENTITY = Window()


@dataclass(frozen=True)
class Link:
    """One path into a node: the parent's index and the window of each spatial axis."""

    parent: int
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Local:
    """A rule's answer: the output's units read windows of their parents.

    Args:
        axes: for each spatial axis of the input, the dimension of the output that it became.
        links: one for each parent that is read.
        fixed: whether the operation depends on where in the image a unit lies, so that moving
            the input does not just move the output (a position embedding, a crop at fixed ends).
    """

    axes: tuple[int, ...]
    links: tuple[Link, ...]
    fixed: bool = False


@dataclass(frozen=True)
class Global:
    """A rule's answer: every output unit may depend on the whole input, for the reason given."""

    why: str


@dataclass(frozen=True)
class Node:
    """One tensor that depends on the input.

    Args:
        op: name of the ATen operation that made it, or ``input``.
        module: path of the module that was running.
        shape: shape of the tensor, batch first.
        step: what its units read.
    """

    op: str
    module: str
    shape: tuple[int, ...]
    step: Local | Global

    @property
    def axes(self) -> tuple[int, ...]:
        """The dimension of the tensor for each spatial axis; empty where it has none left."""
        return self.step.axes if isinstance(self.step, Local) else ()

    @property
    def links(self) -> tuple[Link, ...]:
        """What the tensor's units read of its parents; empty where that is everything."""
        return self.step.links if isinstance(self.step, Local) else ()

    @property
    def grid(self) -> tuple[int, ...]:
        """Units per spatial axis; empty where the tensor has none left."""
        if isinstance(self.step, Local):
            return tuple(self.shape[axis] for axis in self.step.axes)
        return self.shape[2:]


@dataclass(frozen=True)
class Call:
    """One call of one module: its path, its node, and which call of that module it was."""

    path: str
    node: int
    index: int


@dataclass
class Graph:
    """All nodes in the order of execution (node 0 is the input) and all calls of modules."""

    nodes: list[Node] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def ancestors(self, index: int) -> list[int]:
        """Return the nodes that a node depends on, itself included, latest first."""
        seen = {index}
        for i in range(index, -1, -1):  # parents always precede their children
            if i in seen:
                seen.update(link.parent for link in self.nodes[i].links)
        return sorted(seen, reverse=True)

    def reach(self, index: int, unit: tuple[int, ...]) -> dict[int, list[tuple[int, int]]]:
        """Return, for each node, the range of units that one unit depends on, per axis.

        Padding is not cut off: a range may begin before 0 or end after the last unit.
        """
        ranges = {index: [(u, u) for u in unit]}
        for i in self.ancestors(index):
            for link in self.nodes[i].links if i in ranges else ():
                read = [
                    (
                        _whole(w.offset + w.stride * lo),
                        _whole(w.offset + w.stride * hi) + w.size - 1,
                    )
                    for w, (lo, hi) in zip(link.windows, ranges[i], strict=True)
                ]
                known = ranges.get(link.parent, read)
                ranges[link.parent] = [
                    (min(a, c), max(b, d)) for (a, b), (c, d) in zip(known, read, strict=True)
                ]
        return ranges


def common_multiple(strides: list[Fraction]) -> int:
    """Return the smallest whole number that is a multiple of every stride.

    >>> common_multiple([Fraction(2), Fraction(3, 2), Fraction(1, 2)])
    6
    """
    top = lcm(*(s.numerator for s in strides))
    bottom = gcd(*(s.denominator for s in strides))
    return Fraction(top, bottom).numerator


def _whole(value: Fraction | int) -> int:
    if value.denominator != 1:
        raise NotImplementedError("windows that begin between units are not propagated yet")
    return int(value)
