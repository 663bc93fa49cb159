"""The field before training, where nothing cuts it off: on photographs larger than the field.

luo section 3.2 expects a ResNet's effective field to be much smaller than the theoretical one at
first, since skip connections shrink it (section 2.5). Both of the paper's networks are measured
with and without theirs, for several initialisations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import nn

from erfbook import erf
from erfbook.datasets import crop_photographs, load_photographs, normalise
from erfbook.experiments import layouts
from erfbook.experiments.estimates import Estimate
from erfbook.experiments.training_classes import ClassConfig
from erfbook.experiments.training_fields import READINGS, Probe, calibrated, describe
from erfbook.experiments.training_growth import DIAMETER, mean_interval
from erfbook.experiments.training_scenes import SceneConfig
from erfbook.models.residual import ResidualUnit

# Two networks without their data: what is measured here is weights alone.
NETWORKS: dict[str, ClassConfig | SceneConfig] = {
    "cifar": ClassConfig(name="initial", dataset=""),
    "camvid": SceneConfig(name="initial", dataset=""),
}
FIELDS = {"cifar": 73, "camvid": 505}  # px, as rf.analyze finds; the chapter asks it
CROPS = {"cifar": 80, "camvid": 512}  # px: whole fields of the central unit
CASES = {"cifar": ("default", "he", "quiet"), "camvid": ("default",)}


@dataclass(frozen=True)
class InitialField:
    """One network, one initialisation, with or without skip connections, in one reading.

    Args:
        network: a key of :data:`NETWORKS`.
        init: as :func:`initialise` takes it.
        skip: whether the skip connections are there.
        reading: ``running`` or ``calibrated``.
        numbers: of each seed, by name, as :func:`describe` gives them.
    """

    network: str
    init: str
    skip: bool
    reading: str
    numbers: dict[str, Float[np.ndarray, " seed"]]

    @property
    def share(self) -> Estimate:
        """Size by mass over the side of the theoretical field."""
        return _mean(self.numbers["mass"] / FIELDS[self.network])

    @property
    def diameter(self) -> Estimate:
        """Diameter of the disc as large as luo's size, px."""
        return _mean(self.numbers["pixels"] * DIAMETER)


def confirm_field(config: ClassConfig | SceneConfig, side: int = 64) -> int:
    """Build a configuration's network and return the side of its last plane's fields, px."""
    with torch.device("meta"):
        network = config.build(10)
    return int(layouts.confirm(network, "features", side=side).size[0])


def measure_initial(
    network: str, *, n_seeds: int, n_crops: int, channels: int, inits: Sequence[str] = ()
) -> list[InitialField]:
    """Measure a network before training on crops of photographs that hold its whole field.

    Args:
        network: ``cifar`` or ``camvid``.
        n_seeds: networks of each kind, each with weights of its own.
        n_crops: crops that the map is averaged over, and batch norm calibrated on.
        channels: of the first stage.
        inits: initialisations; all of :data:`CASES` if empty.
    """
    crops, _ = crop_photographs(load_photographs(), n_crops, CROPS[network], seed=0)
    images = normalise(crops)
    probe = Probe(images, images)
    found = []
    for init in inits or CASES[network]:
        for skip in (True, False):
            if init == "quiet" and not skip:
                continue  # nothing would be left of the signal
            each: dict[str, list[dict[str, float]]] = {reading: [] for reading in READINGS}
            for seed in range(n_seeds):
                model = _build(network, init, seed, channels, skip=skip)
                for reading, subject in (
                    ("running", model),
                    ("calibrated", calibrated(model, probe)),
                ):
                    each[reading].append(describe(erf.measure(subject, images, probe.layer)))
            for reading, rows in each.items():
                numbers = {name: np.array([row[name] for row in rows]) for name in rows[0]}
                found.append(InitialField(network, init, skip, reading, numbers))
    return found


def without_skips(model: nn.Module) -> nn.Module:
    """Replace every residual unit by its convolutions and the ReLU behind them, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, ResidualUnit):
                setattr(parent, name, nn.Sequential(child.convs, nn.ReLU()))
    return model


def name_initial(fields: Sequence[InitialField]) -> dict[str, dict]:
    """Name each share of the field, each diameter, and what skip connections do to the size."""
    named: dict[str, dict] = {}
    for f in fields:
        tag = f"{f.network}_{f.init}_{f.reading}" + ("" if f.skip else "_noskip")
        named[f"initial_share_{tag}"] = f.share.with_ends()
        named[f"initial_diameter_{tag}"] = {**f.diameter.with_ends(), "unit": "px"}
        if not f.skip:
            tag = f"{f.network}_{f.init}_{f.reading}"
            named[f"initial_noskip_ratio_{tag}"] = _ratio(f, fields).with_ends()
    for network in dict.fromkeys(f.network for f in fields):
        shares = np.array([f.share.value for f in fields if f.skip and f.network == network])
        # A kind without a single living network makes these NaN, which no bound accepts.
        named[f"initial_share_{network}_largest"] = {"value": float(shares.max())}
        named[f"initial_share_{network}_smallest"] = {"value": float(shares.min())}
        ratios = [_ratio(f, fields) for f in fields if not f.skip and f.network == network]
        least = float(np.min([ratio.low for ratio in ratios]))
        named[f"initial_noskip_ratio_{network}_least"] = {"value": least}
    return named


def tabulate_initial(fields: Sequence[InitialField]) -> pd.DataFrame:
    """Return sizes by mass in pixels: a row a network, initialisation and reading."""
    words = {"default": "PyTorch's", "he": "He's normal", "quiet": "He's, branches at gain 0"}
    rows = []
    for f in (f for f in fields if f.skip):
        without = [g for g in fields if not g.skip and _key(g) == _key(f)]
        rows.append(
            {
                "network": f"{f.network}, field {FIELDS[f.network]} px",
                "weights": words[f.init],
                "statistics": f.reading,
                "with skips, px": _interval(f.numbers["mass"]),
                "share of the field": f"{f.share.value:.0%}",
                "without, px": _interval(without[0].numbers["mass"]) if without else "–",
            }
        )
    return pd.DataFrame(rows).set_index(["network", "weights", "statistics"])


def _build(network: str, init: str, seed: int, channels: int, *, skip: bool) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = replace(NETWORKS[network], channels=channels, init=init).build(10)
    return model if skip else without_skips(model)


def _key(f: InitialField) -> tuple[str, str, str]:
    return f.network, f.init, f.reading


def _ratio(f: InitialField, fields: Sequence[InitialField]) -> Estimate:
    """Return the size without skip connections over the size with them, seed by seed."""
    twin = next(g for g in fields if g.skip and _key(g) == _key(f))
    return _mean(f.numbers["mass"] / twin.numbers["mass"])


def _mean(values: np.ndarray) -> Estimate:
    """Return the mean over networks; one whose unit is dead on every crop has no size."""
    alive = values[np.isfinite(values)]
    return (
        mean_interval(alive, log=True) if len(alive) else Estimate(math.nan, math.nan, math.nan, 0)
    )


def _interval(values: np.ndarray) -> str:
    return _mean(values).text("{:.1f}")
