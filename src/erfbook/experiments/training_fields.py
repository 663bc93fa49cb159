"""What is measured of a network while it trains: the field of one unit, in two readings.

Batch norm makes "the network at this moment" ambiguous. In evaluation mode it divides by running
statistics, which lag behind the weights and before training are mean 0 and variance 1 whatever the
network computes. The ``running`` reading takes them as they are. The ``calibrated`` reading first
sets them to the training images' own, which is what the network computes in training mode. After
training the two agree.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import nn
from torch.nn import functional as F

from erfbook import datasets, erf, rf, training
from erfbook.datasets import ImageSet, Split
from erfbook.errors import UserError
from erfbook.experiments.photographs import (
    METRICS,
    calibrate_batch_norm,
    measure_sizes,
    shuffle_weights,
)

READINGS = ("running", "calibrated")
CONTROLS = ("shuffled", "taps", "redrawn")
INITS = ("default", "he", "quiet")
NUMBERS = (*METRICS, "filled", "edge")
MAP_SIDE = 160  # px; larger maps are stored as means over blocks


@dataclass(frozen=True)
class Probe:
    """What a unit's field is measured on.

    Args:
        images: standardised test images, the same at every moment.
        calibration: standardised training images that batch norm's statistics are taken from.
        layer: path of the layer; its central unit is measured, on even planes the later one.
    """

    images: Float[torch.Tensor, "n 3 height width"]
    calibration: Float[torch.Tensor, "m 3 height width"]
    layer: str = "features"

    @classmethod
    def of(cls, data: ImageSet, n_images: int, n_calibration: int) -> Probe:
        """Return the probe of a data set: its first test images, its first training images."""
        images = data.standardise(data.test.images[:n_images])
        return cls(images, data.standardise(data.train.images[:n_calibration]))


def choose_dataset(name: str, *, real: str, embedded: str) -> str:
    """Return ``name``, or for ``auto`` the real set where it is present and else the embedded one.

    Raises:
        UserError: ``name`` is neither of the two, nor ``auto``.
    """
    if name == "auto":
        return real if datasets.is_present(real) else embedded
    if name not in (real, embedded):
        raise UserError(f"dataset must be auto, {real} or {embedded}, not {name!r}")
    return name


def initialise(model: nn.Module, init: str) -> nn.Module:
    """Draw a network's convolutions anew, in place, from the current seed.

    Args:
        model: as PyTorch made it: uniform weights of variance 1 / (3 fan_in).
        init: ``default`` leaves it so; ``he`` draws normal weights of variance 2 / fan_in (He et
            al. 2015); ``quiet`` does so too and starts each residual branch at a gain of 0, as is
            usual in large ResNets today.

    Raises:
        ValueError: there is no such initialisation.
    """
    if init not in INITS:
        raise ValueError(f"init must be one of {', '.join(INITS)}, not {init!r}")
    for path, module in model.named_modules():
        if init != "default" and isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        # The last norm of a branch is the one without a ReLU behind it.
        if init == "quiet" and path.endswith("convs") and isinstance(module, nn.Sequential):
            nn.init.zeros_(module[-1].norm.weight)  # type: ignore[union-attr, operator, arg-type]
    return model


def look(model: nn.Module, probe: Probe, *, statistics: Sequence[str] = ("abs",)) -> dict[str, Any]:
    """Measure the field of a network's central unit in both readings.

    Args:
        model: the network; left as it is.
        probe: what it is shown.
        statistics: of the gradient, as :func:`erfbook.erf.measure` takes them. The first one's
            maps are kept; numbers of the others have their name at the end.

    Returns:
        ``<reading>_<number>`` for the three sizes in pixels, the share of the image that holds
        95.45 % of the mass (``filled``), the mean over the image's border as a share of the mean
        over the image (``edge``: 1 would be flat) and the all-zero gradients (``zero``); and
        ``maps`` (reading, row, column), each scaled to a peak of 1.
    """
    seen: dict[str, Any] = {}
    maps = []
    for reading in READINGS:
        subject = model if reading == "running" else calibrated(model, probe)
        for statistic in statistics:
            found = erf.measure(subject, probe.images, probe.layer, statistic=statistic)
            end = "" if statistic == statistics[0] else f"_{statistic}"
            numbers = describe(found)
            seen |= {f"{reading}_{name}{end}": value for name, value in numbers.items()}
            if not end:
                maps.append(compact(found.values))
    return {**seen, "maps": np.stack(maps)}


def describe(map: erf.Map) -> dict[str, float]:
    """Return a map's sizes, how much of the image it fills, and how many gradients were zero.

    A network whose unit is dead on every image has no field: its numbers are NaN.
    """
    values = map.values
    if not values.any():
        return {**dict.fromkeys(NUMBERS, math.nan), "zero": map.n_zero}
    border = np.concatenate([values[[0, -1]].ravel(), values[1:-1, [0, -1]].ravel()])
    try:
        sizes = measure_sizes(map)
    except ValueError:  # zero at the centre, the yardstick of luo's size
        sizes = dict.fromkeys(METRICS, math.nan)
    held = erf.area_ratio(map, 1 - erf.TWO_SIGMA, method="smallest-set")
    edge = float(border.mean() / values.mean())
    return {**sizes, "filled": held, "edge": edge, "zero": map.n_zero}


def control_fields(model: nn.Module, probe: Probe, n_copies: int) -> dict[str, Any]:
    """Measure copies of a trained network that keep some of it and lose the rest, calibrated.

    Args:
        model: the trained network.
        probe: what it is shown.
        n_copies: of each of :data:`CONTROLS`.

    Returns:
        ``<control>_<number>``, a value a copy, and ``control_maps`` (control, row, column).
    """
    seen: dict[str, Any] = {f"{c}_{n}": [] for c in CONTROLS for n in NUMBERS}
    maps = []
    for control in CONTROLS:
        total = 0.0
        for seed in range(n_copies):
            subject = calibrated(make_control(control, model, seed), probe)
            found = erf.measure(subject, probe.images, probe.layer)
            for name, value in describe(found).items():
                if name in NUMBERS:
                    seen[f"{control}_{name}"].append(value)
            total = total + found.values / max(found.values.sum(), np.finfo(float).tiny)
        maps.append(compact(np.asarray(total)))
    return {**seen, "control_maps": np.stack(maps)}


def depth_fields(model: nn.Module, probe: Probe) -> dict[str, list[float]]:
    """Measure the central unit's field behind the first layer and every block, calibrated.

    Returns:
        ``depth_field``, the theoretical sizes in pixels, and ``depth_<metric>``, the measured ones.
    """
    subject = calibrated(model, probe)
    report = rf.analyze(subject, tuple(probe.images.shape[1:]))
    seen: dict[str, list[float]] = {"depth_field": [], **{f"depth_{m}": [] for m in METRICS}}
    for path in (
        f"{probe.layer}.{name}" for name, _ in subject.get_submodule(probe.layer).named_children()
    ):
        seen["depth_field"].append(float(report[path].size[0]))
        numbers = describe(erf.measure(subject, probe.images, path))
        for metric in METRICS:
            seen[f"depth_{metric}"].append(numbers[metric])
    return seen


def make_control(control: str, model: nn.Module, seed: int) -> nn.Module:
    """Return a copy that has forgotten something.

    ``shuffled``: every tensor's entries in random order; scale and distribution stay. ``taps``:
    the order of the taps within each kernel alone is random; which channel speaks to which, and how
    loudly, stays. ``redrawn``: kernels are drawn anew, normal with each tensor's mean and standard
    deviation; batch norm's gains and offsets stay as trained.

    Raises:
        ValueError: there is no such control.
    """
    if control == "shuffled":
        return shuffle_weights(model, seed)
    if control not in CONTROLS:
        raise ValueError(f"control must be one of {', '.join(CONTROLS)}, not {control!r}")
    forgotten = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in forgotten.modules():
            if isinstance(module, nn.Conv2d):
                old = module.weight.detach().cpu()
                new = (
                    _shuffle_taps(old, generator) if control == "taps" else _redraw(old, generator)
                )
                module.weight.copy_(new)
    return forgotten


def calibrated(model: nn.Module, probe: Probe) -> nn.Module:
    """Return a copy whose batch norm holds the statistics of the probe's training images."""
    twin = copy.deepcopy(model)
    device = next(twin.parameters()).device
    calibrate_batch_norm(twin, probe.calibration.to(device), batch_size=64)
    return twin


def score_classes(model: nn.Module, data: ImageSet, split: Split) -> dict[str, float]:
    """Return the accuracy and the mean loss of a classifier on a split."""
    scores = training.predict(model, data, split)
    right = (scores.argmax(1) == split.labels).float().mean()
    return {
        "accuracy": float(right),
        "loss": float(F.cross_entropy(scores, split.labels.long())),
    }


def compact(values: Float[np.ndarray, "row column"]) -> Float16[np.ndarray, "row2 column2"]:
    """Return a map scaled to a peak of 1 in half precision, blocks averaged where it is large."""
    step = math.ceil(max(values.shape) / MAP_SIDE)
    rows, columns = (n // step for n in values.shape)
    blocks = values[: rows * step, : columns * step].reshape(rows, step, columns, step)
    small = blocks.mean(axis=(1, 3))
    return (small / (small.max() or 1.0)).astype(np.float16)


def collect(moments: Sequence[training.Moment]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what was seen at each moment as lists by name, and the maps as one array."""
    names = [name for name in moments[0].seen if name != "maps"]
    metrics: dict[str, Any] = {"epochs": [m.epoch for m in moments]}
    metrics["steps"] = [m.step for m in moments]
    for name in names:  # a number that only some moments have is a list of theirs
        metrics[name] = [m.seen[name] for m in moments if name in m.seen]
    return metrics, {"maps": np.stack([m.seen["maps"] for m in moments])}


def split_arrays(found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Part what a measurement returned into numbers and arrays."""
    arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    return {name: v for name, v in found.items() if name not in arrays}, arrays


def _shuffle_taps(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    flat = weight.flatten(2)
    order = torch.rand(flat.shape, generator=generator).argsort(2)
    return flat.gather(2, order).reshape(weight.shape)


def _redraw(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    drawn = torch.randn(weight.shape, generator=generator)
    return drawn * weight.std(correction=0) + weight.mean()
