"""Content-addressed results of experiments, with their provenance."""

from erfbook.records.record import Record, Spec
from erfbook.records.store import Store

__all__ = ["Record", "Spec", "Store"]
