"""Models whose operations cannot be watched, refused with what to name in their place."""

from __future__ import annotations

import torch
from torch import nn


def check_model(model: nn.Module) -> None:
    """Refuse a model without a forward pass or weights, or whose modules cannot be watched.

    Raises:
        ValueError: the model's kind, or that of the module in it, and the remedy.
    """
    if _lacks_forward(model):
        raise ValueError(
            f"{type(model).__name__} has no forward pass: it holds modules and does not say in "
            "which order they run; name a model that calls them"
        )
    for path, module in model.named_modules():
        why = _why_opaque(module)
        if why:
            raise ValueError(f"{f'module {path!r}' if path else 'the model'} {why}")


def _lacks_forward(model: nn.Module) -> bool:
    forward = getattr(model, "forward", None)  # a model's own may be set on the model alone
    return getattr(forward, "__func__", forward) is nn.Module.forward


def _why_opaque(module: nn.Module) -> str:
    if isinstance(module, torch.jit.ScriptModule):
        return "is TorchScript, which cannot be watched; name the Python model it was made from"
    if isinstance(getattr(module, "_orig_mod", None), nn.Module):
        return "is compiled by torch.compile, which hides its operations; name it uncompiled"
    if module._compiled_call_impl is not None:
        return "is compiled by its compile(), which hides its operations; name it uncompiled"
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return f"is wrapped in {type(module).__name__}; name what is wrapped, its .module"
    if any(nn.parameter.is_lazy(p) for p in module.parameters(recurse=False)):
        return "is lazy and has no weights yet; run it once on an image before it is returned"
    return ""
