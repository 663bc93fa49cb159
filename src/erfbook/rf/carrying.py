"""What a tensor holds after a view of it has been written into."""

from __future__ import annotations

from typing import Any

import numpy as np

from erfbook.rf.builder import Builder
from erfbook.rf.laying import write
from erfbook.rf.layout import Layout, Unknown
from erfbook.rf.positions import reshape

PIECES = {f"aten.{n}" for n in ("split", "split_with_sizes", "unbind", "unsafe_split")}
PIECES |= {"aten.unsafe_split_with_sizes"}


def carry(
    build: Builder,
    view: tuple[str, dict[str, Any], int],
    old: Layout | None,
    new: Layout,
    shape: tuple[int, ...],
) -> Layout:
    """Return the layout of a tensor of which a view has been written into.

    Args:
        build: makes the nodes.
        view: the operation that took the view, its arguments by name, and which output it is.
        old: the tensor before; None if it did not depend on the input.
        new: what the view holds now.
        shape: shape of the tensor.

    Raises:
        Unknown: a view of another kind.
    """
    name, args, place = view
    if name in ("aten.alias", "aten.detach"):
        return new
    if name in ("aten.view", "aten.unsqueeze", "aten.squeeze", "aten._unsafe_view"):
        return reshape(build, new, shape)
    if name in ("aten.transpose", "aten.permute", "aten.t"):
        return new.permute(_back(args, len(shape)))
    if name not in ("aten.slice", "aten.select", *PIECES):
        raise Unknown("what is written into a view of this kind cannot be followed")
    dim = args["dim"] % len(shape)
    if name in ("aten.select", "aten.unbind"):
        new = Layout((*new.dims[:dim], (), *new.dims[dim:]), new.nodes, new.n_axes)
    return write(build, old, new, dim, _places(name, args, place, shape[dim]), shape)


def _places(name: str, args: dict[str, Any], place: int, n: int) -> range:
    """Return which places of a dimension of size n a view holds."""
    if name == "aten.slice":
        return range(*slice(args["start"], args["end"], args["step"]).indices(n))
    if name in ("aten.select", "aten.unbind"):
        index = args["index"] % n if name == "aten.select" else place
        return range(index, index + 1)
    sizes: int | list[int] = args["split_sizes" if "split_sizes" in args else "split_size"]
    if isinstance(sizes, int):
        return range(place * sizes, min((place + 1) * sizes, n))
    return range(sum(sizes[:place]), sum(sizes[: place + 1]))


def _back(args: dict[str, Any], rank: int) -> list[int]:
    dims = args.get("dims")
    if dims is None:
        dims = list(range(rank))
        i, j = args.get("dim0", 0), args.get("dim1", rank - 1)
        dims[i], dims[j] = dims[j], dims[i]
    return np.argsort([d % rank for d in dims]).tolist()
