"""What each ATen operation reads: one small function an operation, found by name."""

from erfbook.rf.rules import (  # noqa: F401  (importing them registers their rules)
    attending,
    pointwise,
    resampling,
    shaping,
    sliding,
)
from erfbook.rf.rules.registry import Op, Tensor, apply, register

__all__ = ["Op", "Tensor", "apply", "register"]
