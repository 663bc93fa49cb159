"""The papers' equations as pure functions of numbers, importing nothing else of the package.

Symbols of Luo et al. (2016), and the words used for them elsewhere:

======================  ==========================================================================
n, k                    ``depth``, number of layers; ``kernel``, taps along one axis
t, (i, j)               pixel along one axis; pixel of the plane, the unit's centre at 0
omega                   angular frequency, radians per pixel
u, v, o                 gradient at the output (an impulse); kernel; gradient at the input
U, V                    their discrete-time Fourier transforms
g(i, j, p)              gradient of the output unit with respect to pixel (i, j) of layer p;
                        layer 0 is the input, layer n the output
w(m), w_ab              kernel weights; in one dimension normalised to sum 1
C                       variance of a random weight; ``gain`` is C k^2
sigma'                  derivative of the activation function (its second moment:
                        ``derivative_power``)
X, S_n                  one draw from w(m); the sum of n of them, so that o(t) = P(S_n = t)
E[g^2], E|g|            ``power``; statistics ``square`` and ``abs`` of a map
======================  ==========================================================================

Functions called ``predict_`` compute what the theory says, exactly unless they say otherwise.
"""

from erfbook.theory.coefficients import (
    extended_binomial_coefficients,
    pack_coefficients,
    predict_uniform_distribution,
)
from erfbook.theory.corners import (
    KernelMoments,
    Optimum,
    corner_kernel,
    enumerate_maximisers,
    kernel_moments,
    live_share,
    maximise_criterion,
    predict_kernel_power,
    predict_size_gain,
    project_to_simplex,
    soft_kernel,
)
from erfbook.theory.enumeration import enumerate_draws, enumerate_gradient
from erfbook.theory.gaussian_limit import (
    BERRY_ESSEEN_CONSTANT,
    Convergence,
    berry_esseen_bound,
    gaussian_density,
    kolmogorov_distance,
    local_deviation,
    predict_convergence,
    predict_kolmogorov_limit,
    tail_ratio,
    total_variation,
)
from erfbook.theory.growth import (
    TWO_SIGMA_TAIL,
    Growth,
    fit_log_slope,
    predict_gaussian_size,
    predict_growth,
    predict_sigma,
    predict_size,
    receptive_field_slope,
)
from erfbook.theory.kernel_sums import (
    predict_distribution,
    predict_moments,
    predict_radius,
    predict_relative_radius,
    predict_weighted_transform,
)
from erfbook.theory.layers import Layer, example_stacks
from erfbook.theory.mean_field import MeanField, predict_mean_field
from erfbook.theory.misprints import (
    count_unset_gradients,
    measure_activation_index,
    measure_adjoint_defect,
    radius_as_printed,
)
from erfbook.theory.propagation import (
    branch_share,
    measure_erf_kurtosis,
    measure_erf_variance,
    predict_erf_kurtosis,
    predict_erf_variance,
    predict_gradient_power,
    predict_subsampling,
    receptive_field_size,
)
from erfbook.theory.random_weights import (
    backpropagate,
    backpropagate_activation,
    predict_total_power,
    propagate_mean,
    propagate_power,
    relu_derivative_moments,
)
from erfbook.theory.recurrences import (
    Alignment,
    Window,
    collapse,
    compare_paths,
    compose,
    count_units,
    effective_kernel,
    predict_centre,
    predict_effective_padding,
    predict_effective_stride,
    predict_field_size,
    predict_region,
    predict_units_inside,
    predict_units_seeing,
    step_region,
    step_size,
    transposed,
    upsampling,
)
from erfbook.theory.signals import (
    box,
    impulse,
    invert_by_quadrature,
    invert_transform,
    measure_overlap,
    predict_stack_transform,
    predict_transform,
)
from erfbook.theory.simulate import (
    GradientPower,
    input_gradient,
    measure_gradient_power,
    run_network,
)

__all__ = [
    "BERRY_ESSEEN_CONSTANT",
    "TWO_SIGMA_TAIL",
    "Alignment",
    "Convergence",
    "GradientPower",
    "Growth",
    "KernelMoments",
    "Layer",
    "MeanField",
    "Optimum",
    "Window",
    "backpropagate",
    "backpropagate_activation",
    "berry_esseen_bound",
    "box",
    "branch_share",
    "collapse",
    "compare_paths",
    "compose",
    "corner_kernel",
    "count_units",
    "count_unset_gradients",
    "effective_kernel",
    "enumerate_draws",
    "enumerate_gradient",
    "enumerate_maximisers",
    "example_stacks",
    "extended_binomial_coefficients",
    "fit_log_slope",
    "gaussian_density",
    "impulse",
    "input_gradient",
    "invert_by_quadrature",
    "invert_transform",
    "kernel_moments",
    "kolmogorov_distance",
    "live_share",
    "local_deviation",
    "maximise_criterion",
    "measure_activation_index",
    "measure_adjoint_defect",
    "measure_erf_kurtosis",
    "measure_erf_variance",
    "measure_gradient_power",
    "measure_overlap",
    "pack_coefficients",
    "predict_centre",
    "predict_convergence",
    "predict_distribution",
    "predict_effective_padding",
    "predict_effective_stride",
    "predict_erf_kurtosis",
    "predict_erf_variance",
    "predict_field_size",
    "predict_gaussian_size",
    "predict_gradient_power",
    "predict_growth",
    "predict_kernel_power",
    "predict_kolmogorov_limit",
    "predict_mean_field",
    "predict_moments",
    "predict_radius",
    "predict_region",
    "predict_relative_radius",
    "predict_sigma",
    "predict_size",
    "predict_size_gain",
    "predict_stack_transform",
    "predict_subsampling",
    "predict_total_power",
    "predict_transform",
    "predict_uniform_distribution",
    "predict_units_inside",
    "predict_units_seeing",
    "predict_weighted_transform",
    "project_to_simplex",
    "propagate_mean",
    "propagate_power",
    "radius_as_printed",
    "receptive_field_size",
    "receptive_field_slope",
    "relu_derivative_moments",
    "run_network",
    "soft_kernel",
    "step_region",
    "step_size",
    "tail_ratio",
    "total_variation",
    "transposed",
    "upsampling",
]
