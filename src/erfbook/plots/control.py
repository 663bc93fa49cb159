"""Figures of the comparison of field, detail and plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from erfbook.notation import percent
from erfbook.plots.style import COLORS, INK

WINDOW = 11  # px of a row and a column that are drawn
_COARSE = ("strided", "coarse", "coarse dilated")
_SPREAD = ("strided", "dilated", "coarse dilated")
_PARTS = {
    "total": ("all that the\npool does", COLORS["neutral"], "D"),
    "field": ("field", COLORS["uniform"], "o"),
    "detail": ("detail", COLORS["random"], "s"),
    "plane": ("plane", COLORS["relu"], "^"),
    "deep": ("field, in the\nlast stage alone", COLORS["sigmoid"], "v"),
}
_TITLES = {
    "accuracy": "dense accuracy",
    "pruned": "accuracy, {} pruned",
    "gap": "gap, {} pruned",
}


def plot_control_networks(
    axes: np.ndarray, designs: Mapping[str, Any], *, stride: int, last_step: int
) -> np.ndarray:
    """Draw a corner of each network's early plane and what one unit of the next layer reads.

    Args:
        axes: one for each network.
        designs: by kind; each has ``field``, ``planes``, ``detail`` and ``live``.
        stride: of the larger pool.
        last_step: dilation of the last stage of ``deep``.
    """
    for ax, (kind, design) in zip(axes.flat, designs.items(), strict=True):
        step = stride if kind in _SPREAD else 1
        _draw_plane(ax, kind, stride)
        middle = WINDOW // 2 if kind not in ("strided", "coarse dilated") else stride + 1
        taps = [middle + step * t for t in (-1, 0, 1)]
        xs, ys = np.meshgrid(taps, taps)
        ax.plot(xs, ys, "s", color=COLORS["paper"], markersize=6.5, markeredgewidth=0)
        ax.set_title(kind, fontweight="bold")
        note = f"\nlast stage: {last_step} apart" if kind == "deep" else ""
        ax.set_xlabel(
            f"field {design.field} px\nplanes {design.planes[0]} to {design.planes[-1]}, "
            f"values {design.detail}{note}"
        )
        ax.set_xlim(-0.8, WINDOW - 0.2)
        ax.set_ylim(WINDOW - 0.2, -0.8)
        ax.set_aspect("equal")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
    return axes


def plot_control_effects(axes: np.ndarray, panels: Sequence[tuple[Any, str]]) -> np.ndarray:
    """Draw each part's effect, in points, with every seed and a 95 % interval.

    Args:
        axes: one for each panel.
        panels: a study and the measure of it that is drawn, one a panel.
    """
    for ax, (study, measure) in zip(axes, panels, strict=True):
        for row, (part, (_, color, marker)) in enumerate(_PARTS.items()):
            e = study.effect(part, measure)
            seeds = study.differences(part, measure)
            ax.plot(seeds, np.full(len(seeds), row + 0.24), ".", color=color, alpha=0.6)
            ax.errorbar(e.value, row, xerr=[[e.value - e.low], [e.high - e.value]], color=color,
                        fmt=marker, markersize=6, capsize=3, linewidth=1.8)  # fmt: skip
        ax.axvline(0, color=INK, linewidth=1)
        for place in (0.5, 3.5):
            ax.axhline(place, color=INK, linewidth=0.6, linestyle=":")
        ax.set_title(_TITLES[measure].format(percent(study.rate)))
        ax.set_xlabel("points")
    axes[0].set_yticks(range(len(_PARTS)), [label for label, _, _ in _PARTS.values()])
    axes[0].set_ylim(len(_PARTS) - 0.5, -0.5)
    return axes


def plot_control_live(axes: np.ndarray, shares: Mapping[tuple[str, int, int], float],
                      gaps: Mapping[tuple[str, int], tuple]) -> np.ndarray:  # fmt: skip
    """Draw the share of weights that read the image over the gap that the paper prints."""
    styles = {"vgg": (COLORS["uniform"], "o", "VGG"), "resnet50": (COLORS["random"], "s", "ResNet")}
    strides = sorted({stride for _, _, stride in shares})
    for (architecture, side), printed in gaps.items():
        color, marker, label = styles[architecture]
        line, fill = ("-", color) if side == 32 else ("--", "none")
        options = {"color": color, "marker": marker, "linestyle": line, "markerfacecolor": fill}
        values = [100 * shares[architecture, side, s] for s in strides]
        axes[0].plot(strides, values, label=f"{label}, {side} px", **options)
        axes[1].plot(strides, [np.nan if g is None else g for g in printed], **options)
    axes[0].set_ylabel("weights that read the image, %")
    axes[0].set_ylim(0, 108)
    axes[1].set_ylabel("the paper's gap, points")
    for ax in axes:
        ax.set_xticks(strides)
        ax.set_xlabel("stride of the early pool")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return axes


def plot_reads(axes: np.ndarray, seen: Any) -> np.ndarray:
    """Draw the size of outer taps against how often they read, and the gap against what is kept.

    Args:
        axes: two.
        seen: has ``taps`` (each with ``architecture``, ``shares`` and ``ratios``), ``means`` by
            kind, and the tables ``kept``, ``pools`` and ``other``, None where there is nothing.
    """
    styles = {
        "resnet50": ("ResNet-50", COLORS["random"], "s"),
        "vgg": ("VGG", COLORS["uniform"], "o"),
    }
    for name, (label, color, marker) in styles.items():
        own = [one for one in seen.taps if one.architecture == name]
        for one in own:
            axes[0].plot(100 * one.shares.ravel(), one.ratios.ravel(), marker, color=color,
                         alpha=0.3, markersize=4, markeredgewidth=0,
                         label=label if one is own[0] else None)  # fmt: skip
    shares = np.linspace(0, 1, 101)
    axes[0].plot(100 * shares, np.sqrt(shares), color=INK, linewidth=1.2, label="square root")
    axes[0].set_xlabel("positions at which the tap reads, %")
    axes[0].set_ylabel("magnitude over the middle tap's")
    axes[0].set_ylim(bottom=0)
    axes[0].legend(loc="lower right")
    if seen.kept is not None:
        _draw_kept(axes[1], seen)
    return axes


def _draw_kept(ax: Any, seen: Any) -> None:
    palette = [COLORS[c] for c in ("neutral", "paper", "uniform", "sigmoid", "random", "relu")]
    highest = seen.kept["rate"].max()
    kinds = sorted(seen.means, key=lambda kind: seen.means[kind])
    for color, marker, kind in zip(palette, "Dv^osP", kinds, strict=True):
        for rate, rows in seen.kept[seen.kept["kind"] == kind].groupby("rate"):
            is_highest = rate == highest
            _scatter(ax, rows, fmt=marker, color=color, label=kind if is_highest else None,
                     markerfacecolor=color if is_highest else "none")  # fmt: skip
    if seen.pools is not None:
        _scatter(ax, seen.pools, fmt="x", color=INK, markersize=5, label="other pools")
    if seen.other is not None:
        _scatter(ax, seen.other, fmt="*", color=INK, markersize=7, markerfacecolor="none",
                 label="ResNet-50")  # fmt: skip
    ax.set_xlabel("weights kept, % of the reading")
    ax.set_ylabel("gap, points")
    ax.set_ylim(bottom=-3)
    ax.legend(loc="upper right")


def _scatter(ax: Any, rows: Any, **style: Any) -> None:
    error = [rows["gap"] - rows["low"], rows["high"] - rows["gap"]]
    ax.errorbar(100 * rows["per_read"], rows["gap"], error, linewidth=1.2,
                **style)  # fmt: skip


def _draw_plane(ax: Any, kind: str, stride: int) -> None:
    """Draw the positions of the early plane; values that are repeated share a tile."""
    if kind in _COARSE:
        for row in range(0, WINDOW, stride):
            for column in range(0, WINDOW, stride):
                width, height = min(stride, WINDOW - column), min(stride, WINDOW - row)
                tile = Rectangle((column - 0.5, row - 0.5), width, height, linewidth=0.8,
                                 facecolor=INK, edgecolor="none",
                                 alpha=0.18 if (row + column) // stride % 2 else 0.07)  # fmt: skip
                ax.add_patch(tile)
    every = stride if kind == "strided" else 1
    offset = 1 if kind == "strided" else 0
    places = np.arange(offset, WINDOW, every)
    xs, ys = np.meshgrid(places, places)
    ax.plot(xs, ys, ".", color=INK, markersize=3.5)
