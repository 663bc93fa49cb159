"""Content-addressed results of experiments, with their provenance."""

from erfbook.records.compact import compact, expand
from erfbook.records.compare import Conflict, Difference, find_differences
from erfbook.records.files import Unwritable
from erfbook.records.npz import Damaged, decode, encode, read_spec
from erfbook.records.portable import Exported, Merged, export, merge
from erfbook.records.provenance import provenance
from erfbook.records.publishing import is_quick, publish
from erfbook.records.record import WEIGHTS, Record, Spec, is_weights
from erfbook.records.store import Store
from erfbook.records.under_way import Busy, UnderWay

__all__ = [
    "WEIGHTS",
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
    "is_quick",
    "is_weights",
    "merge",
    "provenance",
    "publish",
    "read_spec",
]
