"""Figures of what networks behind different pools lose when they are pruned."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from erfbook.notation import percent
from erfbook.plots.style import COLORS

ARCHITECTURES = {
    "vgg": ("VGG", COLORS["uniform"], "o"),
    "resnet50": ("ResNet-50", COLORS["random"], "s"),
}
# One colour a pool, by stride.
POOLS = {1: COLORS["uniform"], 2: COLORS["sigmoid"], 3: COLORS["random"], 4: COLORS["tanh"]}


def plot_pruning_accuracy(axes: np.ndarray, studies, *, legend: bool = True) -> np.ndarray:
    """Draw dense and pruned accuracy against the field, a column a rate, a row a network.

    Args:
        axes: (architectures, rates).
        studies: one an architecture.
        legend: whether one is drawn.
    """
    for row, study in zip(axes, studies, strict=True):
        name, color, marker = ARCHITECTURES[study.architecture]
        for ax, rate in zip(row, study.rates, strict=True):
            dense = [study.percent("dense", stride) for stride in study.strides]
            pruned = [study.percent("global", stride, rate) for stride in study.strides]
            _series(ax, study.fields, dense, color=COLORS["neutral"], marker="D", label="dense")
            _series(ax, study.fields, pruned, color=color, marker=marker, label=f"{name}, pruned")
            _series(ax, study.fields, None, study.chance, color=COLORS["neutral"], label="guessing")
            ax.set_ylim(bottom=0)
            ax.set_xticks(study.fields, [str(field) for field in study.fields], rotation=90)
        row[0].set_ylabel(f"{name}: accuracy, %")
    for top, bottom, rate in zip(axes[0], axes[-1], studies[0].rates, strict=True):
        top.set_title(f"{percent(rate)} pruned")
        bottom.set_xlabel("field, px")
    if legend:
        _legend(axes, [0, 1])
    return axes


def plot_pruning_records(axes: np.ndarray, studies, table) -> np.ndarray:
    """Draw the same with the paper's means and two standard deviations at the last rate.

    Args:
        axes: (architectures, rates).
        studies: one an architecture.
        table: the paper's rows by architecture and stride.
    """
    plot_pruning_accuracy(axes, studies, legend=False)
    for row, study in zip(axes, studies, strict=True):
        ax, place = row[-1], dict(zip(study.strides, study.fields, strict=True))
        for number, marker in (("dense", "^"), ("pruned", "v")):
            own = {k: getattr(table[study.architecture, k], number) for k in study.strides}
            mean, spread = np.array([[float(x) for x in cell] for cell in own.values()]).T
            ax.errorbar(list(place.values()), mean, 2 * spread, color=COLORS["paper"],
                        marker=marker, markersize=5, linestyle="none", linewidth=1.2,
                        label=f"the paper, {number}")  # fmt: skip
        for panel in row:
            panel.set_ylim(0, 100)
    _legend(axes[:, ::-1], [0, 1])
    return axes


def plot_pruning_gap(axes: np.ndarray, studies) -> np.ndarray:
    """Draw what pruning costs against the rate, a line a field, a panel a network."""
    for ax, study in zip(axes, studies, strict=True):
        for stride, field in zip(study.strides, study.fields, strict=True):
            gaps = [study.gap(stride, rate) for rate in study.rates]
            percent = [100 * rate for rate in study.rates]
            _series(ax, percent, gaps, color=POOLS[stride], marker="o", label=f"{field} px")
        ax.axhline(0, color=COLORS["neutral"], linewidth=1)
        ax.set_title(ARCHITECTURES[study.architecture][0])
        ax.set_xlabel("weights pruned, %")
        ax.legend(loc="upper left")
    axes[0].set_ylabel("dense less pruned accuracy, points")
    return axes


def plot_pruning_live(axes: np.ndarray, study, kept) -> np.ndarray:
    """Draw what pruning costs against what is kept: of all weights, and of those that read.

    Args:
        axes: two.
        study: of one network.
        kept: by stride, a list with the share of the weights that read the image, one a rate.
    """
    for stride, field in zip(study.strides, study.fields, strict=True):
        gaps = [study.gap(stride, rate) for rate in study.rates]
        of_all = [100 * (1 - rate) for rate in study.rates]
        for ax, shares in zip(axes, (of_all, [100 * s for s in kept[stride]]), strict=True):
            _series(ax, shares, gaps, color=POOLS[stride], marker="o", label=f"{field} px")
    for ax, which in zip(axes, ("of all", "of those that read the image"), strict=True):
        ax.axhline(0, color=COLORS["neutral"], linewidth=1)
        ax.set_xlabel(f"weights kept, % {which}")
        ax.set_xlim(0, 80)
    axes[0].set_ylabel("dense less pruned accuracy, points")
    _legend(np.atleast_2d(axes), [0])
    return axes


def plot_pruning_tuned(axes: np.ndarray, studies, rate: float) -> np.ndarray:
    """Draw accuracy dense, pruned and fine-tuned against the field, a panel a network."""
    lines = {
        "dense": ("dense", COLORS["neutral"], "D"),
        "global": ("one-shot", COLORS["paper"], "v"),
        "tuned_printed": ("tuned, printed recipe", COLORS["relu"], "o"),
        "tuned_usual": ("tuned, a tenth of the usual rate", COLORS["tanh"], "s"),
    }
    for ax, study in zip(axes, studies, strict=True):
        for what, (label, color, marker) in lines.items():
            at = None if what == "dense" else rate
            values = [study.percent(what, stride, at) for stride in study.strides]
            _series(ax, study.fields, values, color=color, marker=marker, label=label)
        ax.set_title(ARCHITECTURES[study.architecture][0])
        ax.set_xticks(study.fields)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("theoretical receptive field, px")
    axes[0].set_ylabel("test accuracy, %")
    _legend(np.atleast_2d(axes), [0])
    return axes


def plot_pruning_layers(axes: np.ndarray, studies, rate: float) -> np.ndarray:
    """Draw the share of each layer's weights that is pruned, a line a field, a panel a network."""
    for ax, study in zip(axes, studies, strict=True):
        for stride, field in zip(study.strides, study.fields, strict=True):
            place = study.rates.index(rate)
            shares = np.mean([r.arrays["shares"][place] for r in study.records[stride]], axis=0)
            x = np.arange(1, len(shares) + 1)
            ax.plot(x, 100 * shares, color=POOLS[stride], linewidth=1.4, label=f"{field} px")
        ax.set_title(ARCHITECTURES[study.architecture][0])
        ax.set_xlabel("layer")
        ax.set_ylim(0, 103)
        ax.legend(loc="best")
    axes[0].set_ylabel("weights of a layer pruned, %")
    return axes


def _series(ax: plt.Axes, x, samples, level: float = 0.0, **style) -> None:
    """Draw means with their range over seeds, or a level line."""
    if samples is None:
        ax.axhline(level, color=style["color"], linestyle=":", linewidth=1, label=style["label"])
        return
    means = np.array([np.mean(sample) for sample in samples])
    reach = np.array(
        [[m - np.min(s), np.max(s) - m] for m, s in zip(means, samples, strict=True)]
    ).T
    reach = np.maximum(reach, 0)
    ax.errorbar(x, means, reach, linewidth=1.3, markersize=4.5, **style)


def _legend(axes: np.ndarray, rows: list[int]) -> None:
    found: dict = {}
    for row in rows[: len(axes)]:
        handles, labels = axes[row][0].get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure = axes[0][0].get_figure()
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=4)
