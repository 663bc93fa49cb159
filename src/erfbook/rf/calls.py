"""Read one call of an ATen operation: its name, its arguments, what it writes into."""

from __future__ import annotations

from typing import Any

import torch


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


def written_of(func, named: dict) -> torch.Tensor | None:
    """Return the argument that an operation writes into, but for running statistics."""
    if not func._schema.is_mutable:
        return None
    for argument in func._schema.arguments:
        alias = argument.alias_info
        if alias is not None and alias.is_write and argument.name in ("self", "out"):
            return named[argument.name]
    return None


def is_view(func) -> bool:
    """Return whether an operation's result shares the memory of an argument."""
    if func._schema.is_mutable:
        return False
    return any(
        a.alias_info is not None and not a.alias_info.is_write for a in func._schema.arguments
    )
