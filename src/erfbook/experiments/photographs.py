"""A trained network's effective receptive field on photographs, against copies that never learnt.

Four kinds of copy share one architecture. ``trained`` is the network as published. ``untrained``
has fresh weights and batch-norm statistics taken from the crops, as its first step of training
would have. ``fresh`` is the same without that: its batch norm still holds mean 0 and variance 1.
``shuffled`` has the trained weights, each tensor's entries in random order, and statistics from
the crops: the scale of the weights without what they have learnt.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from erfbook import erf, rf
from erfbook.experiments.estimates import Estimate

KINDS = ("trained", "untrained", "fresh", "shuffled")
METRICS = ("pixels", "mass", "moments")
# A Gaussian of standard deviation s has luo's size s * sqrt(2 pi ln(1/0.0455)). The smallest set
# that holds 1 - 0.0455 of its mass is the same disc. So all three metrics agree on a Gaussian.
SIGMA_TO_SIZE = math.sqrt(2 * math.pi * math.log(1 / erf.TWO_SIGMA))


@dataclass(frozen=True)
class LayerField:
    """One layer of one kind of copy, on all crops and seeds.

    Args:
        kind: one of :data:`KINDS`.
        map: the mean map over crops and seeds.
        sizes: metric to size in pixels, with an interval over crops (and seeds, where there are).
        fit: the Gaussian fitted to the mean map.
        field: the layer's theoretical receptive field.
        n_seeds: copies averaged.
    """

    kind: str
    map: erf.Map
    sizes: dict[str, Estimate]
    fit: erf.GaussianFit
    field: rf.Field
    n_seeds: int

    @property
    def seen_px(self) -> float:
        """Side of the square as large as the part of the theoretical field inside the crop."""
        return math.sqrt(math.prod(last - first + 1 for first, last in self.map.region))


@dataclass(frozen=True)
class Study:
    """Every layer of every kind; ``study[kind, layer]``."""

    layers: tuple[str, ...]
    crop_px: int
    n_crops: int
    results: Mapping[tuple[str, str], LayerField]
    ratios: Mapping[tuple[str, str, str], Estimate]  # (kind, layer, metric): trained over kind

    def __getitem__(self, key: tuple[str, str]) -> LayerField:
        return self.results[key]


def study_photographs(
    trained: nn.Module,
    make_untrained: Callable[[], nn.Module],
    crops: Float[torch.Tensor, "n 3 side side"],
    layers: tuple[str, ...],
    *,
    n_seeds: int,
    n_resamples: int,
) -> Study:
    """Measure the central unit of some layers in the trained network and in its copies.

    Args:
        trained: the network with its published weights.
        make_untrained: returns the same architecture with random weights from the current seed.
        crops: normalised crops of photographs.
        layers: paths of the layers, from the input up.
        n_seeds: copies of each kind but ``trained``.
        n_resamples: bootstrap resamples of crops, and of seeds where there are several.

    Returns:
        Maps, sizes by three metrics, fits, and the ratios of the trained sizes to the others.
    """
    report = rf.analyze(trained.eval(), tuple(crops.shape[1:]))
    results, ratios = {}, {}
    resampled: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for kind in KINDS:
        copies = [
            make_copy(kind, trained, make_untrained, crops, seed)
            for seed in range(1 if kind == "trained" else n_seeds)
        ]
        for layer in layers:
            maps = [erf.measure_each(model, crops, layer) for model in copies]
            mean, each = _average(maps)
            resampled[kind, layer] = _resample(each, mean, n_resamples)
            results[kind, layer] = LayerField(
                kind=kind,
                map=mean,
                sizes=_estimates(measure_sizes(mean), resampled[kind, layer], len(crops)),
                fit=erf.fit_gaussian(mean),
                field=report[layer],
                n_seeds=len(copies),
            )
    for kind, layer in results:
        for metric in METRICS:
            ratios[kind, layer, metric] = _ratio(results, resampled, kind, layer, metric)
    return Study(tuple(layers), crops.shape[-1], len(crops), results, ratios)


def measure_sizes(map: erf.Map) -> dict[str, float]:
    """Return a map's size in pixels by three metrics that agree where the map is Gaussian.

    ``pixels`` is luo's count of pixels above 4.55 % of the centre; ``mass`` the smallest set of
    pixels that holds 95.45 % of the mass; ``moments`` 4.41 standard deviations.
    """
    held = erf.area_ratio(map, 1 - erf.TWO_SIGMA, method="smallest-set") * map.values.size
    rows, columns = (_deviation(map.values.sum(axis=1 - axis)) for axis in (0, 1))
    return {
        "pixels": erf.size(map),
        "mass": math.sqrt(held),
        "moments": SIGMA_TO_SIZE * math.sqrt(rows * columns),
    }


def name_photographs(study: Study) -> dict[str, dict]:
    """Return the study's results under the names that prose and the claims ledger use.

    Layers are named by their theoretical field: ``ratio_fresh_mass_339`` is the trained size over
    that of the fresh copies, by the mass metric, at the layer whose field spans 339 px.
    """
    named: dict[str, dict] = {}
    for (kind, layer), result in study.results.items():
        tag = f"{kind}_{result.field.size[0]}"
        named[f"size_{tag}"] = {**result.sizes["mass"].as_result(), "unit": "px"}
        share = result.sizes["mass"]
        named[f"area_{tag}"] = {
            "value": (share.value / result.seen_px) ** 2,
            "low": (share.low / result.seen_px) ** 2,
            "high": (share.high / result.seen_px) ** 2,
            "n": share.n,
        }
        named[f"r2_{tag}"] = {"value": result.fit.r_squared}
        named[f"kurtosis_{tag}"] = {"value": float(np.mean(result.fit.excess_kurtosis))}
        for metric in METRICS if kind != "trained" else ():
            ratio = study.ratios[kind, layer, metric]
            named[f"ratio_{kind}_{metric}_{result.field.size[0]}"] = ratio.as_result()
    for kind in KINDS[1:]:
        ratios = [study.ratios[kind, layer, metric] for layer in study.layers for metric in METRICS]
        named[f"n_larger_{kind}"] = {"value": sum(r.low > 1 for r in ratios)}
        named[f"n_smaller_{kind}"] = {"value": sum(r.high < 1 for r in ratios)}
    named["n_comparisons"] = {"value": len(study.layers) * len(METRICS)}
    named["n_zero"] = {"value": sum(r.map.n_zero for r in study.results.values())}
    return named


def make_copy(
    kind: str,
    trained: nn.Module,
    make_untrained: Callable[[], nn.Module],
    crops: Float[torch.Tensor, "n 3 side side"],
    seed: int,
) -> nn.Module:
    """Return one copy of the network; the trained one is returned as it is.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if kind == "trained":
        return trained
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = shuffle_weights(trained, seed) if kind == "shuffled" else make_untrained()
    if kind != "fresh":
        calibrate_batch_norm(model, crops)
    return model.eval()


def shuffle_weights(model: nn.Module, seed: int) -> nn.Module:
    """Return a copy whose parameters are permuted at random, each tensor within itself."""
    shuffled = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in shuffled.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return shuffled


def calibrate_batch_norm(
    model: nn.Module, crops: Float[torch.Tensor, "n 3 height width"], batch_size: int = 8
) -> None:
    """Set the running statistics of every batch norm to the mean over batches of the crops."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch then keeps the plain average of all batches
    # Only batch norm runs in training mode: dropout and dropped connections stay switched off.
    model.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        for batch in crops.split(batch_size):
            model(batch.contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _average(maps: list[tuple[erf.Map, ...]]) -> tuple[erf.Map, np.ndarray]:
    """Return the mean over copies and crops, and all maps as (copies, crops, height, width)."""
    each = np.array([[m.values for m in one] for one in maps])
    # The scale of a copy's gradients is arbitrary: each copy is brought to a mean mass of one, so
    # that all count alike. Crops keep their weight within a copy.
    each /= each.sum(axis=(2, 3)).mean(axis=1)[:, None, None, None]
    n_zero = sum(m.n_zero for one in maps for m in one)
    mean = replace(
        maps[0][0], values=each.mean(axis=(0, 1)), n_inputs=each[:, :, 0, 0].size, n_zero=n_zero
    )
    return mean, each


def _resample(each: np.ndarray, mean: erf.Map, n_resamples: int) -> dict[str, np.ndarray]:
    """Return each metric of many means over redrawn copies and redrawn crops."""
    # The same draw of crops serves every copy and every kind, since all of them saw the same
    # crops: ratios between kinds are paired.
    weights = (
        _redraw(each.shape[0], n_resamples, seed=1)[:, :, None]
        * _redraw(each.shape[1], n_resamples, seed=0)[:, None, :]
    )
    (top, bottom), (left, right) = mean.region  # all is zero outside
    inside = each[:, :, top : bottom + 1, left : right + 1]
    centre = (mean.centre[0] - top, mean.centre[1] - left)
    sizes = [
        measure_sizes(erf.Map(values=values, centre=centre))
        for values in np.tensordot(weights, inside, axes=2)
    ]
    return {metric: np.array([s[metric] for s in sizes]) for metric in METRICS}


def _redraw(n: int, n_resamples: int, seed: int) -> np.ndarray:
    """Return bootstrap weights: how often each of n things is drawn, over n."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), n_resamples) / n


def _estimates(values: dict[str, float], resampled: dict[str, np.ndarray], n: int) -> dict:
    return {m: _estimate(values[m], resampled[m], n) for m in METRICS}


def _ratio(results, resampled, kind: str, layer: str, metric: str) -> Estimate:
    ours, theirs = (results[k, layer].sizes[metric] for k in ("trained", kind))
    drawn = resampled["trained", layer][metric] / resampled[kind, layer][metric]
    return _estimate(ours.value / theirs.value, drawn, ours.n)


def _estimate(value: float, resampled: np.ndarray, n: int) -> Estimate:
    # The normal interval on the log scale. Percentiles would be off centre: a mean over redrawn
    # crops has fewer distinct crops in it, and is a little more concentrated for that alone.
    spread = 1.96 * float(np.std(np.log(resampled), ddof=1))
    return Estimate(float(value), value * math.exp(-spread), value * math.exp(spread), n)


def _deviation(profile: np.ndarray) -> float:
    where = np.arange(len(profile))
    mean = np.average(where, weights=profile)
    return float(np.average((where - mean) ** 2, weights=profile) ** 0.5)
