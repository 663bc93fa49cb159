"""Records that travel: nothing lost, nothing damaged taken, conflicts named."""

import json
import os
import shutil
import zipfile

import numpy as np
import pytest

from erfbook import cli
from erfbook.errors import UserError
from erfbook.records import Record, Spec, Store, UnderWay, archive, export, merge
from erfbook.records.under_way import find_under_way


def record(seed=0, value=1.5, experiment="toy", device="A"):
    spec = Spec(experiment, 1, {"channels": 16}, seed, "data")
    return Record(spec, {"value": value}, {"map": np.full(3, value)}, {"device": device})


def begin(folder, seed, content, seconds=5.0):
    """Leave an unfinished run behind, as a pause does."""
    run = UnderWay(folder, record(seed).spec)
    run.begin({"device": "A"})
    run.checkpoint.write_bytes(content)
    run.checkpoint.with_name(run.checkpoint.name + ".previous").write_bytes(b"older")
    run.pause(seconds, {"device": "A"})
    return run


@pytest.fixture
def there(tmp_path):
    """A store on another machine: two experiments, and one unfinished run."""
    store = Store(tmp_path / "there")
    for seed in range(3):
        store.save(record(seed))
    store.save(record(0, experiment="other"))
    begin(store.folder, 7, b"state")
    return store


@pytest.fixture
def here(tmp_path):
    return Store(tmp_path / "here")


def contents(store):
    return {r.spec.key: r.metrics["value"] for r in store.select()}


def test_what_is_exported_comes_back_whole(there, here, tmp_path):
    made = export(there, tmp_path / "all.zip")
    assert (made.n_records, made.n_under_way) == (4, 0)
    result = merge(tmp_path / "all.zip", here)
    assert len(result.added) == 4 and not result.bad and not result.conflicts
    assert contents(here) == contents(there)
    for path in there.files():
        assert (here.folder / path.relative_to(there.folder)).read_bytes() == path.read_bytes()
    assert not find_under_way(here.folder)
    assert len(merge(tmp_path / "all.zip", here).same) == 4


def test_one_experiment_can_be_exported(there, here, tmp_path):
    assert export(there, tmp_path / "one.zip", experiments=["other"]).n_records == 1
    merge(tmp_path / "one.zip", here)
    assert [r.spec.experiment for r in here.select()] == ["other"]


def test_an_unfinished_run_travels_with_all_its_files(there, here, tmp_path):
    made = export(there, tmp_path / "all.zip", with_checkpoints=True)
    assert made.n_under_way == 1
    assert len(merge(tmp_path / "all.zip", here).under_way) == 1
    (run,) = find_under_way(here.folder)
    assert run.spec == record(7).spec and run.seconds() == 5.0
    assert run.checkpoint.read_bytes() == b"state"
    assert [path.read_bytes() for path in run.files()] == [b"state", b"older"]


def test_of_two_unfinished_runs_the_one_that_came_further_is_kept(there, here, tmp_path):
    begin(here.folder, 7, b"less", seconds=1.0)
    export(there, tmp_path / "all.zip", with_checkpoints=True)
    merge(tmp_path / "all.zip", here)
    (run,) = find_under_way(here.folder)
    assert run.checkpoint.read_bytes() == b"state" and run.seconds() == 5.0
    begin(here.folder, 7, b"more", seconds=9.0)
    notes = merge(tmp_path / "all.zip", here).notes
    assert run.checkpoint.read_bytes() == b"more" and "has come as far, it is kept" in notes[0]


def test_a_record_from_elsewhere_makes_the_checkpoint_here_useless(there, here, tmp_path):
    begin(here.folder, 1, b"half")
    begin(here.folder, 9, b"other")
    export(there, tmp_path / "all.zip")
    merge(tmp_path / "all.zip", here)
    assert [run.spec.seed for run in find_under_way(here.folder)] == [9]


def test_a_run_that_is_finished_here_needs_no_checkpoint(there, here, tmp_path):
    here.save(record(7))
    export(there, tmp_path / "all.zip", with_checkpoints=True)
    result = merge(tmp_path / "all.zip", here)
    assert not result.under_way and "finished here" in result.notes[0]
    assert not find_under_way(here.folder)


def test_a_run_that_is_being_made_stays_out_of_both(there, here, tmp_path):
    (run,) = find_under_way(there.folder)
    with run.hold(0):
        made = export(there, tmp_path / "busy.zip", with_checkpoints=True)
    assert made.n_under_way == 0 and f"process {os.getpid()}" in made.left_out[0]
    export(there, tmp_path / "all.zip", with_checkpoints=True)
    with UnderWay(here.folder, run.spec).hold(0):
        result = merge(tmp_path / "all.zip", here)
    assert not result.under_way and "its checkpoint is left out" in result.notes[0]


def test_the_time_of_a_killed_run_survives_the_journey(there, here, tmp_path):
    """Its last piece is told by when its checkpoint was written, which a copy would change."""
    (run,) = find_under_way(there.folder)
    run.begin({"device": "B"})
    began = json.loads(run.account.read_text())["open"]["began"]
    for path in run.files():
        os.utime(path, (began + 3, began + 3))
    assert run.seconds() == pytest.approx(8.0, abs=0.01)
    shutil.copytree(there.folder, tmp_path / "copy", copy_function=shutil.copy2)
    export(there, tmp_path / "all.zip", with_checkpoints=True)
    merge(tmp_path / "all.zip", here)
    assert find_under_way(here.folder)[0].seconds() == pytest.approx(8.0, abs=0.01)
    merge(tmp_path / "copy", Store(tmp_path / "third"))  # a folder as it is on the disk
    assert find_under_way(tmp_path / "third")[0].pieces()[0]["seconds"] == 5.0


def test_conflicts_name_run_numbers_and_devices_and_keep_what_is_here(there, here, tmp_path):
    here.save(record(1, value=2.25, device="B"))
    export(there, tmp_path / "all.zip")
    result = merge(tmp_path / "all.zip", here)
    assert len(result.added) == 3 and len(result.conflicts) == 1
    line = result.conflicts[0]
    assert record(1).spec.key in line and "value 2.25 here, 1.5 there" in line
    assert "(here: B; there: A)" in line
    assert here.find(record(1).spec).metrics["value"] == 2.25
    assert not merge(tmp_path / "all.zip", here, prefer="ours").conflicts
    assert here.find(record(1).spec).metrics["value"] == 2.25
    assert len(merge(tmp_path / "all.zip", here, prefer="theirs").replaced) == 1
    assert here.find(record(1).spec).metrics["value"] == 1.5
    with pytest.raises(UserError, match="--prefer must be theirs or ours, not 'mine'"):
        merge(tmp_path / "all.zip", here, prefer="mine")


def test_a_flipped_byte_anywhere_in_the_file_takes_nothing_wrong(there, tmp_path):
    """Each place: either the file is refused, or what was damaged is named and left out."""
    export(there, tmp_path / "all.zip", with_checkpoints=True)
    content = (tmp_path / "all.zip").read_bytes()
    right = contents(there)
    n_named = 0
    for n, place in enumerate(range(0, len(content), 83)):
        changed = bytearray(content)
        changed[place] ^= 8
        (tmp_path / "bad.zip").write_bytes(changed)
        store = Store(tmp_path / f"into{n}")
        try:
            result = merge(tmp_path / "bad.zip", store)
        except (UserError, RuntimeError) as error:
            assert "bad.zip" in str(error)
            assert "\n" not in str(error)
            continue
        got = contents(store)
        assert got.items() <= right.items()
        runs = find_under_way(store.folder)
        assert all(r.files()[0].read_bytes() == b"state" for r in runs)
        if len(got) < len(right) or not runs:
            assert result.bad
            n_named += 1
    assert n_named > 10


def test_without_the_manifest_a_damaged_checkpoint_could_pass(there, here, tmp_path, monkeypatch):
    """Checkpoints are foreign bytes to a merge; zip's 32 bits can be made to fit, these cannot."""
    begin(there.folder, 7, b"wrong")
    export(there, tmp_path / "wrong.zip", with_checkpoints=True)
    begin(there.folder, 7, b"state")
    export(there, tmp_path / "right.zip", with_checkpoints=True)
    swapped = tmp_path / "swapped.zip"
    with (
        zipfile.ZipFile(tmp_path / "wrong.zip") as wrong,
        zipfile.ZipFile(tmp_path / "right.zip") as right,
        zipfile.ZipFile(swapped, "w") as target,
    ):
        for name in right.namelist():
            target.writestr(name, (wrong if name.endswith(".pt") else right).read(name))
    result = merge(swapped, here)
    assert not result.under_way and "not that of the manifest" in result.bad[0]
    monkeypatch.setattr(archive, "_read_manifest", lambda *_: None)
    assert merge(swapped, here).under_way  # the wrong version takes it


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(there, here, tmp_path, share):
    export(there, tmp_path / "all.zip")
    content = (tmp_path / "all.zip").read_bytes()
    (tmp_path / "all.zip").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"all\.zip is cut short"):
        merge(tmp_path / "all.zip", here)
    assert not here.folder.exists()


@pytest.mark.parametrize("name", ["../../evil/0123456789abcdef01234567.npz", "/etc/x.npz", "a.npz"])
def test_members_with_other_names_are_not_taken(here, tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as target:
        target.writestr(name, b"x")
        target.writestr("under-way/../../evil.json", b"x")
        target.writestr("manifest.json", '{"format": 1, "sha256": {}}')
    result = merge(tmp_path / "evil.zip", here)
    assert not result.added and not result.under_way
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.zip"]


def test_other_files_and_folders_are_refused_by_name(here, tmp_path):
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as target:
        target.writestr("a", b"x")
    for name, match in (
        ("absent.zip", "there is no file or folder"),
        ("empty", "there are no records in the folder"),
        ("plain.zip", "no file of exported records"),
    ):
        with pytest.raises(UserError, match=match):
            merge(tmp_path / name, here)


def test_one_record_s_file_is_merged_whatever_its_name(there, here, tmp_path):
    path = shutil.copy(there.path(record(1).spec), tmp_path / "sent by mail.npz")
    assert len(merge(path, here).added) == 1 and len(merge(path, here).same) == 1
    assert contents(here) == {record(1).spec.key: 1.5}
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"mail\.npz is cut short"):
        merge(path, here)


def test_a_configuration_without_a_name_is_told_by_its_data_set(tmp_path, capsys):
    spec = Spec("sheet", 1, {"name": "", "dataset": "patches32"}, 0, "data")
    Store(tmp_path).save(Record(spec, {"value": 1}, {}, {"device": "A"}))
    assert call("list", "--folder", tmp_path) == 0
    assert "dataset patches32" in capsys.readouterr().out
    spec = Spec("bare", 1, {"name": ""}, 0, "data")
    Store(tmp_path).save(Record(spec, {"value": 1}, {}, {"device": "A"}))
    assert call("list", "--folder", tmp_path) == 0
    assert "bare v1     as it is" in capsys.readouterr().out


def call(*words):
    return cli.main(["records", *map(str, words)])


def test_the_command_lists_shows_and_moves_records(there, here, tmp_path, capsys):
    assert call("list", "--folder", there.folder) == 0
    listed = capsys.readouterr().out
    assert "toy v1" in listed and "0-2" in listed and "under way: toy" in listed
    key = record(1).spec.key
    assert call("show", key[:6], "--folder", there.folder) == 0
    shown = capsys.readouterr().out
    assert "channels  16" in shown and "value  1.5" in shown and "float64 3" in shown
    assert call("export", tmp_path / "all.zip", "--folder", there.folder, "--with-checkpoints") == 0
    assert "4 records and 1 unfinished runs" in capsys.readouterr().out
    assert call("merge", tmp_path / "all.zip", "--into", here.folder) == 0
    assert "4 added, 1 under way" in capsys.readouterr().out
    assert call("verify", "--folder", here.folder) == 0
    assert "4 records, " in capsys.readouterr().out


def test_the_command_exits_with_1_where_something_is_wrong(there, here, tmp_path, capsys):
    here.save(record(1, value=2.25, device="B"))
    assert call("merge", there.folder, "--into", here.folder) == 1
    printed = capsys.readouterr().out
    assert "conflict: two results of toy" in printed and "--prefer theirs" in printed
    assert call("merge", there.folder, "--into", here.folder, "--prefer", "theirs") == 0
    path = here.path(record(1).spec)
    path.write_bytes(path.read_bytes()[:-5])
    capsys.readouterr()
    assert call("verify", "--folder", here.folder) == 1
    assert f"bad: {path}: it is cut short" in capsys.readouterr().out
    assert path.exists()  # verifying only looks


def test_published_records_have_a_limit_together(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").write_text("")
    monkeypatch.setenv("ERFBOOK_ROOT", str(tmp_path))
    Store(tmp_path / "data" / "records").save(record())
    assert call("verify") == 0
    monkeypatch.setattr("erfbook.records.command.LARGEST", 100)
    assert call("verify") == 1
    assert "too large: published records must stay under" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["show", "ffff"], "no record's key begins with 'ffff'"),
        (["show", ""], "keys begin with ''"),
        (["export", "."], ". is a folder; name a file"),
        (["export", "pipe"], "FILE pipe is no regular file; name a file"),
        (["export", "/proc/nope/x.zip"], "FILE /proc/nope/x.zip cannot be written"),
        (["export", "x.zip", "--experiment", "tau"], "no records of 'tau' in"),
        (["list", "nosuch"], "no records of 'nosuch' in"),
        (["list", "**"], "no records of '**' in"),
        (["list", "/etc"], "no records of '/etc' in"),
        (["list", "nosuch"], "there are: other, toy"),
        (["export", "e" * 300], "eee: File name too long; name another"),
        (["list", "--folder", "nowhere" * 50], "nowhere: File name too long; name another"),
        (["merge", "nowhere" * 50], "nowhere: File name too long; name another"),
        (["merge", ".", "--into", "nowhere" * 50], "nowhere: File name too long; name another"),
        (["list", "--folder", "nowhere"], "there is no folder nowhere"),
        (["merge", "nowhere.zip"], "there is no file or folder nowhere.zip"),
        ([], "required: ACTION"),
    ],
)
def test_the_command_refuses_in_one_line(there, monkeypatch, capsys, words, line):
    monkeypatch.chdir(there.folder)
    os.mkfifo("pipe")
    if words and "nowhere" not in words[-1]:
        words = [*words, "--into" if words[0] == "merge" else "--folder", str(there.folder)]
    assert call(*words) == 2
    printed = capsys.readouterr()
    assert line in printed.err and printed.err.count("\n") == 1 and not printed.out
