"""Figures of Hessian spectra against the pool's field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from erfbook.notation import count
from erfbook.plots.style import COLORS

# One colour, marker and line a pool, from the smallest field to the largest.
_POOLS = (
    (COLORS["uniform"], "o", "-"),
    (COLORS["relu"], "s", "--"),
    (COLORS["random"], "^", "-."),
    (COLORS["tanh"], "D", ":"),
)
_MEASURES = {
    "largest": ("λ₁", COLORS["uniform"], "o"),
    "last": ("λₖ", COLORS["random"], "s"),
    "frobenius": ("norm", COLORS["relu"], "^"),
}
_MOMENTS = ("before", "after")


def plot_spectra_ranks(axes: np.ndarray, spectra: Mapping[str, Any]) -> np.ndarray:
    """Draw the largest eigenvalues by rank, a line a pool: mean over seeds and their range.

    Args:
        axes: one a moment, or a single one.
        spectra: by moment, before or after training, in the order of the panels.
    """
    axes = np.atleast_1d(axes)
    for ax, (moment, pools) in zip(axes, spectra.items(), strict=True):
        ranks = np.arange(1, pools.values().shape[-1] + 1)
        step = max(1, len(ranks) // 10)  # of 90 ranks a tenth is marked, each line at its own
        for i, (values, field) in enumerate(zip(pools.values(), pools.fields, strict=True)):
            color, marker, line = _POOLS[i]
            shown = np.where(values > 0, values, np.nan)  # a logarithm has no place for the rest
            ax.plot(ranks, shown.mean(0), color=color, marker=marker, linestyle=line,
                    markevery=(i * step // len(_POOLS), step), markersize=4, linewidth=1.4,
                    label=f"{field:.0f} px")  # fmt: skip
            ax.fill_between(ranks, shown.min(0), shown.max(0), color=color, alpha=0.18, linewidth=0)
        ax.set_title(f"{moment} training, {count(len(pools.seeds), 'seed')}")
        ax.set_xlabel("rank of the eigenvalue")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_yscale("log")
    axes[0].set_ylabel("eigenvalue of the Hessian")
    _legend_below(axes, title="theoretical field", columns=4)
    return axes


def plot_spectra_density(axes: np.ndarray, spectra: Mapping[str, Any]) -> np.ndarray:
    """Draw the density of all eigenvalues of the first seed, smallest and largest field.

    Args:
        axes: one a moment.
        spectra: by moment, before and after training.
    """
    for ax, moment in zip(axes, _MOMENTS, strict=True):
        pools = spectra[moment]
        for i in (0, len(pools.firsts) - 1):
            color, _, line = _POOLS[i]
            arrays = pools.firsts[i].arrays
            ax.plot(arrays["grid"], arrays["density"], color=color, linestyle=line, linewidth=1.5,
                    label=f"{pools.fields[i]:.0f} px")  # fmt: skip
        ax.set_yscale("log")
        peak = max(float(r.arrays["density"].max()) for r in pools.firsts)
        ax.set_ylim(peak * 1e-7, peak * 4)
        ax.set_title(f"{moment} training")
        ax.set_xlabel("eigenvalue")
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.tick_params(axis="x", labelrotation=30)
    axes[0].set_ylabel("density")
    _legend_below(axes, title="theoretical field", columns=2)
    return axes


def plot_spectra_trend(axes: np.ndarray, spectra: Mapping[tuple[str, str], Any]) -> np.ndarray:
    """Draw largest and last listed eigenvalue and norm against the field, a column a network.

    Args:
        axes: one a network.
        spectra: by architecture and moment; of each network at least one moment. Before training
            filled, after it open; small dots are seeds, large marks their geometric means.
    """
    titles = {"vgg": "VGG-like", "resnet50": "ResNet-50"}
    for ax, architecture in zip(axes, titles, strict=True):
        shown = {m: spectra[architecture, m] for m in _MOMENTS if (architecture, m) in spectra}
        for moment, pools in shown.items():
            for name, (label, color, marker) in _MEASURES.items():
                numbers = np.where(pools.numbers(name) > 0, pools.numbers(name), np.nan)
                face = color if moment == "before" else "none"
                style = {"color": color, "marker": marker, "markerfacecolor": face}
                middle = np.exp(np.log(numbers).mean(1))
                ax.plot(pools.fields, middle, markersize=6, linewidth=1.3, **style,
                        linestyle="-" if moment == "before" else ":",
                        label=f"{label}, {moment}")  # fmt: skip
                ax.plot(pools.fields, numbers, linestyle="", markersize=2.5, **style)
        pools = next(iter(shown.values()))
        sides = [record.metrics["plane"][-1] for record in pools.firsts]
        ticks = [f"{f:.0f}\n{s} × {s}" for f, s in zip(pools.fields, sides, strict=True)]
        ax.set_xticks(pools.fields, ticks)
        ax.set_yscale("log")
        ax.set_title(titles[architecture])
        ax.set_xlabel("theoretical field, px; last plane, units")
    axes[0].set_ylabel("curvature")
    _legend_below(axes, columns=3)
    return axes


def plot_spectra_separation(ax: plt.Axes, separation: Any) -> plt.Axes:
    """Draw the largest eigenvalue on large and small planes, a line a field, dots for seeds."""
    styles = {"small": (*_POOLS[0], -0.03), "large": (*_POOLS[3], 0.03)}
    for field, (color, marker, line, shift) in styles.items():
        values = np.array([separation.largest(field, plane) for plane in ("large", "small")])
        places = np.array([0, 1]) + shift
        ax.plot(places, np.exp(np.log(values).mean(1)), color=color, marker=marker, linestyle=line,
                markersize=7, linewidth=1.6, label=f"{field} field")  # fmt: skip
        ax.plot(places, values, color=color, marker=marker, linestyle="", markersize=3, alpha=0.7)
    ax.set_xticks([0, 1], ["large planes", "small planes"])
    ax.set_xlim(-0.35, 1.35)
    ax.set_yscale("log")
    ax.set_ylabel("largest eigenvalue, before training")
    ax.legend(loc="upper left")
    return ax


def _legend_below(axes: np.ndarray, *, columns: int, title: str | None = None) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].get_figure().legend(
        handles, labels, loc="outside lower center", ncols=columns, title=title, columnspacing=1.2
    )
