"""Sweeps: in order of value, inside the budget, past failures, and from where they stopped."""

import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import toy_experiment
from toy_experiment import ToyConfig, toy, uninterrupted

from erfbook import cli
from erfbook.errors import UserError
from erfbook.experiments import catalogue
from erfbook.experiments.registry import Outcome, make
from erfbook.records import Store, Unwritable, merge
from erfbook.records.provenance import name_device
from erfbook.records.under_way import UnderWay, find_under_way
from erfbook.sweep import bare, command
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
    sweep(experiment, store, clock, only=["plain"])
    here = lay_out(experiment, "laptop", store, name_device("cpu"))
    assert here[1].left_s == 6.0  # as the other configuration took
    there = lay_out(experiment, "laptop", store, "another device")
    assert there[1].left_s is None and time_left(there) == (0, 2)


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


def test_a_small_part_of_the_budget_is_kept_back():
    assert kept_back(60) == 3.0 and kept_back(3600) == 10.0


@pytest.fixture
def toys(monkeypatch, tmp_path):
    """The toy in the catalogue, and a working folder without a project."""
    monkeypatch.setitem(catalogue.EXPERIMENTS, "toy", toy(tmp_path / "journal"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words):
    return cli.main(["sweep", *words])


def test_the_command_says_what_is_done_and_what_is_missing(toys, capsys):
    assert call("toy", "--into", "mine", "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "toy, laptop: 0 of 5 runs done, 5 missing; records in mine" in printed
    assert printed.count("missing") == 6 and not (toys / "mine").exists()
    assert call("toy", "--into", "mine", "--only", "plain", "--seeds", "2", "--device", "cpu") == 0
    assert "2 of 2 runs done" in capsys.readouterr().out
    assert call("toy", "--into", "mine", "--export", "mine.zip", "--budget", "1m") == 0
    printed = capsys.readouterr().out
    assert "2 of 5 runs done, 3 missing, about 0." in printed and "stops within 1 min" in printed
    assert "mine.zip: 5 records, " in printed
    assert len(merge(toys / "mine.zip", Store(toys / "other")).added) == 5
    assert call("toy", "--into", "mine", "--dry-run") == 0
    assert "5 of 5 runs done;" in capsys.readouterr().out


def test_the_command_exits_with_1_if_a_run_failed(toys, monkeypatch, capsys):
    monkeypatch.setitem(catalogue.EXPERIMENTS, "toy", toy(fails_at=1))
    assert call("toy", "--profile", "smoke", "--into", "mine", "--export", "mine.zip") == 1
    printed = capsys.readouterr().out
    assert "failed: name plain, seed 0: the loss is nan at step 1; lower lr" in printed
    assert "mine.zip: 0 records and 1 unfinished runs" in printed


def test_without_a_name_the_experiments_are_listed(toys, capsys):
    assert call() == 0
    assert "  toy" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        call("--help")
    assert "counts (smoke, laptop, paper)" in capsys.readouterr().out


def test_records_go_to_the_project_or_beside_the_package_alone(toys, monkeypatch):
    monkeypatch.setattr("erfbook.records.places.__file__", str(toys / "a" / "b" / "c.py"))
    assert str(command.open_store(None).folder) == "records"
    (toys / "notebooks").mkdir()
    (toys / "_toc.yml").write_text("")
    store = command.open_store(None)
    assert store.folder == toys / "_build" / "records"
    assert [other.folder for other in store.also] == [toys / "data" / "records"]
    assert not command.open_store(str(toys / "data" / "records")).also


def test_the_places_of_records_are_those_of_the_book(monkeypatch):
    from erfbook.book import paths
    from erfbook.records.places import find_places

    project, places = paths.find_project(), find_places()
    assert (places.own, places.published) == (project.own_records, project.records)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tay"], "no experiment 'tay'; did you mean 'toy'?"),
        (["toy", "--budget", "soon"], "--budget must be a time such as 9m, 1h30m or 90s"),
        (["toy", "--budget", "0"], "--budget must be longer than '0'"),
        (["toy", "--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["toy", "--device", "abacus"], "device 'abacus' cannot be used"),
        (["toy", "--profile", "lab"], "toy has no profile 'lab'"),
        (["toy", "--into", "journal"], "--into journal is a file"),
        (["toy", "--export", "."], "--export . is a folder"),
        (["toy", "--scheduler", "somewhere"], "--scheduler must be an address"),
        (["toy", "--scheduler", "none.yml"], "cannot read none.yml"),
    ],
)
def test_the_command_refuses_in_one_line(toys, capsys, words, line):
    (toys / "journal").touch()
    assert call(*words) == 2
    printed = capsys.readouterr()
    assert line in printed.err and printed.err.count("\n") == 1


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_the_checkpoint_and_says_one_line(toys, monkeypatch, capsys, kind):
    tell = toy_experiment.tell

    def interrupt(journal, line):
        tell(journal, line)
        if line.split()[2] == "2":
            signal.raise_signal(kind)

    monkeypatch.setattr(toy_experiment, "tell", interrupt)
    assert call("toy", "--into", "mine") == 130
    assert capsys.readouterr().err.count("\n") == 1
    assert len(find_under_way(toys / "mine")) == 1
    monkeypatch.setattr(toy_experiment, "tell", tell)
    assert call("toy", "--into", "mine") == 0
    assert len((toys / "journal").read_text().splitlines()) == 5 * 6


def test_an_unfinished_run_goes_on_on_another_machine(toys, clock, capsys):
    experiment = catalogue.EXPERIMENTS["toy"]
    sweep(experiment, Store(toys / "first"), clock, budget=15)
    assert cli.main(["records", "export", "a.zip", "--folder", "first", "--with-checkpoints"]) == 0
    assert cli.main(["records", "merge", "a.zip", "--into", "second"]) == 0
    tally, lines = sweep(experiment, Store(toys / "second"), clock)
    assert len(tally.done) == 3 and "goes on" in lines[0]
    assert len((toys / "journal").read_text().splitlines()) == 5 * 6
    resumed = [r for r in Store(toys / "second").select() if r.metrics["n_resumed"]]
    assert [r.provenance["seconds"] for r in resumed] == [6.0]


def test_times_are_read_in_real_seconds(toys, monkeypatch):
    """A budget of 2 s, of which a twentieth is kept back, is not overdrawn."""
    settings = {"n_steps": 400, "step_s": 0.01}
    monkeypatch.setitem(catalogue.EXPERIMENTS, "toy", toy(toys / "journal", **settings))
    began = time.monotonic()
    assert call("toy", "--into", "mine", "--budget", "2s") == 0
    assert time.monotonic() - began < 4.0  # laying out and the last step come on top when busy
    assert len(find_under_way(toys / "mine")) == 1


BARE = """
import sys
from importlib.machinery import PathFinder
HIDDEN = {hidden!r}
class Hiding:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.split(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)
sys.meta_path = [Hiding if f is PathFinder else f for f in sys.meta_path]
from erfbook import cli
sys.exit(cli.main(["sweep", "--help"]))
"""


def test_a_machine_with_pytorch_and_numpy_alone_can_sweep():
    """All that the package asks for beyond PyTorch, NumPy, tqdm and yaml is hidden."""
    hidden = {*bare.PACKAGES, "seaborn", "skimage", "pyarrow", "IPython", "dask", "distributed"}
    program = BARE.format(hidden=hidden)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "erf-training" in done.stdout


def test_what_is_called_of_an_absent_package_says_what_to_install():
    fit = bare.Absent("scipy").optimize.least_squares
    with pytest.raises(UserError, match=r"scipy\.optimize\.least_squares is needed here: pip in"):
        fit(1, 2)
    with pytest.raises(UserError, match="pip install pillow"):
        bare.Absent("PIL").Image.open("x")
    assert (int | bare.Absent("jaxtyping").Float[int, "n"]) is not None


def test_packages_that_are_there_are_not_replaced():
    bare.stand_in()
    import scipy.optimize

    assert not isinstance(scipy.optimize.least_squares, bare.Absent)


def test_an_outcome_s_remarks_go_to_the_provenance(store):
    experiment = replace(toy(), run=lambda *_: Outcome({"v": 1}, {}, {"images_per_s": 5}))
    config = experiment.plans["smoke"][0][0]
    record = make(experiment, config, 0, store, workspace(None))
    assert record.provenance["images_per_s"] == 5 and record.metrics == {"v": 1}
