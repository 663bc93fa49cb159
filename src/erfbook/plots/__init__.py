"""Figures of the book: each function takes axes and a result, draws, and returns the axes."""

from erfbook.plots.derivation import (
    plot_architectures,
    plot_coefficients,
    plot_erf_radius,
    plot_gaussian_limit,
    plot_inverse_transform,
    plot_relu_factor,
    plot_threshold,
)
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
    "plot_architectures",
    "plot_coefficients",
    "plot_erf_radius",
    "plot_gaussian_limit",
    "plot_inverse_transform",
    "plot_relu_factor",
    "plot_threshold",
    "use_style",
]
