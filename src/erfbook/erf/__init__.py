"""Measured effective receptive fields: maps, their sizes and fits."""

from erfbook.erf.sizes import TWO_SIGMA, GaussianFit, Map, area_ratio, fit_gaussian, size

__all__ = ["TWO_SIGMA", "GaussianFit", "Map", "area_ratio", "fit_gaussian", "size"]
