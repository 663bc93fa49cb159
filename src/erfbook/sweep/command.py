"""``erfbook sweep EXPERIMENT --profile P --budget 9m``: make the missing runs in pieces."""

from __future__ import annotations

import argparse
import difflib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from erfbook.errors import UserError
from erfbook.experiments import catalogue
from erfbook.experiments.registry import Experiment, choose_device
from erfbook.hardware import name_device
from erfbook.records import Store, export
from erfbook.records.files import check_target
from erfbook.records.places import find_places
from erfbook.records.words import duration, parse_duration, size, table
from erfbook.sweep.jobs import check_scheduler
from erfbook.sweep.local import Tally, kept_back, sweep_here
from erfbook.sweep.plan import Run, lay_out, read_again, time_left


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Make an experiment's missing runs in order of value: each configuration's first seed,\n"
        "then second seeds. Stopped anywhere, the next call goes on from there."
    )
    parser.epilog = "experiments:\n" + _list_experiments()
    add = parser.add_argument
    add("experiment", nargs="?", metavar="EXPERIMENT", help="one of those below")
    add("--profile", default="laptop", metavar="P", help="smoke, laptop or paper (default: laptop)")
    add("--budget", metavar="TIME", help="stop in time: 9m, 1h30m, 90s (default: no limit)")
    add(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only configurations of this name, this setting=value, or with these words",
    )
    add("--seeds", type=int, metavar="N", help="seeds of each configuration (default: the plan's)")
    add("--device", metavar="D", help="cpu, cuda, cuda:1 (default: the GPU if there is one)")
    add("--into", metavar="FOLDER", help="records go here (default: this project's own)")
    add("--export", metavar="FILE", help="afterwards, records and checkpoints as one file")
    add(
        "--scheduler",
        metavar="S",
        help="tcp://host:port of a Dask scheduler, or a dask-jobqueue .yml for SLURM and its kin",
    )
    add("--dry-run", action="store_true", help="only say what would be made")


def run(options: argparse.Namespace) -> int:
    """Make the runs, and return 0, or 1 if one failed or cannot be made here.

    Raises:
        UserError: options that cannot be used; nothing has been made then.
        RunError: records cannot be written, or the cluster is gone; what was finished is kept.
    """
    began = time.monotonic()
    if options.experiment is None:
        print(f"experiments:\n{_list_experiments()}")
        return 0
    experiment = _find(options.experiment)
    budget = None if options.budget is None else parse_duration(options.budget, "--budget")
    if options.seeds is not None and options.seeds < 1:
        raise UserError(f"--seeds must be at least 1, not {options.seeds}")
    if options.export:
        check_target(Path(options.export).expanduser(), "--export")
    if options.scheduler:
        check_scheduler(options.scheduler)
    device = None if options.scheduler and not options.device else _choose(options.device)
    store = open_store(options.into)
    device_name = "" if device is None else name_device(device)
    runs = lay_out(
        experiment,
        options.profile,
        store,
        device_name,
        only=options.only,
        n_seeds=options.seeds,
    )
    print(_head(experiment, options.profile, runs, store, budget), flush=True)
    if options.dry_run:
        print(_tabulate(runs))
        return 0
    deadline = None if budget is None else began + budget - kept_back(budget)
    if options.scheduler:
        from erfbook.sweep.cluster import sweep_on

        tally = sweep_on(
            options.scheduler,
            experiment,
            runs,
            store,
            device=options.device,
            deadline=deadline,
            say=_say,
        )
    else:
        assert device is not None
        tally = sweep_here(
            experiment, runs, store, device=device, deadline=deadline, say=_say
        )  # fmt: skip
    runs = read_again(runs, store) if tally.busy else runs
    print(_summary(runs, tally))
    if options.export:
        _export(store, Path(options.export).expanduser(), experiment.name)
    return 1 if tally.failed or any(run.problem for run in runs) else 0


def _choose(word: str | None) -> torch.device:
    """Return the device that a word names; one that only keeps shapes is none."""
    device = choose_device(word)
    if device.type == "meta":
        raise UserError(f"device {word!r} cannot be used: it computes nothing; name cpu or cuda")
    return device


def open_store(into: str | None) -> Store:
    """Return the store that ``--into`` names, or the project's own, with the published behind."""
    places = find_places()
    folder = Path(into).expanduser() if into else places.own
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--into {folder} is a file; name a folder")
    published = places.published
    is_other = published is not None and published.resolve() != folder.resolve()
    return Store(folder, also=[published] if is_other and published is not None else [])


def _find(name: str) -> Experiment:
    known = catalogue.EXPERIMENTS
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
        raise UserError(f"no experiment {name!r}; {hint}")
    return known[name]


def _list_experiments() -> str:
    known = catalogue.EXPERIMENTS.values()
    width = max((len(e.name) for e in known), default=0)
    lines = [f"  {e.name:<{width}}  {e.summary} ({', '.join(e.plans)})" for e in known]
    return "\n".join(lines) or "  none yet"


def _head(
    experiment: Experiment, profile: str, runs: Sequence[Run], store: Store, budget: float | None
) -> str:
    limit = "" if budget is None else f"; stops within {duration(budget)}"
    return (
        f"{experiment.name}, {profile}: {_count(runs, Tally())}{limit}; records in {store.folder}"
    )


def _count(runs: Sequence[Run], tally: Tally) -> str:
    """Return what is done and missing, and how long the rest will take, in words."""
    left = [run for run in runs if not run.is_done and run.label not in tally.done]
    seconds, n_unknown = time_left(left)
    words = f"{len(runs) - len(left)} of {len(runs)} runs done"
    n_absent = sum(bool(run.problem) for run in left)
    if n_absent < len(left):
        words += f", {len(left) - n_absent} missing"
        if n_unknown < len(left) - n_absent:
            words += f", about {duration(seconds)}"
            words += f" and {n_unknown} of unknown length" if n_unknown else ""
    return words + (f", {n_absent} without their data" if n_absent else "")


def _tabulate(runs: Sequence[Run]) -> str:
    rows = [
        (run.label, run.state, "-" if run.is_done or run.left_s is None else duration(run.left_s))
        for run in runs
    ]
    problems = dict.fromkeys(run.problem for run in runs if run.problem)
    return "\n".join([table(("run", "state", "time left"), rows), *problems])


def _summary(runs: Sequence[Run], tally: Tally) -> str:
    lines = [_count(runs, tally)]
    settled = {run.label for run in runs if run.is_done or run.problem}
    if settled.union(tally.done, tally.failed) < {run.label for run in runs}:
        lines[0] += "; the same command goes on"
    for problem in dict.fromkeys(run.problem for run in runs if run.problem):
        lines.append(f"not made here: {problem}")
    lines += [f"failed: {label}: {message}" for label, message in tally.failed.items()]
    return "\n".join(lines)


def _export(store: Store, file: Path, experiment: str) -> None:
    made = export(store, file, experiments=[experiment], with_checkpoints=True)
    for line in made.left_out:
        _say(line)
    unfinished = f" and {made.n_under_way} unfinished runs" if made.n_under_way else ""
    print(f"{file}: {made.n_records} records{unfinished}, {size(file.stat().st_size)}")


def _say(line: str) -> None:
    print(line, flush=True)
    sys.stderr.flush()
