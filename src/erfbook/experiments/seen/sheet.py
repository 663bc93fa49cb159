"""Experiment ``unit-sheet``: what one channel prefers at chosen positions and everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from erfbook import featurevis, rf
from erfbook.errors import UserError
from erfbook.experiments.registry import Experiment, Outcome, Workspace
from erfbook.experiments.seen import position_network as networks
from erfbook.experiments.seen.position_measures import to_bytes
from erfbook.experiments.seen.position_runs import LITE0, make_method
from erfbook.records import Record

PLACES = {
    **{"centre": (0.5, 0.5), "edge": (networks.INSET, 0.5)},
    **{"corner": (networks.INSET, networks.INSET), "border": (0.0, 0.0)},
}


@dataclass(frozen=True, kw_only=True)
class SheetConfig:
    """One channel of one layer.

    Args:
        name: of the configuration.
        network, weights: as :func:`erfbook.models.load_model` takes them.
        layer: path of the module.
        channel: of its output.
        positions: names of :data:`PLACES`, or ``row:column`` on the layer's grid.
        tiled: whether pictures for all positions at once are made too.
        side_px: side of the images.
        n_restarts: pictures of each kind.
        steps: of the ascent.
        method: ``pixels`` or ``fourier``.
        dataset: none is read.
    """

    name: str
    network: str = LITE0
    weights: str = ""
    layer: str = "_blocks.4"
    channel: int = 0
    positions: tuple[str, ...] = ("centre", "edge", "corner")
    tiled: bool = True
    side_px: int = 80
    n_restarts: int = 3
    steps: int = 48
    method: str = "pixels"
    dataset: str = ""


@dataclass(frozen=True)
class Sheet:
    """The pictures of one channel.

    Args:
        record: of the run.
        field: exact receptive field of the layer's units.
    """

    record: Record
    field: rf.Field

    @property
    def names(self) -> tuple[str, ...]:
        """Of the positions, and ``everywhere`` last where it was asked for."""
        config = self.record.spec.config
        return (*config["positions"], *(["everywhere"] if config["tiled"] else []))

    @property
    def layer(self) -> str:
        """Path of the module."""
        return str(self.record.spec.config["layer"])

    @property
    def channel(self) -> int:
        """Of its output."""
        return int(self.record.spec.config["channel"])

    @property
    def pictures(self) -> np.ndarray:
        """Colours in one byte, (position, restart, rows, columns, 3)."""
        return self.record.arrays["pictures"]

    @property
    def responses(self) -> np.ndarray:
        """Response before every step and after the last, (position, restart, step)."""
        return self.record.arrays["responses"].astype(np.float64)

    def unit(self, name: str) -> tuple[int, int] | None:
        """Return a position's unit; None for all of them."""
        unit = self.record.metrics["units"][name]
        return None if unit is None else (unit[0], unit[1])

    def box(self, name: str) -> rf.fields.Box | None:
        """Return the field of a position, as far as the image goes and beyond."""
        unit = self.unit(name)
        return None if unit is None else self.field.region(unit)

    def cut(self, name: str) -> float:
        """Return the share of a position's field that lies outside the image; NaN for all."""
        unit = self.unit(name)
        if unit is None:
            return float("nan")
        shares = []
        for (first, last), n in zip(self.field.region(unit), self.field.input_size, strict=True):
            shares.append((min(last, n - 1) - max(first, 0) + 1) / (last - first + 1))
        return 1 - shares[0] * shares[1]


def run_sheet(config: SheetConfig, seed: int, workspace: Workspace) -> Outcome:
    """Make the pictures of one channel."""
    trunk, field = _load(config)
    units = choose_positions(field, config.positions)
    trunk = trunk.to(workspace.device)
    asked: dict[str, networks.Unit | None] = {
        **units,
        **({"everywhere": None} if config.tiled else {}),
    }
    pictures, responses, notes = [], [], set()
    for group in (list(units.values()), None):
        if group is None and not config.tiled:
            continue
        result = featurevis.optimize(
            trunk,
            "",
            config.channel,
            group,
            size=(config.side_px, config.side_px),
            seeds=[seed * 1000 + i for i in range(config.n_restarts)],
            method=make_method(config.method, config.steps),
            settings=featurevis.Settings(progress=workspace.progress),
        )
        shape = (1 if group is None else len(group), config.n_restarts)
        images = to_bytes(result.images).transpose(0, 2, 3, 1)
        pictures.append(images.reshape(*shape, *images.shape[1:]))
        responses.append(result.activations.reshape(*shape, -1).astype(np.float32))
        notes |= set(result.notes)
    metrics = {
        "units": {name: None if unit is None else list(unit) for name, unit in asked.items()},
        # The network ends with the layer, which is therefore the module without a name.
        "target": result.target.replace("''", repr(config.layer)),
        "notes": sorted(notes),
    }
    return Outcome(
        metrics, {"pictures": np.concatenate(pictures), "responses": np.concatenate(responses)}
    )


def choose_positions(field: rf.Field, asked: Sequence[str]) -> dict[str, networks.Unit]:
    """Return units by the names or ``row:column`` that a reader gives.

    Raises:
        UserError: neither a place nor a unit of the grid, or a unit given twice.
    """
    units: dict[str, networks.Unit] = {}
    for word in asked:
        row, colon, column = word.partition(":")
        if word in PLACES:
            units[word] = networks.nearest_unit(field, PLACES[word])
        elif colon and row.strip().isdecimal() and column.strip().isdecimal():
            units[word] = int(row), int(column)
        else:
            raise UserError(
                f"positions must be {', '.join(PLACES)} or row:column, not {word!r}; rows go to "
                f"{field.grid[0] - 1} and columns to {field.grid[1] - 1} here"
            )
        if units[word][0] >= field.grid[0] or units[word][1] >= field.grid[1]:
            last = f"{field.grid[0] - 1}:{field.grid[1] - 1}"
            raise UserError(f"position {word} is outside the layer's grid, which ends at {last}")
    if not units or len(set(units.values())) < len(asked):
        raise UserError(f"positions must be different units, one or more, not {', '.join(asked)}")
    return units


def open_sheet(record: Record) -> Sheet:
    """Return a run's pictures with the layer's exact field."""
    config = record.spec.config
    fields = SheetConfig.__dataclass_fields__
    kept: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in fields
    }
    return Sheet(record, _load(SheetConfig(**kept))[1])


def _load(config: SheetConfig) -> tuple[networks.Trunk, rf.Field]:
    model = networks.load_network(config.network, config.weights)
    trunk = networks.cut_behind(model, config.layer, config.side_px)
    field = networks.field_of(trunk, config.side_px)
    with torch.no_grad():
        n_known = trunk(torch.zeros(1, 3, config.side_px, config.side_px)).shape[1]
    if not 0 <= config.channel < n_known:
        raise UserError(
            f"channel must lie in 0 to {n_known - 1} at {config.layer!r}, not {config.channel}"
        )
    return trunk, field


def configure(profile: str, **changes) -> SheetConfig:
    """Return the configuration of a sheet; ``changes`` name its channel and all that differs."""
    sizes = SIZES[profile] | changes
    layer, channel = sizes.get("layer", SheetConfig.layer), sizes.get("channel", 0)
    return SheetConfig(name=f"{profile}: {layer}, channel {channel}", **sizes)


SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"side_px": 64, "n_restarts": 2, "steps": 4},
    "laptop": {"side_px": 128, "n_restarts": 3, "steps": 48},
    "paper": {"side_px": 224, "n_restarts": 3, "steps": 256},
}
UNIT_SHEET = Experiment(
    name="unit-sheet",
    version=1,
    summary="what one channel prefers at chosen positions, and everywhere at once",
    config=SheetConfig,
    plans={name: ((configure(name), 1),) for name in SIZES},
    run=run_sheet,
    fingerprint=lambda config: networks.weights_fingerprint(config.network, config.weights),
    can_pause=False,
)
