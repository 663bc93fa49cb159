"""How wide a network of this chapter sees before it is trained: measured, and predicted exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from erfbook import erf, theory
from erfbook.experiments.damage_runs import (
    DamageConfig,
    count_weights,
    make_network,
    measure_field_sizes,
    predict_network_power,
)
from erfbook.experiments.estimates import Estimate, bootstrap, resample_counts, seed_for
from erfbook.experiments.photographs import METRICS


@dataclass(frozen=True)
class InitialField:
    """The field of one kind of network before training.

    Args:
        kind: what distinguishes it, in words.
        map: mean |g| over networks and inputs, each network scaled to the same mass.
        predicted: the same from exact power propagation, its square root: what |g| is
            proportional to where the gradient is Gaussian.
        sizes: metric to measured size in px, with an interval over networks.
        predicted_sizes: metric to size in px.
        kurtosis: excess kurtosis along an axis, measured.
        predicted_kurtosis: of the predicted map.
        r_squared: share of the map's variance that the best Gaussian explains.
        live: share of pixels in the theoretical field that any path reaches.
        field_px: side of the theoretical field.
        n_weights: weights of the network's convolutions.
        n_networks: networks with a gradient.
        resampled: metric to sizes over redrawn networks, for ratios of two kinds.
    """

    kind: str
    map: Float[np.ndarray, "side side"]
    predicted: Float[np.ndarray, "side side"]
    sizes: Mapping[str, Estimate]
    predicted_sizes: Mapping[str, float]
    kurtosis: Estimate
    predicted_kurtosis: float
    r_squared: float
    live: float
    field_px: int
    n_weights: int
    n_networks: int
    resampled: Mapping[str, Float[np.ndarray, " resample"]]


def measure_initial_fields(
    configs: Mapping[str, DamageConfig],
    *,
    n_networks: int,
    n_inputs: int = 4,
    n_resamples: int = 200,
    seed: int = 0,
) -> dict[str, InitialField]:
    """Measure random networks on a plane that holds their whole field, and predict them.

    Args:
        configs: the kinds by name; of each only the network and its initialisation count.
        n_networks: networks of each kind.
        n_inputs: standard normal inputs a network sees.
        n_resamples: bootstrap resamples of networks.
        seed: of networks and inputs.

    Returns:
        The fields by the same names.
    """
    return {
        kind: _measure(config, n_networks, n_inputs, n_resamples, seed)
        for kind, config in configs.items()
    }


def name_fields(
    fields: Mapping[str, InitialField], ratios: Mapping[str, Mapping[str, tuple[Estimate, float]]]
) -> dict[str, dict]:
    """Return the results under the names that prose and the ledger use.

    ``ratio_sparse7_mass`` is the size of that kind over that of dense He kernels, by mass.
    """
    named: dict[str, dict] = {}
    for kind, field in fields.items():
        named[f"kurtosis_{kind}"] = field.kurtosis.with_ends()
        named[f"kurtosis_predicted_{kind}"] = {"value": field.predicted_kurtosis}
        named[f"r2_{kind}"] = {"value": field.r_squared}
        named[f"live_{kind}"] = {"value": field.live}
        for metric in METRICS:
            named[f"size_{kind}_{metric}"] = {**field.sizes[metric].with_ends(), "unit": "px"}
            named[f"size_predicted_{kind}_{metric}"] = {
                "value": field.predicted_sizes[metric],
                "unit": "px",
            }
    for kind, found in ratios.items():
        for metric, (estimate, predicted) in found.items():
            named[f"ratio_{kind}_{metric}"] = estimate.with_ends()
            named[f"ratio_predicted_{kind}_{metric}"] = {"value": predicted}
    off = [abs(e.value / p - 1) for found in ratios.values() for e, p in found.values()]
    named["ratio_error"] = {"value": max(off)}
    weights = {field.n_weights for field in fields.values()}
    named["fields_n_weights"] = {"value": max(weights)}
    named["fields_same_weights"] = {"value": len(weights) == 1}
    return named


def compare_fields(field: InitialField, base: InitialField) -> dict[str, tuple[Estimate, float]]:
    """Return, by metric, one kind's size over another's: measured with its interval, and predicted.

    The two sets of networks are redrawn independently.
    """
    found = {}
    for metric in METRICS:
        value = field.sizes[metric].value / base.sizes[metric].value
        drawn = field.resampled[metric] / base.resampled[metric]
        predicted = field.predicted_sizes[metric] / base.predicted_sizes[metric]
        found[metric] = _estimate(value, drawn, field.n_networks), predicted
    return found


def _measure(
    config: DamageConfig, n_networks: int, n_inputs: int, n_resamples: int, seed: int
) -> InitialField:
    seeds = [seed_for(seed, config.connections, i) for i in range(n_networks)]
    # Only sparse taps depend on the seed; the map that is measured is a mean over seeds.
    places: list[int | None] = [*seeds] if config.connections == "sparse" else [None]
    predicted = np.mean([np.sqrt(predict_network_power(config, s)) for s in places], axis=0)
    side = predicted.shape[0]
    maps = [_measure_one(make_network(config, 1, s), side, n_inputs, s) for s in seeds]
    alive = np.array([m / m.sum() for m in maps if m.any()])
    measured, resampled = alive.mean(axis=0), _resample(alive, n_resamples, config.kind)
    sizes = measure_field_sizes(_centred(measured))
    return InitialField(
        kind=config.kind,
        map=measured,
        predicted=predicted / predicted.sum(),
        sizes={m: _estimate(sizes[m], resampled[m], len(alive)) for m in METRICS},
        predicted_sizes=measure_field_sizes(_centred(predicted)),
        kurtosis=bootstrap(alive, theory.measure_erf_kurtosis, n_resamples=n_resamples, seed=0),
        predicted_kurtosis=theory.measure_erf_kurtosis(predicted),
        r_squared=erf.fit_gaussian(measured).r_squared,
        live=theory.live_share(predicted),
        field_px=side,
        n_weights=count_weights(make_network(config, 1, seeds[0])),
        n_networks=len(alive),
        resampled=resampled,
    )


def _measure_one(
    model: torch.nn.Module, side: int, n_inputs: int, seed: int
) -> Float[np.ndarray, "side side"]:
    generator = torch.Generator().manual_seed(seed_for(seed, "inputs"))
    inputs = torch.randn(n_inputs, 3, side, side, generator=generator)
    return erf.measure(model, inputs, "features").values


def _resample(
    maps: Float[np.ndarray, "network side side"], n_resamples: int, kind: str
) -> dict[str, Float[np.ndarray, " resample"]]:
    """Return the sizes of means over redrawn networks; each kind has draws of its own."""
    counts = resample_counts(len(maps), n_resamples, seed_for(0, kind))
    means = np.tensordot(counts / len(maps), maps, axes=1)
    sizes = [measure_field_sizes(_centred(mean)) for mean in means]
    return {metric: np.array([size[metric] for size in sizes]) for metric in METRICS}


def _centred(values: Float[np.ndarray, "side side"]) -> erf.Map:
    middle = (values.shape[0] - 1) / 2
    return erf.Map(values=values, centre=(middle, middle))


def _estimate(value: float, drawn: Float[np.ndarray, " resample"], n: int) -> Estimate:
    """Return a size or a ratio with its normal interval on the log scale."""
    spread = 1.96 * float(np.nanstd(np.log(drawn), ddof=1))
    return Estimate(value, value * math.exp(-spread), value * math.exp(spread), n)
