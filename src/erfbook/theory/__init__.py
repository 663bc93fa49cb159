"""The papers' equations as pure functions of numbers, importing nothing else of the package."""

from erfbook.theory.growth import (
    Growth,
    fit_log_slope,
    predict_gaussian_size,
    predict_growth,
    predict_sigma,
    predict_size,
    receptive_field_slope,
)
from erfbook.theory.layers import Layer
from erfbook.theory.propagation import (
    branch_share,
    measure_erf_variance,
    predict_erf_variance,
    predict_gradient_power,
    receptive_field_size,
)

__all__ = [
    "Growth",
    "Layer",
    "branch_share",
    "fit_log_slope",
    "measure_erf_variance",
    "predict_erf_variance",
    "predict_gaussian_size",
    "predict_gradient_power",
    "predict_growth",
    "predict_sigma",
    "predict_size",
    "receptive_field_size",
    "receptive_field_slope",
]
