"""Matrix products, and attention, which is two of them with a softmax between."""

from __future__ import annotations

from erfbook.rf.builder import Builder
from erfbook.rf.joining import join, pool
from erfbook.rf.layout import Layout
from erfbook.rf.positions import contract, keep_dims
from erfbook.rf.rules.registry import Op, Tensor, register

WHY = "attention, a matrix product over positions"


_OPERANDS = {  # left, right, and what is added
    "aten.mm": ("self", "mat2", None),
    "aten.mv": ("self", "vec", None),
    "aten.dot": ("self", "tensor", None),
    "aten.bmm": ("self", "mat2", None),
    "aten.matmul": ("self", "other", None),
    "aten.addmm": ("mat1", "mat2", "self"),
    "aten.addmv": ("mat", "vec", "self"),
    "aten.baddbmm": ("batch1", "batch2", "self"),
    "aten.linear": ("input", "weight", "bias"),
}


@register(*_OPERANDS)
def _product(op: Op) -> Layout:
    first, second, third = _OPERANDS[op.name]
    left, right = op.args[first], op.args[second]
    extra = op.args[third] if third else None
    if op.name == "aten.linear":
        turned = None if right.layout is None else right.layout.permute([1, 0])
        right = Tensor(tuple(reversed(right.shape)), turned)
    out = multiply(op.build, left, right, op.shape)
    if isinstance(extra, Tensor) and extra.layout is not None:
        out = join(op.build, [out, extra.layout], op.shape)
    return out


def multiply(build: Builder, first: Tensor, second: Tensor, shape: tuple[int, ...]) -> Layout:
    """Return (..., m, k) times (..., k, n): each unit reads its row and its column.

    Where both bring positions of one axis, the rows' are kept, and each unit counts as reading
    all columns: what a softmax over them, or a sum with other positions' values, makes of it.
    """
    parts = []
    rank = len(shape)
    if first.layout is not None:
        layout, last = first.layout, len(first.layout.dims) - 1
        rows = contract(build, layout, {last}, WHY)
        parts.append(rows if len(second.shape) == 1 else keep_dims(rows, {last}, last + 1))
    if second.layout is not None:
        layout = second.layout
        before = len(layout.dims) - 2
        lost = {max(before, 0)}
        if len(layout.dims) > 1 and parts and _apart(layout, parts[0]):
            lost.add(len(layout.dims) - 1)
        columns = contract(build, layout, lost, WHY)
        wide = len(layout.dims) > 1
        parts.append(keep_dims(columns, lost, len(layout.dims)) if wide else columns)
    return join(build, [x for x in parts if len(x.dims) <= rank], shape)


def _apart(columns: Layout, rows: Layout) -> bool:
    """Return whether rows and columns both stand for positions, so that each pair would count."""
    axes = {f.axis for f in columns.dims[-1] if f.axis is not None}
    if axes & set(rows.places):
        return True
    return len(rows.distinct) > 1 and len(columns.distinct) > 1


@register(
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_attention_math",
    "aten._scaled_dot_product_fused_attention_overrideable",
    "aten._scaled_dot_product_cudnn_attention",
    "aten.scaled_dot_product_attention",
)
def _attention(op: Op) -> Layout:
    query, key, value = (op.args[name] for name in ("query", "key", "value"))
    batch, n_queries, n_keys = query.shape[:-2], query.shape[-2], key.shape[-2]
    order = [*range(len(key.shape) - 2), len(key.shape) - 1, len(key.shape) - 2]
    turned = key.layout.permute(order) if key.layout is not None else None
    keys = Tensor(tuple(key.shape[d] for d in order), turned)
    scores = multiply(op.build, query, keys, (*batch, n_queries, n_keys))
    weights = pool(op.build, scores, {len(scores.dims) - 1}, "attention")
    weighed = Tensor((*batch, n_queries, n_keys), weights)
    return multiply(op.build, weighed, value, op.shape)
