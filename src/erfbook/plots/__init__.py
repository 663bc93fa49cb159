"""Figures of the book: each function takes axes and a result, draws, and returns the axes."""

from erfbook.plots.style import (
    COLORS,
    HEATMAP,
    INK,
    figure,
    heatmap,
    paper_reference,
    use_style,
)

__all__ = [
    "COLORS",
    "HEATMAP",
    "INK",
    "figure",
    "heatmap",
    "paper_reference",
    "use_style",
]
