"""Figures of measured effective receptive fields beside their exact predictions."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter, ScalarFormatter

from erfbook.notation import count
from erfbook.plots.style import COLORS, HEATMAP, paper_reference

_MARKERS = ("o", "s", "^", "D", "v")
_SERIES = tuple(COLORS[name] for name in ("uniform", "random", "relu", "tanh", "sigmoid"))
_PREDICTED: dict[str, Any] = {"color": COLORS["predicted"], "linewidth": 1.2}


def plot_shapes(axes: np.ndarray, panels_by_kind: dict) -> np.ndarray:
    """Draw figure 1: a row a kind of network, a column a depth, each map to its own peak."""
    for row, panels in zip(axes, panels_by_kind.values(), strict=True):
        for ax, panel in zip(row, panels, strict=True):
            _heat(ax, panel.measured)
            if ax in axes[0]:
                ax.set_title(f"{len(panel.layers)} layers\n{panel.field_px} px")
        row[0].set_ylabel(panels[0].network.label.replace(", ", "\n"), fontsize=9)
    return axes


def plot_profiles(axes: np.ndarray, panels_by_kind: dict) -> np.ndarray:
    """Draw profiles of all depths, an axis a kind: points measured, lines predicted."""
    for ax, panels in zip(axes, panels_by_kind.values(), strict=True):
        for panel, colour, marker in zip(panels, _SERIES, _MARKERS, strict=False):
            _profile(ax, panel, color=colour, marker=marker, label=f"{len(panel.layers)} layers")
        ax.set_title(panels[0].network.label)
        ax.set_xlabel("offset from the centre, px")
        ax.set_xlim(-25, 25)
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("share of the map's mass")
    handles = axes[0].get_legend_handles_labels()
    axes[0].get_figure().legend(*handles, loc="outside lower center", ncols=len(handles[0]))
    return axes


def plot_all_zero(ax: plt.Axes, fractions: dict) -> plt.Axes:
    """Draw how often the whole gradient is zero against depth, a line a width."""
    widths = sorted({width for width, _ in fractions})
    depths = sorted({depth for _, depth in fractions})
    for i, width in enumerate(widths):
        found = [fractions[width, depth] for depth in depths]
        x = np.array(depths) * 1.03 ** (i - (len(widths) - 1) / 2)  # side by side, not on top
        label = count(width, "channel")
        _points(ax, x, found, color=_SERIES[i], marker=_MARKERS[i], linestyle="-", label=label)
    ax.axhline(0.5, label="least expected", **_PREDICTED)
    _log_depth(ax, depths)
    ax.set_ylabel("share of runs, all zero")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_ylim(0.4, 0.9)
    ax.legend(ncols=2, loc="upper left")
    return ax


def plot_nonlinearities(axes: np.ndarray, panels: dict) -> np.ndarray:
    """Draw a heat map a nonlinearity, and below it the profile against the prediction."""
    for (top, bottom), (name, panel) in zip(axes.T, panels.items(), strict=True):
        _heat(top, panel.measured)
        top.set_title(panel.network.label)
        top.set_xlabel(f"{panel.field_px} px")
        _profile(bottom, panel, color=COLORS[name], marker="o", label="measured")
        bottom.set_xlabel("offset, px")
        bottom.set_ylim(bottom=0)
    axes[1, 0].set_ylabel("share of the map's mass")
    return axes


def plot_size_growth(axes: np.ndarray, curves: list) -> np.ndarray:
    """Draw size and its ratio to the theoretical field against depth, on logarithmic axes."""
    for i, curve in enumerate(curves):
        style = {**_kind_style(curve.network), "label": curve.name}
        fields = curve.predicted.receptive_fields
        for ax, scale in zip(axes, (1.0, fields), strict=True):
            x = curve.depths * 1.012 ** (i - (len(curves) - 1) / 2)
            errors = np.stack([curve.sizes - curve.sizes_low, curve.sizes_high - curve.sizes])
            errors = np.maximum(errors, 0) / scale
            ax.errorbar(x, curve.sizes / scale, errors, linestyle="", elinewidth=1, **style)
    for ax, values in zip(axes, ("sizes", "ratios"), strict=True):
        for curve in {c.predicted.sizes[-1]: c for c in curves}.values():
            is_square = curve.statistic == "square" or curve.network.weights == "ones"
            line = {"linestyle": ":" if is_square else "-", "zorder": 0, **_PREDICTED}
            label = "exact, g²" if is_square else "exact, |g|"
            ax.plot(curve.depths, getattr(curve.predicted, values), label=label, **line)
        ax.set_yscale("log")
        _log_depth(ax, [d for d in (10, 20, 30, 50, 70, 100) if d in curves[0].depths])
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("size, px")
    axes[0].yaxis.set_major_locator(FixedLocator([10, 20, 30, 40, 50, 60]))
    axes[0].yaxis.set_major_formatter(ScalarFormatter())
    axes[1].set_ylabel("size / theoretical field")
    axes[1].yaxis.set_major_locator(FixedLocator([0.2, 0.3, 0.5, 0.7]))
    axes[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0].get_figure().legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2
    )
    return axes


def plot_slopes(axes: np.ndarray, curves: dict, repeats: dict, paper: dict) -> np.ndarray:
    """Draw both slopes of every curve: measured, predicted, repeated, and the paper's."""
    keys, shown = list(curves), list(curves.values())
    rows = np.arange(len(shown))[::-1]
    for ax, which in zip(axes, ("size", "ratio"), strict=True):
        found = [getattr(curve, f"{which}_slope") for curve in shown]
        theory = [getattr(curve.predicted, f"{which}_slope") for curve in shown]
        for row, curve, e in zip(rows, shown, found, strict=True):
            errors = np.abs([[e.value - e.low], [e.high - e.value]])
            label = "measured" if row == 0 else None
            ax.errorbar(e.value, row, xerr=errors, label=label, **_kind_style(curve.network))
        for kind, key in ((kind, key) for kind, found in repeats.items() for key in found):
            slopes = getattr(repeats[kind][key], which)
            row = rows[keys.index(f"{kind}_{key}")]
            colour, label = COLORS["random"], None if row < max(rows) - 1 else "repeats"
            ax.plot(
                slopes, np.full(len(slopes), row - 0.32), ".", color=colour, label=label, alpha=0.5
            )
        ax.plot(theory, rows, "|", markersize=13, markeredgewidth=2, **_PREDICTED, label="exact")
        paper_reference(ax, paper[which], f"paper, {paper[which]:g}".replace("-", "−"), axis="x")
        ax.set_xlabel(f"slope of the {which}")
        ax.set_ylim(-0.6, len(shown) - 0.4)
    axes[0].set_yticks(rows, [curve.name for curve in shown])
    axes[1].set_yticks(rows, [""] * len(rows))
    handles, labels = axes[0].get_legend_handles_labels()
    labels = ["paper" if label.startswith("paper") else label for label in labels]
    axes[0].get_figure().legend(handles, labels, loc="outside lower center", ncols=4)
    return axes


def plot_structures(axes: np.ndarray, panels: list, *, half_width_px: int = 60) -> np.ndarray:
    """Draw heat maps at one scale of pixels, cut or filled up to the same square."""
    for ax, panel in zip(axes.flat, panels, strict=True):
        _heat(ax, _centred(panel.measured, half_width_px))
        ax.set_title(panel.network.label)
        ax.set_xlabel(f"field {panel.field_px} px, size {panel.size.value:.0f} px", fontsize=9)
    return axes


def plot_structure_profiles(axes: np.ndarray, panels: dict) -> np.ndarray:
    """Draw profiles: what skip connections and dropout do, and how dilation leaves the Gaussian."""
    colours = dict(zip(("baseline", "skip", "dropout", "dilation"), COLORS.values(), strict=False))
    for ax, names in zip(axes, (("baseline", "skip", "dropout"), ("dilation",)), strict=True):
        for i, name in enumerate(names):
            style = {"color": colours[name], "marker": _MARKERS[i]}
            _profile(ax, panels[name], label=panels[name].network.label, **style)
        ax.set_xlabel("offset from the centre, px")
        ax.set_ylim(bottom=0)
    axes[0].set_xlim(-14, 14)
    sigma = math.sqrt(panels["dilation"].predicted_variance)
    x = np.linspace(-3 * sigma, 3 * sigma, 200)
    normal = np.exp(-((x / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))
    axes[1].plot(x, normal, ":", color=COLORS["predicted"], label="Gaussian, same variance")
    axes[0].set_ylabel("share of the map's mass")
    for ax in axes:
        ax.margins(y=0.35)
        ax.set_ylim(top=1.45 * ax.get_ylim()[1])
        ax.legend(loc="upper center", handlelength=1.2)
    return axes


def plot_placements(ax: plt.Axes, placements) -> plt.Axes:
    """Draw the exact size for every placement of the strided layers, as a histogram."""
    ax.hist(placements.sizes, bins=24, color=COLORS["uniform"], alpha=0.7)
    for value, label, key in (
        (placements.baseline, "no stride", "predicted"),
        (placements.chosen, "placed as here", "random"),
    ):
        ax.axvline(value, color=COLORS[key], linewidth=2, label=f"{label}: {value:.0f} px")
    ax.set_xlabel("exact size, px")
    ax.set_ylabel("placements")
    ax.legend()
    return ax


def _kind_style(network) -> dict:
    """Return a network's colour by kind, and its marker: open where it has one channel."""
    if network.weights == "ones":
        return {"color": COLORS["uniform"], "marker": "o", "markersize": 4}
    colour = COLORS[network.activation or "random"]
    face = "none" if network.channels == 1 else colour
    marker = "s" if network.activation is None else "^"
    return {"color": colour, "marker": marker, "markersize": 5, "markerfacecolor": face}


def _heat(ax: plt.Axes, values: np.ndarray) -> None:
    ax.imshow(values / values.max(), cmap=HEATMAP, vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def _profile(ax: plt.Axes, panel, *, color, marker: str, label: str) -> None:
    """Draw a panel's profile: the prediction as a line, every other point with its interval."""
    x = np.arange(panel.field_px) - (panel.field_px - 1) / 2
    shown = np.abs(x) < 4.5 * math.sqrt(panel.predicted_variance)
    ax.plot(x[shown], panel.predicted_profile[shown], **_PREDICTED)
    step = max(1, int(shown.sum()) // 24)
    pick = np.flatnonzero(shown)[::step]
    low, high = panel.profile - panel.profile_low, panel.profile_high - panel.profile
    errors = np.maximum(np.stack([low, high])[:, pick], 0)
    style = {"color": color, "marker": marker, "markersize": 3.5, "linestyle": "", "label": label}
    ax.errorbar(x[pick], panel.profile[pick], errors, elinewidth=1, **style)


def _points(ax: plt.Axes, x: np.ndarray, estimates: list, **style) -> None:
    values = np.array([e.value for e in estimates])
    errors = np.stack([values - [e.low for e in estimates], [e.high for e in estimates] - values])
    ax.errorbar(x, values, errors, markersize=4, linewidth=1, **style)


def _centred(values: np.ndarray, half: int) -> np.ndarray:
    """Return the middle of a map, filled up with zeros to 2 half + 1 pixels."""
    margin = half - (values.shape[0] - 1) // 2
    if margin >= 0:
        return np.pad(values, margin)
    return values[-margin:margin, -margin:margin]


def _log_depth(ax: plt.Axes, ticks: list) -> None:
    ax.set_xscale("log")
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.xaxis.set_minor_locator(FixedLocator([]))
    ax.set_xlabel("layers")
