"""Figures of what units prefer at three places of the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from erfbook.notation import percent
from erfbook.plots.style import COLORS

_STYLES = {  # colour, marker, label
    "low": (COLORS["uniform"], "o", "low"),
    "border": (COLORS["sigmoid"], "v", "low, over the border"),
    "middle": (COLORS["random"], "s", "middle"),
    "high": (COLORS["relu"], "D", "high"),
}
_PAIRS = {"edge": (0, 1), "corner": (0, 2)}


def plot_position_pictures(axes: np.ndarray, sheets: Mapping) -> np.ndarray:
    """Draw one picture of each layer's channel at each place, with the exact field as a box."""
    for column, (role, sheet) in zip(axes.T, sheets.items(), strict=True):
        for ax, place, pictures in zip(column, sheet.names, sheet.pictures, strict=True):
            draw_picture(ax, pictures[0], sheet.box(place), _STYLES[role][0])
            ax.set_xlabel(f"{percent(sheet.cut(place))} cut off")
        column[0].set_title(f"{role}: field {sheet.field.size[0]} px\nchannel {sheet.channel}")
    for ax, place in zip(axes[:, 0], next(iter(sheets.values())).names, strict=True):
        ax.set_ylabel(place)
    return axes


def plot_position_middle(axes: np.ndarray, sheet) -> np.ndarray:
    """Draw the middle layer's channel: a row a place, a column a restart."""
    return _draw_restarts(axes, sheet, _STYLES["middle"][0])


def plot_position_high(axes: np.ndarray, sheet) -> np.ndarray:
    """Draw the high layer's channel: a row a place, a column a restart."""
    return _draw_restarts(axes, sheet, _STYLES["high"][0])


def plot_position_similarity(axes: np.ndarray, layers: Mapping) -> np.ndarray:
    """Draw similarity within and between places, a space an axis, a row a layer."""
    keys = list(layers)
    rows = np.arange(len(keys))
    for ax, space, title in zip(axes, ("pixels", "features"), ("pixels", "features"), strict=True):
        for shift, which in ((-0.13, 0), (0.13, 1)):
            found = [layers[key].means(space)[which] for key in keys]
            style = {"color": COLORS["paper"] if which else COLORS["uniform"]}
            label = "between places" if which else "within a place"
            _across(ax, found, rows + shift, marker="s" if which else "o", label=label, **style)
        ax.axvline(0, color=COLORS["neutral"], linewidth=0.8)
        ax.set_title(title)
        ax.set_xlabel("correlation")
        _rows(ax, keys, ax is axes[0])
    _legend_below(axes[0], 2)
    return axes


def plot_position_cut(ax: plt.Axes, layers: Mapping) -> plt.Axes:
    """Draw how much places differ against the share of the outer place's field that is cut off."""
    for key, layer in layers.items():
        color, marker, label = _STYLES[key.removesuffix("_ring")]
        ring = key.endswith("_ring")
        cut = np.array([100 * layer["cut"][place] for place in _PAIRS]) + (0.8 if ring else 0)
        found = [layer.gap("features", pair) for pair in _PAIRS.values()]
        label = f"{label}, on a ring" if ring else label
        fill = {"markerfacecolor": "none"} if ring else {}
        _points(ax, cut, found, color=color, marker=marker, linestyle="", label=label, **fill)
    ax.axhline(0, color=COLORS["neutral"], linewidth=0.8)
    ax.set_xlabel("share of the outer place's field outside the image, %")
    ax.set_ylabel("within less between, features")
    _legend_below(ax, 2)
    return ax


def plot_position_sensitivity(axes: np.ndarray, layers: Mapping) -> np.ndarray:
    """Draw the gradient by distance within the field (left) and by the unit's place (right)."""
    for key in ("low", "middle", "high"):
        layer, (color, marker, label) = layers[key], _STYLES[key]
        style = {"color": color, "marker": marker, "markersize": 4, "linewidth": 1.4}
        rings = layer.record.arrays["rings"]
        at = (np.arange(len(rings)) + 0.5) / len(rings)
        axes[0].plot(at, rings / rings[0], label=f"{label}, {layer['field_px']} px", **style)
        place, gain = (layer.record.arrays[name] for name in ("gain_at_px", "gain"))
        side = layer.record.spec.config["side_px"]
        axes[1].plot(abs(place + 0.5 - side / 2) / (side / 2), gain / gain[0], label=label, **style)
    axes[0].set_yscale("log")
    axes[0].set_xlabel("distance from the field's centre,\nin halves of the field")
    axes[0].set_ylabel("gradient a pixel, relative")
    axes[1].set_xlabel("distance from the image's centre,\nin halves of the image")
    axes[1].set_ylabel("gradient of a unit, relative")
    axes[1].set_ylim(bottom=0)
    axes[1].axhline(1, color=COLORS["neutral"], linewidth=0.8)
    _legend_below(axes[0], 3)
    return axes


def plot_position_transfer(axes: np.ndarray, layers: Mapping) -> np.ndarray:
    """Draw what the corner reaches, and what centre's and corner's pictures are worth exchanged."""
    keys = list(layers)
    rows = np.arange(len(keys))
    panels = (
        ("corner's response\nover centre's", lambda layer: layer.attains(2)),
        ("centre's picture\nat the corner", lambda layer: layer.survives(0, 2)),
        ("corner's picture\nat the centre", lambda layer: layer.survives(2, 0)),
    )
    for ax, (title, read) in zip(axes, panels, strict=True):
        for row, key in zip(rows, keys, strict=True):
            color, marker, _ = _STYLES[key.removesuffix("_ring")]
            fill = {"markerfacecolor": "none"} if key.endswith("_ring") else {}
            _across(ax, [read(layers[key])], [row], marker=marker, color=color, **fill)
        ax.axvline(1, color=COLORS["neutral"], linewidth=0.8)
        ax.set_title(title)
        ax.set_xlim(0, 1.25)
        ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        _rows(ax, keys, ax is axes[0])
    return axes


def draw_picture(ax: plt.Axes, picture: np.ndarray, box, color: str) -> plt.Axes:
    """Draw a picture without ticks and, where a box is given, the field around a cross."""
    side = picture.shape[0]
    ax.imshow(picture, interpolation="bicubic")
    if box is not None:
        (top, bottom), (left, right) = box
        shape = (left - 0.5, top - 0.5), right - left + 1, bottom - top + 1
        ax.add_patch(Rectangle(*shape, fill=False, edgecolor="white", linewidth=2.2))
        ax.add_patch(Rectangle(*shape, fill=False, edgecolor=color, linewidth=1.3))
        ax.plot((left + right) / 2, (top + bottom) / 2, "+", color="white", markersize=7)
    ax.set_xlim(-0.5, side - 0.5)
    ax.set_ylim(side - 0.5, -0.5)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    return ax


def _draw_restarts(axes: np.ndarray, sheet, color: str) -> np.ndarray:
    for row, place, pictures in zip(axes, sheet.names, sheet.pictures, strict=False):
        for ax, picture in zip(row, pictures, strict=False):
            draw_picture(ax, picture, sheet.box(place), color)
        row[0].set_ylabel(f"{place},\n{percent(sheet.cut(place))} cut off")
    for i, ax in enumerate(axes[0], start=1):
        ax.set_title(f"restart {i}")
    return axes


def _rows(ax: plt.Axes, keys: list[str], named: bool) -> None:
    labels = [_STYLES[k.removesuffix("_ring")][2] + (", ring" if "ring" in k else "") for k in keys]
    ax.set_yticks(range(len(keys)), labels if named else [""] * len(keys))
    ax.set_ylim(len(keys) - 0.5, -0.5)


def _errors(found) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([e.value for e in found])
    ends = np.stack([values - [e.low for e in found], [e.high for e in found] - values])
    return values, np.maximum(ends, 0)


def _across(ax: plt.Axes, found, rows, **style) -> None:
    values, ends = _errors(found)
    ax.errorbar(values, rows, xerr=ends, linestyle="", markersize=5, linewidth=1.2, **style)


def _points(ax: plt.Axes, x, found, **style) -> None:
    values, ends = _errors(found)
    ax.errorbar(x, values, yerr=ends, markersize=6, linewidth=1.2, **style)


def _legend_below(ax: plt.Axes, columns: int) -> None:
    handles, labels = ax.get_legend_handles_labels()
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "columnspacing": 1.2}
    ax.figure.legend(handles, labels, **place)
