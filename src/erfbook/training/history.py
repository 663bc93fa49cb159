"""What a training run leaves: a frozen history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float


@dataclass(frozen=True)
class Moment:
    """What was observed between two steps.

    Args:
        step: steps done before; 0 is before training.
        epoch: passes done before.
        seen: what the observer returned: numbers and small arrays by name.
    """

    step: int
    epoch: float
    seen: Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """One training run.

    Args:
        losses: mean loss of each step.
        moments: what was observed, in order.
        n_steps: steps done.
        images_per_s: over the steps alone, all pieces of a resumed run together.
        seconds: of training and observing, all pieces of a resumed run together.
        n_resumed: how often it was taken up again.
        learning_rates: of each step.
        device: what computed the last piece, in words.
    """

    losses: Float[np.ndarray, step]
    moments: tuple[Moment, ...]
    n_steps: int
    images_per_s: float
    seconds: float
    n_resumed: int = 0
    learning_rates: Float[np.ndarray, step] = field(default_factory=lambda: np.empty(0))
    device: str = ""

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs at which ``name`` was observed, and its values there."""
        seen = [(m.epoch, m.seen[name]) for m in self.moments if name in m.seen]
        return np.array([e for e, _ in seen]), np.array([v for _, v in seen])


def freeze(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return an observation as plain values that a file gives back unchanged.

    Arrays and tensors become arrays of their own; scalars of NumPy and PyTorch become Python's.

    Raises:
        TypeError: a value is no number, word, array of numbers, or list or mapping of these.
    """
    return {str(name): _plain(value, str(name)) for name, value in seen.items()}


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().float().numpy() if value.dtype == torch.bfloat16 else (
            value.detach().cpu().numpy()
        )  # fmt: skip
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return np.array(value, order="C") if value.ndim else value.item()
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(v, name) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{name}.{k}") for k, v in value.items()}
    raise TypeError(
        f"the observer's {name!r} must be numbers, words or arrays of numbers, not "
        f"{type(value).__name__}"
    )
