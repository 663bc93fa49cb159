"""Eigenvalues of the Hessian of a loss, and their density, by products with vectors alone."""

from erfbook.hessian.density import SpectralDensity, spectral_density
from erfbook.hessian.operator import HessianOperator
from erfbook.hessian.spectrum import Spectrum, top_eigenvalues

__all__ = [
    "HessianOperator",
    "SpectralDensity",
    "Spectrum",
    "spectral_density",
    "top_eigenvalues",
]
