"""Paths and gradient powers of a network as built, counted layer by layer without any image.

Two walks down from the central unit. Counting: a layer hands its number to every pixel of each
window, and residual paths add; with weights of one, and with sums for maxima, that number is the
gradient itself. Powers: independent weights of mean 0 make the powers of paths add, as in
:mod:`erfbook.theory.random_weights`; each ReLU passes half of them, and a max pool hands a window's
gradient to one of its pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from torch import nn

from erfbook.experiments.importance import ImportanceConfig, choose_units
from erfbook.models.residual import ResidualUnit
from erfbook.theory.checkerboard import Grid, spread


@dataclass(frozen=True)
class Step:
    """One layer on the way down.

    Args:
        grid: its windows.
        gain: variance of a weight times the number of output channels; 1 for a pool.
        chooses: whether it is a max pool.
        share: of the power that the ReLU behind it lets through.
    """

    grid: Grid
    gain: float = 1.0
    chooses: bool = False
    share: float = 1.0


@dataclass(frozen=True)
class Fork:
    """A residual unit: a branch beside a shortcut, which is empty where it is the identity."""

    branch: tuple[Step, ...]
    shortcut: tuple[Step, ...]
    share: float = 1.0


Part = Step | Fork


def read_steps(module: nn.Module, *, relu: float = 0.5) -> tuple[Part, ...]:
    """Return a network's layers from the input up, with the variances its weights have now.

    Args:
        module: of convolutions, max pools, ReLUs, batch norms and residual units in a row.
        relu: share of the power that a ReLU passes. One that a max pool follows passes more,
            since a maximum is positive unless all its pixels are negative: 1 - (1 - relu)^n for n
            independent pixels.
    """
    steps: list[Part] = []
    for layer in _layers(module):
        if isinstance(layer, nn.Conv2d):
            steps.append(Step(_grid(layer), _variance(layer) * layer.out_channels))
        elif isinstance(layer, nn.MaxPool2d):
            below = steps[-1]
            if isinstance(below, Step) and below.share < 1:  # a ReLU stands before it
                share = 1 - (1 - relu) ** (_grid(layer).kernel ** 2)
                steps[-1] = Step(below.grid, below.gain, False, share)
            steps.append(Step(_grid(layer), chooses=True))
        elif isinstance(layer, nn.ReLU):
            below = steps[-1]
            assert isinstance(below, Step), "a ReLU stands behind a convolution"
            steps[-1] = Step(below.grid, below.gain, below.chooses, relu)
        elif isinstance(layer, ResidualUnit):
            branch, shortcut = (read_steps(m, relu=relu) for m in (layer.convs, layer.shortcut))
            steps.append(Fork(branch, shortcut, relu))  # type: ignore[arg-type]
    return tuple(steps)


def sides(steps: tuple[Part, ...], side: int) -> tuple[int, ...]:
    """Return the side of the plane below each part, and that of the last plane."""
    found = [side]
    for step in steps:
        inner = step.branch if isinstance(step, Fork) else (step,)
        n = found[-1]
        for one in inner:
            n = one.grid.count_outputs(n)
        found.append(n)
    return tuple(found)


def count_paths(
    steps: tuple[Part, ...], side: int, unit: str = "later"
) -> Shaped[np.ndarray, "row column"]:
    """Return the number of paths from each pixel of the input to the central unit, exactly.

    The numbers are Python's, of any size. They count paths through positions, not through
    channels, of which there are as many at every position.

    Args:
        steps: the network.
        side: of the input, px.
        unit: as in :class:`ImportanceConfig`.
    """
    one = np.zeros((sides(steps, side)[-1],) * 2, dtype=object)
    one[np.ix_(*[choose_units(len(one), unit)] * 2)] = 1
    return _descend(one, steps, side, powers=False)


def predict_power(config: ImportanceConfig, features: nn.Module) -> Float[np.ndarray, "row column"]:
    """Return the expected square of the gradient at every pixel, for one input channel.

    At the top all channels hold 1, or, behind the last ReLU, half of them. Where ones stand at two
    or four units their powers add as well, which neglects that these are not independent.

    Args:
        config: says where the ones are.
        features: the network with its weights, of which only the variances are read.
    """
    steps = read_steps(features)
    if config.place == "conv":
        steps = (*steps[:-1], *_up_to_last_conv(steps[-1]))
    top = np.zeros((sides(steps, config.side)[-1],) * 2)
    top[np.ix_(*[choose_units(len(top), config.unit)] * 2)] = 1.0
    return _descend(top, steps, config.side, powers=True).astype(float)


def build_counted(config: ImportanceConfig) -> tuple[Part, ...]:
    """Return the layers of a configuration up to its last convolution, without weights."""
    steps = read_steps(config.build())
    return (*steps[:-1], *_up_to_last_conv(steps[-1])) if config.place == "conv" else steps


def _up_to_last_conv(part: Part) -> tuple[Part, ...]:
    """Return what of the last part lies below the ones: nothing of the ReLU, no shortcut."""
    steps = part.branch if isinstance(part, Fork) else (part,)
    last = steps[-1]
    return (*steps[:-1], Step(last.grid, last.gain))


def _descend(plane: np.ndarray, steps: tuple[Part, ...], side: int, *, powers: bool) -> np.ndarray:
    for step, n_pixels in zip(steps[::-1], sides(steps, side)[-2::-1], strict=True):
        if isinstance(step, Fork):
            plane = plane * step.share if powers else plane
            branch = _descend(plane, step.branch, n_pixels, powers=powers)
            plane = branch + _descend(plane, step.shortcut, n_pixels, powers=powers)
        elif powers:
            factor = step.gain * step.share
            plane = factor * spread(plane, step.grid, n_pixels, chooses=step.chooses)
        else:
            plane = spread(plane, step.grid, n_pixels)
    return plane


def _grid(layer: nn.Conv2d | nn.MaxPool2d) -> Grid:
    def one(value) -> int:
        return int(value[0] if isinstance(value, tuple) else value)

    return Grid(
        kernel=one(layer.kernel_size),
        stride=one(layer.stride),
        padding=one(layer.padding),
        dilation=one(layer.dilation),
        round_up=bool(getattr(layer, "ceil_mode", False)),
    )


def _variance(layer: nn.Conv2d) -> float:
    return float(layer.weight.detach().square().mean())  # of weights whose mean is 0


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield what computes, in order; residual units as a whole."""
    children = list(module.children())
    if isinstance(module, ResidualUnit) or not children:
        yield module
        return
    for child in children:
        yield from _layers(child)
