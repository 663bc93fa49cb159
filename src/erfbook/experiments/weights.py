"""A trained network's weights among a record's arrays, so that it need not be trained again."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from erfbook.records import WEIGHTS, Record, is_weights


def weights_to_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """Return parameters and buffers by name, as a record's arrays.

    Tensors that :func:`halve_weights` has rounded are kept in half the bytes, without loss.
    """
    arrays = {}
    for name, value in model.state_dict().items():
        halved = value.ndim > 1 and torch.equal(value.half().to(value.dtype), value)
        arrays[WEIGHTS + name] = (value.half() if halved else value).cpu().numpy()
    return arrays


@torch.no_grad()
def halve_weights(model: nn.Module) -> None:
    """Round the weights of convolutions and linear layers to half precision, in place.

    They stay float32. A record of them takes half the room, and everything that is asked of the
    network is asked of these very weights; vectors, batch norm's among them, are left as they are.
    """
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.copy_(parameter.half())


def has_weights(record: Record) -> bool:
    """Return whether a record holds a network."""
    return any(is_weights(name) for name in record.arrays)


def load_weights(model: nn.Module, record: Record) -> None:
    """Put a record's weights into a network of the same configuration."""
    state = {
        name.removeprefix(WEIGHTS): torch.from_numpy(np.array(value))
        for name, value in record.arrays.items()
        if is_weights(name)
    }
    model.load_state_dict(state)
