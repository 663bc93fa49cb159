"""Figures of how alike the layers of two networks are."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.image import AxesImage
from matplotlib.ticker import NullFormatter

from erfbook.plots.style import COLORS, HEATMAP

# A colour and a marker for each pool, the smallest first.
_POOLS = (
    (COLORS["uniform"], "o"),
    (COLORS["sigmoid"], "s"),
    (COLORS["random"], "D"),
    (COLORS["paper"], "^"),
)
_MIDDLE = "#e8102e"  # the red of the paper's lines, which must show on every colour of the map


def plot_likeness_matrices(axes: np.ndarray, family) -> np.ndarray:
    """Draw CKA between the layers of two seeds, a pool a panel, as the paper's figure 3 does.

    Args:
        axes: as many as pools.
        family: pools of one network, the smallest field first.
    """
    for ax, member in zip(axes.flat, family.members, strict=True):
        image = _matrix(ax, member.matrix("trained_between"))
        ax.set_title(f"{member.field_px} px")
    grid = np.atleast_2d(axes)
    for ax in grid[-1]:
        ax.set_xlabel("layer, one seed")
    for ax in grid[:, 0]:
        ax.set_ylabel("layer, another seed")
    _bar(axes, image)
    return axes


def plot_likeness_within(axes: np.ndarray, families) -> np.ndarray:
    """Draw CKA between the layers of one network, behind the smallest and the largest pool.

    Args:
        axes: (architecture, 2).
        families: one an architecture.
    """
    for row, family in zip(axes, families, strict=True):
        for ax, member in zip(row, (family.members[0], family.members[-1]), strict=True):
            image = _matrix(ax, member.matrix("trained_within"))
            ax.set_title(f"{family.title.split(',')[0]}, {member.field_px} px")
            ax.set_xlabel("layer")
        row[0].set_ylabel("layer")
    _bar(axes, image)
    return axes


def plot_likeness_depth(axes: np.ndarray, families, choice: str = "main") -> np.ndarray:
    """Draw each layer's CKA with itself in another seed, a line a pool; untrained ones dotted.

    Args:
        axes: one an architecture.
        families: pools of one network each, the smallest field first.
        choice: which reading of CKA; the untrained are drawn beside the main one alone.
    """
    for ax, family in zip(axes, families, strict=True):
        for member, (color, marker) in _styled(family):
            curves = member.curves(choice)
            depth = _curve(ax, curves.mean(0), color, marker, _rank(family, member))
            if len(curves) > 1:
                ax.fill_between(depth, curves.min(0), curves.max(0), color=color, alpha=0.15,
                                linewidth=0)  # fmt: skip
            if choice == "main" and member in (family.members[0], family.members[-1]):
                before = member.curves("untrained").mean(0)
                ax.plot(depth, before, color=color, linestyle=":", linewidth=1.4)
        if choice == "main":
            ax.plot([], [], color=COLORS["neutral"], linestyle=":", label="untrained")
        _middle(ax.axvline, len(depth))
        ax.set_ylim(-0.05, 1.02)
        ax.set_xlabel("layer")
        ax.set_title(family.title.split(",")[0])
    axes[0].set_ylabel("CKA of two seeds" + (", equal length" if choice == "equal" else ""))
    _legend_below(axes, columns=5)
    return axes


def plot_likeness_farthest(axes: np.ndarray, families, share: float) -> np.ndarray:
    """Draw what the farthest images hold of each layer, and CKA with all images at equal length.

    Args:
        axes: (2, architecture).
        families: pools of one network each, the smallest field first.
        share: of the images, that are the farthest; a dotted line.
    """
    for ax, family in zip(axes[0], families, strict=True):
        for member, (color, marker) in _styled(family):
            _curve(ax, 100 * member.farthest, color, marker, "_")
        ax.axhline(100 * share, color=COLORS["neutral"], linestyle=":", linewidth=1)
        _middle(ax.axvline, member.n_layers)
        ax.set_ylim(-5, 102)
    axes[0, 0].set_ylabel("variance they hold, %")
    plot_likeness_depth(axes[1], families, "equal")
    for upper, lower in axes.T:
        upper.set_title(lower.get_title())
        lower.set_title("")
    return axes


def _styled(family) -> zip:
    return zip(family.members, _POOLS[len(_POOLS) - len(family.members) :], strict=True)


def _curve(ax, values: np.ndarray, color: str, marker: str, label: str) -> np.ndarray:
    """Draw a line over the layers, a marker on some of them, and return their numbers."""
    depth = np.arange(1, len(values) + 1)
    ax.plot(depth, values, color=color, marker=marker, markersize=4, linewidth=1.6,
            markevery=max(1, len(depth) // 12), label=label)  # fmt: skip
    return depth


def plot_likeness_field(axes: np.ndarray, families) -> np.ndarray:
    """Draw mean CKA of early and of deep layers against the field, trained and untrained.

    Intervals end at 1, which CKA cannot pass.
    """
    halves = {"early": (COLORS["uniform"], "o", -4), "deep": (COLORS["paper"], "s", 4)}  # px aside
    for ax, family in zip(axes, families, strict=True):
        for which, (color, marker, aside) in halves.items():
            levels = family.level(which)
            ends = [(e.value - max(e.low, -1), min(e.high, 1) - e.value) for e in levels]
            fields = np.array(family.fields) + aside
            ax.errorbar(fields, [e.value for e in levels], np.array(ends).T, color=color,
                        marker=marker, markersize=6, linewidth=1.5, capsize=3,
                        label=f"{which} layers")  # fmt: skip
        for which, (color, marker, aside) in halves.items():
            before = [e.value for e in family.level(which, "untrained")]
            ax.plot(np.array(family.fields) + aside, before, color=color, marker=marker,
                    markersize=6, markerfacecolor="none", linestyle=":", linewidth=1.2,
                    label=f"{which}, untrained")  # fmt: skip
        ax.set_xticks(family.fields)
        ax.set_ylim(-0.05, 1.05)
        ax.set_xlabel("theoretical field, px")
        ax.set_title(family.title.split(",")[0])
    axes[0].set_ylabel("mean CKA of two seeds")
    _legend_below(axes, columns=4)
    return axes


def plot_likeness_bias(
    axes: np.ndarray, bias, added: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Draw both estimates for unrelated features, and what the bias adds to deep layers.

    Args:
        axes: two.
        bias: of unrelated features, by their number.
        added: by architecture, numbers of images and what the bias adds (pool, images).
    """
    left, right = axes
    left.plot(bias.n_features, bias.predicted, color=COLORS["predicted"], label="predicted")
    for name, word, color, marker in (
        ("biased", "biased", COLORS["paper"], "s"),
        ("debiased", "debiased", COLORS["uniform"], "o"),
    ):
        left.plot(bias.n_features, getattr(bias, name), marker, color=color, markersize=5,
                  label=word)  # fmt: skip
    left.axhline(0, color=COLORS["neutral"], linewidth=0.8)
    left.axvline(bias.n_images, color=COLORS["neutral"], linestyle=":", linewidth=1)
    left.set_xscale("log", base=2)
    ticks = [2, 16, 128, 1024, 4096]
    left.set_xticks(ticks, [str(t) for t in ticks])
    left.set_ylim(-0.1, 1.02)
    left.set_xlabel("features of each side")
    left.set_ylabel("CKA of unrelated features")
    left.legend(loc="upper left")
    styles = ((COLORS["uniform"], "-"), (COLORS["random"], "--"))
    for (title, (n_images, values)), (color, line) in zip(added.items(), styles, strict=False):
        for row, marker, filled, size in ((0, "o", color, "least"), (-1, "^", "none", "largest")):
            right.plot(n_images, values[row], color=color, linestyle=line, marker=marker,
                       markerfacecolor=filled, markersize=6, linewidth=1.3,
                       label=f"{title}, {size} field")  # fmt: skip
    right.axhline(0, color=COLORS["neutral"], linewidth=0.8)
    right.set_xscale("log", base=2)
    right.set_xticks(n_images, [str(n) for n in n_images])
    right.xaxis.set_minor_formatter(NullFormatter())
    right.set_xlabel("images")
    right.set_ylabel("added to deep layers' CKA")
    right.legend(loc="best")
    return axes


def plot_likeness_choices(axes: np.ndarray, families, words: Mapping[str, str]) -> np.ndarray:
    """Draw how much CKA deep layers lose from the smallest to the largest field, by reading.

    Args:
        axes: one an architecture, sharing their rows.
        families: one an architecture.
        words: name of each reading.
    """
    for ax, family in zip(axes, families, strict=True):
        ax.axvline(0, color=COLORS["neutral"], linewidth=1)
        for place, choice in enumerate(words):
            if choice == "branch" and not family.has_blocks:
                continue
            e = family.drop("deep", choice)
            color = COLORS["untrained"] if choice == "untrained" else COLORS["uniform"]
            error = [[e.value - e.low], [e.high - e.value]]
            style = {"color": color, "marker": "o", "markersize": 6, "linewidth": 1.6, "capsize": 3}
            ax.errorbar([e.value], [place], None, error, **style)
        ax.set_yticks(range(len(words)), list(words.values()))
        ax.set_ylim(len(words) - 0.5, -0.5)
        ax.set_title(family.title.split(",")[0])
        ax.set_xlabel("CKA lost by deep layers")
    return axes


def _matrix(ax: plt.Axes, values: np.ndarray) -> AxesImage:
    """Layers are counted from 1, upwards; red lines mark the middle one."""
    n = len(values)
    edges = (0.5, n + 0.5, 0.5, n + 0.5)
    shown = np.clip(values, 0, 1)
    image = ax.imshow(shown, cmap=HEATMAP, vmin=0, vmax=1, origin="lower", extent=edges,
                      interpolation="nearest")  # fmt: skip
    for line in (ax.axhline, ax.axvline):
        _middle(line, n)
    ticks = [1, (n + 1) // 2, n]
    ax.set_xticks(ticks)
    ax.set_yticks(ticks)
    ax.spines[:].set_visible(False)
    return image


def _middle(line, n_layers: int) -> None:
    line((n_layers + 1) // 2, color=_MIDDLE, linewidth=1.1, linestyle=(0, (3, 2)))


def _rank(family, member) -> str:
    names = ("smallest field", "second", "third", "largest field")
    return names[len(names) - len(family.members) + family.members.index(member)]


def _bar(axes: np.ndarray, image: AxesImage) -> None:
    figure = axes.flat[0].get_figure()
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25)
    bar.set_label("CKA")
    bar.outline.set_visible(False)


def _legend_below(axes: np.ndarray, *, columns: int) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].get_figure().legend(
        handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.2
    )
