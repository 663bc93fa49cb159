"""Figures of a trained network's field on photographs, beside its untrained copies."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from erfbook.plots.style import COLORS, HEATMAP

_KINDS = {
    "trained": ("trained", COLORS["trained"], "o"),
    "untrained": ("untrained, calibrated", COLORS["untrained"], "s"),
    "fresh": ("untrained, fresh statistics", COLORS["tanh"], "^"),
    "shuffled": ("trained weights, shuffled", COLORS["uniform"], "D"),
}
_METRICS = {
    "pixels": ("pixels above 4.55 %", "o"),
    "mass": ("95.45 % of the mass", "s"),
    "moments": ("4.41 standard deviations", "^"),
}


def plot_photograph_maps(axes: np.ndarray, study) -> np.ndarray:
    """Draw each kind (row) at each layer (column) over its theoretical field inside the crop."""
    for row, kind in zip(axes, _KINDS, strict=True):
        for ax, layer in zip(row, study.layers, strict=True):
            result = study[kind, layer]
            (top, bottom), (left, right) = result.map.region
            shown = _coarsen(result.map.values[top : bottom + 1, left : right + 1])
            norm = PowerNorm(0.5, 0, shown.max())
            ax.imshow(shown, cmap=HEATMAP, norm=norm, interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
            ax.set_xlabel(f"size {result.sizes['mass'].value:.0f} px")
            if kind == "trained":
                ax.set_title(f"field {result.field.size[0]} px\n({right - left + 1} px shown)")
        row[0].set_ylabel(_KINDS[kind][0].replace(", ", ",\n"))
    return axes


def plot_photograph_sizes(axes: np.ndarray, study) -> np.ndarray:
    """Draw size against the part of the theoretical field inside the crop, a metric an axis."""
    fields = [study["trained", layer].seen_px for layer in study.layers]
    for ax, metric in zip(axes, _METRICS, strict=True):
        ax.plot(fields, fields, color=COLORS["neutral"], linewidth=1, label="the whole field")
        for i, (kind, (label, color, marker)) in enumerate(_KINDS.items()):
            found = [study[kind, layer].sizes[metric] for layer in study.layers]
            x = np.array(fields) * 1.04 ** (i - 1.5)  # side by side, not on top of each other
            _points(ax, x, found, color=color, marker=marker, label=label, linestyle="-")
        for scale, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
            getattr(ax, f"set_{name}scale")("log")
            ticks = [50, 100, 200, 400]
            getattr(ax, f"set_{name}ticks")(ticks, [str(t) for t in ticks])
            scale.set_minor_locator(FixedLocator([]))
        ax.set_title(_METRICS[metric][0])
        ax.set_xlabel("field in the crop, px")
        ax.set_ylim(30, 450)
    axes[0].set_ylabel("effective size, px")
    _legend_below(axes, columns=3)
    return axes


def plot_photograph_ratios(axes: np.ndarray, study) -> np.ndarray:
    """Draw the trained size over each copy's, a copy an axis, a marker a metric."""
    places = np.arange(len(study.layers))
    for ax, kind in zip(axes, [k for k in _KINDS if k != "trained"], strict=True):
        ax.axhline(1.0, color=COLORS["neutral"], linewidth=1)
        for i, (metric, (label, marker)) in enumerate(_METRICS.items()):
            found = [study.ratios[kind, layer, metric] for layer in study.layers]
            style = {"color": _KINDS[kind][1], "marker": marker, "linestyle": ""}
            fill = {"markerfacecolor": "none"} if i == 0 else {}
            _points(ax, places + 0.2 * (i - 1), found, label=label, **style, **fill)
        ax.set_xticks(
            places, [str(study["trained", layer].field.size[0]) for layer in study.layers]
        )
        ax.set_title("trained over\n" + _KINDS[kind][0])
        ax.set_xlabel("theoretical field, px")
        ax.set_yscale("log")
        ax.set_ylim(0.4, 1.6)
        ax.set_yticks([0.5, 0.75, 1.0, 1.5], ["0.5", "0.75", "1", "1.5"])
        ax.yaxis.set_minor_locator(FixedLocator([]))
    axes[0].set_ylabel("ratio of sizes")
    _legend_below(axes, columns=3, neutral=True)
    return axes


def plot_photograph_profiles(axes: np.ndarray, study, layers: tuple[str, ...]) -> np.ndarray:
    """Draw the mass along the rows of some layers against the Gaussian of the same moments."""
    for ax, layer in zip(axes, layers, strict=True):
        for kind in ("trained", "untrained"):
            label, color, _ = _KINDS[kind]
            result = study[kind, layer]
            mass = result.map.values.sum(axis=1) / result.map.values.sum()
            x = np.arange(len(mass)) - result.fit.centre[0]
            sigma = result.fit.sigma[0]
            bell = np.exp(-0.5 * (x / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
            ax.plot(x, _smooth(mass), color=color, linewidth=1.6, label=label)
            ax.plot(
                x, _smooth(bell), color=color, linewidth=1, linestyle=":", label="same variance"
            )
        ax.set_title(f"field {result.field.size[0]} px")
        ax.set_xlabel("offset in rows, px")
        ax.set_ylim(bottom=0)
        ax.set_xlim(-0.55 * result.field.size[0], 0.55 * result.field.size[0])
    axes[0].set_ylabel("mass a row")
    _legend_below(axes, columns=4)
    return axes


def _smooth(mass: np.ndarray, width: int = 16) -> np.ndarray:
    """Average over one period of the strides, which print a comb on every map."""
    return np.convolve(mass, np.full(width, 1 / width), mode="same")


def _coarsen(values: np.ndarray, side: int = 96) -> np.ndarray:
    """Average blocks, so that at most ``side`` of them lie along an axis."""
    step = -(-max(values.shape) // side)
    rows, columns = (n // step * step for n in values.shape)
    blocks = values[:rows, :columns].reshape(rows // step, step, columns // step, step)
    return blocks.mean(axis=(1, 3))


def _points(ax: plt.Axes, x: np.ndarray, estimates: list, **style) -> None:
    values = np.array([e.value for e in estimates])
    errors = np.stack([values - [e.low for e in estimates], [e.high for e in estimates] - values])
    ax.errorbar(x, values, np.maximum(errors, 0), markersize=5, linewidth=1.2, **style)


def _legend_below(axes: np.ndarray, *, columns: int, neutral: bool = False) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    if neutral:  # the markers tell the entries apart here, the colours tell the axes apart
        lines = [handle.lines[0] for handle in handles]
        style: dict[str, Any] = {"linestyle": "", "color": COLORS["neutral"], "markersize": 5}
        handles = [
            Line2D([], [], marker=line.get_marker(), **{**style, "fillstyle": fill})
            for line, fill in zip(lines, ("none", "full", "full"), strict=True)
        ]
    axes[0].get_figure().legend(
        handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.2
    )
