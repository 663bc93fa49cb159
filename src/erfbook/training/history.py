"""What a training run leaves: a frozen history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
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
        images_per_s: over the steps alone, the last piece of a resumed run.
        seconds: of training and observing, all pieces of a resumed run together.
        n_resumed: how often it was taken up again.
    """

    losses: Float[np.ndarray, step]
    moments: tuple[Moment, ...]
    n_steps: int
    images_per_s: float
    seconds: float
    n_resumed: int = 0

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs at which ``name`` was observed, and its values there."""
        seen = [(m.epoch, m.seen[name]) for m in self.moments if name in m.seen]
        return np.array([e for e, _ in seen]), np.array([v for _, v in seen])
