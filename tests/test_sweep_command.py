"""``erfbook sweep``: what it says, where records go, and what it refuses."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import toy_experiment
from toy_experiment import toy

from erfbook import cli
from erfbook.errors import UserError
from erfbook.experiments import catalogue
from erfbook.experiments.registry import Workspace, make
from erfbook.records import Store, UnderWay, merge
from erfbook.records.under_way import find_under_way
from erfbook.sweep import bare, command


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
    assert "the same command goes on" not in printed  # it would fail again


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
        (["toy", "--budget", "9" * 400 + "d"], "--budget must be at most 36500 d, not '99999"),
        (["toy", "--into", "n" * 300], "nnn: File name too long; name another"),
        (["toy", "--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["toy", "--device", "abacus"], "device 'abacus' cannot be used"),
        (["toy", "--profile", "lab"], "toy has no profile 'lab'"),
        (["toy", "--into", "journal"], "--into journal is a file"),
        (["toy", "--export", "."], "--export . is a folder"),
        (["toy", "--export", "pipe"], "--export pipe is no regular file; name a file"),
        (["toy", "--export", "journal/x.zip"], "--export journal/x.zip cannot be written"),
        (["toy", "--export", "/proc/nope/x.zip"], "--export /proc/nope/x.zip cannot be written"),
        (["toy", "--device", "meta"], "device 'meta' cannot be used: it computes nothing"),
        (["toy", "--scheduler", "somewhere"], "--scheduler must be an address"),
        (["toy", "--scheduler", "none.yml"], "cannot read none.yml"),
    ],
)
def test_the_command_refuses_in_one_line(toys, capsys, words, line):
    (toys / "journal").touch()
    os.mkfifo(toys / "pipe")
    assert call(*words) == 2
    printed = capsys.readouterr()
    assert line in printed.err and printed.err.count("\n") == 1


def test_a_wrong_scheduler_is_refused_also_where_nothing_is_missing(toys, capsys):
    assert call("toy", "--into", "mine") == 0
    assert call("toy", "--into", "mine", "--scheduler", "nonsense") == 2
    assert "--scheduler must be an address" in capsys.readouterr().err
    assert call("toy", "--into", "mine", "--scheduler", "tcp://nobody:1") == 0  # none is needed


def test_looking_whether_an_export_can_be_written_leaves_nothing(toys):
    assert call("toy", "--into", "mine", "--export", "a/b/mine.zip", "--dry-run") == 0
    assert not (toys / "a").exists() and not list(toys.glob(".*"))


def test_what_another_sweep_has_made_meanwhile_counts_as_done(toys, monkeypatch, capsys):
    """It holds the first run's lock when this one comes to it, and has made it at the end."""
    experiment = catalogue.EXPERIMENTS["toy"]
    config, seed = next(experiment.pairs("laptop"))
    store = Store(toys / "mine")
    other = contextlib.ExitStack()
    other.enter_context(UnderWay(store.folder, experiment.spec(config, seed)).hold(0))
    tell = toy_experiment.tell

    def finish(journal, line):
        monkeypatch.setattr(toy_experiment, "tell", tell)
        other.close()
        make(experiment, config, seed, store, Workspace())

    monkeypatch.setattr(toy_experiment, "tell", finish)
    assert call("toy", "--into", "mine") == 0
    printed = capsys.readouterr().out
    assert "left out, toy" in printed
    assert "5 of 5 runs done\n" in printed and "goes on" not in printed


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
