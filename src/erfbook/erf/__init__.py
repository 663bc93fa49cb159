"""Measured effective receptive fields: maps, their sizes and fits."""

from erfbook.erf.ensemble import EnsembleMaps, MeanMap, measure_ensemble
from erfbook.erf.measure import STATISTICS, measure, measure_each
from erfbook.erf.sizes import TWO_SIGMA, GaussianFit, Map, area_ratio, fit_gaussian, size

__all__ = [
    "STATISTICS",
    "TWO_SIGMA",
    "EnsembleMaps",
    "GaussianFit",
    "Map",
    "MeanMap",
    "area_ratio",
    "fit_gaussian",
    "measure",
    "measure_each",
    "measure_ensemble",
    "size",
]
