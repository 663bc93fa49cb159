"""The experiments that a sweep can make, by name."""

from __future__ import annotations

from erfbook.experiments.registry import Experiment

EXPERIMENTS: dict[str, Experiment] = {e.name: e for e in ()}
