"""The papers' experiments, one function each: the only place where the parts meet."""

from erfbook.experiments.growth import PAPER_SLOPES, find_consistent_depths
from erfbook.experiments.lite0 import classify, load_crops, load_lite0, study_lite0
from erfbook.experiments.photographs import name_photographs, study_photographs
from erfbook.experiments.summaries import (
    name_dead,
    name_growth,
    name_nonlinearities,
    name_panel,
    name_shapes,
    name_structures,
    tabulate_panels,
)
from erfbook.experiments.verification import (
    measure_compactness,
    measure_dead,
    measure_nonlinearities,
    measure_shapes,
    measure_size_growth,
    measure_structures,
    predict_placements,
    predict_squareness,
    repeat_size_growth,
)

__all__ = [
    "PAPER_SLOPES",
    "classify",
    "find_consistent_depths",
    "load_crops",
    "load_lite0",
    "measure_compactness",
    "measure_dead",
    "measure_nonlinearities",
    "measure_shapes",
    "measure_size_growth",
    "measure_structures",
    "name_dead",
    "name_growth",
    "name_nonlinearities",
    "name_panel",
    "name_photographs",
    "name_shapes",
    "name_structures",
    "predict_placements",
    "predict_squareness",
    "repeat_size_growth",
    "study_lite0",
    "study_photographs",
    "tabulate_panels",
]
