"""Exact receptive-field arithmetic over the operations a PyTorch model executes."""

from erfbook.rf.fields import Field
from erfbook.rf.report import Report, analyze
from erfbook.rf.rules import register
from erfbook.rf.trace import TraceError

__all__ = ["Field", "Report", "TraceError", "analyze", "register"]
