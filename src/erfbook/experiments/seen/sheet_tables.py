"""What the sheet of one channel says in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from erfbook.experiments.seen.position_measures import to_bytes
from erfbook.experiments.seen.position_runs import make_method
from erfbook.experiments.seen.position_tables import plain_weights
from erfbook.experiments.seen.sheet import Sheet, SheetConfig, configure

_ASKED = (
    *("network", "layer", "channel", "positions", "tiled", "side_px", "n_restarts", "steps"),
    "method",
)


def configure_sheet(profile: str, asked: Any) -> SheetConfig:
    """Return the configuration of a reader's parameters."""
    settings = {name: getattr(asked, name) for name in _ASKED}
    return configure(profile, weights=plain_weights(asked), **settings)


def name_sheet(sheet: Sheet) -> dict[str, dict[str, Any]]:
    """Return a sheet's results under the names that prose uses."""
    rise = sheet.responses - sheet.responses[..., :1]
    late = rise[..., -1 - max(1, (rise.shape[-1] - 1) // 10)]
    return {
        "layer": {"value": sheet.layer},
        "channel": {"value": sheet.channel},
        "field_px": {"value": int(sheet.field.size[0])},
        "inside": {"value": sheet.field.units_inside},
        "target": {"value": str(sheet.record.metrics["target"])},
        "still_rising": {"value": float(1 - late.sum() / rise[..., -1].sum())},
        "outside_moved": {"value": count_moved_outside(sheet)},
    }


def count_moved_outside(sheet: Sheet) -> int:
    """Return how many values outside their exact fields are not those of the start.

    Ascent on pixels moves none; Fourier coefficients move all, so -1 stands for not asked.
    """
    config = sheet.record.spec.config
    if config["method"] != "pixels":
        return -1
    method = make_method("pixels", config["steps"])
    side = (config["side_px"], config["side_px"])
    moved = 0
    for name, pictures in zip(sheet.names, sheet.pictures, strict=True):
        unit = sheet.unit(name)
        if unit is None:
            continue
        outside = ~sheet.field.support(unit)
        for restart, picture in enumerate(pictures):
            seed = sheet.record.spec.seed * 1000 + restart
            start = method.draw((seed, sheet.channel, unit[0] + 1, unit[1] + 1), side).numpy()
            drawn = to_bytes(start.astype(np.float32)).transpose(1, 2, 0)
            moved += int((drawn != picture)[outside].sum())
    return moved


def tabulate_sheet(sheet: Sheet) -> pd.DataFrame:
    """Return a row a position: the unit, its exact field, what is cut off, the response reached."""
    rows = {}
    for name, responses in zip(sheet.names, sheet.responses, strict=True):
        unit, box = sheet.unit(name), sheet.box(name)
        spans = None if box is None else [f"{first} to {last}" for first, last in box]
        rows[name] = {
            "unit": "all" if unit is None else f"{unit[0]}:{unit[1]}",
            "rows seen": spans[0] if spans else "all",
            "columns seen": spans[1] if spans else "all",
            "cut off": "" if unit is None else f"{sheet.cut(name):.0%}",
            "response at the start": f"{responses[:, 0].mean():.3g}",
            "reached": f"{responses[:, -1].mean():.3g}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(columns="position")
