"""Content-addressed results of experiments, with their provenance."""

from erfbook.records.compact import compact, expand
from erfbook.records.compare import Conflict, Difference, find_differences
from erfbook.records.files import Unwritable
from erfbook.records.npz import Damaged, decode, encode
from erfbook.records.portable import Exported, Merged, export, merge
from erfbook.records.provenance import provenance
from erfbook.records.record import Record, Spec
from erfbook.records.store import Store
from erfbook.records.under_way import Busy, UnderWay

__all__ = [
    "Busy",
    "Conflict",
    "Damaged",
    "Difference",
    "Exported",
    "Merged",
    "Record",
    "Spec",
    "Store",
    "UnderWay",
    "Unwritable",
    "compact",
    "decode",
    "encode",
    "expand",
    "export",
    "find_differences",
    "merge",
    "provenance",
]
