"""How fast a distance can be learnt, predicted from the effective receptive field before training.

A step of gradient descent on the mean margin M = E[y f(x)] raises M by the rate times the squared
norm of dM/dtheta. In a wide linear network of independent zero-mean weights this is, up to a
factor that all tasks share,

    S(d) = sum over pixels p of E[g(p)^2] c_d(p)^2,

with g the gradient of the decision, whose power is the field of the untrained network, and c_d(p)
the probability that the asked mark covers p. The reason: changing one weight of one layer changes
the linear function at p by a product of what lies below and what lies above that weight; cross
terms of different pixels vanish in the mean over weights, and what is left is, for every layer,
the same convolution of powers that makes E[g^2]. So the field before training is also the
speed at which each pixel's weight can be learnt, and a far mark is slow to learn twice over: the
power is small there and the circle is long.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook import theory
from erfbook.experiments.distance_runs import DistanceConfig, build_network
from erfbook.experiments.distance_task import (
    GREY,
    Draws,
    Rings,
    draw_rings,
    mark_coverage,
    paint_rings,
)
from erfbook.experiments.estimates import seed_for
from erfbook.experiments.photographs import calibrate_batch_norm

HALF = math.log(2) / 2  # half of the loss of guessing


def predict_power(config: DistanceConfig) -> Float[np.ndarray, "side side"]:
    """Return E[g^2] of the untrained network, by variance propagation, with a mass of one."""
    layers = [
        theory.Layer(kernel, dilation=dilation, residual=config.residual and i > 0)
        for i, (kernel, dilation) in enumerate(
            zip(config.kernels, config.dilations or [1] * len(config.kernels), strict=True)
        )
    ]
    power = theory.predict_gradient_power(layers)
    return power / power.sum()


def predict_speeds(config: DistanceConfig) -> Float[np.ndarray, " distance"]:
    """Return S(d) for the distances of a configuration; the power has a mass of one."""
    power = predict_power(config)
    return np.array([(power * mark_coverage(config.rings, d) ** 2).sum() for d in config.distances])


def compare_speeds(config: DistanceConfig) -> dict[str, Float[np.ndarray, " distance"]]:
    """Return predicted speeds, over that of the first distance, of networks with one field.

    All have the configuration's theoretical receptive field: its own layers, 3 x 3 layers, the
    same with skip connections, and few 3 x 3 layers whose dilation doubles.
    """
    half = config.field_px // 2
    dilations, left = [1], half - 1
    while left > 0:
        dilations.append(min(2 * dilations[-1], left))
        left -= dilations[-1]
    small, spread = (3,) * half, (3,) * len(dilations)
    networks = {
        "this network": (config.kernels, config.dilations, config.residual),
        "3 × 3": (small, (), False),
        "3 × 3 with skips": (small, (), True),
        "3 × 3 dilated": (spread, tuple(dilations), False),
    }
    speeds = {}
    for name, (kernels, dilated, residual) in networks.items():
        other = dataclasses.replace(config, kernels=kernels, dilations=dilated, residual=residual)
        speeds[name] = predict_speeds(other)
    return {name: speed / speed[0] for name, speed in speeds.items()}


def measure_speeds(
    config: DistanceConfig, seed: int, *, n_pairs: int
) -> Float[np.ndarray, " distance"]:
    """Return the squared norm of dM/dtheta of one untrained network, for every distance.

    Each image is taken twice, with the asked mark lighter and darker and all else equal, so that
    only the mark is left in the difference. The pairs are cut into two halves and the two
    gradients multiplied: the square of one would be too large by the noise of its sample.

    Args:
        config: the network and the images.
        seed: of both.
        n_pairs: pairs of images of both halves together; even.
    """
    rings, network = config.rings, build_network(config, seed)
    draws = draw_rings(rings, n_pairs, seed_for(seed, "pairs"))
    plain = _standard(rings, draws)
    calibrate_batch_norm(network, plain, batch_size=len(plain))
    # Places by turns around the circle, in both halves alike: chance would add noise for nothing.
    even = np.arange(n_pairs // 2) * (4 * math.pi / n_pairs)
    speeds = []
    for ring in range(len(rings.distances)):
        tones, angles = draws.tones.copy(), draws.angles.copy()
        angles[:, ring] = np.resize(even, n_pairs)
        pairs = []
        for tones[:, ring] in (1, 0):
            painted = dataclasses.replace(draws, tones=tones, angles=angles)
            pairs.append(_standard(rings, painted).split(n_pairs // 2))
        one, other = (_margin_gradient(network, *halves) for halves in zip(*pairs, strict=True))
        speeds.append(float(one @ other))
    return np.array(speeds)


def _standard(rings: Rings, draws: Draws) -> Float[torch.Tensor, "n 3 side side"]:
    grey = torch.from_numpy(paint_rings(rings, draws)).float()[:, None]
    return ((grey - GREY) / grey.std()).expand(-1, 3, -1, -1)


def _margin_gradient(
    network: nn.Module, lighter: torch.Tensor, darker: torch.Tensor
) -> Float[torch.Tensor, " weights"]:
    """Return the gradient of the mean margin with respect to all weights."""
    decision = [network(images) @ torch.tensor([-0.5, 0.5]) for images in (lighter, darker)]
    margin = (decision[0] - decision[1]).mean()
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    return torch.cat([g.flatten() for g in torch.autograd.grad(margin, weights)]).double()


def steps_to_learn(losses: Float[np.ndarray, " step"], *, span: int = 10) -> float:
    """Return the step at which the loss, averaged over ``span`` steps, has halved from guessing.

    Infinite if it never does. No image is seen twice within an epoch, so this loss is one on new
    images.
    """
    smooth = np.convolve(losses, np.full(span, 1 / span), mode="valid")
    below = np.flatnonzero(smooth < HALF)
    return float(below[0] + span / 2) if below.size else math.inf
