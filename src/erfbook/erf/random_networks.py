"""Blocks of independent random networks, and the gradient of each at its own input.

A block runs as one grouped convolution, one group a network, and computes only what the centre
unit sees: the input is exactly the theoretical receptive field, so that valid convolutions shrink
it to 1 x 1, and transposed ones grow the gradient back from there. No padding enters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from erfbook.theory import Layer, receptive_field_size

# Each activation, in place, with its derivative; both take what goes in.
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "relu": (torch.relu_, lambda x: x > 0),
    "tanh": (torch.tanh_, lambda x: 1 - torch.tanh(x) ** 2),
    "sigmoid": (torch.sigmoid_, lambda x: torch.sigmoid(x) * torch.sigmoid(-x)),
}


@dataclass(frozen=True)
class Networks:
    """Independent random networks of one architecture, without biases.

    Args:
        layers: from the input up.
        kernels: per layer (network, channel out, channel in, tap, tap).
        activation: ``relu``, ``tanh``, ``sigmoid``, or None for linear networks.
        order: whether the activation comes ``after`` each convolution, the last one included, or
            ``before`` each, the input included (luo section 2.4).

    Raises:
        ValueError: no layer, or an activation or order that does not exist.
    """

    layers: tuple[Layer, ...]
    kernels: tuple[Float[Tensor, "_ _ _ _ _"], ...]
    activation: str | None = None
    order: str = "after"

    def __post_init__(self) -> None:
        if self.activation is not None and self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation must be None or one of {known}, not {self.activation!r}")
        if self.order not in ("after", "before"):
            raise ValueError(f"order must be 'after' or 'before', not {self.order!r}")

    @property
    def n_networks(self) -> int:
        """Number of networks in the block."""
        return len(self.kernels[0])

    @property
    def input_px(self) -> int:
        """Side of the input: the theoretical receptive field of one unit, in pixels."""
        return receptive_field_size(self.layers)


def draw_networks(
    layers: Sequence[Layer],
    n_networks: int,
    *,
    activation: str | None = None,
    channels: int = 1,
    weights: str = "random",
    order: str = "after",
    seed: int | torch.Generator = 0,
    dtype: torch.dtype = torch.float32,
) -> Networks:
    """Draw the weights of independent networks with one input channel and no bias.

    Weights are normal with variance ``gain / (kernel^2 * channels in)``: gain 2 before a ReLU (He)
    and 1 otherwise, which at equal widths is Glorot and Bengio's 2 / (fan in + fan out). These are
    the two the paper says it followed. Of the last layer only the one channel whose gradient is
    set to 1 is drawn. Equal weights are scaled to sum to 1 over a unit's inputs; weights of 1
    would change every map by one factor only, and overflow in deep stacks.

    Args:
        layers: the architecture, from the input up.
        n_networks: number of independent draws.
        activation, order: see :class:`Networks`.
        channels: width of every inner layer; the paper does not state its own.
        weights: ``random`` as above, or ``ones`` for equal weights.
        seed: a seed, or a CPU generator to draw from.

    Raises:
        ValueError: an argument outside its range or a name that does not exist.
    """
    check_counts(n_networks=n_networks, channels=channels, layers=len(layers))
    if weights not in ("random", "ones"):
        raise ValueError(f"weights must be 'random' or 'ones', not {weights!r}")
    generator = as_generator(seed)
    gain = 2.0 if activation == "relu" else 1.0
    kernels = []
    for depth, layer in enumerate(layers):
        n_in = 1 if depth == 0 else channels
        n_out = 1 if depth == len(layers) - 1 else channels
        shape = (n_networks, n_out, n_in, layer.kernel, layer.kernel)
        fan_in = n_in * layer.kernel**2
        if weights == "ones":
            kernels.append(torch.full(shape, 1 / fan_in, dtype=dtype))
        else:
            normal = torch.randn(shape, generator=generator, dtype=dtype)
            kernels.append(normal * (gain / fan_in) ** 0.5)
    return Networks(tuple(layers), tuple(kernels), activation, order)


@torch.no_grad()
def backpropagate(
    networks: Networks,
    inputs: Float[Tensor, "input network px px"],
    *,
    seed: int | torch.Generator = 0,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "input network px px"]:
    """Return each network's input gradient for a gradient of 1 at its centre output unit.

    The chain rule, one layer at a time. A linear network needs no forward pass.

    Args:
        networks: the block; its weights are moved to ``device``.
        inputs: one plane per network, ``networks.input_px`` pixels a side.
        seed: a seed or CPU generator for the dropout masks, a new one for every input.

    Raises:
        ValueError: the inputs' shape does not fit the networks.
    """
    expected = (networks.n_networks, networks.input_px, networks.input_px)
    if tuple(inputs.shape[1:]) != expected:
        raise ValueError(f"inputs must have the shape (n, {expected}), not {tuple(inputs.shape)}")
    steps = _forward(networks, inputs.to(device), as_generator(seed))
    gradient = torch.ones(len(inputs), networks.n_networks, 1, 1, 1).to(inputs.to(device))
    for step in reversed(steps):
        if networks.order == "after" and step.slope is not None:
            gradient *= step.slope
        through = _convolve_back(gradient, step.kernel, step.layer)
        if step.mask is not None:
            through *= step.mask
        if networks.order == "before" and step.slope is not None:
            through *= step.slope
        if step.layer.residual:
            margin = (step.layer.reach - 1) // 2
            skipped = gradient.sum(2, keepdim=True) if through.shape[2] == 1 else gradient
            target = through[..., margin:-margin, margin:-margin] if margin else through
            target[:, :, : skipped.shape[2]] += skipped
        gradient = through
    return gradient[:, :, 0]


@dataclass(frozen=True)
class _Step:
    """What the way back needs of one layer: its kernel, dropout mask and activation's slope."""

    layer: Layer
    kernel: Tensor
    mask: Tensor | None
    slope: Tensor | None


def _forward(networks: Networks, x: Tensor, generator: torch.Generator) -> list[_Step]:
    linear = networks.activation is None
    activate, slope_of = ACTIVATIONS[networks.activation or "relu"]
    x = x[:, :, None]
    side, steps = x.shape[-1], []
    for layer, kernel in zip(networks.layers, networks.kernels, strict=True):
        kernel = kernel.to(x)
        shape = (*x.shape[:2], kernel.shape[2], side, side)
        mask = _dropout_mask(shape, layer.keep, generator).to(x) if layer.keep < 1 else None
        side = (side - layer.reach) // layer.stride + 1
        if linear:
            steps.append(_Step(layer, kernel, mask, None))
            continue
        slope = slope_of(x) if networks.order == "before" else None
        z = x if slope is None else activate(x.clone())
        y = _convolve(z if mask is None else z * mask, kernel, layer)
        if layer.residual:
            margin = (layer.reach - 1) // 2
            y = y + (x[..., margin:-margin, margin:-margin] if margin else x)[:, :, : y.shape[2]]
        if slope is None:
            slope, y = slope_of(y), activate(y)
        steps.append(_Step(layer, kernel, mask, slope))
        x = y
    return steps


def _convolve(x: Tensor, kernel: Tensor, layer: Layer) -> Tensor:
    options: Any = {"stride": layer.stride, "dilation": layer.dilation, "groups": len(kernel)}
    y = F.conv2d(x.flatten(1, 2), kernel.flatten(0, 1), **options)
    return y.unflatten(1, (len(kernel), -1))


def _convolve_back(gradient: Tensor, kernel: Tensor, layer: Layer) -> Tensor:
    options: Any = {"stride": layer.stride, "dilation": layer.dilation, "groups": len(kernel)}
    below = F.conv_transpose2d(gradient.flatten(1, 2), kernel.flatten(0, 1), **options)
    return below.unflatten(1, (len(kernel), -1))


def _dropout_mask(shape: tuple[int, ...], keep: float, generator: torch.Generator) -> Tensor:
    """Return 1 / keep where an input is kept and 0 where it is dropped (inverted dropout)."""
    return (torch.rand(shape, generator=generator) < keep).float() / keep


def check_counts(**counts: int) -> None:
    """Refuse a count below 1, by its name."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value!r}")


def as_generator(seed: int | torch.Generator) -> torch.Generator:
    """Return a CPU generator: the one given, or a new one with that seed."""
    return seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
