"""What identifies a run, and what a run leaves."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from erfbook.records import plain

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
WEIGHTS = "weights."  # prefix of the arrays that are a trained network's
RESERVED = "under-way"  # the folder of unfinished runs, beside those of the experiments


@dataclass(frozen=True)
class Spec:
    """What identifies a run: the same spec gives the same result on the same device.

    Args:
        experiment: its name; letters, digits, ``-``, ``_`` and ``.``.
        version: raised when the experiment's meaning changes, so that old results are not reused.
        config: its settings, as JSON holds them; 1 and 1.0 are the same setting.
        seed: of weights and order.
        data: fingerprint of the data set.

    Raises:
        ValueError: a name that cannot be a folder's, or settings that JSON cannot hold.
    """

    experiment: str
    version: int
    config: Mapping[str, Any]
    seed: int
    data: str

    def __post_init__(self) -> None:
        if not is_experiment(self.experiment):
            raise ValueError(
                f"experiment {self.experiment!r}: use letters, digits, '-', '_' and '.'"
            )
        object.__setattr__(self, "config", plain.to_plain(self.config, "config"))

    @property
    def key(self) -> str:
        """24 hexadecimal digits of SHA-256 over all fields.

        Raises:
            ValueError: a setting is not a finite number.
        """
        config = plain.canonical(self.config)
        fields = [self.experiment, self.version, config, self.seed, self.data]
        try:
            text = json.dumps(fields, sort_keys=True, allow_nan=False)
        except ValueError:
            raise ValueError(f"a setting of {self.experiment} is not finite: {config}") from None
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Record:
    """One run's result.

    Args:
        spec: what it is the result of.
        metrics: numbers, words and lists of them, by name.
        arrays: small arrays of numbers or truth values, by name.
        provenance: commit, versions, device, seconds and date, by name.

    Raises:
        ValueError: a metric that JSON cannot hold, an array of anything but numbers, or a name
            that cannot be a file's.
    """

    spec: Spec
    metrics: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = {name: _checked(name, array) for name, array in self.arrays.items()}
        object.__setattr__(self, "metrics", plain.to_plain(self.metrics, "metrics"))
        object.__setattr__(self, "arrays", arrays)
        object.__setattr__(self, "provenance", plain.to_plain(self.provenance, "provenance"))


def is_experiment(name: str) -> bool:
    """Tell whether an experiment, and so the folder of its records, can have this name."""
    return _NAME.fullmatch(name) is not None and name != RESERVED


def is_weights(name: str) -> bool:
    """Tell whether an array of this name belongs to a trained network."""
    return name.startswith(WEIGHTS)


def _checked(name: str, array: Any) -> np.ndarray:
    if not _NAME.fullmatch(name):
        raise ValueError(f"array {name!r}: use letters, digits, '-', '_' and '.'")
    array = np.asarray(array)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise ValueError(f"array {name!r} holds {array.dtype}; a record keeps numbers up to 64 bit")
    # The same byte order and layout on every machine, so that equal results have equal bytes.
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
