"""The papers' experiments, one function each: the only place where the parts meet."""

from erfbook.experiments.growth import PAPER_SLOPES, find_consistent_depths
from erfbook.experiments.lite0 import classify, load_crops, load_lite0, study_lite0
from erfbook.experiments.looks import ask_tools, name_looks, tabulate_looks
from erfbook.experiments.looks_checks import (
    check_sums,
    compare_with_captum,
    locate_cell,
    measure_reactions,
    name_reactions,
)
from erfbook.experiments.looks_linear import check_known_unit
from erfbook.experiments.looks_lite0 import load_subject, measure_reaches, tabulate_known
from erfbook.experiments.looks_tools import ToolSettings, is_installed
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
    "ToolSettings",
    "ask_tools",
    "check_known_unit",
    "check_sums",
    "classify",
    "compare_with_captum",
    "find_consistent_depths",
    "is_installed",
    "load_crops",
    "load_lite0",
    "load_subject",
    "locate_cell",
    "measure_compactness",
    "measure_dead",
    "measure_nonlinearities",
    "measure_reaches",
    "measure_reactions",
    "measure_shapes",
    "measure_size_growth",
    "measure_structures",
    "name_dead",
    "name_growth",
    "name_looks",
    "name_nonlinearities",
    "name_panel",
    "name_photographs",
    "name_reactions",
    "name_shapes",
    "name_structures",
    "predict_placements",
    "predict_squareness",
    "repeat_size_growth",
    "study_lite0",
    "study_photographs",
    "tabulate_known",
    "tabulate_looks",
    "tabulate_panels",
]
