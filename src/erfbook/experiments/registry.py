"""What an experiment is: configurations, seeds, and a function from one of each to a result."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from erfbook import datasets
from erfbook.errors import UserError
from erfbook.hardware import name_device
from erfbook.records import Record, Spec, Store, UnderWay, provenance
from erfbook.records.provenance import code_state, now


@dataclass(frozen=True)
class Workspace:
    """Where and how a run is made.

    Args:
        device: what computes.
        checkpoint: file the run may keep itself in while under way; None to keep nothing. Other
            files beside it whose names begin with its stem are the run's as well.
        deadline: reading of ``time.monotonic()`` by which to stop; None for no limit.
        progress: name for a progress bar; empty for none.
        store: of the run's record, for what it asks of other runs; None if it asks nothing.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint: Path | None = None
    deadline: float | None = None
    progress: str = ""
    store: Store | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run found.

    Args:
        metrics: numbers, words and lists of them: the same whenever the run is repeated.
        arrays: small arrays, likewise.
        about: what differs from time to time, such as images/s; it goes to the provenance and is
            not compared.
    """

    metrics: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)


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
        can_pause: whether a run keeps itself at its deadline and is taken up from there.
    """

    name: str
    version: int
    summary: str
    config: type
    plans: Mapping[str, tuple[tuple[Any, int], ...]]
    run: Callable[[Any, int, Workspace], Outcome]
    fingerprint: Callable[[Any], str] | None = None
    can_pause: bool = True

    def spec(self, config: Any, seed: int) -> Spec:
        """Return what identifies one run of it."""
        settings = dataclasses.asdict(config)
        read = self.fingerprint
        data = read(config) if read else datasets.fingerprint(config.dataset)
        return Spec(self.name, self.version, settings, seed, data)

    def pairs(self, profile: str, n_seeds: int | None = None) -> Iterator[tuple[Any, int]]:
        """Yield a profile's (configuration, seed): each configuration once, then second seeds.

        Args:
            profile: name of a plan.
            n_seeds: seeds of each configuration; the plan's own numbers if None.
        """
        plan = [(config, n if n_seeds is None else n_seeds) for config, n in self.plans[profile]]
        for seed in range(max((n for _, n in plan), default=0)):
            yield from ((config, seed) for config, n in plan if seed < n)


def obtain(
    experiment: Experiment,
    config: Any,
    seeds: Iterable[int],
    store: Store,
    *,
    device: torch.device | None = None,
    deadline: float | None = None,
    progress: str = "",
) -> list[Record]:
    """Return the records of a configuration's seeds; those that are missing are computed.

    Args:
        experiment, config, seeds: what is asked for.
        store: where records are looked for, and put.
        device: what computes; the GPU if there is one.
        deadline: reading of ``time.monotonic()`` by which to stop; None for no limit.
        progress: name for a progress bar, to which the seed is added; empty for none.

    Raises:
        RunError: a run failed, or its record cannot be written; its checkpoint is kept.
    """
    found = []
    for seed in seeds:
        record = store.find(experiment.spec(config, seed))
        if record is None:
            label = f"{progress}, seed {seed}" if progress else ""
            space = Workspace(device or default_device(), None, deadline, label)
            record = make(experiment, config, seed, store, space)
        found.append(record)
    return found


def make(
    experiment: Experiment,
    config: Any,
    seed: int,
    store: Store,
    workspace: Workspace,
    *,
    wait_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Record:
    """Make one run, from its checkpoint if it has one, save its record and return it.

    A process that makes the same run already is waited for, and its record is taken.

    Args:
        experiment, config, seed: the run.
        store: where the record goes, and the run's checkpoint while it is under way.
        workspace: where and how; its checkpoint is chosen here, and its store is this one.
        wait_s: how long to wait for another process at most; None for as long as it takes.
        clock: what the run's seconds are measured with.

    Raises:
        Busy: another process was still making it after ``wait_s``.
        RunError: the run failed, or its record cannot be written; its checkpoint is kept.
    """
    spec = experiment.spec(config, seed)
    under_way = UnderWay(store.folder, spec)
    about = {"device": name_device(workspace.device), "commit": code_state()["commit"]}
    with under_way.hold(wait_s):
        found = store.find(spec)
        if found is not None:  # another process finished it in the meantime
            under_way.clear()
            return found
        earlier = under_way.pieces()
        under_way.begin({**about, "date": now()})
        began = clock()
        space = dataclasses.replace(workspace, checkpoint=under_way.checkpoint, store=store)
        try:
            outcome = experiment.run(config, seed, space)
        except BaseException:  # also Ctrl-C and a pause: the time is noted, whatever ended it
            under_way.pause(clock() - began, {**about, "date": now()})
            raise
        seconds = clock() - began
        pieces = [*earlier, {"seconds": round(seconds, 3), **about, "date": now()}]
        origin = provenance(
            workspace.device,
            sum(piece["seconds"] for piece in pieces),
            data=_note(config),
            pieces=pieces,
        )
        record = Record(spec, outcome.metrics, outcome.arrays, {**outcome.about, **origin})
        store.save(record)
        under_way.clear()
    return record


def default_device() -> torch.device:
    """Return the GPU if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_device(word: str | None) -> torch.device:
    """Return the device that a word names; the default one for None.

    Raises:
        UserError: there is no such device on this machine.
    """
    if word is None:
        return default_device()
    try:
        device = torch.device(word)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {word!r} cannot be used: {reason}") from None
    return device


def _note(config: Any) -> str:
    """Return what the data of a configuration are, in words."""
    name = getattr(config, "dataset", "")
    return datasets.load(name).note if name else ""
