"""The layers of a network by their paths."""

from __future__ import annotations

import difflib

from torch import nn


def no_such_layer(model: nn.Module, layer: str) -> str:
    """Return what to say of a path that leads to no layer: the nearest ones, or the last ones."""
    modules = [path for path, _ in model.named_modules() if path]
    close = difflib.get_close_matches(layer, modules, n=3, cutoff=0.4)
    known = ", ".join(map(repr, close or modules[-3:]))
    hint = f"nearest: {known}" if close else f"it ends with {known}"
    return f"the model has no layer {layer!r}; {hint}"
