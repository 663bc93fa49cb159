"""What identifies a run, and what a run leaves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spec:
    """What identifies a run: the same spec gives the same result on the same device.

    Args:
        experiment: its name.
        version: raised when the experiment's meaning changes, so that old results are not reused.
        config: its settings, as JSON holds them.
        seed: of weights and order.
        data: fingerprint of the data set.
    """

    experiment: str
    version: int
    config: Mapping[str, Any]
    seed: int
    data: str

    @property
    def key(self) -> str:
        """24 hexadecimal digits of SHA-256 over all fields."""
        fields = [self.experiment, self.version, dict(self.config), self.seed, self.data]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Record:
    """One run's result.

    Args:
        spec: what it is the result of.
        metrics: numbers, words and lists of them, by name.
        arrays: small arrays by name.
        provenance: commit, versions, device, seconds and date, by name.
    """

    spec: Spec
    metrics: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
