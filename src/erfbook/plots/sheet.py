"""Figures of one channel: its pictures, and how its response rose."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from erfbook.notation import percent
from erfbook.plots.position import draw_picture
from erfbook.plots.style import COLORS

_COLORS = [COLORS[name] for name in ("uniform", "random", "relu", "tanh", "sigmoid", "paper")]


def plot_sheet_pictures(axes: np.ndarray, sheet) -> np.ndarray:
    """Draw every picture: a row a position, a column a restart, with the exact field as a box."""
    for i, (row, name, pictures) in enumerate(zip(axes, sheet.names, sheet.pictures, strict=True)):
        for ax, picture in zip(row, pictures, strict=True):
            draw_picture(ax, picture, sheet.box(name), _COLORS[i % len(_COLORS)])
        unit, cut = sheet.unit(name), sheet.cut(name)
        label = name if unit is None else f"{name} {unit}\n{percent(cut)} cut off"
        row[0].set_ylabel(label)
    for i, ax in enumerate(axes[0], start=1):
        ax.set_title(f"restart {i}")
    return axes


def plot_sheet_responses(ax: plt.Axes, sheet) -> plt.Axes:
    """Draw the response at every step, a colour a position, a line a restart."""
    for i, (name, curves) in enumerate(zip(sheet.names, sheet.responses, strict=True)):
        style: dict[str, Any] = {"color": _COLORS[i % len(_COLORS)], "linewidth": 1.2}
        label = "everywhere, mean" if sheet.unit(name) is None else name
        for j, curve in enumerate(curves):
            dashes = (0, (4, 2)) if sheet.unit(name) is None else "-"
            ax.plot(curve, linestyle=dashes, label=label if j == 0 else None, **style)
    ax.set_xlabel("step")
    ax.set_ylabel("response")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax
