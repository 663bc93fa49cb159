"""Take parts of a tensor, extend it, shift it, and slide over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from erfbook.rf.builder import Builder, tight
from erfbook.rf.layout import Factor, Layout, canonical
from erfbook.rf.positions import free_axis, on, to_axis
from erfbook.rf.windows import IDENTITY, AnyWindow, Table, Window

Along = Callable[[int], AnyWindow]  # number of the parent's units -> window


def take(
    build: Builder, layout: Layout, dim: int, places: Sequence[int], *, apart: bool = False
) -> Layout:
    """Return the units or channels at some places of a dimension, in their order.

    Args:
        build: makes the nodes.
        layout: the tensor.
        dim: the dimension.
        places: indices, not negative; a range for what moves with the input.
        apart: whether it is one place, of a dimension that is to go.
    """
    if list(places) == list(range(layout.shape[dim])):
        return layout
    if not layout.dims[dim]:  # size 1, taken several times or not at all
        return sized(layout, dim, len(places))
    layout = to_axis(build, layout, dim)
    axis = layout.axis_of(dim)
    if axis is None:
        (channel,) = layout.channel_axes(dim)
        nodes = tight(layout.nodes.take(list(places), channel))
        return canonical(_with(layout, dim, Factor(len(places))), nodes, build.n_axes)
    moves = isinstance(places, range) and places.step > 0
    if isinstance(places, range):
        window: AnyWindow = Window(places.step, places.start)
    else:
        window = Table(tuple((i,) for i in places))
    grid = tuple(len(places) if a == axis else m for a, m in enumerate(layout.grid))
    windows = on(axis, window, build.n_axes)
    dims = _with(layout, dim, Factor(len(places), axis))
    one = axis if apart else None
    return build.each(layout, windows, dims, grid=grid, fixed=not moves, apart=one)


def pick(build: Builder, layout: Layout, dim: int, place: int) -> Layout:
    """Return a tensor without a dimension, at one place of it."""
    one = take(build, layout, dim, range(place, place + 1), apart=True)
    return Layout(one.dims[:dim] + one.dims[dim + 1 :], one.nodes, build.n_axes)


def move(build: Builder, layout: Layout, dim: int, along: Along, n_units: int) -> Layout:
    """Return a tensor whose units along a dimension read others along it, through a window.

    Args:
        build: makes the nodes.
        layout: the tensor.
        dim: the dimension; if it holds channels, each reads the channels in its window.
        along: gives the window for the present number of units.
        n_units: size of the dimension afterwards.
    """
    return slide(build, layout, {dim: (along, n_units)})


def slide(build: Builder, layout: Layout, moves: Mapping[int, tuple[Along, int]]) -> Layout:
    """Return a tensor moved along several dimensions at once; see :func:`move`."""
    windows: list[AnyWindow] = [IDENTITY] * build.n_axes
    grid, taken = list(layout.grid), list[int]()
    dims: dict[int, tuple[Factor, ...]] = {}
    for dim, (along, n_units) in moves.items():
        window = along(layout.shape[dim])
        if window.is_identity and n_units == layout.shape[dim]:
            continue
        layout = to_axis(build, layout, dim)
        axis = free_axis(layout, dim, taken) if not layout.dims[dim] else layout.axis_of(dim)
        if axis is None:
            layout = _over_channels(build, layout, dim, window, n_units)
            continue
        taken.append(axis)
        windows[axis], grid[axis], dims[dim] = window, n_units, (Factor(n_units, axis),)
    if not dims:
        return layout
    for axis in range(build.n_axes):  # taking positions apart may have changed the others
        grid[axis] = grid[axis] if axis in taken else layout.grid[axis]
    new = tuple(dims.get(d, old) for d, old in enumerate(layout.dims))
    return build.each(layout, tuple(windows), new, grid=tuple(grid))


def _over_channels(build: Builder, layout: Layout, dim: int, window, n_units: int) -> Layout:
    """Let each channel read the channels in its window."""
    if not layout.dims[dim] or len(layout.distinct) == 1:
        reads = window.reads(n_units, layout.shape[dim])
        if (reads >= 0).any(axis=1).all():
            return sized(layout, dim, n_units)
    place = sum(f.axis is None for d in layout.dims[:dim] for f in d)
    nodes = layout.nodes if layout.dims[dim] else np.expand_dims(layout.nodes, place)
    nodes = np.moveaxis(nodes, place, 0)
    identity = (IDENTITY,) * build.n_axes
    made = []
    for row in window.reads(n_units, nodes.shape[0]):
        read = sorted({int(i) for i in row if i >= 0})
        if not read:
            made.append(np.full(nodes.shape[1:], build.nothing(layout.grid)))
            continue
        made.append(build.columns([(nodes[i, ...], identity) for i in read], layout.grid))
    stacked = np.moveaxis(np.stack(made), 0, place)
    return canonical(_with(layout, dim, Factor(n_units)), tight(stacked), build.n_axes)


def sized(layout: Layout, dim: int, n: int) -> Layout:
    """Return a tensor along whose dimension, of channels all alike, there are now n of them."""
    nodes = layout.nodes
    for axis in layout.channel_axes(dim):
        nodes = nodes.take([0], axis).squeeze(axis)
    place = sum(f.axis is None for d in layout.dims[:dim] for f in d)
    nodes = np.broadcast_to(
        np.expand_dims(nodes, place), (*nodes.shape[:place], n, *nodes.shape[place:])
    )
    return canonical(_with(layout, dim, Factor(n)), nodes, layout.n_axes)


def _with(layout: Layout, dim: int, factor: Factor) -> tuple:
    return (*layout.dims[:dim], (factor,), *layout.dims[dim + 1 :])
