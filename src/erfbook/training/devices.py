"""What depends on the device: precision, layout, repeatable arithmetic."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from erfbook.hardware import has_bf16, name_device
from erfbook.progress import tell

_LEAST_CHANNELS = 16  # of a strided 1 x 1 convolution: one block of AVX-512


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which the forward pass runs: bf16 where ``precision`` asks for it."""
    wanted = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def warn_of_precision(device: torch.device, precision: str) -> None:
    """Say on the error stream, once a process, that bf16 is slow on this processor."""
    if device.type == "cpu" and precision == "bf16" and has_bf16() is False:
        _warn_once()


@functools.cache
def _warn_once() -> None:
    tell(
        f"training: {name_device('cpu')} has no instructions for bf16, which takes it many times "
        "as long: precision float32 is faster here"
    )


def choose_layout(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Return the memory layout of weights and images: channels-last, unless that is unsafe.

    On a processor, oneDNN's weight gradient of a strided 1 x 1 convolution of few channels-last
    input channels writes past its buffer (its issue 6035): wrong numbers, a crash or a hang.
    """
    unsafe = device.type == "cpu" and any(
        isinstance(part, nn.Conv2d)
        and set(part.kernel_size) == {1}
        and max(part.stride) > 1
        and part.in_channels // part.groups < _LEAST_CHANNELS
        for part in model.modules()
    )
    return torch.contiguous_format if unsafe else torch.channels_last


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Keep PyTorch to algorithms that give the same bits twice, and the caller's random state.

    On a GPU an operation that has no such algorithm is still used; PyTorch then warns by name.
    """
    cuda = device.type == "cuda"
    memory: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        memory.fill_uninitialized_memory,
    )
    if cuda:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        memory.fill_uninitialized_memory = False  # costs, and hides nothing here
    try:
        with torch.random.fork_rng([device] if cuda else []):
            yield
    finally:
        if cuda:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before[2:4]
            memory.fill_uninitialized_memory = before[4]
