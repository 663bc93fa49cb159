"""Figures of how fast networks learn that begin, or are connected, differently."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np

from erfbook.plots.damage import KINDS
from erfbook.plots.style import COLORS, paper_reference


def plot_damage_curves(axes: np.ndarray, starts) -> np.ndarray:
    """Draw smoothed training loss and test accuracy against the step: mean and range of seeds."""
    for ax, measure in zip(axes, ("loss", "accuracy"), strict=True):
        for kind in starts.records:
            label, color, _ = KINDS[kind]
            arrivals = starts.arrivals[kind, measure]
            x, curves = arrivals.curve_steps, arrivals.curves
            ax.fill_between(x, np.nanmin(curves, 0), np.nanmax(curves, 0), color=color, alpha=0.1,
                            linewidth=0)  # fmt: skip
            ax.plot(x, np.nanmean(curves, axis=0), color=color, linewidth=1.6, label=label)
        threshold = starts.thresholds[measure]
        ax.axhline(threshold, color=COLORS["neutral"], linestyle=":", linewidth=1.4,
                   label="threshold")  # fmt: skip
        ax.set_xlabel("step")
        ax.set_title("training loss" if measure == "loss" else "test accuracy")
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].get_figure().legend(handles, labels, loc="outside lower center", ncols=5)
    return axes


def plot_damage_speed(axes: np.ndarray, starts) -> np.ndarray:
    """Draw each seed's ratio of steps and the mean with its interval, a comparison a row."""
    pairs = list(starts.holm)
    for ax, measure in zip(axes, ("loss", "accuracy"), strict=True):
        ax.axvline(1.0, color=COLORS["neutral"], linewidth=1)
        paper_reference(ax, 1.3, "the paper: 30 %", axis="x")
        for place, (new, base) in enumerate(pairs):
            race = starts.races[new, base, measure]
            _, color, marker = KINDS[new]
            spread = np.linspace(-0.18, 0.18, len(race.ratios))
            ax.plot(race.ratios, place + spread, ".", color=color, alpha=0.6, markersize=6)
            e = race.mean
            ax.errorbar([e.value], [place], None, [[e.value - e.low], [e.high - e.value]],
                        color=color, marker=marker, markersize=7, linewidth=1.8)  # fmt: skip
        labels = [f"{KINDS[new][0]}\nover {KINDS[base][0]}" for new, base in pairs]
        ax.set_yticks(range(len(pairs)), labels)
        ax.set_ylim(len(pairs) - 0.5, -0.5)
        ax.set_xscale("log", base=2)
        ax.set_xlim(0.3, 3.3)
        ax.set_xticks([0.5, 1, 1.3, 2], ["0.5", "1", "1.3", "2"])
        ax.set_title("to the training loss" if measure == "loss" else "to the test accuracy")
        ax.set_xlabel("times as fast")
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].get_figure().legend(handles, labels, loc="outside lower center")
    return axes


def plot_damage_widths(ax: plt.Axes, starts) -> plt.Axes:
    """Draw the field's size by mass before and after training, a column a kind, seeds joined."""
    for place, kind in enumerate(starts.records):
        _, color, marker = KINDS[kind]
        before, after = (starts.sizes(kind, when) for when in ("before", "after"))
        spread = np.linspace(-0.12, 0.12, len(before))  # side by side, so that open stays open
        for shift, one, other in zip(spread, before, after, strict=True):
            ends = [place - 0.22 + shift, place + 0.22 + shift]
            ax.plot(ends, [one, other], color=color, alpha=0.35, linewidth=0.8)
        ax.plot(place - 0.22 + spread, before, marker, color=color, markersize=6,
                markerfacecolor="none")  # fmt: skip
        ax.plot(place + 0.22 + spread, after, marker, color=color, markersize=4)
    ax.set_xticks(range(len(starts.records)), [KINDS[kind][0] for kind in starts.records])
    ax.set_ylabel("size by mass, px")
    ax.set_ylim(bottom=0)
    return ax


def plot_damage_links(ax: plt.Axes, accuracies: Mapping[str, np.ndarray]) -> plt.Axes:
    """Draw each seed's test accuracy, a kind of connections a column, seeds joined."""
    values = np.array(list(accuracies.values()))
    for run in values.T:
        ax.plot(range(len(values)), run, color=COLORS["neutral"], alpha=0.4, linewidth=0.8)
    for place, (kind, found) in enumerate(accuracies.items()):
        _, color, marker = KINDS[kind]
        ax.plot(np.full(len(found), place), found, marker, color=color, markersize=6)
    names = ["dense, 3 × 3" if kind == "he" else KINDS[kind][0] for kind in accuracies]
    ax.set_xticks(range(len(values)), names)
    ax.set_ylabel("test accuracy")
    return ax
