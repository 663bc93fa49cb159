"""Ascent on the image's Fourier coefficients, scaled as in photographs, by Adam.

The parametrisation is the one usual since Olah et al. (2017): coefficients scaled by 1/frequency,
colours that vary together as those of photographs, a sigmoid that keeps the display range. The
random shifts and turns that usually come with it are left out: they move the unit's field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from erfbook.featurevis.colours import COLOUR_FACTOR
from erfbook.featurevis.pixels import cut
from erfbook.featurevis.result import Box

Images = Float[torch.Tensor, "n 3 height width"]
Size = tuple[int, int]
_CONTRAST = 0.25  # so that noise of 0.01 starts as a grey image and steps of 0.05 are small
_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # Adam's usual ones


@dataclass(frozen=True)
class FourierAscent:
    """A modern method: Adam on Fourier coefficients and decorrelated colours.

    Every coefficient acts on the whole image, so that pixels outside the field change as well.

    Args:
        steps: steps in all.
        learning_rate: Adam's.
        decay: coefficients are scaled by frequency to the power of minus this.
        noise: standard deviation of the coefficients at the start.
    """

    steps: int = 96
    learning_rate: float = 0.05
    decay: float = 1.0
    noise: float = 0.01

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be 1 or more, not {self.steps}")
        if not self.learning_rate > 0 or not self.noise > 0:
            raise ValueError(
                f"learning_rate and noise must be positive, not {self.learning_rate}, {self.noise}"
            )

    def draw(self, key: tuple[int, ...], size: Size) -> torch.Tensor:
        """Return one image's coefficients, (3, height, width // 2 + 1, 2), from its generator."""
        random = np.random.default_rng(np.random.SeedSequence(key))
        shape = (3, size[0], size[1] // 2 + 1, 2)
        return torch.from_numpy(self.noise * random.standard_normal(shape))

    def begin(
        self, starts: torch.Tensor, windows: Sequence[Box], masks: torch.Tensor, size: Size
    ) -> _Ascent:
        """Return the state before the first step; arguments as of ``PixelAscent.begin``."""
        return _Ascent(self, starts, windows, size)


class _Ascent:
    """A batch under way."""

    def __init__(
        self, method: FourierAscent, starts: torch.Tensor, windows: Sequence[Box], size: Size
    ) -> None:
        self.method, self.windows, self.size = method, windows, size
        self.coefficients = starts.clone()
        self.mean, self.square = torch.zeros_like(starts), torch.zeros_like(starts)
        frequency = torch.from_numpy(_frequencies(size))
        scale = _CONTRAST * frequency.clamp(min=1 / max(size)) ** -method.decay
        self.scale = scale.to(starts)[..., None]
        self.colours = torch.tensor(COLOUR_FACTOR).to(starts)
        self.shown: tuple[torch.Tensor, torch.Tensor] | None = None

    def image(self) -> Images:
        """Return what the network is shown."""
        leaf = self.coefficients.detach().requires_grad_()
        with torch.enable_grad():
            self.shown = leaf, cut(self._whole(leaf), self.windows)
        return self.shown[1].detach()

    def advance(self, gradient: Images, done: int) -> None:
        """Take the step number ``done``; an image without a gradient is left as it is."""
        assert self.shown is not None  # image() comes first
        leaf, image = self.shown
        (slope,) = torch.autograd.grad(image, leaf, gradient)
        beta, gamma = _BETAS
        self.mean = beta * self.mean + (1 - beta) * slope
        self.square = gamma * self.square + (1 - gamma) * slope.square()
        mean = self.mean / (1 - beta ** (done + 1))
        square = self.square / (1 - gamma ** (done + 1))
        step = self.method.learning_rate * mean / (square.sqrt() + _EPSILON)
        self.coefficients = self.coefficients + step
        self.shown = None

    def finished(self) -> Images:
        """Return the whole images, in display range."""
        with torch.no_grad():
            return self._whole(self.coefficients)

    def state(self) -> dict[str, torch.Tensor]:
        """Return what a later run needs to go on."""
        return {"coefficients": self.coefficients, "mean": self.mean, "square": self.square}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from a kept state."""
        for name, tensor in state.items():
            setattr(self, name, tensor.to(self.coefficients))

    def _whole(self, coefficients: torch.Tensor) -> Images:
        spectrum = torch.view_as_complex(coefficients * self.scale)
        planes = torch.fft.irfft2(spectrum, s=self.size, norm="ortho")
        return torch.sigmoid(torch.einsum("rc,nchw->nrhw", self.colours, planes))


def _frequencies(size: Size) -> np.ndarray:
    """Return the frequency of every coefficient, in cycles a pixel."""
    down, across = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    return np.hypot(down, across)
