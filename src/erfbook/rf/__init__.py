"""Exact receptive-field arithmetic over the operations a PyTorch model executes."""

from erfbook.rf.crop import Tiling, input_window, keeps_values, smallest_input, tiling
from erfbook.rf.fields import Field
from erfbook.rf.report import Report, analyze
from erfbook.rf.rules import Op, register
from erfbook.rf.trace import InputError, TraceError

__all__ = [
    "Field",
    "InputError",
    "Op",
    "Report",
    "Tiling",
    "TraceError",
    "analyze",
    "input_window",
    "keeps_values",
    "register",
    "smallest_input",
    "tiling",
]
