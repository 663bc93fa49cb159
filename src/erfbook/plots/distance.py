"""Figures of the controlled task: a label that depends on a mark at a chosen distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.patches import Circle
from matplotlib.ticker import FixedLocator, MaxNLocator

from erfbook.plots.style import COLORS, HEATMAP, INK, part_rows

# One colour and marker a task, the nearest first; those of labels drawn by lot are the ink's.
_PALETTE = (COLORS["sigmoid"], COLORS["uniform"], COLORS["relu"], COLORS["random"], COLORS["tanh"])
_MARKERS = ("v", "o", "s", "^", "P")
_LABELS = ("darker", "lighter")


def plot_distance_images(axes: np.ndarray, config, image: np.ndarray, tones: np.ndarray):
    """Draw one image once for every task, the asked circle and the label on it.

    Args:
        axes: one a distance.
        config: of the tasks.
        image: grey levels (side, side).
        tones: 1 where the mark at a distance is lighter.
    """
    for i, (ax, distance) in enumerate(zip(axes, config.distances, strict=True)):
        ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        _bare(ax)
        _ring(ax, len(image), distance, _PALETTE[i % len(_PALETTE)], width=1.8)
        ax.set_title(f"asked for {distance} px")
        ax.set_xlabel(f"label: {_LABELS[int(tones[i])]}")
    return axes


def plot_distance_maps(axes: np.ndarray, study) -> np.ndarray:
    """Draw the field before training, after it for every task, and of shuffled weights."""
    lots, far = study[None], study.far[-1]
    panels = [
        ("before", lots.maps[0], None, lots.before("radius50")),
        ("by lot", lots.maps[-1], None, lots.after("radius50")),
    ]
    for distance in study.config.distances:
        task = study[distance]
        panels.append((f"{distance} px", task.maps[-1], distance, task.after("radius50")))
    shuffled = study[far].numbers["radius50_shuffled"]
    panels.append((f"{far} px, shuffled", study[far].shuffled, far, shuffled))
    part_rows(axes.flat[0])
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, values, distance, radius) in zip(axes.flat, panels, strict=False):
        norm = PowerNorm(0.5, 0, values.max())
        ax.imshow(values, cmap=HEATMAP, norm=norm, interpolation="nearest")
        _bare(ax)
        if distance is not None:
            _ring(ax, len(values), distance, "white", width=1.1)
        ax.set_title(title)
        ax.set_xlabel(f"half within {radius.mean():.1f} px")
    return axes


def plot_distance_radius(axes: np.ndarray, study) -> np.ndarray:
    """Draw the radii of half and of 95 % of the mass against the asked distance."""
    for ax, (name, title) in zip(
        axes,
        (("radius50", "half of the mass"), ("radius95", "95 % of the mass")),
        strict=True,
    ):
        reach = [0, 1.12 * study.config.distances[-1]]
        ax.plot(reach, reach, color=INK, linewidth=1, label="as far as needed")
        before = study[None].curve(name)[0]
        ax.axhline(before.value, color=COLORS["untrained"], linestyle="--", label="before training")
        _level(ax, study[None].curve(name)[-1], COLORS["tanh"], "after, labels by lot")
        found = [study[d].curve(name)[-1] for d in study.config.distances]
        _points(ax, np.array(study.config.distances), found, color=COLORS["trained"],
                marker="o", linestyle="-", label="after training")  # fmt: skip
        shuffled = [study[d].numbers[f"{name}_shuffled"].mean() for d in study.config.distances]
        ax.plot(study.config.distances, shuffled, color=COLORS["uniform"], marker="x",
                linestyle="", label="weights shuffled")  # fmt: skip
        ax.set_title(title)
        ax.set_xlabel("distance of the asked mark, px")
        ax.set_xticks(study.config.distances)
        ax.set_ylim(0, 1.05 * study.config.field_px / 2)
    axes[0].set_ylabel("radius of the disc, px")
    _legend_below(axes[0], columns=3)
    return axes


def plot_distance_profiles(axes: np.ndarray, study, profiles: Mapping) -> np.ndarray:
    """Draw the mass by radius after training, a task an axis, against before and by lot."""
    for ax, distance in zip(axes, study.far, strict=False):
        for key, color, style, label in (
            ("before", COLORS["untrained"], "--", "before training"),
            (None, COLORS["tanh"], ":", "after, labels by lot"),
            (distance, COLORS["trained"], "-", "after, asked"),
        ):
            ax.plot(profiles[key], color=color, linestyle=style, linewidth=1.6, label=label)
        ax.axvspan(distance - 2, distance + 2, color=INK, alpha=0.18, linewidth=0)
        ax.set_title(f"asked for {distance} px")
        ax.set_xlabel("distance, px")
        ax.set_xlim(0, study.config.field_px / 2)
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("share of |g| a pixel of radius")
    _legend_below(axes[0], columns=3)
    return axes


def plot_distance_learning(axes: np.ndarray, study) -> np.ndarray:
    """Draw accuracy, and the radius of half of the mass, against steps for every task."""
    for ax, name in zip(axes, ("accuracy", "radius50"), strict=True):
        for distance, task in study.tasks.items():
            found = task.curve(name)
            color = COLORS["neutral"] if distance is None else _color(study, distance)
            marker = "." if distance is None else _MARKERS[_place(study, distance)]
            label = "by lot" if distance is None else f"{distance} px"
            x = task.steps
            ax.plot(x, [e.value for e in found], color=color, marker=marker, markersize=4,
                    linewidth=1.4, label=label)  # fmt: skip
            low = task.numbers[name].min(0)
            ax.fill_between(x, low, task.numbers[name].max(0), color=color, alpha=0.15, linewidth=0)
        ax.set_xlabel("steps of training")
    axes[0].axhline(0.5, color=INK, linewidth=0.8, linestyle=":")
    axes[0].set_ylabel("accuracy on new images")
    axes[0].set_ylim(0.35, 1.02)
    axes[1].set_ylabel("half of the mass within, px")
    axes[1].set_ylim(bottom=0)
    _legend_below(axes[0], columns=6)
    return axes


def plot_distance_speed(axes: np.ndarray, study, others: Mapping[str, np.ndarray]) -> np.ndarray:
    """Draw predicted and measured speeds of learning, and the steps that were needed.

    Args:
        axes: two.
        study: whose network was measured.
        others: predicted speeds of networks with the same theoretical field, by name.
    """
    distances = np.array(study.config.distances)
    dashes = ("-", "--", "-.", ":")
    for (name, speeds), dash in zip(others.items(), dashes, strict=False):
        axes[0].plot(distances, speeds, color=INK, linestyle=dash, linewidth=1.3, label=name)
    mean = study.measured.mean(0)
    seen = mean > 0
    for one in study.measured:
        positive = one > 0
        axes[0].plot(distances[positive], one[positive], color=COLORS["trained"], marker=".",
                     linestyle="", alpha=0.5)  # fmt: skip
    axes[0].plot(distances[seen], mean[seen], color=COLORS["trained"], marker="o", linestyle="",
                 label="measured")  # fmt: skip
    axes[0].set_yscale("log")
    axes[0].set_xticks(distances)
    axes[0].set_xlabel("distance of the mark, px")
    axes[0].set_ylabel("speed of learning over that\nof the first mark")
    axes[0].legend(fontsize=8)
    for i, distance in enumerate(distances):
        steps = study[int(distance)].steps_to_learn
        done = np.isfinite(steps)
        style: dict[str, Any] = {"linestyle": "", "marker": _MARKERS[i % len(_MARKERS)]}
        style["color"] = _color(study, distance)
        axes[1].plot(np.full(done.sum(), study.predicted[i]), steps[done], markersize=5,
                     label=f"{distance} px", **style)  # fmt: skip
        if not done.all():
            top = study[int(distance)].steps[-1]
            axes[1].plot(study.predicted[i], top, fillstyle="none", markersize=8, **style)
    axes[1].set_xscale("log")
    axes[1].set_yscale("log")
    axes[1].set_xlabel("predicted speed")
    axes[1].set_ylabel("steps until the loss had halved")
    _plain_ticks(axes[1])
    axes[1].legend(fontsize=8)
    return axes


def _plain_ticks(ax: plt.Axes) -> None:
    low, high = ax.get_ylim()
    ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if low <= t <= high]
    ax.set_yticks(ticks, [str(t) for t in ticks])
    ax.yaxis.set_minor_locator(FixedLocator([]))
    ax.xaxis.set_minor_locator(FixedLocator([]))


def _place(study, distance: int) -> int:
    return study.config.distances.index(distance) % len(_PALETTE)


def _color(study, distance: int) -> str:
    return _PALETTE[_place(study, int(distance))]


def _bare(ax: plt.Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def _ring(ax: plt.Axes, side: int, distance: int, color: str, *, width: float) -> None:
    middle = (side - 1) / 2
    shape = Circle((middle, middle), max(distance, 1.8), fill=False, color=color, linewidth=width)
    shape.set_linestyle((0, (3, 2)))
    ax.add_patch(shape)


def _level(ax: plt.Axes, estimate, color: str, label: str) -> None:
    ax.axhline(estimate.value, color=color, linestyle=":", label=label)
    ax.axhspan(estimate.low, estimate.high, color=color, alpha=0.15, linewidth=0)


def _points(ax: plt.Axes, x: np.ndarray, estimates: list, **style) -> None:
    values = np.array([e.value for e in estimates])
    errors = np.stack([values - [e.low for e in estimates], [e.high for e in estimates] - values])
    ax.errorbar(x, values, np.maximum(errors, 0), markersize=5, linewidth=1.4, **style)
    ax.yaxis.set_major_locator(MaxNLocator(6))


def _legend_below(ax: plt.Axes, *, columns: int) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure: Any = ax.get_figure()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.2)
