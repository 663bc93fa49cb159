"""Reshape, permute, cut, pad, shift and put side by side: what moves units and mixes nothing."""

from __future__ import annotations

from functools import partial

import numpy as np

from erfbook.rf.cutting import move, pick, sized, take
from erfbook.rf.laying import concatenate
from erfbook.rf.layout import Layout, Unknown
from erfbook.rf.positions import reshape
from erfbook.rf.rules.registry import Op, Tensor, dim_of, register
from erfbook.rf.windows import Window


@register("aten.view", "aten._unsafe_view", "aten.reshape", "aten.unsqueeze", "aten.squeeze")
@register("aten.unflatten", "aten.flatten", "aten.squeeze_copy", "aten.unsqueeze_copy")
def _view(op: Op) -> Layout:
    return reshape(op.build, op.only("self"), op.shape)


@register("aten.view_as", "aten.view_copy", "aten.reshape_copy")
def _view_like(op: Op) -> Layout:
    return reshape(op.build, op.args["self"].layout, op.shape)


@register("aten.permute", "aten.permute_copy")
def _permute(op: Op) -> Layout:
    layout = op.only("self")
    return layout.permute([d % len(layout.dims) for d in op.args["dims"]])


@register("aten.transpose", "aten.t")
def _transpose(op: Op) -> Layout:
    layout = op.only("self")
    order = list(range(len(layout.dims)))
    if order[1:]:
        i, j = op.args.get("dim0", 0), op.args.get("dim1", 1)
        order[i], order[j] = order[j], order[i]
    return layout.permute(order)


@register("aten.expand", "aten.broadcast_to")
def _expand(op: Op) -> Layout:
    layout = op.only("self")
    missing = len(op.shape) - len(layout.dims)
    layout = Layout(((),) * missing + layout.dims, layout.nodes, layout.n_axes)
    for d, n in enumerate(op.shape):
        if n != layout.shape[d]:
            layout = sized(layout, d, n)
    return layout


@register("aten.slice", "aten.narrow")
def _slice(op: Op) -> Layout:
    layout = op.only("self")
    dim = dim_of(op, layout)
    if op.name == "aten.narrow":
        places = range(op.args["start"], op.args["start"] + op.args["length"])
    else:
        ends = slice(op.args["start"], op.args["end"], op.args["step"])
        places = range(*ends.indices(layout.shape[dim]))
    return take(op.build, layout, dim, places)


@register("aten.split", "aten.split_with_sizes", "aten.chunk", "aten.tensor_split")
@register("aten.unsafe_split", "aten.unsafe_chunk", "aten.split_copy")
def _split(op: Op) -> list[Layout]:
    layout = op.only("self")
    dim = dim_of(op, layout)
    n = layout.shape[dim]
    sizes = op.args.get("split_sizes", op.args.get("split_size"))
    if sizes is None:
        raise Unknown("its sizes are not named")
    if isinstance(sizes, int):
        sizes = [min(sizes, n - start) for start in range(0, n, sizes)]
    starts = np.cumsum([0, *sizes])
    each = zip(starts.tolist(), sizes, strict=False)
    return [take(op.build, layout, dim, range(a, a + size)) for a, size in each]


@register("aten.select")
def _select(op: Op) -> Layout:
    layout = op.only("self")
    dim = dim_of(op, layout)
    return pick(op.build, layout, dim, op.args["index"] % layout.shape[dim])


@register("aten.unbind")
def _unbind(op: Op) -> list[Layout]:
    layout = op.only("self")
    dim = dim_of(op, layout)
    return [pick(op.build, layout, dim, i) for i in range(layout.shape[dim])]


@register("aten.cat", "aten.concat", "aten.concatenate")
def _cat(op: Op) -> Layout:
    tensors = [t for t in op.args["tensors"] if t.shape != (0,)]
    dim = op.args["dim"] % len(op.shape)
    parts = [(t.layout, t.shape[dim]) for t in tensors]
    return concatenate(op.build, parts, dim, op.shape)


@register("aten.stack")
def _stack(op: Op) -> Layout:
    dim = op.args["dim"] % len(op.shape)
    parts = []
    for t in op.args["tensors"]:
        shape = (*op.shape[:dim], 1, *op.shape[dim + 1 :])
        parts.append((None if t.layout is None else t.layout.view(shape), 1))
    return concatenate(op.build, parts, dim, op.shape)


@register("aten.constant_pad_nd")
def _constant_pad(op: Op) -> Layout:
    return _padded(op, op.args["pad"], "zero")


@register("aten.reflection_pad1d", "aten.reflection_pad2d", "aten.reflection_pad3d")
def _reflection_pad(op: Op) -> Layout:
    return _padded(op, op.args["padding"], "reflect")


@register("aten.replication_pad1d", "aten.replication_pad2d", "aten.replication_pad3d")
def _replication_pad(op: Op) -> Layout:
    return _padded(op, op.args["padding"], "replicate")


@register("aten._pad_circular")
def _circular_pad(op: Op) -> Layout:
    """Negative amounts are cut off first; what is left is wrapped."""
    layout, pairs = op.only("self"), op.args["pad"]
    for i in range(len(pairs) // 2):
        dim = len(layout.dims) - 1 - i
        before, after = pairs[2 * i : 2 * i + 2]
        left = range(max(-before, 0), layout.shape[dim] - max(-after, 0))
        if not left:
            raise Unknown("it cuts everything off before it wraps")
        layout = take(op.build, layout, dim, left)
        window = Window(offset=-max(before, 0), edge="wrap")
        layout = move(op.build, layout, dim, partial(_same, window), op.shape[dim])
    return layout


def _padded(op: Op, pairs: list[int], edge: str) -> Layout:
    layout = op.only("self")
    for i in range(len(pairs) // 2):  # the list begins with the last dimension
        dim = len(layout.dims) - 1 - i
        window = Window(offset=-pairs[2 * i], edge=edge)
        layout = move(op.build, layout, dim, partial(_same, window), op.shape[dim])
    return layout


def _same(window: Window, n_parent: int) -> Window:
    return window


@register("aten.flip")
def _flip(op: Op) -> Layout:
    layout = op.only("self")
    for dim in op.args["dims"]:
        n = layout.shape[dim]
        layout = take(op.build, layout, dim % len(layout.dims), range(n - 1, -1, -1))
    return layout


@register("aten.roll")
def _roll(op: Op) -> Layout:
    layout = op.only("self")
    if not op.args["dims"]:
        raise Unknown("it shifts the flattened tensor")
    for shift, dim in zip(op.args["shifts"], op.args["dims"], strict=True):
        d = dim % len(layout.dims)
        window = Window(offset=-shift, edge="wrap")
        layout = move(op.build, layout, d, partial(_same, window), layout.shape[d])
    return layout


@register("aten.repeat", "aten.tile")
def _repeat(op: Op) -> Layout:
    layout = op.only("self")
    missing = len(op.shape) - len(layout.dims)
    layout = Layout(((),) * missing + layout.dims, layout.nodes, layout.n_axes)
    for d, n in enumerate(op.shape):
        if n != layout.shape[d] and not layout.dims[d]:
            layout = sized(layout, d, n)
        elif n != layout.shape[d]:
            layout = move(op.build, layout, d, partial(_same, Window(edge="wrap")), n)
    return layout


@register("aten.index_select")
def _index_select(op: Op) -> Layout:
    return _indexed(op, op.only("self"), dim_of(op, op.only("self")), op.args["index"])


@register("aten.index")
def _index(op: Op) -> Layout:
    indices = [(d, i) for d, i in enumerate(op.args["indices"]) if i is not None]
    if any(i.layout is not None for _, i in indices):
        return op.everything("it looks where the data say")
    if len(indices) != 1 or len(indices[0][1].shape) != 1:
        raise Unknown("it indexes several dimensions at once")
    return _indexed(op, op.args["self"].layout, *indices[0])


@register("aten.gather")
def _gather(op: Op) -> Layout:
    return op.everything("it looks where an index says")


def _indexed(op: Op, layout: Layout, dim: int, index: Tensor) -> Layout:
    if index.layout is not None:
        return op.everything("it looks where the data say")
    if index.values is None:
        raise Unknown("its indices are not known before the model runs")
    n = layout.shape[dim]
    values = np.flatnonzero(index.values) if index.values.dtype == bool else index.values
    return take(op.build, layout, dim, [int(i) % n for i in values.ravel()])


@register("aten.pixel_shuffle")
def _pixel_shuffle(op: Op) -> Layout:
    layout, r = op.only("self"), op.args["upscale_factor"]
    *lead, c, h, w = layout.shape
    k = len(lead)
    layout = reshape(op.build, layout, (*lead, c // r**2, r, r, h, w))
    order = [*range(k), k, k + 3, k + 1, k + 4, k + 2]
    return reshape(op.build, layout.permute(order), op.shape)


@register("aten.pixel_unshuffle")
def _pixel_unshuffle(op: Op) -> Layout:
    layout, r = op.only("self"), op.args["downscale_factor"]
    *lead, c, h, w = layout.shape
    k = len(lead)
    layout = reshape(op.build, layout, (*lead, c, h // r, r, w // r, r))
    order = [*range(k), k, k + 2, k + 4, k + 1, k + 3]
    return reshape(op.build, layout.permute(order), op.shape)


@register("aten.channel_shuffle", "aten.native_channel_shuffle")
def _channel_shuffle(op: Op) -> Layout:
    layout, groups = op.only("self"), op.args["groups"]
    n, c, *sides = layout.shape
    split = reshape(op.build, layout, (n, groups, c // groups, *sides))
    order = [0, 2, 1, *range(3, len(sides) + 3)]
    return reshape(op.build, split.permute(order), op.shape)


@register("aten.diagonal", "aten.as_strided")
def _irregular(op: Op) -> Layout:
    raise Unknown("it steps through memory in a way of its own")


@register("aten.masked_select", "aten.nonzero")
def _selected(op: Op) -> Layout:
    return op.everything("it looks where the data say")


@register("aten.embedding")
def _embedding(op: Op) -> Layout:
    raise Unknown("it looks up a table by the input's values")
