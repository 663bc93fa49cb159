"""A sweep on this machine: one run after the other, inside a budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from erfbook.errors import UserError
from erfbook.experiments.registry import Experiment, Workspace, make
from erfbook.records import Busy, Store, Unwritable
from erfbook.records.words import duration
from erfbook.sweep.plan import Run
from erfbook.training import Paused

# What is kept back from a budget for the last checkpoint and record: chosen by us.
_KEPT_BACK_SHARE, _KEPT_BACK_S = 0.05, 10.0
_SHORTEST_PIECE_S = 1.0  # a shorter piece goes into loading data; chosen by us
Say = Callable[[str], None]


@dataclass
class Tally:
    """What became of a sweep's missing runs.

    Args:
        done: labels of those that were made.
        paused: labels of those that wait in their checkpoints.
        failed: messages by label.
        busy: labels of those that another process makes.
    """

    done: list[str] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    busy: list[str] = field(default_factory=list)


def kept_back(budget_s: float) -> float:
    """Return the part of a budget in which no run computes any more, in seconds."""
    return min(_KEPT_BACK_S, _KEPT_BACK_SHARE * budget_s)


def fits(run: Run, rest_s: float | None, can_pause: bool) -> bool:
    """Tell whether a run is begun with so much time left.

    One that will not end in time is begun only if it can pause, and the piece is worth it.

    Args:
        run: the run.
        rest_s: time left; None for no limit.
        can_pause: whether the experiment's runs can.
    """
    if rest_s is None:
        return True
    if run.left_s is not None and run.left_s <= rest_s:
        return rest_s > 0
    return rest_s >= _SHORTEST_PIECE_S and (can_pause or run.left_s is None)


def sweep_here(
    experiment: Experiment,
    runs: Sequence[Run],
    store: Store,
    *,
    device: torch.device,
    deadline: float | None = None,
    say: Say = print,
    clock: Callable[[], float] = time.monotonic,
) -> Tally:
    """Make the missing runs in their order until the deadline.

    A run that fails is named and the rest goes on; one that another process makes is left to it.

    Args:
        experiment, runs: what to make, from :func:`erfbook.sweep.plan.lay_out`.
        store: where records go.
        device: what computes.
        deadline: reading of ``clock`` at which the last run pauses; None for no limit.
        say: prints a line.
        clock: what time is told by.

    Raises:
        Unwritable: a record could not be written; the run's checkpoint is kept.
    """
    tally = Tally()
    took: list[tuple[Any, float]] = []  # configuration and seconds of what was made here
    for n, planned in enumerate(runs, 1):
        run = tell_time(planned, took)
        rest = None if deadline is None else deadline - clock()
        if run.is_done or run.problem or not fits(run, rest, experiment.can_pause):
            continue
        place = f"[{n}/{len(runs)}] {run.label}"
        say(f"{place}: {begin_words(run)}")
        began = clock()
        space = Workspace(device, None, deadline, run.label)
        try:
            record = make(experiment, run.config, run.seed, store, space, wait_s=0, clock=clock)
        except Paused:
            tally.paused.append(run.label)
            say(f"{place}: paused after {duration(clock() - began)}; its checkpoint is kept")
        except Busy as error:
            tally.busy.append(run.label)
            say(f"{place}: left out, {error}")
        except Unwritable:
            raise  # the next run's result would be lost as well
        except (RuntimeError, UserError) as error:  # the loss, the device's memory, the data
            tally.failed[run.label] = first_line(error)
            say(f"{place}: failed, {first_line(error)}")
        else:
            tally.done.append(run.label)
            took.append((run.config, float(record.provenance["seconds"])))
            say(f"{place}: done in {duration(record.provenance['seconds'])}")
    return tally


def tell_time(run: Run, took: Sequence[tuple[Any, float]]) -> Run:
    """Return a run with the time that another seed of its configuration has taken meanwhile."""
    known = [seconds for config, seconds in took if config == run.config]
    return replace(run, total_s=known[-1]) if run.total_s is None and known else run


def begin_words(run: Run) -> str:
    """Return whether a run begins or goes on, and how long it will take, in words."""
    verb = "goes on" if run.spent_s else "begins"
    return f"{verb}, about {duration(run.left_s)}" if run.left_s is not None else verb


def first_line(error: BaseException) -> str:
    """Return what went wrong, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
