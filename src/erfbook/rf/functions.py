"""Calls that PyTorch takes apart before the recorder sees them, or whose values it would lose."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from erfbook.rf.recorder import Recorder

INDEXED = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)


class Functions(TorchFunctionMode):
    """Gives circular padding and literal indices to the recorder while they can be known."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.nn.functional.pad:
            given = dict(zip(("input", "pad", "mode"), args, strict=False)) | kwargs
            if given.get("mode") == "circular" and given["input"].device.type == "meta":
                return self.recorder.record_pad(given["input"], list(given["pad"]))
        if func is torch.tensor and not any(isinstance(t, torch.Tensor) for t in tree_leaves(args)):
            # A literal loses its values on the meta device; from the CPU the recorder takes both.
            kwargs = {**kwargs, "device": "cpu"}
        elif func in INDEXED:
            tensor, index, *rest = args
            args = (tensor, self._index(index), *rest)
        return func(*args, **kwargs)

    def _index(self, index: Any) -> Any:
        if isinstance(index, tuple):
            return tuple(self._part(part) for part in index)
        return self._part(index)

    def _part(self, part: Any) -> Any:
        """Return one part of an index; a list, or a line of truth values, as whole numbers."""
        if isinstance(part, list | np.ndarray):
            try:
                values = np.asarray(part)
            except ValueError:  # a ragged list, or one of tensors
                return part
        elif isinstance(part, torch.Tensor) and part.dtype == torch.bool:
            known = self.recorder.values_of(part)
            if known is None:
                return part
            values = known
        else:
            return part
        if values.ndim != 1 or values.dtype.kind not in "biu":
            return part
        if values.dtype.kind == "b":
            values = np.flatnonzero(values)
        return torch.tensor(values.tolist(), dtype=torch.long, device="cpu")
