"""Weights that no image reaches, or few places of it: taps of a kernel that lie on the padding.

On a plane of one pixel a 3 x 3 kernel with a padding of one multiplies eight of its nine taps by
zeros, whatever the image. Those weights get no gradient and can be pruned at no cost. On a plane of
two pixels a side each outer tap along an axis lies on the padding at every second position.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from erfbook.errors import UserError


def find_unused(
    model: nn.Module, input_size: Sequence[int]
) -> dict[str, Bool[Tensor, "out in row column"]]:
    """Return true for each convolution's weights that only ever multiply padding, by name.

    Args:
        model: a network of 2-D convolutions with zero padding; left as it is.
        input_size: channels, rows and columns of an image.

    Raises:
        UserError: a convolution pads with something else than zeros.

    >>> list(find_unused(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)), (1, 1, 1))["0.weight"].shape)
    [1, 1, 3, 3]
    """
    shares, weights = find_read_shares(model, input_size), dict(model.named_parameters())
    return {
        name: (share == 0).expand(weights[name].shape).clone() for name, share in shares.items()
    }


def find_read_shares(
    model: nn.Module, input_size: Sequence[int]
) -> dict[str, Float[Tensor, "row column"]]:
    """Return at which share of a convolution's positions each tap reads, by the weight's name.

    At the others it lies on padding. A module that is called several times counts with all of
    its positions.

    Args:
        model: a network of 2-D convolutions with zero padding; left as it is.
        input_size: channels, rows and columns of an image.

    Raises:
        UserError: a convolution pads with something else than zeros.

    >>> two = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1))
    >>> find_read_shares(two, (1, 2, 2))["0.weight"].tolist()
    [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]]
    """
    n_reads: dict[str, Tensor] = {}
    n_positions: dict[str, int] = {}
    handles = []

    def note(path: str):
        def hook(part: nn.Conv2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            name = f"{path}.weight" if path else "weight"
            rows, columns = (_count_reads(part, axis, inputs[0], output) for axis in (0, 1))
            reads = rows[:, None] * columns
            n_reads[name] = n_reads[name] + reads if name in n_reads else reads
            n_positions[name] = n_positions.get(name, 0) + output.shape[2] * output.shape[3]

        return hook

    for path, part in model.named_modules():
        if isinstance(part, nn.Conv2d):
            if part.padding_mode != "zeros" or isinstance(part.padding, str):
                raise UserError(f"{path} must pad with a number of zeros, not {part.padding_mode}")
            handles.append(part.register_forward_hook(note(path)))
    weight = next(model.parameters())
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *input_size, device=weight.device, dtype=weight.dtype))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return {name: reads.double() / n_positions[name] for name, reads in n_reads.items()}


def _count_reads(part: nn.Conv2d, axis: int, inputs: Tensor, output: Tensor) -> Tensor:
    """Return, for each tap along an axis, at how many outputs it lies on the plane."""
    tap = torch.arange(part.kernel_size[axis])[:, None] * part.dilation[axis]
    first = torch.arange(output.shape[2 + axis])[None, :] * part.stride[axis]
    place = first + tap - int(part.padding[axis])
    return ((place >= 0) & (place < inputs.shape[2 + axis])).sum(1)
