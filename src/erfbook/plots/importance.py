"""Figures of the gradient that a last layer sends to a random image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.ticker import FixedLocator

from erfbook.notation import round_to
from erfbook.plots.style import COLORS, HEATMAP, paper_reference

_WORDS = {"vgg": "VGG", "resnet50": "ResNet-50"}
_COLORS = {"vgg": COLORS["uniform"], "resnet50": COLORS["random"]}


def plot_importance_maps(
    axes: np.ndarray,
    maps: Mapping[int, np.ndarray],
    titles: Sequence[str],
    *,
    shared: bool = False,
) -> np.ndarray:
    """Draw a mean map behind each pool, a pool an axis.

    Args:
        axes: one for each map.
        maps: by stride of the pool.
        titles: of the axes, such as the field.
        shared: whether all are drawn to the largest value of all (the root of the value, so that
            dim maps can be seen) instead of each to its own.
    """
    top = max(values.max() for values in maps.values())
    for ax, values, title in zip(axes, maps.values(), titles, strict=True):
        norm = PowerNorm(0.5, 0, top) if shared else PowerNorm(1, 0, values.max())
        ax.imshow(values, cmap=HEATMAP, norm=norm, interpolation="nearest")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
        ax.set_title(title)
        ax.set_xlabel(f"peak {round_to(values.max(), 2)}")
    return axes


def plot_importance_maxima(axes: np.ndarray, fours, declines, fields, printed) -> np.ndarray:
    """Draw the mean maximum against the field, a network an axis, over that of the first pool.

    Args:
        axes: one for each network.
        fours: projections by network and stride.
        declines: predicted shares of the first pool's maximum, likewise.
        fields: theoretical fields of each network, px, by stride.
        printed: the paper's (mean, standard deviation), likewise.
    """
    for ax, (kind, four) in zip(axes, fours.items(), strict=True):
        x = np.array(fields[kind])
        first = four[1].mean.value
        found = [four[s].mean for s in four]
        values = np.array([e.value for e in found]) / first
        errors = np.array([[e.value - e.low, e.high - e.value] for e in found]).T / first
        ax.plot(
            x,
            list(declines[kind].values()),
            color=COLORS["predicted"],
            linewidth=1.4,
            label="predicted",
        )
        style = {"color": _COLORS[kind], "markersize": 6, "linestyle": ""}
        ax.errorbar(x, values, errors, marker="o", label="measured, 95 %", **style)
        means, stds = np.array(printed[kind]).T
        ax.errorbar(
            x,
            means / means[0],
            stds / means[0],
            color=COLORS["paper"],
            marker="_",
            markersize=12,
            linestyle="",
            linewidth=1,
            label="paper, ± its spread",
        )
        ax.set_yscale("log")
        ax.set_xticks(x, [str(size) for size in x])
        ax.set_xlabel("theoretical field, px")
        words = f"first value {round_to(first, 2)},\npaper {round_to(means[0], 2)}"
        ax.set_title(f"{_WORDS[kind]}: {words}")
    axes[0].set_ylabel("maximum, over the first")
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].get_figure().legend(handles, labels, loc="outside lower center", ncols=3)
    return axes


def plot_importance_waves(axes: np.ndarray, spectra, predicted, titles) -> np.ndarray:
    """Draw how strongly a map oscillates at each period, a pool an axis.

    Args:
        axes: one for each pool.
        spectra: measured, from 0 to 1/2 cycle per px, by stride.
        predicted: the same of the predicted map.
        titles: of the axes.
    """
    top = 1.25 * max(values[4:].max() for values in spectra.values())
    for ax, stride, title in zip(axes, spectra, titles, strict=True):
        measured = spectra[stride]
        x = np.linspace(0, 0.5, len(measured))
        ax.plot(x, predicted[stride], color=COLORS["predicted"], linewidth=1.4, label="predicted")
        ax.plot(
            x, measured, "o", color=COLORS["uniform"], markersize=3.5, label="measured", alpha=0.9
        )
        ax.set_title(title)
        ax.set_xticks([1 / 4, 1 / 3, 1 / 2], ["1/4", "1/3", "1/2"])
        ax.set_xlim(0.06, 0.52)  # slower waves are the pattern itself
        ax.set_ylim(-0.03 * top, top)
        ax.set_xlabel("cycles per px")
    axes[0].set_ylabel("wave, share of the mean")
    axes[0].legend(loc="upper left")
    return axes


def plot_importance_coverage(axes: np.ndarray, counts: Mapping[tuple[int, int], Sequence[int]]):
    """Draw in how many windows neighbouring pixels lie, a (kernel, stride) an axis."""
    for ax, ((kernel, stride), values) in zip(axes, counts.items(), strict=True):
        uneven = len(set(values)) > 1
        ax.bar(
            np.arange(len(values)),
            values,
            color=COLORS["paper"] if uneven else COLORS["uniform"],
            width=0.85,
        )
        ax.set_title(f"kernel {kernel}, stride {stride}:\n{'uneven' if uneven else 'even'}")
        ax.set_xticks([])
        ax.set_ylim(0, 2.3)
        ax.yaxis.set_major_locator(FixedLocator([0, 1, 2]))
        ax.set_xlabel("pixels")
    axes[0].set_ylabel("windows")
    return axes


def plot_importance_changes(ax: plt.Axes, changes, printed, architecture: str) -> plt.Axes:
    """Draw how far four mean maxima lie from the printed ones, a row a choice, a mark a pool."""
    names = list(changes)[::-1]
    markers = {1: "o", 2: "s", 3: "D", 4: "^"}
    paper_reference(ax, 0.0, "the paper's value", axis="x")
    for row, name in enumerate(names):
        four = changes[name]
        logs = [np.log10(four[s].mean.value / printed[s - 1][0]) for s in four]
        ax.plot(logs, [row] * len(logs), color=COLORS["neutral"], linewidth=0.8, zorder=1)
        for s, x in zip(four, logs, strict=True):
            label = f"pool {s}" if row == 0 else None
            ax.plot(
                x,
                row,
                markers[s],
                color=_COLORS[architecture],
                markersize=5.5,
                markerfacecolor="none" if s > 1 else None,
                label=label,
                linestyle="",
            )
    ax.set_yticks(range(len(names)), [_wrap(name or "nothing changed") for name in names])
    ax.set_xlabel("measured over printed, decades")
    ax.set_title(_WORDS[architecture])
    ax.legend(loc="upper center", bbox_to_anchor=(0.3, -0.11), ncols=3)
    return ax


def _wrap(name: str, most: int = 26) -> str:
    if len(name) <= most:
        return name
    cut = name.rfind(" ", 0, most)
    return name[:cut] + "\n" + _wrap(name[cut + 1 :], most)


def plot_importance_shared(axes: np.ndarray, maps, titles) -> np.ndarray:
    """Draw the maps of :func:`plot_importance_maps` to one scale."""
    return plot_importance_maps(axes, maps, titles, shared=True)
