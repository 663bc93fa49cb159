"""Read one call of an ATen operation: its name, its arguments, what it writes into."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._pytree import tree_flatten

# Operations whose result shares memory with their argument, which their schema does not say.
UNSAID = {f"aten.{n}" for n in ("unsafe_split", "unsafe_split_with_sizes", "_unsafe_view")}


def name_of(func) -> str:
    """Return ``aten.relu`` for ``aten::relu_``: in-place twins read the same."""
    space, name = func._schema.name.split("::")
    return f"{space}.{name if name.startswith('__') else name.rstrip('_')}"


def arguments_of(func, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Return a call's arguments by name, with the schema's defaults filled in."""
    named = {}
    for position, argument in enumerate(func._schema.arguments):
        if position < len(args):
            named[argument.name] = args[position]
        else:
            named[argument.name] = kwargs.get(argument.name, argument.default_value)
    return named


def written_of(func, named: dict) -> list[torch.Tensor]:
    """Return the tensors that an operation writes into, but for running statistics."""
    if not func._schema.is_mutable:
        return []
    given = [named[a.name] for a in func._schema.arguments if _is_written(a)]
    return [t for t in tree_flatten(given)[0] if isinstance(t, torch.Tensor)]


def read_of(func, named: dict) -> dict[str, Any]:
    """Return a call's arguments without those that only take the result: ``out=``."""
    only_out = {a.name for a in func._schema.arguments if a.kwarg_only and _is_written(a)}
    return {name: value for name, value in named.items() if name not in only_out}


def _is_written(argument) -> bool:
    alias = argument.alias_info
    return alias is not None and alias.is_write and not argument.name.startswith("running_")


def is_view(func) -> bool:
    """Return whether an operation's result shares the memory of an argument."""
    if func._schema.is_mutable:
        return False
    if name_of(func) in UNSAID:
        return True
    return any(
        a.alias_info is not None and not a.alias_info.is_write for a in func._schema.arguments
    )
