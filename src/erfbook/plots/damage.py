"""Figures of what was proposed against the Gaussian: kernels, limits, fields at the beginning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.ticker import FixedLocator

from erfbook import theory
from erfbook.plots.style import COLORS, HEATMAP

KINDS = {
    "he": ("He", COLORS["uniform"], "o"),
    "soft": ("soft", COLORS["relu"], "s"),
    "corners": ("corners", COLORS["tanh"], "^"),
    "xavier": ("Xavier", COLORS["random"], "D"),
    "xavier_soft": ("soft on Xavier", COLORS["sigmoid"], "v"),
    "dilated5": ("dilated, 5 × 5", COLORS["random"], "D"),
    "sparse5": ("sparse, 5 × 5", COLORS["relu"], "s"),
    "dilated7": ("dilated, 7 × 7", COLORS["random"], "D"),
    "sparse7": ("sparse, 7 × 7", COLORS["sigmoid"], "v"),
    "sparse9": ("sparse, 9 × 9", COLORS["relu"], "P"),
}
_CRITERIA = {
    "trace": ("sum of both axes", "-"),
    "greatest": ("widest direction", "--"),
    "area": ("area (root of determinant)", "-."),
    "least": ("narrowest direction", ":"),
}
_METRICS = {
    "pixels": "pixels above 4.55 %",
    "mass": "95.45 % of the mass",
    "moments": "4.41 standard deviations",
}


def plot_damage_kernels(axes: np.ndarray, kernels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Draw each kernel's share of variance a tap, with sigma along an axis below."""
    for ax, (name, kernel) in zip(axes, kernels.items(), strict=True):
        ax.imshow(kernel, cmap=HEATMAP, vmin=0, vmax=0.25, interpolation="nearest")
        for (row, column), share in np.ndenumerate(kernel):
            color = "white" if share < 0.15 else "black"
            ax.text(column, row, f"{share:.3f}", ha="center", va="center", color=color, fontsize=9)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
        ax.set_title(name)
        sigma = np.sqrt(theory.kernel_moments(kernel).covariance[0, 0])
        ax.set_xlabel(f"σ = {sigma:.3f} px a layer")
    return axes


def plot_damage_corners(axes: np.ndarray, optima: Mapping[int, Any]) -> np.ndarray:
    """Draw what singles out four equal corners, and how much wider they are than equal weights."""
    shares = np.linspace(0, 1, 101)
    moments = [theory.kernel_moments(theory.corner_kernel(3, float(s))) for s in shares]
    styles = (COLORS["uniform"], COLORS["random"], COLORS["relu"], COLORS["tanh"])
    for (name, (label, line)), color in zip(_CRITERIA.items(), styles, strict=True):
        values = np.array([m.criterion(name) for m in moments])
        values = np.sqrt(values) if name == "area" else values  # in px², as the others
        axes[0].plot(shares, values, color=color, linestyle=line, linewidth=1.8, label=label)
    found = optima[3].shares
    axes[0].plot(found, np.full(len(found), 2.0), "o", color=COLORS["neutral"], markersize=4,
                 label="ascents on the sum")  # fmt: skip
    axes[0].set_xlabel("share of the weight on one diagonal")
    axes[0].set_ylabel("variance of one layer, px²")
    axes[0].set_ylim(-0.08, 2.3)
    sides = np.arange(2, 16)
    gains = [theory.predict_size_gain(int(k)) for k in sides]
    axes[1].plot(sides, gains, color=COLORS["predicted"], label=r"$\sqrt{3(k-1)/(k+1)}$")
    axes[1].axhline(np.sqrt(3), color=COLORS["neutral"], linestyle=":", label=r"$\sqrt{3}$")
    for kernel, one in optima.items():
        reached = np.sqrt(one.found["trace"] / (2 * (kernel**2 - 1) / 12))
        axes[1].plot(np.full(len(reached), kernel), reached, "o", color=COLORS["uniform"],
                     markersize=5, label="ascents" if kernel == 3 else None)  # fmt: skip
    axes[1].set_xticks([3, 5, 7, 9, 11, 13, 15])
    axes[1].set_xlabel("taps along an axis")
    axes[1].set_ylabel("σ over that of equal weights")
    axes[1].legend(loc="lower right")
    _legend_below(axes, columns=3)
    return axes


def plot_damage_limit(axes: np.ndarray, limits) -> np.ndarray:
    """Draw the distance to the Gaussian and the excess kurtosis against depth."""
    for row in limits.random[:40]:
        axes[0].plot(limits.depths, row, color=COLORS["neutral"], alpha=0.25, linewidth=0.8)
    axes[0].plot([], [], color=COLORS["neutral"], alpha=0.5, label="random kernels")
    for kind, key in (("uniform", "he"), ("soft", "soft"), ("corners", "corners")):
        label, color, marker = KINDS[key]
        label = "uniform" if kind == "uniform" else label
        style = {"color": color, "marker": marker, "linestyle": "", "markersize": 5}
        axes[0].plot(limits.depths, limits.distances[kind], label=label, **style)
        limit = limits.limits[kind] / np.sqrt(limits.depths)
        axes[0].plot(limits.depths, limit, color=color, linewidth=1)
        axes[1].plot(limits.depths, limits.kurtosis[kind], color=color, marker=marker, markersize=5)
    axes[1].plot(limits.depths, limits.growing, color=COLORS["random"], marker="D", markersize=5,
                 label="dilation 1, 2, 4, …")  # fmt: skip
    axes[1].axhline(0, color=COLORS["neutral"], linewidth=1)
    axes[0].set_yscale("log")
    axes[0].set_yticks([0.02, 0.05, 0.1, 0.2, 0.4], ["0.02", "0.05", "0.1", "0.2", "0.4"])
    axes[0].yaxis.set_minor_locator(FixedLocator([]))
    axes[0].set_ylabel("Kolmogorov distance")
    axes[1].set_ylabel("excess kurtosis along an axis")
    for ax in axes:
        ax.set_xscale("log", base=2)
        ax.set_xticks(limits.depths[::2], [str(d) for d in limits.depths[::2]])
        ax.set_xlabel("layers")
    axes[1].legend(loc="lower right")
    _legend_below(axes, columns=4)
    return axes


def plot_damage_fields(axes: np.ndarray, fields: Mapping[str, Any]) -> np.ndarray:
    """Draw measured maps over predicted ones, each kind on its own theoretical field."""
    for column, (kind, field) in zip(axes.T, fields.items(), strict=True):
        for ax, values in zip(column, (field.map, field.predicted), strict=True):
            peak = values.max()
            ax.imshow(values, cmap=HEATMAP, norm=PowerNorm(0.5, 0, peak), interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
        column[0].set_title(KINDS[kind][0])
        column[1].set_xlabel(f"{field.field_px} px field")
    axes[0, 0].set_ylabel("measured")
    axes[1, 0].set_ylabel("predicted")
    return axes


def plot_damage_sizes(axes: np.ndarray, ratios: Mapping[str, Mapping]) -> np.ndarray:
    """Draw each kind's size over that of dense He kernels by three metrics, beside the prediction.

    Args:
        axes: one a metric.
        ratios: kind to metric to (estimate, predicted ratio).
    """
    for ax, (metric, title) in zip(axes, _METRICS.items(), strict=True):
        ax.axhline(1.0, color=COLORS["neutral"], linewidth=1)
        for place, (kind, found) in enumerate(ratios.items()):
            estimate, predicted = found[metric]
            ax.hlines(predicted, place - 0.35, place + 0.35, color=COLORS["predicted"],
                      linewidth=2, label="predicted" if place == 0 else None)  # fmt: skip
            _point(ax, place, estimate, color=KINDS[kind][1], marker=KINDS[kind][2],
                   label="measured" if place == 0 else None)  # fmt: skip
        ax.set_xticks(range(len(ratios)), [KINDS[k][0] for k in ratios], rotation=90)
        ax.set_title(title)
        ax.set_yscale("log", base=2)
        ax.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axes[0].set_ylabel("size over that of dense He")
    axes[0].legend(loc="upper left")
    return axes


def plot_damage_profiles(ax: plt.Axes, fields: Mapping[str, Any]) -> plt.Axes:
    """Draw mass along the rows: measured points, predicted line."""
    for kind, field in fields.items():
        label, color, marker = KINDS[kind]
        x = np.arange(field.field_px) - (field.field_px - 1) / 2
        ax.plot(x, field.predicted.sum(1), color=color, linewidth=1.2)
        ax.plot(x, field.map.sum(1), color=color, marker=marker, markersize=3, linestyle="",
                label=label)  # fmt: skip
    ax.set_xlabel("offset in rows, px")
    ax.set_ylabel("mass a row")
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def _point(ax: plt.Axes, x: float, estimate, **style) -> None:
    error = [[max(estimate.value - estimate.low, 0)], [max(estimate.high - estimate.value, 0)]]
    ax.errorbar([x], [estimate.value], error, linestyle="", markersize=5, linewidth=1.4, **style)


def _legend_below(axes: np.ndarray, *, columns: int) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].get_figure().legend(
        handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.2
    )
