"""Runs under way: one process a run, taken up after any end, their time told right."""

import contextlib
import errno
import json
import os
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_experiment
from toy_experiment import toy, uninterrupted

from erfbook.errors import UserError
from erfbook.experiments.registry import Workspace, choose_device, make, obtain
from erfbook.records import Busy, Store, UnderWay, Unwritable, export, merge
from erfbook.records.under_way import find_under_way
from erfbook.records.words import duration
from erfbook.sweep.local import sweep_here
from erfbook.sweep.plan import lay_out
from erfbook.training import Paused


class Clock:
    """A clock that a step of the toy advances by one second."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "records")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(toy_experiment, "clock", clock)
    return clock


def steps(journal):
    return [line.split()[:3] for line in journal.read_text().splitlines()]


def test_what_was_made_is_not_made_again(store, tmp_path):
    experiment = toy(tmp_path / "journal", n_steps=3)
    config = experiment.plans["laptop"][0][0]
    first = obtain(experiment, config, range(2), store)
    again = obtain(experiment, config, range(2), store)
    assert len(steps(tmp_path / "journal")) == 6
    for seed, (a, b) in enumerate(zip(first, again, strict=True)):
        assert a.metrics == b.metrics and a.spec == b.spec and a.provenance == b.provenance
        assert a.metrics["value"] == uninterrupted(config, seed)
        assert all(np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays)
    told = first[0].provenance
    assert {"commit", "dirty", "source", "versions", "device", "threads", "seconds", "date"} <= {
        *told
    }
    assert told["versions"].keys() == {"python", "numpy", "torch"} and told["seconds"] > 0
    assert not list((store.folder / "under-way").iterdir())


def test_a_run_paused_again_and_again_equals_one_that_was_not(store, clock, tmp_path):
    """The clock gives each piece two steps, so seven steps take four pieces."""
    experiment = toy(tmp_path / "journal", n_steps=7)
    config = experiment.plans["laptop"][0][0]
    n_paused = 0
    while True:
        space = Workspace(deadline=clock.now + 4)
        try:
            record = make(experiment, config, 1, store, space, clock=clock)
            break
        except Paused:
            n_paused += 1
            (run,) = find_under_way(store.folder)
            assert run.spec == experiment.spec(config, 1)
            assert len(run.pieces()) == n_paused
    assert n_paused == 3 and record.metrics["n_resumed"] == 3
    assert record.metrics["value"] == uninterrupted(config, 1)
    assert len(steps(tmp_path / "journal")) == 7
    pieces = [piece["seconds"] for piece in record.provenance["pieces"]]
    # A piece reads the clock when it begins (1 s after "now"), before each step (2, 3, and 4 where
    # it stops) and when it ends (5): 4 s. The last begins at 1, checks at 2 and ends at 3.
    assert pieces == [4.0, 4.0, 4.0, 2.0] and record.provenance["seconds"] == sum(pieces)
    assert not list((store.folder / "under-way").iterdir())


@contextlib.contextmanager
def another_process(experiment, store):
    """Make run 0 in another process, and yield its number once it has done two steps."""
    config = experiment.plans["laptop"][0][0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of forks beside threads; these only wait
        child = os.fork()
    if child == 0:
        try:
            obtain(experiment, config, [0], store, device=torch.device("cpu"))
        finally:
            os._exit(0)
    try:
        until = time.monotonic() + 30
        journal = Path(config.journal)
        while not journal.exists() or len(journal.read_text().splitlines()) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_killed_run_is_taken_over_and_no_step_is_made_twice(store, tmp_path):
    journal = tmp_path / "journal"
    experiment = toy(journal, n_steps=60, step_s=0.01)
    config = experiment.plans["laptop"][0][0]
    with another_process(experiment, store) as child:
        with pytest.raises(Busy, match=f"is being made by process {child}"):
            make(experiment, config, 0, store, Workspace(), wait_s=0)
    spec = experiment.spec(config, 0)
    assert UnderWay(store.folder, spec).seconds() > 0
    record = make(experiment, config, 0, store, Workspace())
    assert record.metrics["value"] == uninterrupted(config, 0)
    assert record.metrics["n_resumed"] == 1
    made = steps(journal)
    assert len({tuple(step) for step in made}) == len(made) >= 59  # the kill may beat one line
    first, last = record.provenance["pieces"]
    assert 0 < first["seconds"] < 3 and last["seconds"] > 0


def test_one_who_waits_takes_the_other_process_s_record(store, tmp_path):
    journal = tmp_path / "journal"
    experiment = toy(journal, n_steps=30, step_s=0.01)
    with another_process(experiment, store):
        (record,) = obtain(experiment, experiment.plans["laptop"][0][0], [0], store)
    assert len(steps(journal)) == 30 and record.metrics["n_resumed"] == 0


def test_two_threads_do_not_make_the_same_run(store):
    run = UnderWay(store.folder, toy().spec(toy_experiment.ToyConfig(), 0))
    with run.hold(0):
        with pytest.raises(Busy, match=f"process {os.getpid()}"), run.hold(0):
            pass
    with run.hold(0):
        pass
    assert not list((store.folder / "under-way").iterdir())


def test_a_lock_file_that_nobody_holds_is_no_obstacle(store):
    run = UnderWay(store.folder, toy().spec(toy_experiment.ToyConfig(), 0))
    run.checkpoint.parent.mkdir(parents=True)
    run._lock.write_text("process 1 on elsewhere")  # as left by a process that was killed
    with run.hold(0):
        assert run._lock.read_text().startswith(f"process {os.getpid()} ")


def test_what_a_killed_run_had_half_written_goes_with_its_checkpoint(store):
    experiment = toy()
    config = experiment.plans["laptop"][0][0]
    run = UnderWay(store.folder, experiment.spec(config, 0))
    run.checkpoint.parent.mkdir(parents=True)
    for name in (f"{run.spec.key}.pt.part", f".{run.spec.key}.pt.host.1.0.part"):
        run.checkpoint.with_name(name).write_bytes(b"half")
    assert not run.files() and not find_under_way(store.folder)
    make(experiment, config, 0, store, Workspace())
    assert not list((store.folder / "under-way").iterdir())


def test_an_interrupted_run_keeps_its_time_and_is_taken_up(store, tmp_path, monkeypatch):
    experiment = toy(tmp_path / "journal", n_steps=5)
    config = experiment.plans["laptop"][0][0]
    tell = toy_experiment.tell

    def interrupt(journal, line):
        tell(journal, line)
        if line.split()[2] == "2":
            raise KeyboardInterrupt

    monkeypatch.setattr(toy_experiment, "tell", interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        obtain(experiment, config, [0], store)
    assert find_under_way(store.folder)[0].seconds() > 0
    (record,) = obtain(experiment, config, [0], store)
    assert record.metrics["value"] == uninterrupted(config, 0)
    assert len(steps(tmp_path / "journal")) == 5


def test_a_run_that_left_no_checkpoint_begins_again_and_its_time_does_not_count(store, clock):
    experiment = toy(n_steps=4)
    config = experiment.plans["laptop"][0][0]
    with pytest.raises(Paused):
        make(experiment, config, 0, store, Workspace(deadline=0.0), clock=clock)
    assert not find_under_way(store.folder)
    record = make(experiment, config, 0, store, Workspace(), clock=clock)
    assert "pieces" not in record.provenance and record.provenance["seconds"] == 1.0


def test_a_result_that_cannot_be_written_stays_in_its_checkpoint(store, tmp_path, monkeypatch):
    experiment = toy(tmp_path / "journal", n_steps=4)
    config = experiment.plans["laptop"][0][0]
    path = store.path(experiment.spec(config, 0))
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("in the way")
    with pytest.raises(Unwritable, match=f"cannot write {path}"):
        obtain(experiment, config, [0], store)
    path.parent.unlink()
    (record,) = obtain(experiment, config, [0], store)
    assert record.metrics["value"] == uninterrupted(config, 0)
    assert len(steps(tmp_path / "journal")) == 4


def test_a_damaged_account_costs_only_the_time_told(store, clock):
    experiment = toy(n_steps=5)
    config = experiment.plans["laptop"][0][0]
    with pytest.raises(Paused):
        make(experiment, config, 0, store, Workspace(deadline=clock.now + 3), clock=clock)
    UnderWay(store.folder, experiment.spec(config, 0)).account.write_text("{")
    record = make(experiment, config, 0, store, Workspace(), clock=clock)
    assert record.metrics["value"] == uninterrupted(config, 0)
    assert record.metrics["n_resumed"] == 1 and "pieces" not in record.provenance


@pytest.mark.parametrize("seconds", ["nan", "inf", -1, "x", None])
def test_an_account_of_impossible_times_costs_only_the_time_told(store, clock, seconds):
    experiment = toy(n_steps=5)
    config = experiment.plans["laptop"][0][0]
    with pytest.raises(Paused):
        make(experiment, config, 0, store, Workspace(deadline=clock.now + 3), clock=clock)
    (run,) = find_under_way(store.folder)
    head = json.loads(run.account.read_text())
    run.account.write_text(json.dumps({**head, "pieces": [{"seconds": seconds}]}))
    assert run.seconds() == 0.0 and duration(run.seconds())
    archive = store.folder.with_name("all.zip")
    made = export(store, archive, with_checkpoints=True)
    assert made.n_under_way == 1
    run.account.write_text(json.dumps({**head, "pieces": [{"seconds": seconds}]}))
    other = Store(store.folder.with_name("other"))
    assert "not an account of a run" in merge(store.folder, other).bad[0]
    assert not find_under_way(other.folder)


def test_a_disk_that_is_full_from_the_start_ends_a_sweep_at_once(store, monkeypatch):
    """It is no failed run, after which the next would be tried; and no empty lock is left."""
    experiment = toy()
    write = os.write

    def refuse(handle, content):
        if content.startswith(b"process "):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, content)

    monkeypatch.setattr("erfbook.records.under_way.os.write", refuse)
    runs = lay_out(experiment, "laptop", store, "A")
    with pytest.raises(Unwritable, match=r"cannot write .*\.lock: No space left on device"):
        sweep_here(experiment, runs, store, device=torch.device("cpu"))
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(UserError, match="device 'abacus' cannot be used"):
        choose_device("abacus")
    assert choose_device("cpu").type == "cpu"
