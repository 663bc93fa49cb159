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
from erfbook.plots.fields import (
    plot_all_zero,
    plot_nonlinearities,
    plot_placements,
    plot_profiles,
    plot_shapes,
    plot_size_growth,
    plot_slopes,
    plot_structure_profiles,
    plot_structures,
)
from erfbook.plots.photographs import (
    plot_photograph_maps,
    plot_photograph_profiles,
    plot_photograph_ratios,
    plot_photograph_sizes,
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
    "plot_all_zero",
    "plot_architectures",
    "plot_coefficients",
    "plot_erf_radius",
    "plot_gaussian_limit",
    "plot_inverse_transform",
    "plot_nonlinearities",
    "plot_photograph_maps",
    "plot_photograph_profiles",
    "plot_photograph_ratios",
    "plot_photograph_sizes",
    "plot_placements",
    "plot_profiles",
    "plot_relu_factor",
    "plot_shapes",
    "plot_size_growth",
    "plot_slopes",
    "plot_structure_profiles",
    "plot_structures",
    "plot_threshold",
    "use_style",
]
