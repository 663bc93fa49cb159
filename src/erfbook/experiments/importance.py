"""Experiment ``pixel-importance``: the gradient that a last layer sends to a random image.

Avendaño section 3.4, tables 3 and 4, figures 4 and 5. Ones are put at the central unit of all
channels of the last convolution of an untrained network, and the gradient's absolute value on a
random 64 px image is averaged over 50 projections; so is its maximum. The section names neither the
initialisation, nor batch norm's mode, nor what is drawn anew from one projection to the next, nor
which unit is central on an even plane. Each of these is a setting here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from erfbook.errors import UserError
from erfbook.experiments.estimates import seed_for
from erfbook.experiments.registry import Outcome, Workspace
from erfbook.models.pooled import pooled_resnet50, pooled_vgg
from erfbook.records.compact import compact

INITIAL = ("default", "he", "he_out", "xavier")
CHOICES = {
    "architecture": ("vgg", "resnet50"),
    "initial": INITIAL,
    "norm": ("initial", "batch", "none"),
    "place": ("conv", "plane"),
    "unit": ("later", "earlier", "all"),
    "image": ("normal", "uniform"),
}


@dataclass(frozen=True, kw_only=True)
class ImportanceConfig:
    """One network behind one pool, and how its gradient is projected.

    Args:
        name: of the configuration, as pages and sweeps show it.
        architecture, stages, width: ``vgg`` or ``resnet50``, the stages of a ``vgg``, the factor
            on all channels.
        pool_kernel, pool_stride: of the pool behind the first convolution.
        round_up: whether pools keep a last window that hangs over the border.
        initial: ``default`` is PyTorch's (variance 1/(3 fan-in)); ``he`` and ``he_out`` He's by
            fan-in and by fan-out, ``xavier`` Glorot's uniform one.
        norm: batch norm with its ``initial`` statistics, with those of the ``batch``, or ``none``
            and biases in the convolutions instead.
        place: ones at the output of the last convolution (``conv``) or of the last plane behind
            its batch norm, shortcut and ReLU (``plane``).
        unit: central one; on an even side the ``later`` or ``earlier`` of the two, or ``all``.
        image: pixels ``normal`` (0, 1) or ``uniform`` (0, 1).
        side: of the image, px.
        n_networks: drawn one after the other.
        n_images: that each of them sees as one batch.
        n_groups: parts that the projections' mean map is kept in, for intervals.
    """

    name: str
    architecture: str = "vgg"
    stages: tuple[int, ...] = (2, 2, 3, 2, 3)
    width: float = 1.0
    pool_kernel: int = 2
    pool_stride: int = 1
    round_up: bool = True
    initial: str = "default"
    norm: str = "initial"
    place: str = "conv"
    unit: str = "later"
    image: str = "normal"
    side: int = 64
    n_networks: int = 50
    n_images: int = 1
    n_groups: int = 1

    def check(self) -> None:
        """Raise where a setting is none that there is.

        Raises:
            UserError: a setting has no such value, or there are fewer projections than groups.
        """
        for setting, known in CHOICES.items():
            value = getattr(self, setting)
            if value not in known:
                raise UserError(f"{setting} must be one of {', '.join(known)}, not {value!r}")
        n = self.n_networks * self.n_images
        if not 1 <= self.n_groups <= n:
            raise UserError(f"n_groups must lie in 1 to the {n} projections, not {self.n_groups}")

    def build(self) -> nn.Sequential:
        """Return an untrained network up to its last plane, from the current seed."""
        rule = (self.pool_kernel, self.pool_stride)
        network = (
            pooled_vgg(*rule, stages=self.stages, width=self.width)
            if self.architecture == "vgg"
            else pooled_resnet50(*rule, width=self.width)
        )
        features = network.features
        for name, module in list(features.named_modules()):
            if isinstance(module, nn.MaxPool2d):
                module.ceil_mode = self.round_up
            elif isinstance(module, nn.ReLU):
                module.inplace = False  # a layer's output is read after the next one has run
            elif isinstance(module, nn.Conv2d):
                initialise(module, self.initial, biased=self.norm == "none")
            elif isinstance(module, nn.BatchNorm2d) and self.norm == "none":
                features.set_submodule(name, nn.Identity())
        features.train(self.norm == "batch")
        return features.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def initialise(conv: nn.Conv2d, scheme: str, *, biased: bool = False) -> None:
    """Draw a convolution's weights by a scheme; PyTorch's own were drawn when it was made."""
    if scheme == "xavier":
        nn.init.xavier_uniform_(conv.weight)
    elif scheme != "default":
        nn.init.kaiming_normal_(
            conv.weight, mode="fan_out" if scheme == "he_out" else "fan_in", nonlinearity="relu"
        )
    if biased:  # as nn.Conv2d draws it: uniform, within 1 / sqrt(fan-in)
        bound = conv.weight[0].numel() ** -0.5
        conv.bias = nn.Parameter(torch.empty(conv.out_channels).uniform_(-bound, bound))


def find_last_conv(features: nn.Module) -> nn.Conv2d:
    """Return the last convolution on the way up: in a residual unit that of the branch."""
    found = [
        module
        for name, module in features.named_modules()
        if isinstance(module, nn.Conv2d) and "shortcut" not in name
    ]
    return found[-1]


def choose_units(side: int, which: str) -> tuple[int, ...]:
    """Return the central positions along an axis: one, or both of an even side.

    >>> [choose_units(n, "later") for n in (5, 4)], choose_units(4, "all"), choose_units(1, "all")
    ([(2,), (2,)], (1, 2), (0,))
    """
    earlier, later = (side - 1) // 2, side // 2
    return {"later": (later,), "earlier": (earlier,)}.get(which, tuple({earlier: 0, later: 0}))


def project(
    features: nn.Module, images: Tensor, *, place: str = "conv", unit: str = "later"
) -> tuple[Tensor, tuple[int, int]]:
    """Return the gradient of the central unit, summed over channels and images, and the plane.

    Args:
        features: a network up to its last plane, in the mode that is meant.
        images: of shape (n, 3, side, side). With batch norm in training mode an image's gradient
            also holds what it does to the other images' units.
        place, unit: as in :class:`ImportanceConfig`.

    Returns:
        The gradient, of the images' shape, and (rows, columns) of the plane with the ones.
    """
    leaf = images.detach().requires_grad_()
    kept: list[Tensor] = []
    last = find_last_conv(features)
    handle = last.register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        with torch.enable_grad():
            plane = features(leaf)
            plane = kept[-1] if place == "conv" else plane
            rows, columns = (choose_units(n, unit) for n in plane.shape[2:])
            ones = torch.stack([plane[:, :, i, j].sum() for i in rows for j in columns]).sum()
            (gradient,) = torch.autograd.grad(ones, leaf)
    finally:
        handle.remove()
    return gradient, (int(plane.shape[2]), int(plane.shape[3]))


def run_importance(config: ImportanceConfig, seed: int, workspace: Workspace) -> Outcome:
    """Project the gradient through every network, and keep maxima and mean maps.

    Networks and images are drawn for this pool and this seed alone: projections of different
    pools are independent.
    """
    config.check()
    n = config.n_networks * config.n_images
    sums = np.zeros((config.n_groups, config.side, config.side))
    counts = np.zeros(config.n_groups)
    squares = np.zeros((config.side, config.side))
    maxima: dict[str, list[float]] = {"pixel": [], "summed": []}
    plane = (0, 0)
    for i in range(config.n_networks):
        draw = seed_for(seed, config.architecture, config.pool_stride, i)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw)
            features = config.build()
            images = draw_images(config)
        gradient, plane = project(
            features.to(workspace.device),
            images.to(workspace.device),
            place=config.place,
            unit=config.unit,
        )
        size = gradient.abs().double().cpu().numpy()
        for j, values in enumerate(size):
            group = (i * config.n_images + j) * config.n_groups // n
            total = values.sum(axis=0)
            sums[group] += total
            counts[group] += 1
            squares += (values**2).sum(axis=0) / n
            maxima["pixel"].append(float(values.max()))
            maxima["summed"].append(float(total.max()))
    maps = sums / counts[:, None, None]
    metrics = {
        "maxima": maxima["pixel"],
        "maxima_summed": maxima["summed"],
        "maximum_of_mean": float((counts @ maps.reshape(len(maps), -1) / n).max()),
        "plane": list(plane),
        "n_zero": int(sum(m == 0 for m in maxima["pixel"])),
    }
    arrays = compact("maps", maps, dtype="uint8")
    return Outcome(metrics, arrays | compact("square", squares))


def draw_images(config: ImportanceConfig) -> Tensor:
    """Return a batch of random images from the current seed."""
    shape = (config.n_images, 3, config.side, config.side)
    draw = torch.randn if config.image == "normal" else torch.rand
    return draw(shape).to(memory_format=torch.channels_last)
