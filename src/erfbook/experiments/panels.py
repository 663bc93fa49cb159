"""One heat map of the paper: the mean over runs beside its prediction, and how Gaussian it is.

The prediction is :func:`erfbook.theory.predict_gradient_power`: exact for the mean of g^2 in linear
networks. For the mean of |g| its square root is taken, which is exact where gradients are normal,
as they become in wide networks. Networks of equal weights have g itself of that shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import zoom

from erfbook import erf, theory
from erfbook.erf.ensemble import EnsembleMaps, measure_ensemble
from erfbook.experiments.estimates import Estimate, bootstrap, resample_counts, seed_for

# Mean square over squared mean of |g| and of g^2 for a normal g of mean 0.
_NORMAL_RATIO = {"abs": math.pi / 2, "square": 3.0}


@dataclass(frozen=True)
class Network:
    """What a panel's networks are made of; the paper's names as ``label``.

    Args:
        label: the name in figures and tables.
        activation: ``relu``, ``tanh``, ``sigmoid`` or None.
        channels: width of the inner layers.
        weights: ``random``, or ``ones`` for equal weights.
    """

    label: str
    activation: str | None = None
    channels: int = 1
    weights: str = "random"


@dataclass(frozen=True)
class Panel:
    """A mean map over runs, scaled to a sum of 1, with the same of its prediction.

    Args:
        network, layers: what was measured.
        statistic: ``abs`` or ``square``; of which the mean was taken.
        measured, predicted: the maps.
        profile: the measured map summed along one axis, averaged over both axes.
        profile_low, profile_high: its pointwise 95 % bootstrap interval.
        n_kept, n_dropped: runs averaged, and runs left out for an all-zero gradient.
        n_effective: (sum of the runs' totals)^2 / sum of their squares: how many equal runs
            the mean is worth.
        displaced: share of the map's variance that is due to runs whose own centre of mass lies
            off the middle.
        size, kurtosis, variance: luo's size (px), excess kurtosis and variance (px^2) per axis.
        r_squared: share of the map's variance over pixels that its best Gaussian explains.
        r_squared_expected: the same if the map were the prediction plus the noise that ``n_kept``
            independent normal gradients leave in each pixel.
    """

    network: Network
    layers: tuple[theory.Layer, ...]
    statistic: str
    measured: Float[np.ndarray, "px px"]
    predicted: Float[np.ndarray, "px px"]
    profile: Float[np.ndarray, " px"]
    profile_low: Float[np.ndarray, " px"]
    profile_high: Float[np.ndarray, " px"]
    n_kept: int
    n_dropped: int
    n_effective: float
    displaced: float
    size: Estimate
    kurtosis: Estimate
    variance: Estimate
    r_squared: float
    r_squared_expected: float

    @property
    def field_px(self) -> int:
        """Side of the theoretical receptive field."""
        return len(self.profile)

    @property
    def predicted_profile(self) -> Float[np.ndarray, " px"]:
        """The prediction summed along one axis."""
        return self.predicted.sum(0)

    @property
    def predicted_size(self) -> float:
        """Luo's size of the prediction, in px."""
        return erf.size(self.predicted)

    @property
    def predicted_kurtosis(self) -> float:
        """Excess kurtosis per axis of the prediction."""
        return profile_moments(self.predicted_profile)[1]

    @property
    def predicted_variance(self) -> float:
        """Variance per axis of the prediction, in px^2."""
        return profile_moments(self.predicted_profile)[0]

    @property
    def unexplained(self) -> float:
        """What the best Gaussian leaves unexplained, over what it must leave by noise and depth."""
        return (1 - self.r_squared) / (1 - self.r_squared_expected)


def measure_panel(
    network: Network,
    layers: Sequence[theory.Layer],
    n_networks: int,
    *,
    statistic: str = "abs",
    equal: bool = False,
    threshold: float = erf.TWO_SIGMA,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Panel:
    """Average the centre unit's gradient over random networks and set it against the prediction.

    Args:
        network, layers: what to measure.
        n_networks: runs, each with its own weights and its own input.
        statistic: ``abs`` or ``square``.
        equal: whether every run is scaled to a sum of 1 before the mean.
        threshold: of the size, as a share of the centre.
        n_bootstrap: resamples of the runs.
        seed: each architecture and network gets a seed of its own from it.
    """
    maps = draw_maps(network, layers, n_networks, seed=seed)
    mean = maps.mean(statistic, equal=equal)
    runs = alive_runs(maps, statistic, equal=equal)
    totals = runs.sum((1, 2))
    profiles = (runs.sum(1) + runs.sum(2)) / 2
    options = {"n_resamples": n_bootstrap, "seed": seed_for(seed, "bootstrap")}
    low, high = _profile_interval(profiles, **options)
    predicted = predict_map(network, layers, statistic)
    noise_runs = mean.n_kept if network.weights == "random" else math.inf
    return Panel(
        network=network,
        layers=tuple(layers),
        statistic=statistic,
        measured=mean.values / mean.values.sum(),
        predicted=predicted,
        profile=profiles.sum(0) / profiles.sum(),
        profile_low=low,
        profile_high=high,
        n_kept=mean.n_kept,
        n_dropped=mean.n_dropped,
        n_effective=float(totals.sum() ** 2 / (totals**2).sum()),
        displaced=_displaced_share(runs),
        size=bootstrap(runs, lambda m: size_if_any(m, threshold), **options),
        kurtosis=bootstrap(profiles, lambda p: profile_moments(p)[1], **options),
        variance=bootstrap(profiles, lambda p: profile_moments(p)[0], **options),
        r_squared=erf.fit_gaussian(mean.values).r_squared,
        r_squared_expected=expect_r_squared(predicted, noise_runs, statistic, keep=layers[0].keep),
    )


def measure_equal_spread(
    network: Network,
    layers: Sequence[theory.Layer],
    n_networks: int,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Measure the variance of g^2 when every network weighs the same, over that of the plain mean.

    With T a network's total power and s its spread about the centre, the plain mean's variance is
    E[T s] / E[T], known exactly, and the other one is E[s]. The ratio exceeds 1 just where T and s
    are negatively correlated: where strong gradients are the compact ones.
    """
    runs = alive_runs(draw_maps(network, layers, n_networks, seed=seed), "square", equal=True)
    squares = (np.arange(runs.shape[-1]) - (runs.shape[-1] - 1) / 2) ** 2
    spreads = (runs.sum(1) @ squares + runs.sum(2) @ squares) / 2
    exact = theory.predict_erf_variance(layers)
    seed = seed_for(seed, "spread")
    return bootstrap(spreads / exact, float, n_resamples=n_bootstrap, seed=seed)


def draw_maps(
    network: Network, layers: Sequence[theory.Layer], n_networks: int, *, seed: int
) -> EnsembleMaps:
    """Measure ``n_networks`` runs, and as many again while fewer than two have a gradient."""
    generator = torch.Generator().manual_seed(seed_for(seed, network, tuple(layers)))
    n = 1 if network.weights == "ones" else n_networks
    parts: list[torch.Tensor] = []
    for _ in range(20):
        maps = measure_ensemble(
            layers,
            n,
            activation=network.activation,
            channels=network.channels,
            weights=network.weights,
            seed=generator,
        )
        parts.append(maps.gradients)
        maps = EnsembleMaps(torch.cat(parts))
        if maps.n_runs - maps.n_dead >= min(2, n):
            break
    return maps


def alive_runs(
    maps: EnsembleMaps, statistic: str, *, equal: bool
) -> Float[np.ndarray, "run px px"]:
    """Return the statistic of the runs that have a gradient, each summing to 1 if ``equal``."""
    runs = maps.statistic(statistic)
    runs = runs[runs.any((1, 2))]
    return runs / runs.sum((1, 2), keepdims=True) if equal else runs


def predict_map(
    network: Network, layers: Sequence[theory.Layer], statistic: str
) -> Float[np.ndarray, "px px"]:
    """Return the predicted mean of the statistic, scaled to a sum of 1.

    Equal weights spread g just as random ones spread E[g^2], so that their |g| is that map.
    """
    exponent = {"abs": 0.5, "square": 1.0}[statistic] * (2 if network.weights == "ones" else 1)
    values = theory.predict_gradient_power(layers) ** exponent
    return values / values.sum()


def expect_r_squared(
    predicted: Float[np.ndarray, "px px"], n_runs: float, statistic: str, *, keep: float = 1.0
) -> float:
    """Return the R^2 a Gaussian reaches on the prediction plus the noise of ``n_runs`` runs.

    In units of its squared mean, a normal gradient's |g| has the variance pi/2 - 1 and its g^2 the
    variance 2; the mean of n runs adds 1/n of that times the map's own square. Dropout at the
    input keeps a pixel's gradient in a share ``keep`` of the runs, which raises the two to
    pi/2/keep - 1 and 3/keep - 1.
    """
    noise = (_NORMAL_RATIO[statistic] / keep - 1) / n_runs * np.sum(predicted**2)
    spread = np.sum((predicted - predicted.mean()) ** 2)
    misfit = (1 - erf.fit_gaussian(predicted).r_squared) * spread
    return float(1 - (misfit + noise) / (spread + noise))


def size_if_any(values: Float[np.ndarray, "px px"], threshold: float) -> float:
    """Return luo's size, or NaN where the centre, its yardstick, is zero in every run averaged.

    ReLU and dropout can make it so when few runs are averaged.
    """
    middle = values[tuple(n // 2 for n in values.shape)]
    return erf.size(values, threshold) if middle > 0 else math.nan


def profile_moments(profile: Float[np.ndarray, " px"]) -> tuple[float, float]:
    """Return variance (px^2) and excess kurtosis of a non-negative profile.

    >>> profile_moments(np.array([1.0, 4.0, 6.0, 4.0, 1.0]))
    (1.0, -0.5)
    """
    where = np.arange(len(profile))
    mass = profile / profile.sum()
    offset = where - mass @ where
    variance = float(mass @ offset**2)
    return variance, float(mass @ offset**4) / variance**2 - 3


def measure_squareness(values: Float[np.ndarray, "px px"], level: float) -> float:
    """Return the share of its bounding box that the set above ``level`` x the peak fills.

    It is pi / 4 for a disc or an ellipse along the axes and 1 for a rectangle. The map is
    interpolated eightfold, so that the pixels' own corners do not count.

    >>> x = np.arange(-40, 41) / 12
    >>> round(measure_squareness(np.exp(-(x**2) - x[:, None] ** 2), 0.5), 2)  # pi / 4 = 0.785...
    0.78
    """
    inside = zoom(values, 8, order=1) > level * values.max()
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    return float(inside.sum() / box)


def _displaced_share(runs: Float[np.ndarray, "run px px"]) -> float:
    """Return the between-run part of the mean map's variance, runs weighing as their totals."""
    between = total = 0.0
    where = np.arange(runs.shape[-1]) - (runs.shape[-1] - 1) / 2
    for profiles in (runs.sum(1), runs.sum(2)):
        weights = profiles.sum(1)
        centres = profiles @ where / weights
        between += weights @ centres**2
        total += profiles.sum(0) @ where**2
    return float(between / total)


def _profile_interval(profiles, *, n_resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    means = resample_counts(len(profiles), n_resamples, seed) @ profiles
    means /= means.sum(1, keepdims=True)
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return low, high
