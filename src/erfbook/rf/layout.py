"""Where the channels and the positions of a tensor lie in its dimensions.

A dimension is a product of factors, the slowest first. A factor is either a number of channels or
a digit of the position along one axis of the input: splitting rows into windows makes two digits
of one axis, flattening puts several factors into one dimension. Reshaping and permuting are then
bookkeeping, and a plane that was cut up and put together again is the plane it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np


class Unknown(Exception):
    """This operation, called this way, has no rule; the message says why, if there is a reason."""


@dataclass(frozen=True)
class Factor:
    """One factor of a dimension: channels (axis None), or a digit of the position along an axis.

    Args:
        size: how many values it takes.
        axis: the axis of the input, or None.
        weight: what one step of the digit is worth along its axis, in units.
    """

    size: int
    axis: int | None = None
    weight: int = 1


Dims = tuple[tuple[Factor, ...], ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """A tensor's dimensions, and the node of each of its channels.

    Args:
        dims: the factors of each dimension; none for a dimension of size 1.
        nodes: int array with one axis for each factor of channels, in the order of ``dims``.
        n_axes: spatial axes of the input.
    """

    dims: Dims
    nodes: np.ndarray
    n_axes: int

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension."""
        return tuple(prod(f.size for f in dim) for dim in self.dims)

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Units along each axis; 1 where the tensor has none."""
        sizes = [1] * self.n_axes
        for f in (f for dim in self.dims for f in dim):
            if f.axis is not None:
                sizes[f.axis] *= f.size
        return tuple(sizes)

    @cached_property
    def distinct(self) -> tuple[int, ...]:
        """The different nodes of its channels."""
        if not any(self.nodes.strides):
            return (int(self.nodes.flat[0]),)
        thin = self.nodes[tuple(slice(0, 1 if s == 0 else None) for s in self.nodes.strides)]
        return tuple(np.unique(thin).tolist())

    @cached_property
    def places(self) -> dict[int, list[tuple[int, Factor]]]:
        """For each axis the tensor has, its digits with their dimensions, the slowest first."""
        found: dict[int, list[tuple[int, Factor]]] = {}
        for d, dim in enumerate(self.dims):
            for f in dim:
                if f.axis is not None:
                    found.setdefault(f.axis, []).append((d, f))
        for digits in found.values():
            digits.sort(key=lambda item: -item[1].weight)
        return found

    def has_axis(self, dim: int) -> bool:
        """Whether a dimension holds positions."""
        return any(f.axis is not None for f in self.dims[dim])

    def axis_of(self, dim: int) -> int | None:
        """Return the axis that a dimension is, whole and alone; None otherwise."""
        factors = self.dims[dim]
        if len(factors) != 1 or factors[0].axis is None:
            return None
        axis = factors[0].axis
        return axis if factors[0].size == self.grid[axis] else None

    def home_of(self, dim: int) -> int:
        """Return the axis that a dimension is.

        Raises:
            Unknown: it is not one, whole and alone.
        """
        axis = self.axis_of(dim)
        if axis is None:
            raise Unknown(f"dimension {dim} is not one whole axis")
        return axis

    def channel_axes(self, dim: int) -> list[int]:
        """Return the axes of ``nodes`` that belong to a dimension."""
        before = sum(f.axis is None for d in self.dims[:dim] for f in d)
        return [before + k for k in range(sum(f.axis is None for f in self.dims[dim]))]

    def permute(self, order: list[int]) -> Layout:
        """Return the layout with its dimensions in another order."""
        axes = [a for d in order for a in self.channel_axes(d)]
        return Layout(tuple(self.dims[d] for d in order), self.nodes.transpose(axes), self.n_axes)

    def view(self, shape: tuple[int, ...]) -> Layout:
        """Return the layout of the same elements in another shape.

        Raises:
            Unknown: a dimension would begin or end inside a factor.
        """
        left = [f for dim in self.dims for f in dim]
        dims: list[tuple[Factor, ...]] = []
        for size in shape:
            taken: list[Factor] = []
            while size > 1:
                if not left:
                    raise Unknown("the new shape does not fit")
                f = left.pop(0)
                if size % f.size == 0:
                    taken.append(f)
                    size //= f.size
                elif f.size % size == 0:
                    rest = f.size // size
                    taken.append(Factor(size, f.axis, f.weight * rest if f.axis is not None else 1))
                    left.insert(0, Factor(rest, f.axis, f.weight))
                    size = 1
                else:
                    raise Unknown(f"a reshape cuts {f.size} positions or channels unevenly")
            dims.append(tuple(taken))
        sizes = [f.size for dim in dims for f in dim if f.axis is None]
        return canonical(tuple(dims), self.nodes.reshape(sizes), self.n_axes)

    def with_dims(self, dims: Dims, nodes: np.ndarray | None = None) -> Layout:
        """Return a layout with other dimensions, its factors joined where they can be."""
        return canonical(dims, self.nodes if nodes is None else nodes, self.n_axes)

    def drop(self, dims: set[int]) -> Dims:
        """Return the dimensions without some of them."""
        return tuple(dim for d, dim in enumerate(self.dims) if d not in dims)


def canonical(dims: Dims, nodes: np.ndarray, n_axes: int) -> Layout:
    """Return a layout in which neighbouring factors that belong together are one."""
    joined = []
    for dim in dims:
        out: list[Factor] = []
        for f in dim:
            if f.size == 1:
                continue
            last = out[-1] if out else None
            if last is None or last.axis != f.axis:
                out.append(f)
            elif f.axis is None:
                out[-1] = Factor(last.size * f.size)
            elif last.weight == f.weight * f.size:
                out[-1] = Factor(last.size * f.size, f.axis, f.weight)
            else:
                out.append(f)
        joined.append(tuple(out))
    sizes = [f.size for dim in joined for f in dim if f.axis is None]
    return Layout(tuple(joined), nodes.reshape(sizes), n_axes)


def uniform(node: int, dims: Dims, n_axes: int) -> Layout:
    """Return a layout all of whose channels are one node."""
    sizes = [f.size for dim in dims for f in dim if f.axis is None]
    return canonical(dims, np.broadcast_to(np.int64(node), sizes), n_axes)


def channels(shape: tuple[int, ...]) -> Dims:
    """Return dimensions that are all channels.

    >>> channels((1, 8, 1))
    ((), (Factor(size=8, axis=None, weight=1),), ())
    """
    return tuple((Factor(n),) if n > 1 else () for n in shape)
