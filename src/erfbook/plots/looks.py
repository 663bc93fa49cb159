"""Figures of several tools' answers to the question where a unit looks."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator

from erfbook.notation import percent
from erfbook.plots.style import COLORS, HEATMAP, part_rows

_LABELS = {
    "gradient": "gradient",
    "deconvnet": "deconvnet",
    "guided": "guided\nbackprop",
    "integrated": "integrated\ngradients",
    "expected": "SHAP,\ngradients",
    "partition": "SHAP,\ncells",
    "occlusion": "occlusion",
    "gradcam": "Grad-CAM\n(class)",
}
_FIELDS = ((COLORS["sigmoid"], "o"), (COLORS["random"], "s"))  # a colour and a marker a unit
_SHIFTS = (-0.27, -0.09, 0.09, 0.27)
_CHANGES = {
    "photograph": ("another photograph", COLORS["uniform"], "o"),
    "channel": ("another channel", COLORS["random"], "s"),
    "weights": ("shuffled weights", COLORS["relu"], "^"),
    "grid": ("patches moved", COLORS["tanh"], "D"),
}


def plot_looks_units(ax: plt.Axes, subject) -> plt.Axes:
    """Draw the photograph with the exact field and the centre of each unit."""
    picture = subject.image[0].permute(1, 2, 0).numpy()
    low, high = picture.min((0, 1)), picture.max((0, 1))
    ax.imshow((picture - low) / (high - low))
    for target, (color, _) in zip(subject.targets, _FIELDS, strict=True):
        _box(ax, target, color, linewidth=2)
        row, column = target.field.centre(target.unit)
        ax.plot(column, row, "+", color=color, markersize=10, markeredgewidth=2)
        label = f"field {target.field.size[0]} px"
        ax.plot([], [], "s", color=color, markerfacecolor="none", markersize=9, label=label)
    _bare(ax)
    ax.figure.legend(loc="outside lower center", ncols=2)
    return ax


def plot_looks_maps(axes: np.ndarray, looks: Sequence) -> np.ndarray:
    """Draw every tool's map of every unit, four a row, with the exact field as a box."""
    part_rows(axes.flat[0])
    for block, one in zip(np.split(axes, len(looks)), looks, strict=True):
        for ax, (tool, answer) in zip(block.ravel(), one.answers.items(), strict=True):
            shown = _coarsen(answer.map)
            if shown.any():
                side = answer.map.shape
                ax.imshow(
                    shown,
                    cmap=HEATMAP,
                    norm=PowerNorm(0.5, 0, shown.max()),
                    interpolation="nearest",
                    extent=(-0.5, side[1] - 0.5, side[0] - 0.5, -0.5),
                )
                _box(ax, one.target, COLORS["sigmoid"], linewidth=1)
            else:
                ax.text(0.5, 0.5, "not installed", transform=ax.transAxes, ha="center")
            _bare(ax)
            ax.set_title(_LABELS[tool])
            ax.set_xlabel(f"{percent(answer.share_inside, 1)} inside")
        for ax in block[:, 0]:
            ax.set_ylabel(f"field {one.target.field.size[0]} px")
    return axes


def plot_looks_sizes(ax: plt.Axes, looks: Sequence) -> plt.Axes:
    """Draw the side of the square that holds 95.45 % of each map, over the field's side."""
    tools = list(looks[0].answers)
    ax.axvline(1.0, color=COLORS["neutral"], linewidth=1)
    for shift, one, (color, marker) in zip((-0.15, 0.15), looks, _FIELDS, strict=True):
        side = one.target.field.size[0]
        ax.plot(
            [one[tool].mass_px / side for tool in tools],
            np.arange(len(tools)) + shift,
            marker,
            color=color,
            label=f"field {side} px",
        )
    ax.set_yticks(range(len(tools)), [_LABELS[t].replace("\n", " ") for t in tools])
    ax.set_ylim(len(tools) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.set_xlabel("effective size over the exact field")
    ax.figure.legend(loc="outside lower center", ncols=2)
    return ax


def plot_looks_reach(ax: plt.Axes, reaches: Sequence) -> plt.Axes:
    """Draw how many positions of a bar change the unit, against the bar's width."""
    sides = sorted({reach.field_px for reach in reaches})
    for side, (color, marker) in zip(sides, _FIELDS, strict=False):
        ours = [reach for reach in reaches if reach.field_px == side]
        widths = np.array([reach.width_px for reach in ours])
        ax.plot(widths, widths + side - 1, color=COLORS["predicted"], linewidth=1.2)
        found = [reach.found for reach in ours]
        ax.plot(widths, found, marker, color=color, label=f"field {side} px")
    ax.plot([], [], color=COLORS["predicted"], linewidth=1.2, label="field + bar − 1")
    ax.set_xlabel("width of the bar, px")
    ax.set_ylabel("positions with an effect, px")
    ax.set_ylim(bottom=0)
    ax.figure.legend(loc="outside lower center", ncols=3)
    return ax


def plot_looks_agreement(axes: np.ndarray, looks) -> np.ndarray:
    """Draw the rank correlations of all pairs of maps, plain and without the envelope."""
    names = [_LABELS[tool] for tool in looks.answers]
    titles = ("rank correlation, %", "without the envelope, %")
    for ax, detail, title in zip(axes, (False, True), titles, strict=True):
        values = looks.correlations(detail=detail)
        ax.imshow(
            np.where(np.tri(len(values), k=-1), values, np.nan), cmap="cividis", vmin=0, vmax=1
        )
        for (row, column), value in np.ndenumerate(values):
            if row > column and np.isfinite(value):
                color = "black" if value > 0.55 else "white"
                ax.text(column, row, f"{100 * value:.0f}", color=color, ha="center", va="center")
        ax.set_xticks(range(len(names)), [n.replace("\n", " ") for n in names], rotation=90)
        ax.set_yticks(range(len(names)), names if ax is axes[0] else [""] * len(names))
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_title(title)
    return axes


def plot_looks_reactions(axes: np.ndarray, reactions: Sequence) -> np.ndarray:
    """Draw how alike each tool's map stays under each change, a unit an axis."""
    for ax, one in zip(axes, reactions, strict=True):
        tools = list(dict.fromkeys(tool for tool, _ in one.correlations))
        for shift, (change, (label, *style)) in zip(_SHIFTS, _CHANGES.items(), strict=True):
            tried = [tool for tool in tools if (tool, change) in one.correlations]
            places = [tools.index(tool) + shift for tool in tried]
            means = [one.mean(tool, change) for tool in tried]
            ax.plot(means, places, style[1], color=style[0], label=label)
            for place, tool in zip(places, tried, strict=True):
                values = one.correlations[tool, change]
                ax.plot(values, [place] * len(values), ".", color=style[0], markersize=4)
        ax.axvline(0.0, color=COLORS["neutral"], linewidth=0.6)
        ax.axvline(1.0, color=COLORS["neutral"], linewidth=1)
        ax.set_yticks(range(len(tools)), [_LABELS[t] for t in tools])
        ax.set_ylim(len(tools) - 0.5, -0.5)
        ax.set_xlabel("rank correlation with the map before")
        ax.set_title(f"field {one.target.field.size[0]} px")
        ax.xaxis.set_major_locator(FixedLocator([-0.5, 0, 0.5, 1]))
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return axes


def _box(ax: plt.Axes, target, color: str, **style) -> None:
    (top, bottom), (left, right) = target.box
    size = (right - left + 1, bottom - top + 1)
    ax.add_patch(Rectangle((left - 0.5, top - 0.5), *size, fill=False, edgecolor=color, **style))


def _bare(ax: plt.Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def _coarsen(values: np.ndarray, step: int = 2) -> np.ndarray:
    """Average blocks: a panel has fewer pixels than the image."""
    rows, columns = (n // step * step for n in values.shape)
    blocks = values[:rows, :columns].reshape(rows // step, step, columns // step, step)
    return blocks.mean(axis=(1, 3))
