"""What is driven: the tensor a channel's units stand in, found before its activation function.

A ReLU that is silent sends no gradient back. One forward pass is watched to see whether the
layer's output was made by an activation function, directly or as a part of a concatenation; the
run then stops right before that function and takes what enters it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_NAMES = (
    "relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ "
    "prelu rrelu rrelu_ silu gelu mish hardswish hardsigmoid sigmoid sigmoid_ tanh tanh_ softplus "
    "logsigmoid softsign threshold threshold_"
).split()
_ACTIVATIONS = {
    getattr(space, name): name.rstrip("_")
    for space in (torch.Tensor, torch, F)
    for name in _NAMES
    if hasattr(space, name)
}
_JOINING = {torch.cat, torch.concat, torch.concatenate}


class _Reached(Exception):
    """Carries the wanted tensor out of the forward pass, which need not go on."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


@dataclass(frozen=True)
class Target:
    """Where a channel's units stand in one forward pass.

    Args:
        layer: path of the module.
        call: which call of it, from 0.
        activation: number of the call of an activation function, in the order of execution, whose
            input holds the units; None for the layer's own output.
        channel: the units' channel in that tensor.
        words: what the tensor is.
    """

    layer: str
    call: int
    activation: int | None
    channel: int
    words: str


@dataclass(frozen=True)
class _Made:
    """A tensor that an activation or a concatenation made; it is kept, so that its id is too."""

    tensor: torch.Tensor
    version: int
    activation: int | None = None
    name: str = ""
    parts: tuple[torch.Tensor, ...] = ()


class _Watch(TorchFunctionMode):
    """Notes what activation functions and concatenations over channels return."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, _Made] = {}
        self.n_activations = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if func in _ACTIVATIONS:
            name, count = _ACTIVATIONS[func], self.n_activations
            self.made[id(output)] = _Made(output, output._version, count, name)
            self.n_activations += 1
        elif func in _JOINING and _axis(args, kwargs) in (1, 1 - output.ndim - 1):
            parts = tuple(args[0] if args else kwargs["tensors"])
            self.made[id(output)] = _Made(output, output._version, parts=parts)
        return output


class _StopBefore(TorchFunctionMode):
    """Ends the forward pass before a given call of an activation function."""

    def __init__(self, activation: int) -> None:
        super().__init__()
        self.left = activation

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in _ACTIVATIONS:
            if self.left == 0:
                raise _Reached(args[0] if args else kwargs["input"])
            self.left -= 1
        return func(*args, **(kwargs or {}))


def find_targets(
    model: nn.Module,
    layer: str,
    call: int,
    channels: Sequence[int],
    example: torch.Tensor,
    pre_activation: bool,
) -> tuple[Target, ...]:
    """Return where the units of each channel are found, watching one forward pass.

    Args:
        model: in evaluation mode.
        layer, call: the module, and which call of it.
        channels: channels of its output.
        example: an input, (1, channels, height, width).
        pre_activation: whether to look for what enters the layer's activation.
    """
    with torch.no_grad(), _Watch() as watch:
        output = _run_until_call(model, example, layer, call)
    own = f"output of {layer!r}"
    if not pre_activation:
        return tuple(Target(layer, call, None, c, own) for c in channels)
    return tuple(_resolve(watch, output, c, Target(layer, call, None, c, own)) for c in channels)


def _resolve(watch: _Watch, tensor: torch.Tensor, channel: int, own: Target) -> Target:
    made = watch.made.get(id(tensor))
    if made is None or made.version != tensor._version:  # or it was changed in place afterwards
        return own
    if made.activation is not None:
        words = f"input of {made.name}, whose output {own.layer!r} returns"
        return Target(own.layer, own.call, made.activation, channel, words)
    for part in made.parts:
        if channel < part.shape[1]:
            return _resolve(watch, part, channel, own)
        channel -= part.shape[1]
    return own


def read_target(model: nn.Module, batch: torch.Tensor, target: Target) -> torch.Tensor:
    """Return the tensor that holds a target's units, running no further than needed.

    Raises:
        ValueError: the model did not come to the layer this time.
    """
    if target.activation is None:
        return _run_until_call(model, batch, target.layer, target.call)
    try:
        with _StopBefore(target.activation):
            model(batch)
    except _Reached as reached:
        return reached.tensor
    raise ValueError(f"the layer {target.layer!r} was not reached this time; it was when traced")


def _run_until_call(model: nn.Module, batch: torch.Tensor, layer: str, call: int) -> torch.Tensor:
    calls_left = call

    def stop(module, arguments, output):
        nonlocal calls_left
        if calls_left == 0:
            raise _Reached(output)
        calls_left -= 1

    handle = model.get_submodule(layer).register_forward_hook(stop)
    try:
        model(batch)
    except _Reached as reached:
        return reached.tensor
    finally:
        handle.remove()
    raise ValueError(f"the layer {layer!r} was not called this time; it was when traced")


def placement(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device and the floating type on which the model computes."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def _axis(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> int:
    given = kwargs or {}
    return args[1] if len(args) > 1 else given.get("dim", given.get("axis", 0))
