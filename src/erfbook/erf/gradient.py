"""The gradient that one unit of a model sends to each input of a batch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import nn

from erfbook.erf.plan import Plan


class _Reached(Exception):
    """Carries the layer's output out of the forward pass, which need not go on."""

    def __init__(self, output: torch.Tensor) -> None:
        self.output = output


def input_gradient(
    model: nn.Module,
    batch: Float[torch.Tensor, "n channels height width"],
    plan: Plan,
    channel: int | None,
) -> Float[torch.Tensor, "n channels height width"]:
    """Return the gradient of the planned unit, summed over the batch, with respect to the batch.

    Row i is the gradient of input i alone if the model does not mix the inputs of a batch.

    Raises:
        ValueError: no such channel.
    """
    device, dtype = placement(model)
    # Channels last: convolutions on a CPU, depthwise ones above all, are many times faster so.
    leaf = batch.to(device, dtype).contiguous(memory_format=torch.channels_last)
    leaf = leaf.detach().requires_grad_()
    with torch.enable_grad():
        output = _run_to(model, leaf.clone(), plan)  # a copy: the model may write into its input
        if channel is not None and not 0 <= channel < output.shape[1]:
            raise ValueError(
                f"channel must lie in 0 to {output.shape[1] - 1} at {plan.layer!r}, not {channel}"
            )
        row, column = plan.moved
        channels = slice(None) if channel is None else channel
        unit = output[:, channels, row, column].sum()  # one sum serves all inputs of the batch
        if not unit.requires_grad:
            return torch.zeros_like(leaf)
        (gradient,) = torch.autograd.grad(unit, leaf, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient


def placement(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device and the floating type on which the model computes."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def _run_to(model: nn.Module, batch: torch.Tensor, plan: Plan) -> torch.Tensor:
    calls_left = plan.call

    def stop(module, arguments, output):
        nonlocal calls_left
        if calls_left == 0:
            raise _Reached(output)
        calls_left -= 1

    handle = model.get_submodule(plan.layer).register_forward_hook(stop)
    try:
        model(batch)
    except _Reached as reached:
        return reached.output
    finally:
        handle.remove()
    raise ValueError(f"the layer {plan.layer!r} was not called this time; it was when traced")
