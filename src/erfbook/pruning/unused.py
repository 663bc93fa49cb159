"""Weights that no image reaches: taps of a kernel that only ever lie on the padding.

On a plane of one pixel a 3 x 3 kernel with a padding of one multiplies eight of its nine taps by
zeros, whatever the image. Those weights get no gradient and can be pruned at no cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
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
    seen: dict[str, Tensor] = {}
    handles = []

    def note(path: str):
        def hook(part: nn.Conv2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            used = _reached(part, 0, inputs[0], output)[:, None] & _reached(
                part, 1, inputs[0], output
            )
            name = f"{path}.weight" if path else "weight"
            unused = (~used).expand(part.weight.shape).clone()
            seen[name] = seen[name] & unused if name in seen else unused  # of every call

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
    return seen


def _reached(part: nn.Conv2d, axis: int, inputs: Tensor, output: Tensor) -> Tensor:
    """Return, for each tap along an axis, whether it lies on the plane for some output."""
    tap = torch.arange(part.kernel_size[axis])[:, None] * part.dilation[axis]
    first = torch.arange(output.shape[2 + axis])[None, :] * part.stride[axis]
    place = first + tap - int(part.padding[axis])
    return ((place >= 0) & (place < inputs.shape[2 + axis])).any(1)
