"""One look for every figure: transparent, colour-blind-safe, readable on light and dark pages."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine

# The book replaces this grey by the page's own text colour when it inlines a figure; elsewhere it
# is readable as it stands on white (4.5:1) and on black (4.7:1).
INK = "#767677"

# Okabe and Ito's palette, chosen by us: distinguishable with the common colour deficiencies and
# of middle lightness, so that each colour reads on both backgrounds.
COLORS = {
    "uniform": "#0072b2",
    "random": "#e69f00",
    "relu": "#009e73",
    "tanh": "#cc79a7",
    "sigmoid": "#56b4e9",
    "predicted": INK,
    "paper": "#d55e00",
    "trained": "#009e73",
    "untrained": "#e69f00",
    "neutral": INK,
}
HEATMAP = "magma"

_RC: dict[str, Any] = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.transparent": True,
    "figure.dpi": 100,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "erfbook",
    "figure.constrained_layout.use": True,
}


def use_style() -> None:
    """Set the book's look for every figure made after this call, as SVG in a notebook."""
    mpl.rcParams.update(_RC)  # type: ignore[arg-type]
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # outside a notebook there is no inline backend to set
        return
    set_matplotlib_formats("svg", metadata={"Date": None})


def figure(
    n_rows: int | None = None,
    n_columns: int | None = None,
    *,
    height: float = 2.6,
    width: float = 7.0,
    squeeze: bool = True,
    **subplots: Any,
) -> tuple[plt.Figure, np.ndarray | plt.Axes]:
    """Return a figure and its axes in the book's look.

    What comes back depends on how many counts were written, never on their values: no count gives
    one Axes; one row, an array (column,) of however many; several rows, an array (row, column).

    Args:
        n_rows, n_columns: axes below and beside each other.
        height: inches per row.
        width: inches.
        squeeze: whether one row comes back as an array (column,), not (row, column).
        subplots: as ``matplotlib.pyplot.subplots`` takes them.
    """
    use_style()
    below, beside = (1 if n is None else n for n in (n_rows, n_columns))
    size = (width, height * below)
    fig, axes = plt.subplots(below, beside, figsize=size, squeeze=False, **subplots)
    if n_rows is None and n_columns is None:
        return fig, axes[0, 0]
    return fig, axes[0] if below == 1 and squeeze else axes


def part_rows(ax: plt.Axes, inches: float = 0.1) -> None:
    """Keep the titles of one row of axes clear of the labels of the row above it."""
    engine = ax.figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(h_pad=inches)


def paper_reference(ax: plt.Axes, value: float, label: str, *, axis: str = "y") -> plt.Axes:
    """Mark a published value as a dashed line across ``ax``."""
    line = ax.axhline if axis == "y" else ax.axvline
    line(value, color=COLORS["paper"], linestyle=(0, (4, 2)), linewidth=1.4, label=label)
    return ax


def heatmap(ax: plt.Axes, values: np.ndarray, *, extent: float | None = None, title: str = ""):
    """Draw a map scaled to its own largest value, without ticks, and name its side in pixels."""
    peak = float(np.max(values)) or 1.0
    ax.imshow(np.asarray(values) / peak, cmap=HEATMAP, vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    ax.set_xlabel(f"{extent or values.shape[-1]:g} px")
    return ax
