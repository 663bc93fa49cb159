"""Sweeps: in order of value, inside the budget, past failures, and from where they stopped."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import toy_experiment
from toy_experiment import ToyConfig, toy, uninterrupted

from erfbook.errors import UserError
from erfbook.experiments.registry import Outcome, make
from erfbook.hardware import name_device
from erfbook.records import Store, Unwritable, export, merge
from erfbook.records.under_way import UnderWay, find_under_way
from erfbook.sweep.local import fits, kept_back, sweep_here
from erfbook.sweep.plan import Run, lay_out, time_left

CPU = torch.device("cpu")


class Clock:
    """A clock that only moves when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "records")


@pytest.fixture
def clock(monkeypatch):
    """Let a step of the toy take one second, of a clock of ours."""
    clock = Clock()
    monkeypatch.setattr(toy_experiment, "clock", clock)
    monkeypatch.setattr(toy_experiment.time, "sleep", lambda _: setattr(clock, "now", clock() + 1))
    return clock


def sweep(experiment, store, clock, budget=None, **wishes):
    lines = []
    runs = lay_out(experiment, "laptop", store, name_device("cpu"), **wishes)
    deadline = None if budget is None else clock() + budget
    tally = sweep_here(
        experiment, runs, store, device=CPU, deadline=deadline, say=lines.append, clock=clock
    )
    return tally, lines


def order(journal):
    lines = [tuple(line.split()[:2]) for line in journal.read_text().splitlines()]
    return list(dict.fromkeys(lines))


def test_every_configuration_s_first_seed_comes_before_second_seeds(store, tmp_path, clock):
    tally, _ = sweep(toy(tmp_path / "journal"), store, clock)
    assert order(tmp_path / "journal") == [
        ("plain", "0"), ("steep", "0"), ("plain", "1"), ("steep", "1"), ("plain", "2"),
    ]  # fmt: skip
    assert len(tally.done) == 5 and not tally.failed
    values = {(r.spec.config["name"], r.spec.seed): r.metrics["value"] for r in store.select()}
    for name, factor, seeds in (("plain", 0.5, 3), ("steep", 0.25, 2)):
        for seed in range(seeds):
            assert values[name, seed] == uninterrupted(ToyConfig(name, factor=factor), seed)


def test_what_is_there_is_not_made_again_also_where_it_was_published(store, tmp_path, clock):
    experiment = toy(tmp_path / "journal")
    sweep(experiment, Store(tmp_path / "published"), clock, only=["plain"])
    both = Store(store.folder, also=[tmp_path / "published"])
    tally, _ = sweep(experiment, both, clock)
    assert len(tally.done) == 2 and len(order(tmp_path / "journal")) == 5
    assert {r.spec.config["name"] for r in store.select()} == {"steep"}


def test_a_sweep_stops_at_its_deadline_and_the_next_goes_on(store, tmp_path, clock):
    """Six steps of a second a run: 15 s make two runs and half a third."""
    experiment = toy(tmp_path / "journal")
    tally, lines = sweep(experiment, store, clock, budget=15)
    assert len(tally.done) == 2 and len(tally.paused) == 1
    assert clock.now == 115.0
    assert "paused after 3 s; its checkpoint is kept" in lines[-1]
    runs = lay_out(experiment, "laptop", store, name_device("cpu"))
    assert [run.state for run in runs[:4]] == ["done", "done", "under way, 3 s", "missing"]
    assert [run.left_s for run in runs[2:]] == [3.0, 6.0, 6.0] and time_left(runs) == (15.0, 0)
    tally, lines = sweep(experiment, store, clock)
    assert len(tally.done) == 3 and lines[0].endswith("goes on, about 3 s")
    assert len((tmp_path / "journal").read_text().splitlines()) == 5 * 6
    reference = Store(tmp_path / "reference")
    sweep(experiment, reference, clock)
    for a, b in zip(store.select(), reference.select(), strict=True):
        assert a.spec == b.spec and a.metrics["value"] == b.metrics["value"]
        assert np.array_equal(a.arrays["line"], b.arrays["line"])
        assert a.provenance["seconds"] == b.provenance["seconds"] == 6.0


def test_a_run_that_cannot_pause_is_not_begun_if_it_would_not_end(store, tmp_path, clock):
    """Of 15 s, 6 + 6 are used; the third would take 6 of the 3 that are left."""
    experiment = replace(toy(tmp_path / "journal"), can_pause=False)
    make(experiment, *next(experiment.pairs("laptop")), store, workspace(clock), clock=clock)
    tally, _ = sweep(experiment, store, clock, budget=15)
    assert len(tally.done) == 2 and not tally.paused and not find_under_way(store.folder)


def workspace(clock):
    return toy_experiment.Workspace(CPU)


@pytest.mark.parametrize(
    ("left", "rest", "can_pause", "expected"),
    [
        (5.0, None, False, True),
        (5.0, 6.0, False, True),
        (5.0, 4.0, False, False),
        (5.0, 4.0, True, True),
        (None, 4.0, False, True),
        (5.0, 0.5, True, False),
        (0.2, 0.5, True, True),
        (None, 0.0, True, False),
        (0.0, 0.0, True, False),
    ],
)
def test_which_runs_fit(left, rest, can_pause, expected):
    run = Run(None, 0, "", None, total_s=left)
    assert fits(run, rest, can_pause) is expected


def test_only_records_of_the_same_device_tell_the_time(store, clock):
    experiment = toy()
    make(experiment, *next(experiment.pairs("laptop")), store, workspace(clock), clock=clock)
    here = lay_out(experiment, "laptop", store, name_device("cpu"))
    told = {(run.config.name, run.seed): run.left_s for run in here}
    assert told["plain", 1] == 6.0  # as its first seed took
    assert told["steep", 0] is None  # another configuration's time would tell nothing
    there = lay_out(experiment, "laptop", store, "another device")
    assert all(run.left_s is None for run in there if not run.is_done)
    assert time_left(there) == (0, len(there) - 1)


def test_a_run_that_fails_is_named_and_the_rest_goes_on(store, tmp_path, clock):
    experiment = toy(tmp_path / "journal")
    bad = ToyConfig("bad", journal=str(tmp_path / "journal"), fails_at=2)
    plans = {"laptop": ((bad, 1), *experiment.plans["laptop"])}
    tally, _ = sweep(replace(experiment, plans=plans), store, clock)
    assert len(tally.done) == 5
    assert list(tally.failed.values()) == ["the loss is nan at step 2; lower lr"]
    (label,) = tally.failed
    assert "bad" in label and "seed 0" in label
    assert find_under_way(store.folder)[0].spec.config["name"] == "bad"  # its last good checkpoint


def test_data_that_are_not_here_are_named_and_the_rest_goes_on(store, clock):
    def absent(config):
        if config.name == "steep":
            raise UserError("camvid is not on this machine: erfbook data fetch camvid")
        return "toy-data"

    experiment = replace(toy(), fingerprint=absent)
    runs = lay_out(experiment, "laptop", store, "")
    assert [run.state for run in runs] == ["missing", "no data", "missing", "no data", "missing"]
    tally, _ = sweep(experiment, store, clock)
    assert len(tally.done) == 3 and not tally.failed


def test_a_run_that_another_process_makes_is_left_to_it(store, clock):
    experiment = toy()
    spec = experiment.spec(*list(experiment.pairs("laptop"))[1])
    with UnderWay(store.folder, spec).hold(0):
        tally, lines = sweep(experiment, store, clock)
    assert len(tally.done) == 4 and len(tally.busy) == 1 and not tally.failed
    assert any("left out" in line and "is being made by process" in line for line in lines)


def test_a_disk_that_is_full_ends_the_sweep(store, clock):
    """Every further result would be lost as well."""
    store.folder.mkdir()
    (store.folder / "toy").write_text("in the way")
    with pytest.raises(Unwritable, match="nothing half-made is kept"):
        sweep(toy(), store, clock)
    assert len(find_under_way(store.folder)) == 1


def test_configurations_are_chosen_by_name_setting_or_words(store):
    experiment = toy()
    for wish in ("steep", "factor=0.25", "factor 0.25", "STEEP"):
        runs = lay_out(experiment, "laptop", store, "", only=[wish])
        assert [run.config.name for run in runs] == ["steep", "steep"]
    assert len(lay_out(experiment, "laptop", store, "", only=["plain", "steep"])) == 5
    assert len(lay_out(experiment, "laptop", store, "", n_seeds=4)) == 8
    with pytest.raises(UserError, match=r"no configuration of toy .* is called flat; there are: "):
        lay_out(experiment, "laptop", store, "", only=["flat"])
    with pytest.raises(UserError, match="toy has no profile 'lab'; it has smoke, laptop, paper"):
        lay_out(experiment, "lab", store, "")


def test_a_whole_name_means_one_configuration_though_others_contain_it(store):
    names = ("cpu", "cpu, steep", "paper")
    plans = {"laptop": tuple((ToyConfig(name), 1) for name in names)}
    experiment = replace(toy(), plans=plans)
    for wish, meant in [("cpu", ["cpu"]), ("CPU, steep", ["cpu, steep"]), ("cp", [*names[:2]])]:
        runs = lay_out(experiment, "laptop", store, "", only=[wish])
        assert [run.config.name for run in runs] == meant


def test_a_small_part_of_the_budget_is_kept_back():
    assert kept_back(60) == 3.0 and kept_back(3600) == 10.0


def test_an_unfinished_run_goes_on_on_another_machine(tmp_path, clock):
    experiment, second = toy(tmp_path / "journal"), Store(tmp_path / "second")
    sweep(experiment, Store(tmp_path / "first"), clock, budget=15)
    export(Store(tmp_path / "first"), tmp_path / "a.zip", with_checkpoints=True)
    merge(tmp_path / "a.zip", second)
    tally, lines = sweep(experiment, second, clock)
    assert len(tally.done) == 3 and "goes on" in lines[0]
    assert len((tmp_path / "journal").read_text().splitlines()) == 5 * 6
    resumed = [r for r in second.select() if r.metrics["n_resumed"]]
    assert [r.provenance["seconds"] for r in resumed] == [6.0]


def test_an_outcome_s_remarks_go_to_the_provenance(store):
    experiment = replace(toy(), run=lambda *_: Outcome({"v": 1}, {}, {"images_per_s": 5}))
    config = experiment.plans["smoke"][0][0]
    record = make(experiment, config, 0, store, workspace(None))
    assert record.provenance["images_per_s"] == 5 and record.metrics == {"v": 1}
