"""A folder of records may hold other things: files of other people, links, folders, copies."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_experiment import toy

from erfbook import cli
from erfbook.errors import RunError
from erfbook.experiments.registry import Workspace, make
from erfbook.records import Record, Spec, Store, Unwritable
from erfbook.sweep.local import sweep_here
from erfbook.sweep.plan import lay_out


def record(seed=0, value=1.5):
    spec = Spec("toy", 1, {"channels": 16}, seed, "data")
    return Record(spec, {"value": value}, {"map": np.full(3, value)}, {"device": "A"})


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "records")
    store.save(record(0))
    return store


def call(*words):
    return cli.main(["records", *map(str, words)])


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("words", [["list"], ["export", "all.zip"], ["verify"], ["show", "a"]])
def test_commands_that_look_leave_every_file_its_name(
    store, tmp_path, monkeypatch, capsys, caplog, words
):
    """Numbers of a thesis, a backup, a record under another key, one cut short."""
    monkeypatch.chdir(tmp_path)
    (store.folder / "results").mkdir()
    np.savez(store.folder / "results" / "my_thesis_data.npz", a=np.arange(3))
    shutil.copytree(store.folder / "toy", store.folder / "toy.backup")
    shutil.copy(store.path(record(0).spec), store.path(record(1).spec))
    store.path(record(2).spec).write_bytes(b"x")
    before = names(store.folder)
    call(*words, "--folder", store.folder)
    assert names(store.folder) == before
    said = caplog.text + "".join(capsys.readouterr())
    assert "thesis" not in said and "set aside" not in said
    if words[0] in ("list", "export"):
        assert f"damaged record {store.path(record(2).spec)}: it is cut short" in said
        assert f"misplaced record {store.path(record(1).spec)}: it holds toy" in said
        assert f"damaged record {store.path(record(1).spec)}" not in said
    if words[0] == "export":
        assert "all.zip: 1 records" in said


def test_laying_out_a_sweep_leaves_every_file_its_name(tmp_path, caplog):
    experiment, store = toy(), Store(tmp_path)
    config, seed = next(experiment.pairs("smoke"))
    path = store.path(experiment.spec(config, seed))
    path.parent.mkdir()
    path.write_bytes(b"x")
    assert not lay_out(experiment, "smoke", store, "A")[0].is_done
    assert names(tmp_path) == ["toy", f"toy/{path.name}"]
    assert caplog.text.count(str(path)) == 1  # said once, not at each look
    make(experiment, config, seed, store, Workspace())
    assert names(tmp_path / "toy") == [path.name, f"{path.name}.bad"]


def test_what_stands_behind_another_folder_is_never_renamed(store, tmp_path, caplog):
    path = store.path(record(0).spec)
    path.write_bytes(b"x")
    assert Store(tmp_path / "own", also=[store.folder]).find(record(0).spec) is None
    assert path.exists() and f"damaged record {path}" in caplog.text


@pytest.mark.parametrize("target", ["nowhere", "itself"])
def test_a_link_to_nothing_gives_way_to_the_record(store, target, caplog):
    """Its name is taken, though no file can be opened under it."""
    path = store.path(record(1).spec)
    path.symlink_to(path.name if target == "itself" else "nowhere")
    assert store.save(record(1)) == path and store.find(record(1).spec) is not None
    assert "it is a link to a file that is not there; set aside as" in caplog.text
    assert os.path.islink(f"{path}.bad")
    path.unlink()
    path.symlink_to("nowhere")
    store.save(record(1))
    assert os.path.islink(f"{path}.bad") and os.path.islink(f"{path}.bad1")


def test_a_place_that_stays_taken_is_one_line(store, monkeypatch):
    """Another user's file, in a folder where everyone may add and nobody remove."""

    def refuse(*args):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    path = store.path(record(1).spec)
    path.symlink_to("nowhere")
    monkeypatch.setattr("erfbook.records.store.os.rename", refuse)
    with pytest.raises(Unwritable, match=rf"cannot write {path}: its name is taken .*; remove it"):
        store.save(record(1))


@pytest.mark.parametrize("what", ["link to nothing", "folder", "forbidden", "removed meanwhile"])
def test_one_bad_entry_is_named_and_the_rest_is_read(store, monkeypatch, capsys, caplog, what):
    path = store.path(record(1).spec)
    if what == "link to nothing":
        path.symlink_to("nowhere")
    elif what == "folder":
        path.mkdir()
    else:
        store.save(record(1))
        error = {"forbidden": PermissionError(13, "Permission denied")}
        error |= {"removed meanwhile": FileNotFoundError(2, "No such file or directory")}
        read = Path.read_bytes

        def fail(self):
            if self == path:
                raise error[what]
            return read(self)

        monkeypatch.setattr(Path, "read_bytes", fail)
    code = call("verify", "--folder", store.folder)
    said = capsys.readouterr().out
    assert f"{store.folder}: 1 records" in said
    assert (code, str(path) in said) == ((0, False) if what == "removed meanwhile" else (1, True))
    assert call("list", "--folder", store.folder) == 0
    assert "toy v1" in capsys.readouterr().out
    assert call("export", str(store.folder / "all.zip"), "--folder", store.folder) == 0
    assert "1 records" in capsys.readouterr().out
    assert what == "removed meanwhile" or str(path) in caplog.text


def test_a_folder_where_a_record_belongs_does_not_stop_a_sweep(tmp_path, caplog):
    experiment, store = toy(), Store(tmp_path)
    runs = lay_out(experiment, "laptop", store, "A")
    store.path(runs[0].spec).mkdir(parents=True)
    tally = sweep_here(experiment, runs, store, device=torch.device("cpu"))
    assert len(tally.done) == 5 and "it is a folder, not a file; set aside as" in caplog.text


def test_a_record_that_cannot_be_read_fails_its_own_run_alone(tmp_path, monkeypatch):
    experiment, store = toy(), Store(tmp_path)
    runs = lay_out(experiment, "laptop", store, "A")
    path, read = store.path(runs[0].spec), Path.read_bytes

    def fail(self):
        if self == path:
            raise OSError(errno.EIO, "Input/output error")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(RunError, match=r"cannot read .*: Input/output error"):
        store.find(runs[0].spec)
    tally = sweep_here(
        experiment, lay_out(experiment, "laptop", store, "A"), store, device=torch.device("cpu")
    )
    assert len(tally.done) == 4
    assert list(tally.failed.values()) == [f"cannot read {path}: Input/output error"]
