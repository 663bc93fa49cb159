"""What an experiment is: configurations, seeds, and a function from one of each to a result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from erfbook import datasets
from erfbook.records import Record, Spec, Store


@dataclass(frozen=True)
class Workspace:
    """Where and how a run is made.

    Args:
        device: what computes.
        checkpoint: file the run may keep itself in while under way; None to keep nothing.
        deadline: reading of ``time.monotonic()`` by which to stop; None for no limit.
        progress: name for a progress bar; empty for none.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint: Path | None = None
    deadline: float | None = None
    progress: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a run found: numbers, words and lists of them; small arrays."""

    metrics: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """One experiment of a paper.

    Args:
        name: as the command line takes it.
        version: raised when a change makes old results wrong.
        summary: one line.
        config: frozen dataclass of plain values; its ``dataset`` names the data.
        plans: for each profile, (configuration, number of seeds), the most valuable first.
        run: from a configuration, a seed and a workspace to an outcome.
        fingerprint: of a configuration's data, where they are made and not read; by default that
            of the set which its ``dataset`` names.
    """

    name: str
    version: int
    summary: str
    config: type
    plans: Mapping[str, tuple[tuple[Any, int], ...]]
    run: Callable[[Any, int, Workspace], Outcome]
    fingerprint: Callable[[Any], str] | None = None

    def spec(self, config: Any, seed: int) -> Spec:
        """Return what identifies one run of it."""
        settings = dataclasses.asdict(config)
        read = self.fingerprint
        data = read(config) if read else datasets.fingerprint(config.dataset)
        return Spec(self.name, self.version, settings, seed, data)

    def pairs(self, profile: str) -> Iterator[tuple[Any, int]]:
        """Yield a profile's (configuration, seed): each configuration once, then second seeds."""
        plan = self.plans[profile]
        for seed in range(max((n for _, n in plan), default=0)):
            yield from ((config, seed) for config, n in plan if seed < n)


def obtain(
    experiment: Experiment,
    config: Any,
    seeds: Iterable[int],
    store: Store,
    *,
    device: torch.device | None = None,
) -> list[Record]:
    """Return the records of a configuration's seeds; those that are missing are computed.

    Args:
        experiment, config, seeds: what is asked for.
        store: where records are looked for, and put.
        device: what computes; the GPU if there is one.
    """
    found = []
    for seed in seeds:
        spec = experiment.spec(config, seed)
        record = store.find(spec)
        if record is None:
            outcome = experiment.run(config, seed, Workspace(device or torch.device("cpu")))
            record = Record(spec, outcome.metrics, outcome.arrays)
            store.save(record)
        found.append(record)
    return found
