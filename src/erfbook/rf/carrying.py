"""What a tensor holds after a view of it has been written into."""

from __future__ import annotations

from typing import Any

import numpy as np

from erfbook.rf.builder import Builder
from erfbook.rf.laying import write
from erfbook.rf.layout import Layout, Unknown
from erfbook.rf.positions import reshape


def carry(
    build: Builder,
    view: str,
    args: dict[str, Any],
    old: Layout | None,
    new: Layout,
    shape: tuple[int, ...],
) -> Layout:
    """Return the layout of a tensor of which a view has been written into.

    Args:
        build: makes the nodes.
        view: the operation that took the view.
        args: its arguments, by name.
        old: the tensor before; None if it did not depend on the input.
        new: what the view holds now.
        shape: shape of the tensor.

    Raises:
        Unknown: a view of another kind.
    """
    if view in ("aten.alias", "aten.detach"):
        return new
    if view in ("aten.view", "aten.unsqueeze", "aten.squeeze", "aten._unsafe_view"):
        return reshape(build, new, shape)
    if view in ("aten.transpose", "aten.permute", "aten.t"):
        return new.permute(_back(args, len(shape)))
    if view not in ("aten.slice", "aten.select"):
        raise Unknown("what is written into a view of this kind cannot be followed")
    dim = args["dim"] % len(shape)
    if view == "aten.slice":
        at = range(*slice(args["start"], args["end"], args["step"]).indices(shape[dim]))
        return write(build, old, new, dim, at, shape)
    index = args["index"] % shape[dim]
    one = Layout((*new.dims[:dim], (), *new.dims[dim:]), new.nodes, new.n_axes)
    return write(build, old, one, dim, range(index, index + 1), shape)


def _back(args: dict[str, Any], rank: int) -> list[int]:
    dims = args.get("dims")
    if dims is None:
        dims = list(range(rank))
        i, j = args.get("dim0", 0), args.get("dim1", rank - 1)
        dims[i], dims[j] = dims[j], dims[i]
    return np.argsort([d % rank for d in dims]).tolist()
