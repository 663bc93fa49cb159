"""Draw one measured map beside the images it was measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from erfbook.erf.sizes import Map


def draw_map(
    path: Path, found: Map, image: Float[np.ndarray, "height width 3"], numbers: dict
) -> None:
    """Write a PNG: the mean image with the unit's theoretical field, and the map on a log scale.

    Args:
        path: file to write.
        found: the map.
        image: mean of the images, in 0 to 1.
        numbers: the sizes, by the names under which they are written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.imshow(image)
    left.set_title(f"mean of {found.n_inputs} images, theoretical field")
    magnitude = np.abs(found.values)
    share = magnitude / magnitude.max()
    # Five decades show the tails; what lies below, and zero, is drawn as the scale's lower end.
    drawn = right.imshow(np.maximum(share, 1e-5), cmap="magma", norm=LogNorm(1e-5, 1))
    right.set_title(f"{found.statistic} gradient, effective size {_text(numbers['size_px'])}")
    figure.colorbar(drawn, ax=right, label="share of the peak", shrink=0.85)
    for ax, color in ((left, "#d55e00"), (right, "white")):
        _outline(ax, found, color)
        ax.set_xlabel("input pixels")
    figure.suptitle(f"{numbers['model']}, {found.layer}, unit {found.unit}")
    figure.savefig(path, dpi=120)


def _outline(ax, found: Map, color: str) -> None:
    """Mark the border of the unit's exact field, cut off at the image."""
    (top, bottom), (left, right) = found.region
    rows = [top - 0.5, top - 0.5, bottom + 0.5, bottom + 0.5, top - 0.5]
    columns = [left - 0.5, right + 0.5, right + 0.5, left - 0.5, left - 0.5]
    ax.plot(columns, rows, color=color, linewidth=1.2, clip_on=False)


def _text(size_px: float | None) -> str:
    return "undefined" if size_px is None else f"{size_px:.0f} px"
