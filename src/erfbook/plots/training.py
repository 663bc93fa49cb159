"""Figures of a field while its network learns: frames, curves, controls, depth."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.ticker import FixedLocator

from erfbook.plots.style import COLORS, HEATMAP, paper_reference

READINGS = {
    "running": ("running statistics", COLORS["tanh"], "^"),
    "calibrated": ("calibrated", COLORS["untrained"], "s"),
}
METRICS = {
    "pixels": ("pixels above 4.55 %", "o"),
    "mass": ("95.45 % of the mass", "s"),
    "moments": ("4.41 standard deviations", "^"),
}
_ROUND = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 12.0, 30.0, 60.0, 200.0)  # epochs
_AGAINST = {
    "running": ("before,\nrunning\nstatistics", COLORS["tanh"]),
    "calibrated": ("before,\ncalibrated", COLORS["untrained"]),
    "shuffled": ("weights\nshuffled", COLORS["uniform"]),
    "taps": ("taps\nshuffled", COLORS["sigmoid"]),
    "redrawn": ("kernels\nredrawn", COLORS["relu"]),
}


def plot_training_film(axes: np.ndarray, growth, moments: Sequence[int]) -> np.ndarray:
    """Draw the mean map at some moments (column) in each reading (row) on the image plane."""
    for row, reading in zip(axes, READINGS, strict=True):
        number = list(READINGS).index(reading)
        for ax, moment in zip(row, moments, strict=True):
            _map(ax, growth.maps[moment, number])
            size = growth.numbers[f"{reading}_mass"][:, moment].mean()
            ax.set_xlabel(f"{size:.1f} px" if number else f"{size:.1f}", labelpad=3)
            if number == 0:
                ax.set_title(_epoch(growth.epochs[moment]))
        row[0].set_ylabel(READINGS[reading][0].replace(" ", "\n"))
    return axes


def plot_training_sizes(axes: np.ndarray, growth, score: str = "accuracy") -> np.ndarray:
    """Draw the size by two metrics against the epoch in both readings, and the score beside them.

    The dashed line is the side of the image, which the paper's field does not fill.
    """
    x = _time_axis(growth.epochs)
    side = min(growth.image_px)
    for ax, (metric, (label, _)) in zip(axes[:-1], METRICS.items(), strict=False):
        paper_reference(ax, side, f"the image, {side} px: not filled, says the paper")
        for reading, (name, color, marker) in READINGS.items():
            _band(ax, x, growth.curve(f"{reading}_{metric}"), color, marker, name)
        ax.set_title(label)
        ax.set_ylim(0, 1.08 * side)
        _epoch_ticks(ax, growth.epochs)
    _band(axes[-1], x, growth.curve(score), COLORS["trained"], "o", "")
    axes[-1].set_title(f"test {score.replace('_', ' ')}")
    axes[-1].set_ylim(0, 1)
    _epoch_ticks(axes[-1], growth.epochs)
    axes[0].set_ylabel("effective size, px")
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].get_figure().legend(handles, labels, loc="outside lower center", ncols=3)
    return axes


def plot_training_ratios(ax: plt.Axes, growth) -> plt.Axes:
    """Draw the trained size over each thing it is compared with; 1 is no change."""
    ax.axhline(1.0, color=COLORS["neutral"], linewidth=1)
    for place, against in enumerate(_AGAINST):
        for i, (metric, (label, marker)) in enumerate(METRICS.items()):
            before = against in READINGS
            ratio = growth.ratio if before else growth.ratio_to_control
            e = ratio(against, metric)
            error = [[max(e.value - e.low, 0)], [max(e.high - e.value, 0)]]
            ax.errorbar(
                [place + 0.2 * (i - 1)], [e.value], error, color=_AGAINST[against][1],
                marker=marker, markersize=5, linestyle="", label=label if place == 0 else None,
                markerfacecolor="none" if i == 0 else None,
            )  # fmt: skip
    ax.set_xticks(range(len(_AGAINST)), [label for label, _ in _AGAINST.values()])
    ax.set_yscale("log")
    ax.set_ylim(0.4, 2.0)  # wider intervals run out of the frame
    ticks = [0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.yaxis.set_minor_locator(FixedLocator([]))
    ax.set_ylabel("trained size over …")
    figure = ax.get_figure()
    assert figure is not None, "an axis made by plots.figure has a figure"
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return ax


def plot_training_accuracy(ax: plt.Axes, growths: Sequence, score: str = "accuracy") -> plt.Axes:
    """Draw size against score along each run, from the first half epoch to the end."""
    colors = (COLORS["uniform"], COLORS["random"], COLORS["relu"], COLORS["tanh"])
    for growth, color in zip(growths, colors, strict=False):
        late = growth.epochs >= 0.5
        for i in range(len(growth.seeds)):
            x = growth.numbers[score][i, late]
            y = growth.numbers["calibrated_mass"][i, late]
            label = str(growth.config["name"]) if i == 0 else None
            ax.plot(x, y, color=color, linewidth=0.8, alpha=0.7)
            ax.scatter(x[:-1], y[:-1], s=12, color=color)
            ax.scatter(x[-1:], y[-1:], s=60, color=color, marker="*", label=label)
    ax.set_xlabel(f"test {score.replace('_', ' ')}")
    ax.set_ylabel("size by mass, px")
    ax.legend(title="star: after training")
    return ax


def plot_training_depth(ax: plt.Axes, growth) -> plt.Axes:
    """Draw the trained network's size behind each layer against the theoretical field."""
    field = growth.depth["field"]
    ax.plot(field, field, color=COLORS["neutral"], linewidth=1, label="theoretical field")
    middle = growth.depth["mass"].mean(0)
    root = middle[0] * np.sqrt(field / field[0])
    ax.plot(field, root, color=COLORS["predicted"], linestyle=":", label="its square root, scaled")
    for i, sizes in enumerate(growth.depth["mass"]):
        label = "trained, a line a seed" if i == 0 else None
        ax.plot(field, sizes, "o-", color=COLORS["trained"], markersize=4, linewidth=1, label=label)
    ax.set_xlabel("theoretical field, px")
    ax.set_ylabel("effective size, px")
    ax.set_ylim(0, max(24, 1.2 * float(growth.depth["mass"].max())))
    ax.legend()
    return ax


def plot_scene_fields(axes: np.ndarray, growth, paper: Sequence[float | None]) -> np.ndarray:
    """Draw a street scene's field before (both readings) and after training with its diameters.

    Args:
        axes: three.
        growth: of a segmentation network.
        paper: the paper's diameter for each panel, px; None where it is not to be drawn.
    """
    shown = (("running", 0), ("calibrated", 0), ("running", -1))
    titles = ("before,\nrunning statistics", "before,\ncalibrated", "after\ntraining")
    for ax, (reading, moment), title, stated in zip(axes, shown, titles, paper, strict=True):
        values = growth.maps[moment, list(READINGS).index(reading)]
        _map(ax, values)
        ax.set_title(title)
        scale = values.shape[-1] / growth.image_px[1]
        diameter = float(growth.numbers[f"{reading}_pixels"][:, moment].mean()) * 2 / np.sqrt(np.pi)
        where = _centre_of_mass(values)
        _circle(ax, where, diameter * scale, "white", "-")
        if stated is not None:
            _circle(ax, where, stated * scale, COLORS["paper"], (0, (4, 2)))
        ax.set_xlabel(f"diameter {diameter:.0f} px")
    return axes


def _map(ax: plt.Axes, values: np.ndarray) -> None:
    # The square root shows a tail of a hundredth of the peak as a tenth.
    ax.imshow(values, cmap=HEATMAP, norm=PowerNorm(0.5, 0, values.max()), interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def _band(ax: plt.Axes, x: np.ndarray, curve: list, color: str, marker: str, label: str) -> None:
    low, high = ([getattr(e, end) for e in curve] for end in ("low", "high"))
    ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    values = [e.value for e in curve]
    ax.plot(x, values, color=color, marker=marker, markersize=4, linewidth=1.2, label=label)


def _time_axis(epochs: np.ndarray) -> np.ndarray:
    """Return places that give the first steps room: equal for equal ratios of epochs."""
    return np.log2(1 + epochs / _first(epochs))


def _epoch_ticks(ax: plt.Axes, epochs: np.ndarray) -> None:
    """Name round epochs and the last one, as many as have room for their numbers."""
    last = float(epochs[-1])
    places = {e: float(np.log2(1 + e / _first(epochs))) for e in (*_ROUND, last) if e <= last}
    room = places[last] / 7
    shown = [0.0]
    for epoch, place in places.items():
        if place - places[shown[-1]] >= room and places[last] - place >= room:
            shown.append(epoch)
    shown.append(last)
    ax.set_xticks([places[e] for e in shown], [f"{e:g}" for e in shown])
    ax.set_xlabel("epochs")


def _first(epochs: np.ndarray) -> float:
    return float(epochs[epochs > 0].min())


def _epoch(epoch: float) -> str:
    return "before" if epoch == 0 else f"{epoch:.2g} ep."


def _centre_of_mass(values: np.ndarray) -> tuple[float, float]:
    rows, columns = (values.sum(axis=1 - axis) for axis in (0, 1))
    mass = values.sum()
    return (
        float(columns @ np.arange(len(columns)) / mass),
        float(rows @ np.arange(len(rows)) / mass),
    )


def _circle(ax: plt.Axes, where: tuple[float, float], diameter: float, color: str, style) -> None:
    line = {"edgecolor": color, "facecolor": "none", "linestyle": style, "linewidth": 1.2}
    ax.add_patch(plt.Circle(where, diameter / 2, **line))
