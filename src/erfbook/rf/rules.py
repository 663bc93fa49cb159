"""What each ATen operation reads: one small function an operation, found by name.

A rule takes an :class:`Op` and returns :class:`~erfbook.rf.graph.Local` or
:class:`~erfbook.rf.graph.Global`; it raises :class:`Unknown` where it cannot be sure. Nothing
here propagates anything. ``register`` adds a rule for an operation that is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from erfbook.rf.graph import IDENTITY, Global, Link, Local, Node, Window


class Unknown(Exception):
    """This operation, called this way, has no rule; the message says why, if there is a reason."""


@dataclass(frozen=True)
class Op:
    """One call of an ATen operation.

    Args:
        name: its name without overload, ``aten.convolution``; in-place twins share the name.
        args: all arguments by their names in the schema, defaults filled in.
        parents: the tracked tensors among the arguments: argument's name to node indices.
        nodes: all nodes so far.
        output: shape of the (first) output.
        pointwise: whether PyTorch tags the operation as elementwise.
    """

    name: str
    args: dict[str, Any]
    parents: dict[str, list[int]]
    nodes: list[Node]
    output: tuple[int, ...]
    pointwise: bool = False
    constants: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def all_parents(self) -> list[int]:
        """Every tracked parent, in the order of the arguments."""
        return [index for group in self.parents.values() for index in group]

    def only(self, argument: str) -> tuple[int, Node]:
        """Return the parent passed as ``argument``, which must be the only tracked tensor."""
        if list(self.parents) != [argument] or len(self.parents[argument]) != 1:
            raise Unknown("the input reaches it through an argument other than the first")
        index = self.parents[argument][0]
        return index, self.nodes[index]


Rule = Callable[[Op], Local | Global]
_RULES: dict[str, Rule] = {}


def register(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for ATen operations, by name without overload: ``aten.convolution``."""

    def add(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, rule))
        return rule

    return add


def apply(op: Op, *, writes: bool = False) -> Local | Global:
    """Return what an operation's output reads; global parents make a global output.

    Args:
        op: the operation.
        writes: whether it writes into one of its arguments.

    Raises:
        Unknown: there is no rule for it.
    """
    for index in op.all_parents:
        step = op.nodes[index].step
        if isinstance(step, Global):
            return step
    if writes and not op.pointwise:
        raise Unknown("it writes into a tensor that others may share")
    rule = _RULES.get(op.name) or (_elementwise if op.pointwise else None)
    if rule is None:
        raise Unknown
    return rule(op)


def _same(index: int, node: Node, axes: tuple[int, ...] | None = None) -> Local:
    axes = node.axes if axes is None else axes
    return Local(axes, (Link(index, (IDENTITY,) * len(axes)),))


def _elementwise(op: Op) -> Local | Global:
    """Several tensors combined position by position, broadcasting as PyTorch does."""
    rank = len(op.output)
    found = {
        tuple(a + rank - len(op.nodes[i].shape) for a in op.nodes[i].axes) for i in op.all_parents
    }
    if len(found) != 1:
        raise Unknown("its inputs keep their spatial axes in different dimensions")
    (axes,) = found
    for index in op.all_parents:
        grid = op.nodes[index].grid
        if any(n != op.output[a] for n, a in zip(grid, axes, strict=True)):
            return Global("broadcasting spreads one unit over the whole plane")
    fixed = any(
        shape[a - rank] > 1 for shape in op.constants for a in axes if rank - a <= len(shape)
    )
    links = tuple(Link(i, (IDENTITY,) * len(axes)) for i in dict.fromkeys(op.all_parents))
    return Local(axes, links, fixed)


@register("aten.clone", "aten.detach", "aten.alias", "aten._to_copy", "aten.lift_fresh")
@register("aten.contiguous", "aten.dropout", "aten.native_dropout", "aten.feature_dropout")
def _identity(op: Op) -> Local:
    index = op.all_parents[0]
    return _same(index, op.nodes[index])


@register("aten.convolution", "aten._convolution")
def _convolution(op: Op) -> Local:
    if op.args["transposed"]:
        raise Unknown("transposed convolution is not supported yet")
    kernel = op.args["weight"].shape[2:]
    return _sliding(op, "input", kernel, op.args["stride"], op.args["padding"], op.args["dilation"])


@register("aten.max_pool1d", "aten.max_pool2d_with_indices", "aten.max_pool3d_with_indices")
@register("aten.max_pool2d", "aten.max_pool3d", "aten.avg_pool1d", "aten.avg_pool2d")
@register("aten.avg_pool3d")
def _pooling(op: Op) -> Local:
    # Ceil mode adds units past the end; where a unit looks does not change.
    stride = op.args["stride"] or op.args["kernel_size"]
    dilation = op.args.get("dilation", [1])
    return _sliding(op, "self", op.args["kernel_size"], stride, op.args["padding"], dilation)


def _sliding(op: Op, argument: str, kernel, stride, padding, dilation) -> Local:
    index, node = op.only(argument)
    axes, rank = node.axes, len(node.shape)
    slid = range(rank - (len(stride) if len(kernel) == 1 else len(kernel)), rank)
    if not set(axes) <= set(slid):
        raise Unknown("it does not slide over all of the input's spatial axes")
    each = zip(*(_per_axis(v, len(slid)) for v in (kernel, stride, padding, dilation)), strict=True)
    windows = [Window(s, -p, d * (k - 1) + 1) for k, s, p, d in each]
    return Local(axes, (Link(index, tuple(windows[axis - slid.start] for axis in axes)),))


def _per_axis(value, n: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * n if len(values) == 1 else values


@register("aten.native_batch_norm", "aten._native_batch_norm_legit", "aten.cudnn_batch_norm")
@register("aten._native_batch_norm_legit_no_training", "aten._batch_norm_no_update")
def _batch_norm(op: Op) -> Local | Global:
    if op.args.get("training", False):
        return Global("batch norm in training mode takes its mean over the whole plane")
    index, node = op.only("input")
    return _same(index, node)


@register("aten.cat")
def _cat(op: Op) -> Local:
    index = op.all_parents[0]
    axes = op.nodes[index].axes
    if any(op.nodes[i].axes != axes for i in op.all_parents):
        raise Unknown("its inputs keep their spatial axes in different dimensions")
    if op.args["dim"] % len(op.output) in (0, *axes):
        raise Unknown("it joins along the batch or a spatial axis")
    links = tuple(Link(i, (IDENTITY,) * len(axes)) for i in dict.fromkeys(op.all_parents))
    return Local(axes, links, fixed=bool(op.constants))


@register("aten.constant_pad_nd")
def _constant_pad(op: Op) -> Local:
    index, node = op.only("self")
    before = {}
    pairs = op.args["pad"]
    for i in range(len(pairs) // 2):  # the list begins with the last dimension
        before[len(node.shape) - 1 - i] = pairs[2 * i]
    windows = tuple(Window(offset=-before.get(axis, 0)) for axis in node.axes)
    return Local(node.axes, (Link(index, windows),))


@register("aten.slice")
def _slice(op: Op) -> Local:
    index, node = op.only("self")
    dim = op.args["dim"] % len(node.shape)
    if dim not in node.axes:
        return _same(index, node)
    n = node.shape[dim]
    start, _, step = slice(op.args["start"], op.args["end"], op.args["step"]).indices(n)
    windows = tuple(Window(step, start) if axis == dim else IDENTITY for axis in node.axes)
    return Local(node.axes, (Link(index, windows),), fixed=True)


@register("aten.split", "aten.split_with_sizes", "aten.chunk")
def _split(op: Op) -> Local:
    index, node = op.only("self")
    if op.args["dim"] % len(node.shape) in node.axes:
        raise Unknown("it splits a spatial axis")
    return _same(index, node)


@register("aten.select", "aten.unbind")
def _select(op: Op) -> Local:
    index, node = op.only("self")
    dim = op.args["dim"] % len(node.shape)
    if dim in node.axes:
        raise Unknown("it picks one row of a spatial axis")
    return _same(index, node, tuple(a - (a > dim) for a in node.axes))


@register("aten.unsqueeze")
def _unsqueeze(op: Op) -> Local:
    index, node = op.only("self")
    dim = op.args["dim"] % (len(node.shape) + 1)
    return _same(index, node, tuple(a + (a >= dim) for a in node.axes))


@register("aten.squeeze")
def _squeeze(op: Op) -> Local:
    index, node = op.only("self")
    dims = op.args.get("dim")
    dims = range(len(node.shape)) if dims is None else _per_axis(dims, 1)
    gone = {d % len(node.shape) for d in dims if node.shape[d] == 1}
    if gone & set(node.axes):
        raise Unknown("it drops a spatial axis")
    return _same(index, node, tuple(a - sum(d < a for d in gone) for a in node.axes))


@register("aten.permute")
def _permute(op: Op) -> Local:
    index, node = op.only("self")
    order = [d % len(node.shape) for d in op.args["dims"]]
    return _same(index, node, tuple(order.index(a) for a in node.axes))


@register("aten.transpose", "aten.t")
def _transpose(op: Op) -> Local:
    index, node = op.only("self")
    order = list(range(len(node.shape)))
    i, j = op.args.get("dim0", 0), op.args.get("dim1", 1)
    order[i], order[j] = order[j], order[i]
    return _same(index, node, tuple(order.index(a) for a in node.axes))


@register("aten.view", "aten._unsafe_view", "aten.reshape")
def _view(op: Op) -> Local | Global:
    """Keep the axes that stay dimensions of their own; anything else mixes positions."""
    index, node = op.only("self")
    axes = []
    for axis in node.axes:
        n, before = node.shape[axis], _product(node.shape[:axis])
        kept = [d for d, m in enumerate(op.output) if m == n and _product(op.output[:d]) == before]
        if not kept:
            return Global("flattening: positions become channels")
        axes.append(kept[-1] if n == 1 else kept[0])
    if len(set(axes)) != len(axes) or axes != sorted(axes):
        return Global("flattening: positions become channels")
    return _same(index, node, tuple(axes))


def _product(sizes) -> int:
    total = 1
    for n in sizes:
        total *= n
    return total


@register("aten.mean", "aten.sum", "aten.amax", "aten.amin", "aten.var", "aten.var_mean")
@register("aten.max", "aten.min")
def _reduction(op: Op) -> Local | Global:
    index, node = op.only("self")
    rank = len(node.shape)
    dims = op.args.get("dim")
    dims = list(range(rank)) if dims in (None, []) else _per_axis(dims, 1)
    dims = {d % rank for d in dims}
    if dims & set(node.axes):
        return Global(f"{op.name.removeprefix('aten.')} over the plane")
    if 0 in dims:
        raise Unknown("it reduces over the batch")
    kept = rank == len(op.output)
    return _same(
        index, node, tuple(a - (0 if kept else sum(d < a for d in dims)) for a in node.axes)
    )


@register("aten._softmax", "aten._log_softmax")
def _softmax(op: Op) -> Local | Global:
    index, node = op.only("self")
    if op.args["dim"] % len(node.shape) in node.axes:
        return Global("softmax over the plane")
    return _same(index, node)


@register("aten.native_layer_norm")
def _layer_norm(op: Op) -> Local | Global:
    index, node = op.only("input")
    first = len(node.shape) - len(op.args["normalized_shape"])
    if any(axis >= first for axis in node.axes):
        return Global("layer norm over the plane")
    return _same(index, node)


@register("aten.native_group_norm")
def _group_norm(op: Op) -> Global:
    return Global("group norm takes its mean over the whole plane")


@register("aten._adaptive_avg_pool2d", "aten._adaptive_avg_pool3d", "aten.adaptive_max_pool2d")
@register("aten.adaptive_max_pool3d", "aten.adaptive_avg_pool1d", "aten.adaptive_max_pool1d")
@register("aten._adaptive_avg_pool1d")
def _adaptive_pool(op: Op) -> Global:
    return Global("adaptive pooling: its windows follow the size of the plane")


@register("aten.addmm", "aten.mm", "aten.bmm", "aten.baddbmm", "aten.matmul", "aten.linear")
def _matrix_product(op: Op) -> Global:
    return Global("a matrix product over flattened units")


def normalise(func: torch._ops.OpOverload, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Return a call's arguments by name, with the schema's defaults filled in."""
    named = {}
    for position, argument in enumerate(func._schema.arguments):
        if position < len(args):
            named[argument.name] = args[position]
        else:
            named[argument.name] = kwargs.get(argument.name, argument.default_value)
    return named
