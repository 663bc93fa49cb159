"""Exact receptive-field arithmetic over the operations a PyTorch model executes."""

from erfbook.rf.crop import input_window, keeps_values
from erfbook.rf.fields import Field
from erfbook.rf.report import Report, analyze
from erfbook.rf.rules import register
from erfbook.rf.trace import InputError, TraceError

__all__ = [
    "Field",
    "InputError",
    "Report",
    "TraceError",
    "analyze",
    "input_window",
    "keeps_values",
    "register",
]
