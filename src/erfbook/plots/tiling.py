"""Figures of pictures that drive all units of a channel, beside those for one unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from erfbook.plots.style import COLORS, HEATMAP

LEVELS = ("low", "middle", "high")
_KINDS = {
    "tiled": ("all units (tiled)", COLORS["trained"], "o"),
    "single": ("one unit", COLORS["untrained"], "s"),
    "torus": ("all units, no borders", COLORS["tanh"], "^"),
    "photograph": ("photographs", COLORS["uniform"], "D"),
}
Named = Mapping[str, Mapping]


def plot_tiling_pictures(
    axes: np.ndarray, levels: Mapping, shown: Mapping[str, int], columns: Sequence[tuple[str, int]]
) -> np.ndarray:
    """Draw one channel's pictures, a row a level, a column a kind and restart.

    Args:
        axes: a row a level.
        levels: levels by name.
        shown: place of the channel to draw, by level.
        columns: (kind, restart).
    """
    for row, (name, level) in zip(axes, levels.items(), strict=True):
        for ax, (kind, restart) in zip(row, columns, strict=True):
            picture = level.arrays[f"pictures_{kind}"][shown[name], restart]
            _draw(ax, picture)
            if name == LEVELS[0]:
                ax.set_title(f"{_KINDS[kind][0]},\nrestart {restart + 1}")
        number = level.channels[shown[name]]
        row[0].set_ylabel(f"{name}: field {level.field_px} px\nchannel {number}")
    return axes


def plot_tiling_sheet(axes: np.ndarray, levels: Mapping, n: int) -> np.ndarray:
    """Draw a tiled picture of ``n`` channels of each level, in the order they were numbered."""
    rows = len(axes) // len(levels)
    for i, (name, level) in enumerate(levels.items()):
        places = axes[i * rows : (i + 1) * rows].ravel()
        pictures = level.arrays["pictures_tiled"][:, 0]
        for j, ax in enumerate(places):
            ax.set_axis_off()
            if j < min(n, len(pictures)):
                ax.set_axis_on()
                _draw(ax, pictures[j])
                ax.set_xlabel(str(level.channels[j]), labelpad=1)
        axes[i * rows, 0].set_ylabel(f"{name}: {level.field_px} px")
    return axes


def plot_tiling_likeness(axes: np.ndarray, named: Named) -> np.ndarray:
    """Draw how alike restarts are beyond strangers, a panel a space."""
    words = {"layout": "layout", "details": "details", "features": "deep features"}
    for ax, (space, title) in zip(axes, words.items(), strict=True):
        ax.axhline(0, color=COLORS["neutral"], linewidth=0.8)
        for i, kind in enumerate(("tiled", "single", "torus")):
            _points(ax, named, f"{space}_excess_{kind}", kind, 0.22 * (i - 1))
        ax.set_title(title)
        ax.set_ylim(-0.15, 1.05)
    axes[0].set_ylabel("agreement of restarts")
    _legend_below(axes)
    return axes


def plot_tiling_lengths(ax: plt.Axes, named: Named) -> plt.Axes:
    """Draw correlation lengths beside the exact and the effective field of every level."""
    for i, kind in enumerate(("tiled", "single", "torus")):
        _points(ax, named, f"length_{kind}", kind, 0.16 * (i - 1))
    for name, style, words in (("field", "-", "exact field"), ("effective", ":", "effective")):
        values = [named[f"{name}_{level}"]["value"] for level in LEVELS]
        for place, value in enumerate(values):
            ax.hlines(
                value, place - 0.35, place + 0.35, color=COLORS["predicted"], linestyle=style,
                linewidth=1.4, label=words if place == 0 else "",
            )  # fmt: skip
    ax.set_yscale("log")
    ax.set_yticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
    ax.minorticks_off()
    ax.set_ylabel("correlation length, px")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def plot_tiling_sparseness(axes: np.ndarray, named: Named) -> np.ndarray:
    """Draw sparseness and peaks of the channel's map, and what units get of their best."""
    for ax, name, title in zip(
        axes[:2], ("sparse", "peaks"), ("sparseness", "peaks in the map"), strict=True
    ):
        for i, kind in enumerate(("tiled", "single", "photograph")):
            _points(ax, named, f"{name}_{kind}", kind, 0.22 * (i - 1))
        ax.set_title(title)
        ax.set_ylim(bottom=0)
    parts = {
        "per_unit": ("mean unit", COLORS["relu"], "v"),
        "half_driven": ("units with half or more", COLORS["paper"], "P"),
        "from_single": ("channel, from one unit's", COLORS["sigmoid"], "X"),
    }
    for i, (name, style) in enumerate(parts.items()):
        _points(axes[2], named, name, "", 0.22 * (i - 1), style)
    axes[2].set_title("share of response")
    axes[2].set_ylim(bottom=0)
    _legend_below(axes[::2])
    return axes


def plot_tiling_style(axes: np.ndarray, named: Named) -> np.ndarray:
    """Draw spectrum slopes, edge kurtoses and distances in features, beside photographs."""
    titles = {
        "slope": "slope of the spectrum",
        "kurtosis": "kurtosis of edges",
        "away": "distance in features",
    }
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        kinds = ("tiled", "single") if name == "away" else ("tiled", "single", "photograph")
        for i, kind in enumerate(kinds):
            _points(ax, named, f"{name}_{kind}", kind, 0.22 * (i - 1))
        ax.set_title(title)
    axes[2].axhline(1, color=_KINDS["photograph"][1], linewidth=1.2)
    _legend_below(axes)
    return axes


def plot_tiling_link(axes: np.ndarray, levels: Mapping, shown: Mapping[str, int]) -> np.ndarray:
    """Draw a single unit's local contrast over its effective field, a column a level."""
    for column, (name, level) in enumerate(levels.items()):
        for row, (array, words) in enumerate(
            (
                ("contrast_map", "contrast of\nits picture"),
                ("effective_map", "its effective\nfield"),
            )
        ):
            ax = axes[row, column]
            ax.imshow(level.arrays[array][shown[name]], cmap=HEATMAP, interpolation="none")
            _bare(ax)
            if column == 0:
                ax.set_ylabel(words)
        side = level.arrays["effective_map"].shape[-1]
        axes[0, column].set_title(f"{name}: field {level.field_px} px\n({side} px shown)")
    return axes


def _draw(ax: plt.Axes, picture: np.ndarray) -> None:
    ax.imshow(np.moveaxis(picture, 0, -1), interpolation="none")  # kept as it is in the SVG
    _bare(ax)


def _bare(ax: plt.Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def _points(
    ax: plt.Axes, named: Named, name: str, kind: str, shift: float, style: tuple = ()
) -> None:
    """Draw one result at the three levels, with its interval."""
    label, color, marker = style or _KINDS[kind]
    found = [named[f"{name}_{level}"] for level in LEVELS]
    values = np.array([r["value"] for r in found], dtype=float)
    ends = [(r.get("low", r["value"]), r.get("high", r["value"])) for r in found]
    errors = np.abs(np.array(ends, dtype=float).T - values)
    places = np.arange(len(LEVELS)) + shift
    ax.errorbar(
        places, values, errors, color=color, marker=marker, markersize=5, linewidth=1.2,
        linestyle="", label=label,
    )  # fmt: skip
    ax.set_xticks(range(len(LEVELS)), LEVELS)
    ax.set_xlim(-0.5, len(LEVELS) - 0.5)


def _legend_below(axes: np.ndarray) -> None:
    entries: dict[str, Any] = {}
    for ax in axes.flat:
        handles, labels = ax.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    where: dict[str, Any] = {"loc": "outside lower center", "ncols": 3, "columnspacing": 1.2}
    axes.flat[0].get_figure().legend(list(entries.values()), list(entries), **where)
