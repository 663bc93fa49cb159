"""Whether a model mixes the inputs of a batch, found by running it and not by its classes.

A batch norm without running statistics, a maximum over the batch, or a quantiser with one scale for
a batch let an input's gradient depend on the inputs that happen to lie beside it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import nn

from erfbook.erf.gradient import input_gradient, placement
from erfbook.erf.plan import Plan

LOUD = 10.0  # the loud neighbour's scale against the other's largest value; chosen by us


def mixes_inputs(
    model: nn.Module,
    batch: Float[torch.Tensor, "n channels height width"],
    plan: Plan,
    channel: int | None,
) -> bool:
    """Return whether an input's gradient is another one in a batch than alone.

    The gradient of one input, the first of the batch for which it is not zero, is computed alone
    and second in a batch of two, behind two different neighbours: another input, and loud noise
    that would win any maximum or mean. Both neighbours must give the same bits on a CPU, where
    equal shapes are summed in equal order. Against the gradient alone, which is summed in another
    order, and on other devices, a difference of the fourth root of the type's precision is let
    pass: 2 % in float32, where roundings that flip a ReLU near zero made 0.2 % in GoogLeNet.
    """
    batch = batch.to(*placement(model))

    def gradient(*inputs: torch.Tensor) -> torch.Tensor:
        return input_gradient(model, torch.stack(inputs), plan, channel)[-1].nan_to_num()

    for first, other in zip(batch, batch.roll(-1, 0), strict=True):
        alone = gradient(first)
        beside, beside_noise = gradient(other, first), gradient(_loud_noise(other), first)
        if alone.device.type == "cpu" and not torch.equal(beside, beside_noise):
            return True
        if not (_is_close(beside, alone) and _is_close(beside_noise, alone)):
            return True
        if alone.any():
            return False
    return False


def _loud_noise(like: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(0))
    return noise.to(like) * LOUD * like.abs().amax().clamp(min=1)


def _is_close(found: torch.Tensor, alone: torch.Tensor) -> bool:
    tolerance = torch.finfo(alone.dtype).eps ** 0.25
    found, alone = found.double(), alone.double()
    return bool((found - alone).norm() <= tolerance * alone.norm())
