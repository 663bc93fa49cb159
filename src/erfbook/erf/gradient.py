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
        ValueError: no such channel, a model that stops on the batch, or a layer from which no
            gradient can be taken back to it.
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
        return _backward(unit, leaf, plan.layer)


def _backward(unit: torch.Tensor, leaf: torch.Tensor, layer: str) -> torch.Tensor:
    gradient = None
    if unit.requires_grad:
        try:
            (gradient,) = torch.autograd.grad(unit, leaf, allow_unused=True)
        except Exception as error:  # a model's own backward may raise anything
            raise ValueError(
                f"the gradient at {layer!r} cannot be taken: {_said(error)}"
            ) from error
    if gradient is None:
        raise ValueError(
            f"no gradient leads from {layer!r} to the input: the model computes under "
            "torch.no_grad or torch.inference_mode, detaches a tensor, or makes whole numbers of it"
        )
    return gradient


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
    except Exception as error:  # a model's forward may raise anything
        raise ValueError(
            f"the model stopped on a batch of shape {tuple(batch.shape)}: {_said(error)}"
        ) from error
    finally:
        handle.remove()
    raise ValueError(f"the layer {plan.layer!r} was not called this time; it was when traced")


def _said(error: Exception) -> str:
    """Return an error's kind and first line, without torch's advice on how to find its cause."""
    text = str(error).strip().partition("\n")[0].partition(" Hint: ")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
