"""Small networks that the tests of feature visualisation share; float64, so that laws are sharp."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from erfbook import featurevis
from erfbook.featurevis.targets import find_targets, read_target
from erfbook.models.frozen import frozen

PLAIN = featurevis.Settings(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), progress="")


def seeded(model: nn.Module, seed: int = 0) -> nn.Module:
    """Return a model in evaluation mode, its weights drawn anew from a seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return model.double().eval()


def small_network() -> nn.Sequential:
    """Return strides, a pool and ReLUs; a unit of ``2`` sees 7x7 px, one of ``6`` 23x23."""
    return seeded(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 5, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(5, 6, 3, padding=1),
            nn.ReLU(inplace=True),
        )
    )


class Branches(nn.Module):
    """Two rectified branches side by side, as in an Inception block."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return torch.cat([F.relu(self.one(x), inplace=True), self.two(x).relu_()], dim=1)


class Residual(nn.Module):
    """A bounded output that is changed in place afterwards: no activation any more."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        out = F.hardtanh(self.conv(x))
        out += x
        return out


class Twice(nn.Module):
    """One convolution used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(F.relu(self.conv(x)))


def images(n: int, side: int, seed: int = 0) -> torch.Tensor:
    """Return random images in 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((n, 3, side, side), generator=generator, dtype=torch.float64)


def gradient_of(model, layer, channel, unit, image, call=0):
    """Return the gradient that the package's target sends to one image, and its values."""
    with frozen(model):
        (target,) = find_targets(model, layer, call, [channel], image[None], True)
        leaf = image[None].clone().requires_grad_()
        plane = read_target(model, leaf, target)[0, target.channel]
        value = plane.sum() if unit is None else plane[unit]
        (gradient,) = torch.autograd.grad(value, leaf)
    return gradient[0], plane.detach()
