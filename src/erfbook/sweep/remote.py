"""One run of a sweep as a worker of a cluster makes it."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erfbook.errors import UserError
from erfbook.experiments.registry import Experiment, Workspace, choose_device, make
from erfbook.records import Store, encode
from erfbook.records.record import RESERVED
from erfbook.sweep.local import first_line
from erfbook.training import Paused

# What happened (record, paused, late, failed), the record's file or a line on it, the seconds that
# it took in all, and the machine that did it.
Answer = tuple[str, bytes | str, float, str]


@dataclass(frozen=True)
class Task:
    """One run, with all that another machine has to know of it.

    Args:
        experiment, config, seed: the run.
        key: of its spec, where the sweep was planned.
        folder: of records there.
        token: file in it by which a worker tells whether it sees the same folder.
        device: what computes; the worker's own choice if None.
        end_time: reading of ``time.time()`` at which to pause; None for no limit.
        left_s: time that it will take; None if not known.
    """

    experiment: Experiment
    config: Any
    seed: int
    key: str
    folder: str
    token: str
    device: str | None
    end_time: float | None
    left_s: float | None


def carry_out(task: Task) -> Answer:
    """Make a run on this machine and return what came of it; nothing is raised for a failed run."""
    began, here = time.monotonic(), f"{socket.gethostname()}, process {os.getpid()}"
    rest = None if task.end_time is None else task.end_time - time.time()
    too_long = not task.experiment.can_pause and rest is not None and (task.left_s or 0) > rest
    if rest is not None and (rest <= 0 or too_long):
        return "late", "", 0.0, here
    is_shared = (Path(task.folder) / RESERVED / task.token).exists()
    store = Store(task.folder if is_shared else _scratch())
    deadline = None if rest is None else time.monotonic() + rest
    try:
        spec = task.experiment.spec(task.config, task.seed)
        if spec.key != task.key:
            raise UserError("the data set, or the package, is another one than where it was asked")
        space = Workspace(choose_device(task.device), None, deadline)
        record = make(task.experiment, task.config, task.seed, store, space)
    except Paused:
        where = "its checkpoint is kept" if is_shared else "its checkpoint waits on that machine"
        return "paused", where, time.monotonic() - began, here
    except (RuntimeError, UserError) as error:
        return "failed", first_line(error), time.monotonic() - began, here
    return "record", encode(record), float(record.provenance.get("seconds", 0.0)), here


def _scratch() -> Path:
    """Return a folder of this user's on this machine, where another worker finds a checkpoint."""
    folder = Path(tempfile.gettempdir()) / f"erfbook-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to another user; set TMPDIR")
    return folder
