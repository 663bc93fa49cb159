"""Lay pieces of tensors side by side along a dimension: concatenation, and writing into a part.

A tensor into a part of which another has been written is what is left of it beside what is new.
Either way a piece may be broadcast along every other dimension, or along this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from erfbook.rf.builder import Builder, Columns, tight
from erfbook.rf.joining import agree, expanded, grid_of, towards, without_constant
from erfbook.rf.layout import Dims, Factor, Layout, canonical
from erfbook.rf.positions import to_axis, unroll
from erfbook.rf.windows import Window


@dataclass(frozen=True)
class _Piece:
    """Places of one tensor, and where they come to lie: as many."""

    source: int
    places: range
    at: range


def concatenate(
    build: Builder, parts: Sequence[tuple[Layout | None, int]], dim: int, shape: tuple[int, ...]
) -> Layout:
    """Return tensors side by side.

    Args:
        build: makes the nodes.
        parts: each tensor, None where it does not depend on the input, and its size along ``dim``.
        dim: the dimension along which they lie side by side.
        shape: shape of the result.
    """
    sources: list[Layout] = []
    pieces: list[_Piece] = []
    start = 0
    for layout, size in parts:
        if layout is not None:
            pieces.append(_Piece(len(sources), range(size), range(start, start + size)))
            sources.append(layout)
        start += size
    return _lay(build, sources, pieces, dim, shape)


def write(
    build: Builder, base: Layout | None, part: Layout, dim: int, at: range, shape: tuple[int, ...]
) -> Layout:
    """Return a tensor into some places of which another has been written.

    Args:
        build: makes the nodes.
        base: the tensor written into; None if it does not depend on the input yet.
        part: what is written.
        dim: the dimension of which only some places are written into.
        at: these places, upwards.
        shape: shape of the tensor written into.
    """
    pieces = [_Piece(0, range(len(at)), at)]
    if base is None:
        return _lay(build, [part], pieces, dim, shape)
    for first in range(at.step):
        rest = [range(first, shape[dim], at.step)]
        if first == at.start % at.step:
            rest = [range(first, at.start, at.step), range(at[-1] + at.step, shape[dim], at.step)]
        pieces += [_Piece(1, places, places) for places in rest]
    return _lay(build, [part, base], pieces, dim, shape)


def _lay(
    build: Builder, sources: list[Layout], pieces: list[_Piece], dim: int, shape: tuple[int, ...]
) -> Layout:
    sources = [_own_axis(build, without_constant(x, dim), dim) for x in sources]
    axes = {x.axis_of(dim) for x in sources if x.dims[dim]}
    axis = next(iter(axes)) if len(axes) == 1 else None
    if axis is None:
        sources = [unroll(build, x, dim) for x in sources]
    else:
        for i, x in enumerate(sources):
            for d in sorted({d for d, _ in x.places.get(axis, []) if d != dim}):
                sources[i] = unroll(build, sources[i], d, axis)
    sources, dims = agree(build, sources, shape, skip=dim)
    pieces = [piece for piece in pieces if piece.at]
    if axis is not None:
        dims = (*dims[:dim], (Factor(shape[dim], axis),), *dims[dim + 1 :])
        return _along_axis(build, sources, pieces, dim, dims)
    return _along_channels(build, sources, pieces, dim, dims, shape[dim])


def _own_axis(build: Builder, layout: Layout, dim: int) -> Layout:
    """Return a layout in which a dimension is a whole axis only if nothing else has to change."""
    factors = layout.dims[dim]
    if layout.axis_of(dim) is not None or not factors:
        return layout
    first = factors[0]
    if first.axis is not None and len(factors) - len([f for f in factors if f.axis is None]) == 1:
        # The slowest digit of an axis stands for it: what is elsewhere is moved to channels.
        if first.weight * first.size == layout.grid[first.axis]:
            return to_axis(build, layout, dim)
    return unroll(build, layout, dim)


def _along_axis(
    build: Builder, sources: list[Layout], pieces: list[_Piece], dim: int, dims: Dims
) -> Layout:
    ((whole),) = dims[dim]
    axis = whole.axis
    assert axis is not None
    grid = grid_of(dims, build.n_axes)
    ends = min(p.at[0] for p in pieces), max(p.at[-1] for p in pieces)
    columns: Columns = []
    for piece in pieces:
        layout = sources[piece.source]
        windows = list(towards(layout, dims, grid, but=axis))
        windows[axis] = _window(piece, layout.shape[dim], whole.size, ends)
        columns.append((expanded(layout, dims), tuple(windows)))
    return canonical(dims, build.columns(columns, grid), build.n_axes)


def _window(piece: _Piece, n_source: int, n: int, ends: tuple[int, int]) -> Window:
    """Return the window through which units read a piece that lies at some places of an axis.

    Beyond both ``ends`` nothing lies. So the first and the last piece need not say where they
    begin and end: there is nothing of theirs to read, as in a plane padded with zeros.
    """
    places, at = piece.places, piece.at
    if len(at) == 1:
        places, at = range(places[0], places[0] + 1), range(at[0], at[0] + 1)
    before, after = at[0] - ends[0] < at.step, ends[1] - at[-1] < at.step
    phase = (at[0] % at.step, at.step)
    if places[-1] >= n_source:  # one unit for all places: it lies wherever it is looked for
        before, after = before and at[0] < at.step, after and n - 1 - at[-1] < at.step
        domain = (None if before else at[0], None if after else at[-1])
        return Window(stride=0, domain=domain, phase=phase)
    before = before and places[0] < places.step
    after = after and n_source - 1 - places[-1] < places.step
    domain = (None if before else at[0], None if after else at[-1])
    stride = Fraction(places.step, at.step)
    return Window(stride, places[0] - stride * at[0], domain=domain, phase=phase)


def _along_channels(
    build: Builder, sources: list[Layout], pieces: list[_Piece], dim: int, dims: Dims, n: int
) -> Layout:
    grid = grid_of(dims, build.n_axes)
    place = sum(f.axis is None for d in dims[:dim] for f in d)
    sizes = [f.size for d in dims for f in d if f.axis is None]
    each = [_broad(build, x, dim, dims, grid, place) for x in sources]
    rows = np.empty((n, *sizes), np.int64)
    if sum(len(piece.at) for piece in pieces) < n:
        rows[...] = build.nothing(grid)
    for piece in pieces:
        source = each[piece.source]
        rows[piece.at] = source if len(source) == 1 else source[piece.places]
    nodes = np.moveaxis(rows, 0, place)
    dims = (*dims[:dim], (Factor(n),), *dims[dim + 1 :])
    return canonical(dims, tight(nodes), build.n_axes)


def _broad(
    build: Builder, layout: Layout, dim: int, dims: Dims, grid: tuple[int, ...], place: int
) -> np.ndarray:
    """Return a tensor's nodes on the grid of the result, with the channels of ``dim`` first."""
    size = layout.shape[dim]
    own = (*dims[:dim], (Factor(size),) if size > 1 else (), *dims[dim + 1 :])
    nodes = build.columns([(expanded(layout, own), towards(layout, dims, grid))], grid)
    return np.moveaxis(nodes, place, 0) if size > 1 else nodes[None]
