"""Section 3.1 of Luo et al. (2016), one function a figure, and section 2.5 as measurements.

Choices the paper leaves open are arguments here: the width of the networks, the statistic that is
averaged, where strided and dilated layers sit. :class:`erfbook.parameters.ErfVerification` holds
the values of the book's run.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from erfbook import erf, theory
from erfbook.erf.ensemble import measure_ensemble
from erfbook.experiments.estimates import Estimate, seed_for, wilson
from erfbook.experiments.growth import GrowthCurve, RepeatedSlopes, measure_growth, repeat_growth
from erfbook.experiments.panels import (
    Network,
    Panel,
    measure_equal_spread,
    measure_panel,
    measure_squareness,
)

N_STRUCTURE_LAYERS = 15  # luo section 3.1, subsampling and dilation
DILATIONS = (2, 4, 8)


def paper_networks(channels: int) -> dict[str, Network]:
    """Return the paper's three kinds of network, the random ones also at ``channels`` channels.

    Args:
        channels: width of the wide variants; the paper states none.
    """
    return {
        "uniform": Network("Uniform", weights="ones"),
        "random": Network("Random, 1 channel"),
        "random_wide": Network(f"Random, {channels} channels", channels=channels),
        "relu": Network("Random + ReLU, 1 channel", "relu"),
        "relu_wide": Network(f"Random + ReLU, {channels} channels", "relu", channels),
    }


def measure_shapes(
    depths: Sequence[int],
    n_networks: int,
    *,
    channels: int,
    kinds: Sequence[str] | None = None,
    **options,
) -> dict[str, list[Panel]]:
    """Measure figure 1: for each kind of network one panel a depth, the mean of |g|.

    Args:
        depths: numbers of 3 x 3 layers; the paper has 5, 10, 20, 40.
        n_networks: runs averaged; the paper has 20.
        channels: width of the wide networks.
        kinds: of :func:`paper_networks`; all of them if None.
        options: of :func:`erfbook.experiments.panels.measure_panel`.
    """
    known = paper_networks(channels)
    return {
        kind: [
            measure_panel(known[kind], [theory.Layer()] * depth, n_networks, **options)
            for depth in depths
        ]
        for kind in (kinds or known)
    }


def measure_size_growth(
    depths: Sequence[int], n_networks: int, *, channels: int, **options
) -> dict[str, GrowthCurve]:
    """Measure figure 2 for all kinds of network and both statistics.

    One-channel networks are also averaged with every run scaled to the same total; wide ones
    hardly differ in their totals.

    Args:
        depths: numbers of 3 x 3 layers; the paper does not list its own.
        n_networks: runs averaged; the paper has 20.
        channels: width of the wide networks.
        options: of :func:`erfbook.experiments.growth.measure_growth`.

    Returns:
        Curves by name: kind, statistic and, where runs were scaled to weigh the same, ``_scaled``.
    """
    curves = {}
    for kind, network in paper_networks(channels).items():
        weightings = (False, True) if network.channels == 1 else (False,)
        for curve in measure_growth(network, depths, n_networks, weightings=weightings, **options):
            curves[f"{kind}_{curve.statistic}{'_scaled' if curve.equal else ''}"] = curve
    return curves


def measure_compactness(
    n_layers: int, n_networks: int, *, channels: int, **options
) -> dict[str, Estimate]:
    """Measure, at both widths, how much wider g^2 is when every network weighs the same.

    Args:
        n_layers: 3 x 3 layers.
        n_networks: linear networks.
        channels: width of the wide ones.
        options: of :func:`erfbook.experiments.panels.measure_equal_spread`.
    """
    known, layers = paper_networks(channels), [theory.Layer()] * n_layers
    return {
        kind: measure_equal_spread(known[kind], layers, n_networks, **options)
        for kind in ("random", "random_wide")
    }


def repeat_size_growth(
    depths: Sequence[int], n_networks: int, n_repeats: int, *, channels: int, **options
) -> dict[str, dict[str, RepeatedSlopes]]:
    """Repeat figure 2 for random linear networks, where a single experiment scatters most.

    Args:
        depths, n_networks, channels: as in :func:`measure_size_growth`.
        n_repeats: experiments with one channel; with ``channels`` a quarter as many, at least 2,
            because they take that much longer.
        options: of :func:`erfbook.experiments.growth.repeat_growth`.

    Returns:
        Slopes by kind, then by statistic and weighting.
    """
    known, wide = paper_networks(channels), max(2, n_repeats // 4)
    counts = {"random": (n_repeats, (False, True)), "random_wide": (wide, (False,))}
    return {
        kind: repeat_growth(known[kind], depths, n_networks, n, weightings=weightings, **options)
        for kind, (n, weightings) in counts.items()
    }


def measure_nonlinearities(
    n_runs: int, *, channels: int, n_layers: int = 20, **options
) -> dict[str, Panel]:
    """Measure the unnumbered figure beside figure 1: three nonlinearities at 20 layers, 100 runs.

    Args:
        n_runs: runs averaged, each with weights and an input of its own.
        channels: width of the networks.
        n_layers: 3 x 3 layers.
        options: of :func:`erfbook.experiments.panels.measure_panel`.
    """
    labels = {"relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid"}
    layers = [theory.Layer()] * n_layers
    return {
        name: measure_panel(Network(label, name, channels), layers, n_runs, **options)
        for name, label in labels.items()
    }


def structures(keep: float) -> dict[str, list[theory.Layer]]:
    """Return the 15-layer architectures of section 2.5 and of the unnumbered figure of 3.1.

    Strided and dilated layers are the 4th, 8th and 12th; where the paper's sit is not said.

    Args:
        keep: probability with which dropout keeps an input, in every layer.
    """
    plain = [theory.Layer()] * N_STRUCTURE_LAYERS
    places = (3, 7, 11)
    strided, dilated = list(plain), list(plain)
    for place, dilation in zip(places, DILATIONS, strict=True):
        strided[place] = theory.Layer(stride=2)
        dilated[place] = theory.Layer(dilation=dilation)
    return {
        "baseline": plain,
        "subsample": strided,
        "dilation": dilated,
        "skip": [theory.Layer(residual=True)] * N_STRUCTURE_LAYERS,
        "dropout": [theory.Layer(keep=keep)] * N_STRUCTURE_LAYERS,
    }


def measure_structures(
    n_networks: int, *, channels: int, keep: float, **options
) -> dict[str, Panel]:
    """Measure what subsampling, dilation, skip connections and dropout do to a plain stack.

    Linear networks, so that the prediction is exact and the activation plays no part.

    Args:
        n_networks: runs averaged.
        channels: width of the networks.
        keep: of dropout, see :func:`structures`.
        options: of :func:`erfbook.experiments.panels.measure_panel`.
    """
    labels = {
        "baseline": "15 dense layers",
        "subsample": "Subsample",
        "dilation": "Dilation",
        "skip": "Skip connections",
        "dropout": "Dropout",
    }
    return {
        name: measure_panel(Network(labels[name], channels=channels), layers, n_networks, **options)
        for name, layers in structures(keep).items()
    }


@dataclass(frozen=True)
class PlacementSizes:
    """Exact sizes over every way to place the strided layers.

    Args:
        sizes: one a placement, px.
        chosen: the size for the placement that the book measures, px.
        baseline: the size without stride, px.
    """

    sizes: np.ndarray
    chosen: float
    baseline: float


def predict_placements(statistic: str = "abs", threshold: float = erf.TWO_SIGMA) -> PlacementSizes:
    """Predict the subsampled network's size for all placements of its three strided layers.

    Dilated layers need no such study: without a stride convolutions commute, and so does what
    they do to E[g^2].
    """
    options: dict[str, Any] = {"statistic": statistic, "threshold": threshold}

    def predict(layers):
        return theory.predict_size(theory.predict_gradient_power(layers), **options)

    known = structures(keep=1.0)
    sizes = []
    for places in itertools.combinations(range(N_STRUCTURE_LAYERS), len(DILATIONS)):
        strides = [2 if i in places else 1 for i in range(N_STRUCTURE_LAYERS)]
        sizes.append(predict([theory.Layer(stride=stride) for stride in strides]))
    return PlacementSizes(np.array(sizes), predict(known["subsample"]), predict(known["baseline"]))


@dataclass(frozen=True)
class Squareness:
    """How much of its bounding box each structure's level set fills; pi / 4 is a disc.

    Args:
        level: of the set, as a share of the peak.
        values: by structure, of the exact prediction of |g|.
    """

    level: float
    values: dict[str, float]


def predict_squareness(level: float = erf.TWO_SIGMA) -> Squareness:
    """Say in a number how rectangular dilation makes the effective receptive field.

    Args:
        level: of the set, as a share of the peak; by default the one that delimits the paper's
            effective receptive field.
    """
    maps = {
        name: np.sqrt(theory.predict_gradient_power(layers))
        for name, layers in structures(keep=0.5).items()
    }
    return Squareness(level, {name: measure_squareness(m, level) for name, m in maps.items()})


def measure_dead(
    depths: Sequence[int], channels: Sequence[int], n_networks: int, *, seed: int = 0
) -> dict[tuple[int, int], Estimate]:
    """Measure how often a ReLU network's gradient is zero everywhere, per (channels, depth).

    The weights of the last layer are symmetric about zero, so its output is not positive, and the
    gradient through its ReLU zero, in at least half of the networks.

    Args:
        depths: numbers of 3 x 3 layers.
        channels: widths.
        n_networks: runs for each depth and width.
    """
    found = {}
    for width, depth in itertools.product(channels, depths):
        options: dict[str, Any] = {
            "activation": "relu",
            "channels": width,
            "seed": seed_for(seed, width, depth),
        }
        maps = measure_ensemble([theory.Layer()] * depth, n_networks, **options)
        found[width, depth] = wilson(maps.n_dead, maps.n_runs)
    return found


def ratio_of(panel: Panel, baseline: Panel, quantity: str) -> Estimate:
    """Return a quantity of a panel over the baseline's, with the interval of independent errors.

    Args:
        quantity: ``size`` or ``variance``.
    """
    a, b = getattr(panel, quantity), getattr(baseline, quantity)
    value = a.value / b.value
    error = value * np.hypot(a.standard_error / a.value, b.standard_error / b.value)
    return replace(a, value=value, low=value - 1.96 * error, high=value + 1.96 * error)
