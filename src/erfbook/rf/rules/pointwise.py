"""What works position by position, and what sums, sorts or normalises over dimensions."""

from __future__ import annotations

from erfbook.rf.cutting import take
from erfbook.rf.joining import join, pool
from erfbook.rf.layout import Layout, Unknown
from erfbook.rf.positions import contract, keep_dims, reshape
from erfbook.rf.rules.registry import Op, dim_of, dims_of, register


@register("pointwise", "aten.masked_fill", "aten.where", "aten.hardswish", "aten.hardsigmoid")
@register("aten.hardtanh", "aten.relu6", "aten.celu", "aten.selu", "aten.silu", "aten.mish")
@register("aten.gelu", "aten.elu", "aten.leaky_relu", "aten._prelu_kernel", "aten.prelu")
@register("aten.threshold", "aten.softplus", "aten.softshrink", "aten.hardshrink")
@register("aten.log_sigmoid_forward", "aten.nan_to_num", "aten.addcmul", "aten.addcdiv")
@register("aten.clamp", "aten.lerp", "aten.fake_quantize_per_tensor_affine")
def _pointwise(op: Op) -> Layout:
    return _combined(op)


def _combined(op: Op) -> Layout:
    """Several tensors combined position by position, broadcasting as PyTorch does."""
    tracked = op.tracked()
    rank = len(op.shape)
    positions = {
        d + rank - len(x.dims) for x in tracked for d in range(len(x.dims)) if x.has_axis(d)
    }
    fixed = any(
        t.layout is None and t.shape[d - rank] > 1
        for t in op.tensors()
        for d in positions
        if rank - d <= len(t.shape)
    )
    if len(tracked) == 1 and not fixed and tracked[0].shape == op.shape:
        return tracked[0]
    return join(op.build, tracked, op.shape, fixed=fixed)


@register("aten.clone", "aten.detach", "aten.alias", "aten._to_copy", "aten.lift_fresh")
@register("aten.contiguous", "aten.dropout", "aten.native_dropout", "aten.feature_dropout")
@register(
    "aten.bernoulli", "aten.rrelu_with_noise", "aten._reshape_alias_copy", "aten.view_as_real_copy"
)
def _identity(op: Op) -> Layout:
    return next(iter(op.tracked()))


@register("aten.native_batch_norm", "aten._native_batch_norm_legit", "aten.cudnn_batch_norm")
@register("aten._native_batch_norm_legit_no_training", "aten._batch_norm_no_update")
@register("aten._native_batch_norm_legit_functional", "aten._batch_norm_with_update")
def _batch_norm(op: Op) -> Layout:
    layout = op.only("input")
    own = op.args.get("running_mean") is None or op.name.endswith("with_update")
    if not own and not op.args.get("training", False):
        return layout
    dims = set(range(len(layout.dims))) - {1}
    return pool(op.build, layout, dims, "batch norm in training mode: its mean is over the plane")


@register("aten.native_group_norm")
def _group_norm(op: Op) -> Layout:
    layout = op.only("input")
    groups, shape = op.args["group"], layout.shape
    layout = reshape(op.build, layout, (shape[0], groups, shape[1] // groups, *shape[2:]))
    dims = set(range(2, len(shape) + 1))
    return pool(op.build, layout, dims, "group norm: its mean is over the plane").view(shape)


@register("aten.native_layer_norm", "aten._fused_rms_norm")
def _layer_norm(op: Op) -> Layout:
    layout = op.only("input")
    first = len(layout.dims) - len(op.args["normalized_shape"])
    dims = set(range(first, len(layout.dims)))
    return pool(op.build, layout, dims, "layer norm: its mean is over the plane")


@register("aten._softmax", "aten._log_softmax", "aten._safe_softmax")
def _softmax(op: Op) -> Layout:
    layout = op.only("self")
    return pool(op.build, layout, {dim_of(op, layout)}, "softmax over the plane")


@register("aten.sort", "aten.argsort")
def _sort(op: Op) -> Layout:
    layout = op.only("self")
    return pool(op.build, layout, {dim_of(op, layout)}, "sorting over the plane")


@register("aten.cumsum", "aten.cumprod", "aten.logcumsumexp", "aten.cummax", "aten.cummin")
def _cumulate(op: Op) -> Layout:
    layout = op.only("self")
    dim = dim_of(op, layout)
    if layout.has_axis(dim) or len(layout.distinct) > 1:
        raise Unknown("it sums up to a position, which no window describes")
    return layout


@register("aten.mean", "aten.sum", "aten.amax", "aten.amin", "aten.var", "aten.var_mean")
@register("aten.max", "aten.min", "aten.std", "aten.std_mean", "aten.prod", "aten.logsumexp")
@register("aten.linalg_vector_norm", "aten.norm", "aten.argmax", "aten.argmin", "aten.any")
@register("aten.all", "aten.median", "aten.aminmax")
def _reduction(op: Op) -> Layout:
    if "other" in op.args:  # the maximum of two tensors
        return _combined(op)
    layout = op.only("self")
    rank = len(layout.dims)
    dims = dims_of(op.args.get("dim"), rank)
    why = f"{op.name.removeprefix('aten.').removeprefix('linalg_vector_')} over the plane"
    reduced = contract(op.build, layout, dims, why)
    return keep_dims(reduced, dims, rank) if len(op.shape) == rank else reduced


@register("aten.glu")
def _glu(op: Op) -> Layout:
    """One half of a dimension times a gate from the other half."""
    layout = op.only("self")
    dim = dim_of(op, layout)
    half = layout.shape[dim] // 2
    parts = [take(op.build, layout, dim, range(i * half, (i + 1) * half)) for i in range(2)]
    return join(op.build, parts, op.shape)


@register("aten.topk")
def _topk(op: Op) -> Layout:
    layout = op.only("self")
    dim = dim_of(op, layout)
    reduced = contract(op.build, layout, {dim}, "picking the largest over the plane")
    kept = keep_dims(reduced, {dim}, len(layout.dims))
    return join(op.build, [kept], op.shape)
