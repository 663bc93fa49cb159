"""Which parts of a model run in which mode, and how arithmetic is kept exact, while it is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

MODES = ("eval", "train")


@contextlib.contextmanager
def batch_norm_mode(model: nn.Module, mode: str) -> Iterator[None]:
    """Put a model in evaluation mode but for its batch norms, and every part back afterwards.

    Dropout stays off in both modes: a loss that is drawn anew in every call has no Hessian.

    Args:
        model: any module.
        mode: ``eval``, normalised by the running statistics, or ``train``, by the batch's own.
    """
    before = [(part, part.training) for part in model.modules()]
    try:
        for part, _ in before:
            part.training = mode == "train" and isinstance(part, _NormBase)
        yield
    finally:
        for part, training in before:
            part.training = training


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute gradients in the precision of the numbers, whatever the caller has switched on.

    A GPU's convolutions round float32 to ten bits of mantissa by default, which leaves a Hessian
    visibly asymmetric.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, cudnn.deterministic
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type != "cuda":
            yield
            return
        try:
            cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
            cudnn.deterministic = True
            yield
        finally:
            cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before[:2]
            cudnn.deterministic = before[2]
