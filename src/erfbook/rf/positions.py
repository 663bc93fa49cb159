"""Contract dimensions, and turn positions into channels and channels into positions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import prod

import numpy as np

from erfbook.rf.builder import Builder, replace
from erfbook.rf.layout import Factor, Layout, Unknown
from erfbook.rf.windows import IDENTITY, WHOLE, AnyWindow, Window, nearest

MOST_POSITIONS = 20_000  # positions turned into channels at once; beyond it a rule gives up


def contract(build: Builder, layout: Layout, dims: set[int], why: str) -> Layout:
    """Return a layout without some dimensions, all of which every unit reads.

    Raises:
        Unknown: only a middle digit of an axis would be read.
    """
    windows, weights, grid = [], {}, list(layout.grid)
    for axis in range(build.n_axes):
        digits = layout.places.get(axis, [])
        gone = [f for d, f in digits if d in dims]
        window, n = _contracted(gone, grid[axis])
        windows.append(window)
        if gone:
            weights[axis] = (gone[0].weight * gone[0].size, n)
        grid[axis] //= n
    axes = [a for d in sorted(dims) for a in layout.channel_axes(d)]
    apart = bool(axes) and not layout.places  # positions may have become channels
    whole = why if apart or any(w.whole for w in windows) else ""
    nodes = build.gather(layout.nodes, axes, tuple(windows), tuple(grid), whole)
    rest = tuple(dim for d, dim in enumerate(layout.dims) if d not in dims)
    return layout.with_dims(tuple(tuple(_lighter(f, weights) for f in d) for d in rest), nodes)


def keep_dims(layout: Layout, dims: set[int], n_dims: int) -> Layout:
    """Return a contracted layout with its lost dimensions as dimensions of size 1."""
    rest = iter(layout.dims)
    every = tuple(() if d in dims else next(rest) for d in range(n_dims))
    return Layout(every, layout.nodes, layout.n_axes)


def unroll(build: Builder, layout: Layout, dim: int, axis: int | None = None) -> Layout:
    """Return a layout in which a dimension's positions are channels, one node a position.

    Args:
        build: makes the nodes.
        layout: the layout.
        dim: the dimension.
        axis: only the digits of this axis; of every axis by default.

    Raises:
        Unknown: there are too many positions, or a middle digit of an axis.
    """
    wanted = [f.axis for f in layout.dims[dim] if f.axis is not None and axis in (None, f.axis)]
    n_positions = prod(f.size for f in layout.dims[dim] if f.axis in wanted)
    if n_positions * len(layout.distinct) > MOST_POSITIONS:
        raise Unknown(
            f"it would take {n_positions * len(layout.distinct):,} positions apart, and at most "
            f"{MOST_POSITIONS:,} are"
        )
    for one in wanted:
        layout = _unroll_digit(build, layout, dim, one)
    return layout


def _unroll_digit(build: Builder, layout: Layout, dim: int, axis: int) -> Layout:
    factors = layout.dims[dim]
    k = next(i for i, f in enumerate(factors) if f.axis == axis)
    digit, n = factors[k], layout.grid[axis]
    if digit.weight != 1 and digit.weight * digit.size != n:
        raise Unknown("it takes a middle part of an axis apart")
    grid = tuple(n // digit.size if a == axis else m for a, m in enumerate(layout.grid))
    each = []
    for value in range(digit.size):
        window = Window(digit.size if digit.weight == 1 else 1, value * digit.weight)
        windows = on(axis, window, build.n_axes)
        new = {i: build.node([(i, windows)], grid, fixed=True, apart=axis) for i in layout.distinct}
        each.append(replace(layout.nodes, new))
    place = sum(f.axis is None for d in layout.dims[:dim] for f in d)
    place += sum(f.axis is None for f in factors[:k])
    weights = {axis: (digit.weight * digit.size, digit.size)}
    dims = [tuple(_lighter(f, weights) for f in d) for d in layout.dims]
    dims[dim] = (*dims[dim][:k], Factor(digit.size), *dims[dim][k + 1 :])
    return layout.with_dims(tuple(dims), np.stack(each, axis=place))


def absorb(build: Builder, layout: Layout, dim: int) -> Layout:
    """Return a layout in which the channels that follow an axis in a dimension are positions.

    What puts the pixels of a shuffled plane side by side.
    """
    digit, minor = layout.dims[dim]
    axis, p = digit.axis or 0, minor.size
    grid = tuple(n * p if a == axis else n for a, n in enumerate(layout.grid))
    (place,) = layout.channel_axes(dim)
    columns = np.moveaxis(layout.nodes, place, 0)
    if (columns == columns[:1]).all():
        reads = [(columns[0, ...], on(axis, nearest(Fraction(1, p)), build.n_axes))]
    else:
        phases = [on(axis, _inverse(p, (k, p)), build.n_axes) for k in range(p)]
        reads = [(columns[k, ...], windows) for k, windows in enumerate(phases)]
    dims = list(layout.dims)
    dims[dim] = (Factor(digit.size * p, axis),)
    return layout.with_dims(tuple(dims), build.columns(reads, grid))


def to_axis(build: Builder, layout: Layout, dim: int) -> Layout:
    """Return a layout in which a dimension is one whole axis, or channels alone.

    Raises:
        Unknown: it would take too many positions apart.
    """
    if not layout.has_axis(dim) or layout.axis_of(dim) is not None:
        return layout
    axes = {f.axis for f in layout.dims[dim] if f.axis is not None}
    if len(axes) == 1:
        (axis,) = axes
        for d in dict.fromkeys(d for d, _ in layout.places[axis] if d != dim):
            layout = unroll(build, layout, d, axis)
        factors = layout.dims[dim]
        if len(factors) == 1:
            return layout
        if len(factors) == 2 and factors[0].axis is not None:
            return absorb(build, layout, dim)
    return unroll(build, layout, dim)


def reshape(build: Builder, layout: Layout, shape: tuple[int, ...]) -> Layout:
    """Return the layout of the same elements in another shape, whatever the shape cuts.

    Raises:
        Unknown: it cuts an axis unevenly, and there are too many positions to take apart.
    """
    mixed = [d for d, dim in enumerate(layout.dims) if layout.has_axis(d) and len(dim) > 1]
    every = [d for d in range(len(layout.dims)) if layout.has_axis(d)]
    for apart in ([], mixed, every):
        for d in apart:
            layout = unroll(build, layout, d)
        try:
            return layout.view(shape)
        except Unknown as reason:
            refused = reason
    raise refused


def free_axis(layout: Layout, dim: int, taken: Sequence[int]) -> int | None:
    """Return an axis that a dimension of size 1 can stand for: one that is nowhere else."""
    if layout.dims[dim]:
        return None
    free = [a for a in range(layout.n_axes) if a not in layout.places and a not in taken]
    usual = dim - (len(layout.dims) - layout.n_axes)  # where a plane has it
    return usual if usual in free else free[0] if free else None


def on(axis: int, window: AnyWindow, n_axes: int) -> tuple[AnyWindow, ...]:
    """Return a window along one axis and the identity along the others."""
    return tuple(window if a == axis else IDENTITY for a in range(n_axes))


def _contracted(gone: list[Factor], n: int) -> tuple[AnyWindow, int]:
    """Return the window of the units left when some digits of an axis are all read."""
    if not gone:
        return IDENTITY, 1
    size = prod(f.size for f in gone)
    low, high = gone[-1].weight, gone[0].weight * gone[0].size
    if size == n:
        return WHOLE, n
    if high // low != size or (low != 1 and high != n):
        raise Unknown("it reads a middle part of an axis")
    if low == 1:
        return Window(stride=size, size=size), size
    return Window(step=low, size=size), size


def _lighter(f: Factor, weights: dict[int, tuple[int, int]]) -> Factor:
    """Return a digit's place after faster digits of its axis have gone."""
    if f.axis not in weights or f.weight < weights[f.axis][0]:
        return f
    return Factor(f.size, f.axis, f.weight // weights[f.axis][1])


def _inverse(p: int, phase: tuple[int, int]) -> Window:
    one = nearest(Fraction(1, p))
    return Window(one.stride, one.offset, one.size, one.step, phase=phase)


def restore(build: Builder, layout: Layout, dims: dict[int, int]) -> Layout:
    """Return a layout in which dimensions that hold positions as channels are axes again.

    Args:
        build: makes the nodes.
        layout: a tensor that has none of these axes any more.
        dims: for each axis, the dimension that is to be it.
    """
    places = [a for d in dims.values() for a in layout.channel_axes(d)]
    sizes = tuple(layout.shape[d] for d in dims.values())
    grid = list(layout.grid)
    for axis, n in zip(dims, sizes, strict=True):
        grid[axis] = n
    if len(layout.distinct) == 1:  # every place has what any place has
        windows = tuple(Window(stride=0) if a in dims else IDENTITY for a in range(build.n_axes))
        node = build.node([(layout.distinct[0], windows)], tuple(grid), fixed=True)
        sizes = tuple(n for a, n in enumerate(layout.nodes.shape) if a not in places)
        new = [dim if d not in dims.values() else () for d, dim in enumerate(layout.dims)]
        for axis, d in dims.items():
            new[d] = (Factor(grid[axis], axis),)
        return layout.with_dims(tuple(new), np.broadcast_to(np.int64(node), sizes))
    if prod(sizes) > MOST_POSITIONS:
        raise Unknown("it would put too many positions together")
    kept = [a for a in range(layout.nodes.ndim) if a not in places]
    nodes = layout.nodes.transpose([*kept, *places])
    shape = nodes.shape[: len(kept)]
    made: dict[bytes, int] = {}
    found = []
    for place in np.ndindex(*shape):
        row = np.asarray(nodes[place]).reshape(sizes)
        if row.tobytes() not in made:
            made[row.tobytes()] = _put_together(build, row, list(dims), tuple(grid))
        found.append(made[row.tobytes()])
    new = list(layout.dims)
    for (axis, d), n in zip(dims.items(), sizes, strict=True):
        new[d] = (Factor(n, axis),)
    return layout.with_dims(tuple(new), np.array(found, dtype=np.int64).reshape(shape))


def _put_together(build: Builder, nodes: np.ndarray, axes: list[int], grid: tuple[int, ...]) -> int:
    """Return one node whose unit at each place along some axes reads the node that was there."""
    reads = {}
    for place in np.ndindex(*nodes.shape):
        windows = [IDENTITY] * build.n_axes
        for axis, i in zip(axes, place, strict=True):
            windows[axis] = Window(stride=0, domain=(i, i))
        reads[place] = (int(nodes[place]), tuple(windows))
    for k in reversed(range(len(axes))):
        rows: dict[tuple, list] = {}
        for place, read in reads.items():
            rows.setdefault(place[:k], []).append(read)
        merged = {key: _in_a_row(build, row, axes[k]) for key, row in rows.items()}
        if any(read is None for read in merged.values()):
            break
        reads = merged
    return build.node(reads.values(), grid, fixed=True)


def _in_a_row(build: Builder, row: list, axis: int):
    """Return one read that does what a row of reads does, if they step through one node."""
    if len({index for index, _ in row}) == 1:
        windows = list(row[0][1])
        windows[axis] = Window(stride=0)
        return row[0][0], tuple(windows)
    links = [build.graph.nodes[index].links for index, _ in row]
    if any(len(own) != 1 for own in links):
        return None
    parents = {own[0].parent for own in links}
    rest = {tuple(w for a, w in enumerate(own[0].windows) if a != axis) for own in links}
    steps = [own[0].windows[axis] for own in links]
    others = all(w.is_identity for own in rest for w in own)
    if len(parents) != 1 or not others or any(not s.is_regular or s.size != 1 for s in steps):
        return None
    offsets = [s.offset for s in steps]
    stride = offsets[1] - offsets[0] if len(offsets) > 1 else 1
    if any(b - a != stride for a, b in pairwise(offsets)):
        return None
    windows = list(row[0][1])
    windows[axis] = Window(stride, offsets[0])
    return parents.pop(), tuple(windows)
