"""Convolution and pooling, unfolding and folding: what slides over a plane."""

from __future__ import annotations

from functools import partial

import numpy as np

from erfbook.rf.builder import Builder
from erfbook.rf.cutting import Along, move, sized, slide
from erfbook.rf.joining import join
from erfbook.rf.laying import concatenate
from erfbook.rf.layout import Layout, Unknown
from erfbook.rf.positions import contract, keep_dims, reshape, unroll
from erfbook.rf.rules.registry import Op, Tensor, per_axis, register
from erfbook.rf.windows import Window, adaptive, transposed


@register("aten.convolution", "aten._convolution")
def _convolution(op: Op) -> Layout:
    layout, weight = op.args["input"].layout, op.args["weight"]
    n = len(weight.shape) - 2
    names = ("stride", "padding", "dilation")
    each = zip(weight.shape[2:], *(per_axis(op.args[name], n) for name in names), strict=True)
    if op.args["transposed"]:
        windows = [transposed(k, s, p, d) for k, s, p, d in each]
    else:
        windows = [Window(s, -p, k, d) for k, s, p, d in each]
    others = [op.args[name] for name in ("weight", "bias")]
    dynamic = [t.layout for t in others if isinstance(t, Tensor) and t.layout is not None]
    if layout is None:
        raise Unknown("only its weight depends on the input")
    first = len(layout.dims) - n
    layout = _mixed(op.build, layout, first - 1, op.args["groups"], op.shape[first - 1])
    moves = {first + a: (_always(w), op.shape[first + a]) for a, w in enumerate(windows)}
    layout = slide(op.build, layout, moves)
    if dynamic:  # weights computed from the input: each unit reads all of them
        why = "its weights are computed from the plane"
        lost = [contract(op.build, x, set(range(len(x.dims))), why) for x in dynamic]
        layout = join(op.build, [layout, *lost], op.shape)
    return layout


def _mixed(build: Builder, layout: Layout, dim: int, groups: int, n_channels: int) -> Layout:
    """Return a layout whose channels each read all channels of their group."""
    if dim < 0:
        return layout
    shape = layout.shape
    if groups > 1 and layout.has_axis(dim):
        layout = unroll(build, layout, dim)
    split = (*shape[:dim], groups, shape[dim] // groups, *shape[dim + 1 :])
    layout = layout.view(split)
    why = "positions became channels, which are mixed"
    layout = keep_dims(contract(build, layout, {dim + 1}, why), {dim + 1}, len(split))
    return sized(layout, dim + 1, n_channels // groups).view(
        (*shape[:dim], n_channels, *shape[dim + 1 :])
    )


def _always(window) -> Along:
    return lambda n_parent: window


@register("aten.max_pool1d", "aten.max_pool2d_with_indices", "aten.max_pool3d_with_indices")
@register("aten.max_pool2d", "aten.max_pool3d", "aten.avg_pool1d", "aten.avg_pool2d")
@register("aten.avg_pool3d", "aten.mkldnn_max_pool2d")
def _pooling(op: Op) -> Layout:
    layout = op.only("self")
    n = int(op.name[op.name.index("pool") + 4])
    stride = op.args["stride"] or op.args["kernel_size"]
    values = (op.args["kernel_size"], stride, op.args["padding"], op.args.get("dilation", 1))
    each = zip(*(per_axis(v, n) for v in values), strict=True)
    # Ceil mode adds units past the end; where a unit looks does not change.
    windows = [Window(s, -p, k, d) for k, s, p, d in each]
    first = len(layout.dims) - n
    moves = {first + a: (_always(w), op.shape[first + a]) for a, w in enumerate(windows)}
    return slide(op.build, layout, moves)


@register("aten._adaptive_avg_pool2d", "aten._adaptive_avg_pool3d", "aten.adaptive_max_pool2d")
@register("aten.adaptive_max_pool3d", "aten.adaptive_avg_pool1d", "aten.adaptive_max_pool1d")
@register("aten.adaptive_avg_pool2d", "aten.adaptive_avg_pool3d", "aten._adaptive_avg_pool1d")
def _adaptive_pool(op: Op) -> Layout:
    layout = op.only("self")
    n = int(op.name[op.name.index("pool") + 4])
    dims = range(len(layout.dims) - n, len(layout.dims))
    # Down to one unit it is a mean over the plane, whatever the plane's size.
    whole = {d for d in dims if op.shape[d] == 1}
    if whole:
        why = f"{op.name.removeprefix('aten.').lstrip('_')} over the plane"
        layout = keep_dims(contract(op.build, layout, whole, why), whole, len(layout.dims))
    moves = {d: (partial(_adapted, op.shape[d]), op.shape[d]) for d in dims if d not in whole}
    layout = slide(op.build, layout, moves)
    # Its windows follow the size of the plane, so that a part of the plane has others.
    windows = (Window(),) * op.build.n_axes
    return op.build.each(layout, windows, layout.dims, grid=layout.grid, fixed=bool(moves))


def _adapted(n_units: int, n_parent: int) -> Window:
    return adaptive(n_parent, n_units)


@register("aten.unfold")
def _unfold(op: Op) -> Layout:
    """Tensor.unfold: windows along one dimension, their places in a new last one."""
    layout = op.only("self")
    dim = op.args["dimension"] % len(layout.dims)
    size, step = op.args["size"], op.args["step"]
    each = [
        move(op.build, layout, dim, _always(Window(step, t)), op.shape[dim]) for t in range(size)
    ]
    return stacked(op.build, each, len(op.shape) - 1)


def stacked(build: Builder, layouts: list[Layout], dim: int) -> Layout:
    """Return tensors of one shape as the channels of a new dimension."""
    shape = layouts[0].shape
    parts = [(Layout((*x.dims[:dim], (), *x.dims[dim:]), x.nodes, x.n_axes), 1) for x in layouts]
    return concatenate(build, parts, dim, (*shape[:dim], len(layouts), *shape[dim:]))


@register("aten.im2col")
def _im2col(op: Op) -> Layout:
    """F.unfold: (N, C, H, W) to (N, C * taps, positions)."""
    layout = op.only("self")
    rows, columns = per_axis(op.args["kernel_size"], 2)
    names = ("stride", "padding", "dilation")
    stride, padding, dilation = (per_axis(op.args[name], 2) for name in names)
    first = len(layout.dims) - 2
    n = [_n_windows(layout.shape[first + a], (rows, columns)[a], stride[a], padding[a], dilation[a])
         for a in range(2)]  # fmt: skip
    taps = []
    for i in range(rows):
        for j in range(columns):
            windows = [
                Window(stride[a], dilation[a] * t - padding[a]) for a, t in enumerate((i, j))
            ]
            moves = {first + a: (_always(w), n[a]) for a, w in enumerate(windows)}
            taps.append(slide(op.build, layout, moves))
    return reshape(op.build, stacked(op.build, taps, first), op.shape)


def _n_windows(n: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@register("aten.col2im")
def _col2im(op: Op) -> Layout:
    """F.fold: the adjoint, each tap put back where it was taken and summed."""
    layout = op.only("self")
    height, width = op.args["output_size"]
    kernel = per_axis(op.args["kernel_size"], 2)
    names = ("stride", "padding", "dilation")
    stride, padding, dilation = (per_axis(op.args[name], 2) for name in names)
    sizes = zip((height, width), kernel, stride, padding, dilation, strict=True)
    n = [_n_windows(*size) for size in sizes]
    lead = op.shape[:-3]
    layout = layout.view((*lead, op.shape[-3], *kernel, *n))
    first = len(lead) + 1
    taps = []
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            tap = _pick(_pick(layout, first, i), first, j)
            windows = [
                transposed(1, stride[a], padding[a] - dilation[a] * t, 1)
                for a, t in enumerate((i, j))
            ]
            moves = {first + a: (_always(w), (height, width)[a]) for a, w in enumerate(windows)}
            taps.append(slide(op.build, tap, moves))
    return join(op.build, taps, op.shape)


def _pick(layout: Layout, dim: int, i: int) -> Layout:
    """Return one channel of a dimension of channels, without the dimension."""
    nodes = layout.nodes
    for axis in layout.channel_axes(dim):
        nodes = np.asarray(nodes.take(i, axis))
    return Layout((*layout.dims[:dim], *layout.dims[dim + 1 :]), nodes, layout.n_axes)


@register("aten.max_unpool2d", "aten.max_unpool3d", "aten.grid_sampler_2d", "aten.grid_sampler_3d")
@register("torchvision.deform_conv2d", "torchvision.roi_align", "torchvision.roi_pool")
def _by_data(op: Op) -> Layout:
    return op.everything("it looks where the data say")
