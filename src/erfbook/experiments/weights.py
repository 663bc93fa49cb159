"""A trained network's weights among a record's arrays, so that it need not be trained again."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from erfbook.records import Record

WEIGHTS = "weights."  # prefix of the arrays that are the network's


def weights_to_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """Return parameters and buffers by name, as a record's arrays."""
    return {WEIGHTS + name: value.cpu().numpy() for name, value in model.state_dict().items()}


def has_weights(record: Record) -> bool:
    """Return whether a record holds a network."""
    return any(name.startswith(WEIGHTS) for name in record.arrays)


def load_weights(model: nn.Module, record: Record) -> None:
    """Put a record's weights into a network of the same configuration."""
    state = {
        name.removeprefix(WEIGHTS): torch.from_numpy(np.array(value))
        for name, value in record.arrays.items()
        if name.startswith(WEIGHTS)
    }
    model.load_state_dict(state)
