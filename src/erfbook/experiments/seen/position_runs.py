"""Experiment ``unit-positions``: pictures of many channels at three places of the image.

Position s. "RF specificity as a function of RF position" shows one unit a layer; a run asks as many
channels as it is told to, drawn without a look, and keeps what is needed to compare their pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

from erfbook import datasets, featurevis, rf
from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.experiments.seen import position_measures as measures
from erfbook.experiments.seen import position_network as networks
from erfbook.records import compact

LITE0 = "efficientnet_lite0"
METHODS = ("pixels", "fourier")
_N_PLACES_OF_ROW = 6  # places between the centre and the border where the gain is measured


@dataclass(frozen=True, kw_only=True)
class PositionConfig:
    """One layer of one network.

    Args:
        name: of the configuration.
        network, weights: as :func:`erfbook.models.load_model` takes them; empty weights for the
            model's usual ones.
        role: which layer, one of :data:`position_network.ROLES`.
        padding: the network's own zeros, or circular.
        inset: distance of the outer places from the border, in sides of the image.
        side_px: side of the images.
        n_channels: channels tested.
        n_restarts: pictures of each at each place.
        steps: of the ascent.
        method: ``pixels``, which is the paper's, or ``fourier``.
        n_photographs: crops of photographs on which gradients are measured.
        dataset: none is read by name.
    """

    name: str
    network: str = LITE0
    weights: str = ""
    role: str = "low"
    padding: str = "zeros"
    inset: float = networks.INSET
    side_px: int = 80
    n_channels: int = 20
    n_restarts: int = 2
    steps: int = 14
    method: str = "pixels"
    n_photographs: int = 6
    dataset: str = ""


def make_method(name: str, steps: int) -> featurevis.PixelAscent | featurevis.FourierAscent:
    """Return an ascent of a number of steps; with few of them each is larger."""
    if name == "fourier":
        return featurevis.FourierAscent(steps=steps, learning_rate=max(0.05, 2.4 / steps))
    step = min(0.12, max(0.04, 1.6 / steps))
    return featurevis.PixelAscent(steps=steps, step=step)


def run_positions(config: PositionConfig, seed: int, workspace: Workspace) -> Outcome:
    """Make the pictures of one layer's channels at three places, and compare them."""
    model = networks.load_network(config.network, config.weights)
    layer = networks.choose_layers(model, config.side_px)[config.role].path
    plain = networks.cut_behind(model, layer, config.side_px)
    field = networks.field_of(plain, config.side_px)
    trunk = networks.pad(plain, config.padding)
    units = networks.choose_units(field, config.inset)
    with torch.no_grad():
        n_known = plain(torch.zeros(1, 3, config.side_px, config.side_px)).shape[1]
    channels = networks.draw_channels(n_known, config.n_channels, seed)
    shown = _make_pictures(config, seed, workspace, trunk.to(workspace.device), channels, units)
    images, attained = shown
    trunk, model = trunk.cpu(), model.cpu()
    aligned = measures.align(field, tuple(units.values()))
    features = networks.choose_features(model, field, config.side_px)
    reader = networks.Trunk(model, features)
    arrays = _compare(images, aligned, reader)
    responses = measures.Responses(trunk, config.side_px, channels)
    arrays |= _transfer(images, attained, responses, field, units, config)
    arrays |= _gains(config, responses, field)
    metrics = {
        "layer": layer,
        "features": features,
        "field_px": int(field.size[0]),
        "stride_px": int(field.stride[0] or 0),
        "grid": list(field.grid),
        "units": {name: list(unit) for name, unit in units.items()},
        "cut": dict(zip(units, aligned.cut, strict=True)),
        "common_px": list(aligned.shape),
        "share_inside": field.units_inside,
        "channels": list(channels),
        "n_known": n_known,
    }
    return Outcome(metrics, arrays)


def _make_pictures(
    config: PositionConfig, seed: int, workspace: Workspace, trunk, channels, units
) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures (channel, place, restart, 3, side, side) and what the units reached."""
    result = featurevis.optimize(
        trunk,
        "",
        channels,
        list(units.values()),
        size=(config.side_px, config.side_px),
        seeds=[seed * 1000 + i for i in range(config.n_restarts)],
        method=make_method(config.method, config.steps),
        settings=featurevis.Settings(progress=workspace.progress, checkpoint=workspace.checkpoint),
    )
    shape = (len(channels), len(units), config.n_restarts)
    images = result.images.astype(np.float32).reshape(*shape, *result.images.shape[1:])
    return images, result.activations[:, -1].reshape(shape)


def _compare(images, aligned: measures.Alignment, reader: networks.Trunk) -> dict[str, np.ndarray]:
    """Return similarities of all of a channel's pictures, and those of different channels."""
    n_channels, n_places, n_restarts = images.shape[:3]
    crops = np.stack([aligned.crop(images[:, i], i) for i in range(n_places)], axis=1)
    flat = crops.reshape(n_channels * n_places * n_restarts, *crops.shape[3:])
    spaces = {"pixels": flat.reshape(len(flat), -1), "features": measures.describe(reader, flat)}
    arrays: dict[str, np.ndarray] = {}
    for name, vectors in spaces.items():
        each = vectors.reshape(n_channels, n_places * n_restarts, -1).astype(np.float64)
        arrays |= compact(f"{name}_alike", measures.correlate(each))
        # Of other channels at the same place and restart: what the method alone makes alike.
        others = measures.correlate(np.swapaxes(each, 0, 1))
        off = others[:, ~np.eye(n_channels, dtype=bool)]
        arrays[f"{name}_others"] = np.array([off.mean() if off.size else np.nan])
    arrays["complexity"] = measures.complexity(flat).reshape(n_channels, n_places, n_restarts)
    return arrays


def _transfer(
    images, attained, responses: measures.Responses, field: rf.Field, units, config: PositionConfig
) -> dict[str, np.ndarray]:
    """Return the response to one place's picture at another, (channel, from, to), and to grey."""
    n_channels, n_places, n_restarts = images.shape[:3]
    by_channel = np.repeat(np.arange(n_channels), n_restarts)
    grey = np.full((1, *images.shape[3:]), measures.GREY, dtype=np.float32)
    worth = np.empty((n_channels, n_places, n_places))
    places = list(units.values())
    base = [
        np.array([responses.of(grey, [c], unit)[0] for c in range(n_channels)]) for unit in places
    ]
    for a, b in product(range(n_places), repeat=2):
        by = tuple((places[b][k] - places[a][k]) * int(field.stride[k] or 0) for k in (0, 1))
        pasted = measures.move(images[:, a], by, circular=config.padding == "circular")
        flat = pasted.reshape(n_channels * n_restarts, *pasted.shape[2:])
        found = responses.of(flat, by_channel, places[b]).reshape(n_channels, n_restarts)
        worth[:, a, b] = found.mean(axis=1)
    return {"attained": attained, "at_grey": np.stack(base, axis=1), "worth": worth}


def _gains(config: PositionConfig, responses: measures.Responses, field: rf.Field):
    """Return gradients by position along the central row, and by distance within the field."""
    crops = _load_photographs(config.n_photographs, config.side_px)
    row, middle = networks.nearest_unit(field, (0.5, 0.5))
    n = min(_N_PLACES_OF_ROW, middle + 1)
    columns = [round(c) for c in np.linspace(middle, 0, n)]
    units = [(row, column) for column in columns]
    gains, squares = measures.measure_gains(responses, crops, units, 1, 0)
    return {
        "gain": gains,
        "gain_at_px": np.array([field.centre(unit)[1] for unit in units]),
        "rings": measures.ring_profile(squares, field, units[0]),
    }


def _load_photographs(n: int, side_px: int) -> torch.Tensor:
    """Return crops of photographs in display range."""
    crops, _ = datasets.crop_photographs(datasets.load_photographs(), n, side_px, 0)
    return crops.float() / 255


def plan(profile: str, **changes) -> tuple[PositionConfig, ...]:
    """Return a profile's configurations: each layer as it is, and the larger ones on a ring.

    The low layer is asked a second time with its field over the border. It is not put on a ring:
    its fields do not reach the border, so its pictures would be the same.
    """
    sizes = SIZES[profile] | changes
    found = []
    for role, padding, inset in PARTS:
        name = f"{profile}: {role}, {padding}" + ("" if inset else ", at the border")
        parts: dict[str, Any] = {"name": name, "role": role, "padding": padding, "inset": inset}
        found.append(PositionConfig(**parts, **sizes))
    return tuple(found)


PARTS = (
    ("low", "zeros", networks.INSET),
    ("low", "zeros", 0.0),
    ("middle", "zeros", networks.INSET),
    ("high", "zeros", networks.INSET),
    ("middle", "circular", networks.INSET),
    ("high", "circular", networks.INSET),
)
SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"side_px": 64, "n_channels": 3, "n_restarts": 2, "steps": 4, "n_photographs": 2},
    "laptop": {"side_px": 80, "n_channels": 20, "n_restarts": 2, "steps": 14},
    "paper": {"side_px": 224, "n_channels": 64, "n_restarts": 4, "steps": 96, "n_photographs": 32},
}
UNIT_POSITIONS = Experiment(
    name="unit-positions",
    version=1,
    summary="pictures of many channels at three places of the image (position figures 1 to 3)",
    config=PositionConfig,
    plans={name: tuple((config, 1) for config in plan(name)) for name in SIZES},
    run=run_positions,
    fingerprint=lambda config: networks.weights_fingerprint(config.network, config.weights),
    can_pause=False,
)
