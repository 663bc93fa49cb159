"""Ascent on the pixels themselves, from random dots, by steps of a fixed size, with less blur.

The paper on positions states that the gradient is one at the unit (or at all units of its
feature) and zero at the rest of the layer, that it is sent back to the image, that this is
repeated until the image is stable, and that the start is a pattern of random dots; the rest it
takes over from deep dreaming without a number. Chosen by us, therefore: contrast of the dots, size
and normalisation of the step, number of steps, and a blur that fades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F

from erfbook.featurevis.result import Box

Images = Float[torch.Tensor, "n 3 height width"]


@dataclass(frozen=True)
class PixelAscent:
    """The paper's method: normalised gradient steps on the pixels, from random dots.

    Nothing moves the image, so that a unit's field stays where it is. Pixels that the unit cannot
    see keep their start values.

    Args:
        steps: steps in all.
        step: mean absolute change of a pixel in the first step, display range being 1.
        last_step: the same in the last step; in between it falls geometrically.
        blur_px: standard deviation of the blur after the first step, in pixels; 0 for none.
        last_blur_px: the same after the last step; in between it falls geometrically.
        dots: the start is uniform within this distance of mid-grey, in every pixel and colour.
    """

    steps: int = 96
    step: float = 0.04
    last_step: float = 0.015
    blur_px: float = 1.5
    last_blur_px: float = 0.35
    dots: float = 0.1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be 1 or more, not {self.steps}")
        if not 0 < self.last_step <= self.step:
            raise ValueError(f"last_step must lie in 0 to {self.step}, not {self.last_step}")
        if not 0 <= self.last_blur_px <= self.blur_px:
            raise ValueError(f"last_blur_px must lie in 0 to {self.blur_px}")
        if not 0 < self.dots <= 0.5:
            raise ValueError(f"dots must lie in 0 to 0.5, not {self.dots}")

    def draw(self, key: tuple[int, ...], size: tuple[int, int]) -> torch.Tensor:
        """Return one image's start, (3, height, width), from its own generator."""
        random = np.random.default_rng(np.random.SeedSequence(key))
        return torch.from_numpy(random.uniform(0.5 - self.dots, 0.5 + self.dots, (3, *size)))

    def begin(
        self, starts: Images, windows: Sequence[Box], masks: torch.Tensor, size: tuple[int, int]
    ) -> _Ascent:
        """Return the state before the first step.

        Args:
            starts: what ``draw`` returned for each image; here whole images in display range.
            windows: the part of each that is computed, all of one size.
            masks: 1 where a pixel may change, (n, 1, height, width) on the windows.
            size: height and width of the whole images.
        """
        return _Ascent(self, starts, windows, masks)

    def schedule(self, first: float, last: float, done: int) -> float:
        """Return a quantity's value at a step, falling geometrically from first to last."""
        if last == 0 or first == last:
            return first * (1 - done / max(self.steps - 1, 1)) if last == 0 else first
        return first * (last / first) ** (done / max(self.steps - 1, 1))


class _Ascent:
    """A batch under way."""

    def __init__(
        self, method: PixelAscent, starts: Images, windows: Sequence[Box], masks: torch.Tensor
    ) -> None:
        self.method, self.starts, self.windows, self.masks = method, starts, windows, masks
        self.images = cut(starts, windows)

    def image(self) -> Images:
        """Return what the network is shown."""
        return self.images

    def advance(self, gradient: Images, done: int) -> None:
        """Take the step number ``done``; an image without a gradient is left as it is."""
        method, mask = self.method, self.masks
        n_pixels = 3 * mask.sum(dim=(1, 2, 3), keepdim=True)
        scale = (gradient.abs() * mask).sum(dim=(1, 2, 3), keepdim=True) / n_pixels
        step = method.schedule(method.step, method.last_step, done)
        gradient = gradient / torch.where(scale > 0, scale, 1.0)
        moved = (self.images + step * gradient).clamp(0, 1)
        moved = blur(moved, mask, method.schedule(method.blur_px, method.last_blur_px, done))
        self.images = torch.where((mask > 0) & (scale > 0), moved, self.images)

    def finished(self) -> Images:
        """Return the whole images, in display range."""
        whole = self.starts.clone()
        for image, part, ((top, bottom), (left, right)) in zip(
            whole, self.images, self.windows, strict=True
        ):
            image[:, top : bottom + 1, left : right + 1] = part
        return whole

    def state(self) -> dict[str, torch.Tensor]:
        """Return what a later run needs to go on."""
        return {"images": self.images}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from a kept state."""
        self.images = state["images"].to(self.images)


def cut(images: Images, windows: Sequence[Box]) -> Images:
    """Return a part of each image; the parts have one size."""
    parts = [
        image[:, top : bottom + 1, left : right + 1]
        for image, ((top, bottom), (left, right)) in zip(images, windows, strict=True)
    ]
    return torch.stack(parts).contiguous(memory_format=torch.channels_last)


def blur(images: Images, mask: torch.Tensor, sigma_px: float) -> Images:
    """Return images blurred by a Gaussian that takes in nothing from outside a mask.

    Args:
        images: what is blurred.
        mask: 1 for the pixels that count, (n, 1, height, width).
        sigma_px: standard deviation of the Gaussian, in pixels.
    """
    if sigma_px < 0.1:  # a neighbour would weigh less than exp(-50)
        return images
    radius = max(1, int(3 * sigma_px + 0.5))
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    weights = _convolve(mask, kernel)
    return _convolve(images * mask, kernel) / torch.where(weights > 0, weights, 1.0)


def _convolve(images: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    channels, radius = images.shape[1], len(kernel) // 2
    rows, columns = kernel.reshape(1, 1, -1, 1), kernel.reshape(1, 1, 1, -1)
    for weight, padding in ((rows, (radius, 0)), (columns, (0, radius))):
        weight = weight.expand(channels, 1, -1, -1)
        images = F.conv2d(images, weight, padding=padding, groups=channels)
    return images
