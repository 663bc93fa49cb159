"""One unit of a network, as a function of the image, and the two other ways to go back through it.

A deconvnet (Zeiler and Fergus 2014) and guided backpropagation (Springenberg et al. 2015) run a
network backwards as the gradient does and differ from it at rectifiers alone. EfficientNet-Lite0
has no pooling between the image and the units asked about, so no switches are needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import nn

from erfbook import rf

RULES = ("gradient", "deconvnet", "guided")


class _Reached(Exception):
    """Ends the forward pass at the layer, which is all that is wanted of it."""


@dataclass(frozen=True)
class Target:
    """The unit that every tool is asked about.

    Args:
        layer: path of its module.
        unit: (row, column) on the layer's grid.
        channel: its channel.
        field: the layer's exact theoretical receptive field.
        z_score: how far its value lies above its channel's mean over the plane of the photograph
            it was chosen on, in standard deviations.
    """

    layer: str
    unit: tuple[int, int]
    channel: int
    field: rf.Field
    z_score: float = 0.0

    @property
    def inside(self) -> Bool[np.ndarray, "height width"]:
        """The pixels of the image that can influence the unit."""
        return self.field.support(self.unit)

    @property
    def box(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and last row, first and last column of the field inside the image."""
        rows, columns = self.field.region(self.unit, clip=True)
        return rows, columns


class UnitValue(nn.Module):
    """A network that ends at one unit: images to an (n, 1) column of the unit's values."""

    def __init__(self, model: nn.Module, target: Target) -> None:
        super().__init__()
        self.model = model
        self.target = target

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        row, column = self.target.unit
        plane = run_to(self.model, self.target.layer, images)
        return plane[:, self.target.channel, row, column][:, None]


def run_to(model: nn.Module, layer: str, images: torch.Tensor) -> torch.Tensor:
    """Return a layer's output; what comes after the layer is not computed."""
    reached: list[torch.Tensor] = []

    def stop(module, arguments, output):
        reached.append(output)
        raise _Reached

    handle = model.get_submodule(layer).register_forward_hook(stop)
    try:  # channels last: depthwise convolutions on a CPU are many times faster so
        model(images.contiguous(memory_format=torch.channels_last))
    except _Reached:
        pass
    finally:
        handle.remove()
    return reached[0]


def choose_target(
    model: nn.Module, image: Float[torch.Tensor, "1 3 height width"], layer: str, rank: int = 0
) -> Target:
    """Return the central unit of the channel that the photograph's middle excites most.

    Excitement is the unit's value, in standard deviations above its channel's mean over the plane:
    the channel answers to what lies in the middle of this photograph and not to every place.

    Args:
        model: the network, in evaluation mode.
        image: the photograph.
        layer: path of a module with a plane.
        rank: 0 takes the channel most excited, 1 the next one, and so on.
    """
    field = rf.analyze(model, tuple(image.shape[1:]))[layer]
    with torch.no_grad():
        plane = run_to(model, layer, image)[0].double()
    row, column = field.central_unit
    z_scores = (plane[:, row, column] - plane.mean((1, 2))) / plane.std((1, 2))
    channel = int(z_scores.argsort(descending=True)[rank])
    return Target(layer, (row, column), channel, field, float(z_scores[channel]))


class _Rectifier(torch.autograd.Function):
    """A rectifier whose forward pass was done elsewhere and whose backward pass follows a rule."""

    @staticmethod
    def forward(ctx, before, after, rule, ceiling):
        ctx.rule = rule
        ctx.save_for_backward((after > 0) & (after < ceiling))
        return after.clone()

    @staticmethod
    def backward(ctx, signal):
        (is_open,) = ctx.saved_tensors
        if ctx.rule in ("deconvnet", "guided"):
            signal = signal.clamp(min=0)
        if ctx.rule in ("gradient", "guided"):
            signal = signal * is_open
        return signal, None, None, None


@contextmanager
def rectifiers_follow(model: nn.Module, rule: str) -> Iterator[None]:
    """Let every ReLU and ReLU6 of a model go back by a rule for as long as the block lasts.

    With s the signal from above and x the rectifier's input, the signal passed on is

    - ``gradient``: s where 0 < x (and x < 6 for a ReLU6), else 0;
    - ``deconvnet``: s where s > 0, else 0, whatever x was;
    - ``guided``: both conditions.

    Raises:
        ValueError: no such rule, or a model without a rectifier to apply it to.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")
    rectifiers = [m for m in model.modules() if isinstance(m, nn.ReLU | nn.ReLU6)]
    if not rectifiers:
        raise ValueError(f"rule {rule!r} needs ReLU or ReLU6 modules, and the model has none")

    def follow(module, arguments, output):
        ceiling = 6.0 if isinstance(module, nn.ReLU6) else float("inf")
        return _Rectifier.apply(arguments[0], output.detach(), rule, ceiling)

    handles = [module.register_forward_hook(follow) for module in rectifiers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def go_back(
    model: nn.Module, image: Float[torch.Tensor, "1 c h w"], target: Target, rule: str = "gradient"
) -> Float[torch.Tensor, "1 c h w"]:
    """Return what a signal of one at the unit becomes at the image.

    A deconvnet starts from the unit's own value. Every rule here is homogeneous, so a positive
    start changes the scale of the result and nothing else.
    """
    unit = UnitValue(model, target)
    leaf = image.detach().clone().requires_grad_()
    with torch.enable_grad():
        if rule == "gradient":
            value = unit(leaf)
        else:
            with rectifiers_follow(model, rule):
                value = unit(leaf)
        (signal,) = torch.autograd.grad(value.sum(), leaf)
    return signal
