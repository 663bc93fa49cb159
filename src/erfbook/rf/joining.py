"""Combine tensors position by position."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from erfbook.rf.builder import Builder, tight
from erfbook.rf.layout import Dims, Factor, Layout, Unknown, canonical, channels
from erfbook.rf.positions import contract, keep_dims, to_axis, unroll
from erfbook.rf.windows import IDENTITY, AnyWindow, Window, nearest


def join(
    build: Builder, layouts: Sequence[Layout], shape: tuple[int, ...], *, fixed: bool = False
) -> Layout:
    """Return what combining tensors position by position gives, broadcasting as PyTorch does.

    Args:
        build: makes the nodes.
        layouts: the tensors.
        shape: shape of the result.
        fixed: whether a constant that differs from place to place takes part.

    Raises:
        Unknown: the tensors keep their positions in ways that do not match.
    """
    layouts, dims = agree(build, layouts, shape)
    grid = grid_of(dims, build.n_axes)
    columns = [(expanded(x, dims), towards(x, dims, grid)) for x in layouts]
    return canonical(dims, build.columns(columns, grid, fixed), build.n_axes)


def pool(build: Builder, layout: Layout, dims: set[int], why: str) -> Layout:
    """Return a layout of the same shape whose units also read all of some dimensions.

    What softmax, sorting and normalisations do.
    """
    reduced = keep_dims(contract(build, layout, dims, why), dims, len(layout.dims))
    return join(build, [layout, reduced], layout.shape)


def agree(
    build: Builder, layouts: Sequence[Layout], shape: tuple[int, ...], skip: int | None = None
) -> tuple[list[Layout], Dims]:
    """Return layouts whose dimensions match where they are not of size 1, and the common ones.

    Args:
        build: makes the nodes.
        layouts: the tensors.
        shape: shape to which they broadcast.
        skip: a dimension that is left as it is, and empty in the common ones.

    Raises:
        Unknown: no way was found to make them match.
    """
    found = [_padded(x, len(shape)) for x in layouts]
    found = _in_one_place(build, found)
    for d in range(len(shape)):
        found = found if d == skip else _agree_on(build, found, d)
    dims: list[tuple[Factor, ...]] = []
    for d, n in enumerate(shape):
        if d == skip:
            dims.append(())
            continue
        # Where a tensor has lost the faster digits of an axis, the others weigh what is left.
        own = [x.dims[d] for x in found if x.dims[d]]
        dims.append(max(own, key=lambda f: sum(x.weight for x in f)) if own else channels((n,))[0])
    if skip is None:
        _check(dims)
    return found, tuple(dims)


def _agree_on(build: Builder, layouts: list[Layout], d: int) -> list[Layout]:
    def kinds() -> set:
        return {_digits(x.dims[d]) for x in layouts if x.dims[d]}

    if len(kinds()) > 1:
        layouts = [without_constant(x, d) for x in layouts]
    for change in (to_axis, unroll):
        if len(kinds()) > 1:
            layouts = [change(build, x, d) for x in layouts]
    if len(kinds()) > 1:
        raise Unknown("its inputs keep their positions in different dimensions")
    return layouts


def _in_one_place(build: Builder, layouts: list[Layout]) -> list[Layout]:
    """Take positions apart that lie in other dimensions than a plane's, or the first tensor's."""
    rank = len(layouts[0].dims)
    for axis in range(build.n_axes):
        homes = [{d for d, _ in x.places[axis]} for x in layouts if axis in x.places]
        usual = {axis + rank - build.n_axes}
        home = usual if usual in homes else next(iter(homes), usual)
        home = next((there for there in homes if home < there), home)
        for i, layout in enumerate(layouts):
            there = {d for d, _ in layout.places.get(axis, [])}
            for d in sorted(there) if not there <= home else ():
                layouts[i] = unroll(build, layouts[i], d, axis)
    return layouts


def without_constant(layout: Layout, d: int) -> Layout:
    """Drop the channels of a dimension along which nothing changes."""
    if layout.has_axis(d) or not layout.dims[d]:
        return layout
    (axis,) = layout.channel_axes(d)
    first = layout.nodes.take([0], axis)
    if len(layout.distinct) > 1 and (layout.nodes != first).any():
        return layout
    dims = tuple(() if i == d else dim for i, dim in enumerate(layout.dims))
    return Layout(dims, tight(first.squeeze(axis)), layout.n_axes)


def _check(dims: Sequence[tuple[Factor, ...]]) -> None:
    """Refuse dimensions whose digits are not the digits of whole axes."""
    places: dict[int | None, list[Factor]] = {}
    for f in (f for dim in dims for f in dim if f.axis is not None):
        places.setdefault(f.axis, []).append(f)
    for digits in places.values():
        expected = 1
        for f in sorted(digits, key=lambda f: f.weight):
            if f.weight != expected:
                raise Unknown("its inputs keep their positions in different dimensions")
            expected *= f.size


def _padded(layout: Layout, rank: int) -> Layout:
    missing = rank - len(layout.dims)
    return Layout(((),) * missing + layout.dims, layout.nodes, layout.n_axes)


def _digits(dim: tuple[Factor, ...]) -> tuple:
    return tuple((f.axis, f.size) for f in dim)


def grid_of(dims: Dims, n_axes: int) -> tuple[int, ...]:
    return Layout(dims, np.empty(0), n_axes).grid


def towards(
    layout: Layout, dims: Dims, grid: tuple[int, ...], but: int | None = None
) -> tuple[AnyWindow, ...]:
    """Return the windows through which units of a larger grid read a tensor that is broadcast."""
    windows: list[AnyWindow] = []
    for axis, n in enumerate(grid):
        own = layout.grid[axis]
        if own == n or axis == but:
            windows.append(IDENTITY)
            continue
        if own == 1:
            windows.append(Window(stride=0))
            continue
        there = [d for d, _ in layout.places[axis]]
        out = [(f.weight, d) for d, dim in enumerate(dims) for f in dim if f.axis == axis]
        order = [d for _, d in sorted(out, reverse=True)]
        if order[: len(there)] == there:
            windows.append(nearest(Fraction(own, n)))
        elif order[-len(there) :] == there:
            windows.append(Window(edge="wrap"))
        else:
            raise Unknown("its inputs keep different parts of an axis")
    return tuple(windows)


def expanded(layout: Layout, dims: Dims) -> np.ndarray:
    """Return a layout's nodes, one axis for each factor of channels of other dimensions."""
    sizes, full = [], []
    for own, dim in zip(layout.dims, dims, strict=True):
        wanted = [f.size for f in dim if f.axis is None]
        sizes += [f.size for f in own if f.axis is None] or [1] * len(wanted)
        full += wanted
    return np.broadcast_to(layout.nodes.reshape(sizes), full)
