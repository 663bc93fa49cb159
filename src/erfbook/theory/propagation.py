"""Exact power of the input gradient in a linear network of independent zero-mean random weights.

Start from a gradient of 1 at one output unit and walk down. Each layer spreads the *expected
squared* gradient with its own kernel of variances, because the cross terms of independent
zero-mean weights vanish. Nothing is sampled and nothing is approximated; the units lie on an
unbounded plane, so the padding of a real network is not in it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from erfbook.theory.layers import Layer


def receptive_field_size(layers: Sequence[Layer]) -> int:
    """Return the side of the theoretical receptive field of a unit of the last layer, in pixels.

    A layer adds (kernel - 1) * dilation steps, each as long as the product of the strides below it.

    >>> receptive_field_size([Layer(3)] * 20), receptive_field_size([Layer(3, stride=2), Layer(3)])
    (41, 7)
    """
    jump, size = 1, 1
    for layer in layers:
        size += (layer.reach - 1) * jump
        jump *= layer.stride
    return size


def branch_power(layer: Layer, gain: float = 1.0) -> float:
    """Return the factor by which a layer's convolution, with its dropout, scales total power.

    Inverted dropout multiplies a gradient by mask / keep, whose mean square is 1 / keep.
    """
    return gain / layer.keep


def branch_share(layer: Layer, gain: float = 1.0) -> float:
    """Return the share of the layer's gradient power that went through its convolution.

    It is 1 without a skip connection. With one it is r / (1 + r), r the branch's power gain.

    >>> branch_share(Layer(3)), branch_share(Layer(3, residual=True))
    (1.0, 0.5)
    """
    if not layer.residual:
        return 1.0
    power = branch_power(layer, gain)
    return power / (1.0 + power)


def predict_gradient_power(
    layers: Sequence[Layer], *, gain: float = 1.0
) -> Float[np.ndarray, "side side"]:
    """Return E[g(i,j)^2] at the input for a gradient of 1 at one output unit, exactly.

    Weights are independent with mean 0 and variance ``gain / kernel**2``, so that a plain layer
    keeps the sum of the map at ``gain`` times its value; the shape of a plain stack does not
    depend on it, that of a stack with skip connections does. Per layer, downwards: a stride puts
    stride - 1 zeros between the values; the kernel spreads each value evenly over its (dilated)
    taps; a skip connection adds the map itself; dropout multiplies the convolution by 1 / keep.

    Args:
        layers: from the input up.
        gain: power gain C k^2 of every convolution (C the variance of a weight). A network with
            ReLU and He's initialisation has 2 * 1/2 = 1.

    Returns:
        The map over exactly the theoretical receptive field, the unit's centre in its middle.

    Raises:
        ValueError: ``layers`` is empty, ``gain`` is not positive, or the power overflows.

    >>> predict_gradient_power([Layer(2), Layer(2)]) * 16
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    layers = check_layers(layers)
    if not gain > 0:
        raise ValueError(f"gain must be a positive number, not {gain!r}")
    with np.errstate(over="ignore", invalid="ignore"):
        power = _propagate(layers, gain)
    if not np.isfinite(power).all():
        raise ValueError(f"the gradient's power overflows over {len(layers)} layers; lower gain")
    return power


def predict_erf_variance(layers: Sequence[Layer], *, gain: float = 1.0) -> float:
    """Return the variance along one axis of the power map seen as a distribution, in px^2.

    Each layer moves the gradient by an independent step: with probability ``branch_share`` a tap
    chosen evenly from the kernel, else none. Variances of independent steps add up:
    sum over layers of share * dilation^2 (kernel^2 - 1) / 12 * (product of the strides below)^2.
    Strides, dilation and skip connections (section 2.5 of the paper, whose own analysis sits in
    an appendix) are this one sum. It is the variance of E[g^2]; that of E|g| is twice as large
    where the shape is Gaussian.

    >>> round(predict_erf_variance([Layer(3)] * 15), 12)
    10.0
    """
    variance, jump = 0.0, 1
    for layer in check_layers(layers):
        step = layer.dilation**2 * (layer.kernel**2 - 1) / 12
        variance += branch_share(layer, gain) * step * jump**2
        jump *= layer.stride
    return variance


def predict_subsampling(depth: int, strided: int) -> Float[np.ndarray, " placements"]:
    """Return sigma over that of the plain 3-tap stack, for every choice of layers with stride 2.

    Args:
        depth: number of layers.
        strided: how many of them have stride 2.

    >>> predict_subsampling(3, 1).round(3)
    array([1.732, 1.414, 1.   ])
    """
    plain = predict_erf_variance([Layer()] * depth)
    choices = itertools.combinations(range(depth), strided)
    stacks = ([Layer(stride=2 if n in at else 1) for n in range(depth)] for at in choices)
    return np.sqrt([predict_erf_variance(stack) / plain for stack in stacks])


def predict_erf_kurtosis(layers: Sequence[Layer], *, gain: float = 1.0) -> float:
    """Return the excess kurtosis along one axis of the power map: 0 Gaussian, below 0 flat-topped.

    Fourth cumulants of independent steps add up as variances do. A step is a tap of an even
    kernel with probability q, none otherwise: E X^4 = q d^4 (k^2 - 1)(3 k^2 - 7) / 240.

    >>> predict_erf_kurtosis([Layer(2)]), round(predict_erf_kurtosis([Layer(3)] * 15), 3)
    (-2.0, -0.1)
    """
    cumulant, jump = 0.0, 1
    for layer in check_layers(layers):
        q, k, d = branch_share(layer, gain), layer.kernel, layer.dilation * jump
        second = q * d**2 * (k**2 - 1) / 12
        fourth = q * d**4 * (k**2 - 1) * (3 * k**2 - 7) / 240
        cumulant += fourth - 3 * second**2
        jump *= layer.stride
    variance = predict_erf_variance(layers, gain=gain)
    if variance == 0:
        raise ValueError("layers must have a kernel of 2 taps or more to have a shape")
    return cumulant / variance**2


def measure_erf_variance(power: Float[np.ndarray, "height width"]) -> float:
    """Return the variance along the last axis of a non-negative map seen as a distribution."""
    return _central_moment(power, 2)


def measure_erf_kurtosis(power: Float[np.ndarray, "height width"]) -> float:
    """Return the excess kurtosis along the last axis of a map seen as a distribution."""
    return _central_moment(power, 4) / _central_moment(power, 2) ** 2 - 3.0


def check_layers(layers: Sequence[Layer]) -> list[Layer]:
    """Return ``layers`` as a list if it holds at least one Layer and nothing else."""
    layers = list(layers)
    if not layers or not all(isinstance(layer, Layer) for layer in layers):
        raise ValueError(f"layers must hold one Layer or more, not {layers!r}")
    return layers


def _propagate(layers: list[Layer], gain: float) -> np.ndarray:
    if not any(layer.residual for layer in layers):  # a product of two equal profiles
        profile = np.ones(1)
        for layer in reversed(layers):
            profile = _spread(_insert_zeros(profile, layer.stride), layer, axis=0)
            profile *= math.sqrt(branch_power(layer, gain)) / layer.kernel
        return np.outer(profile, profile)
    power = np.ones((1, 1))
    for layer in reversed(layers):
        below = _insert_zeros(_insert_zeros(power, layer.stride).T, layer.stride).T
        below = _spread(_spread(below, layer, axis=0), layer, axis=1)
        below *= branch_power(layer, gain) / layer.kernel**2
        if layer.residual:
            margin = (layer.reach - 1) // 2
            below += np.pad(power, margin)
        power = below
    return power


def _insert_zeros(values: np.ndarray, stride: int) -> np.ndarray:
    spaced = np.zeros(((values.shape[0] - 1) * stride + 1, *values.shape[1:]))
    spaced[::stride] = values
    return spaced


def _spread(values: np.ndarray, layer: Layer, *, axis: int) -> np.ndarray:
    values = np.moveaxis(values, axis, 0)
    size = values.shape[0]
    wide = np.zeros((size + layer.reach - 1, *values.shape[1:]))
    for tap in range(0, layer.reach, layer.dilation):
        wide[tap : tap + size] += values
    return np.moveaxis(wide, 0, axis)


def _central_moment(power: np.ndarray, order: int) -> float:
    profile = np.asarray(power, dtype=float).sum(axis=0)
    total = profile.sum()
    if not total > 0 or (profile < 0).any():
        raise ValueError("power must be non-negative with a positive sum")
    position = np.arange(profile.size)
    mean = position @ profile / total
    return float((position - mean) ** order @ profile / total)
