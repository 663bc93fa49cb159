"""Downloads from servers that misbehave, archives that would write elsewhere, killed processes."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import datasets_cases as cases
import numpy as np
import pytest

from erfbook import datasets
from erfbook.datasets import fetch as fetching
from erfbook.datasets import real
from erfbook.datasets.catalogue import Archive, find_entry
from erfbook.datasets.convert import is_wanted, open_source, write_parquet
from erfbook.datasets.counter import shuffled
from erfbook.datasets.download import download
from erfbook.datasets.fetch import fetch
from erfbook.datasets.places import locked
from erfbook.datasets.unpack import unpack
from erfbook.errors import RunError, UserError

DATA = np.random.default_rng(0).bytes(300_000)


def get(server: cases.Server, target: Path, data: bytes = DATA, **changes) -> Path:
    """Download, without waiting between attempts."""
    archive = Archive(**cases.archive_entry(data, server.address, **changes))
    return download(archive, target, pause=lambda seconds: None)


@pytest.mark.parametrize(
    "behaviours",
    [
        ["ok"],
        ["drop"],
        ["drop", "drop", "drop", "busy", "drop"],
        ["drop", "no-range-drop", "no-range"],
        ["no-length-drop", "no-length-drop"],
        ["busy", "busy"],
        ["drop", "wrong"],  # a wrong byte behind an interruption: begun anew, once
    ],
    ids=str,
)
@pytest.mark.parametrize("size_known", [True, False])
def test_the_archive_arrives_whole_whatever_the_server_does(tmp_path, behaviours, size_known):
    if behaviours[-1] == "wrong":
        (tmp_path / "a.part").write_bytes(DATA[:1000])
    with cases.serving(DATA, *behaviours) as server:
        changes = {} if size_known else {"bytes": 0}
        assert get(server, tmp_path / "a", **changes).read_bytes() == DATA
    assert os.listdir(tmp_path) == ["a"]
    assert len(server.ranges) == len(behaviours) + (behaviours[-1] not in ("ok", "no-range"))


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path):
    (tmp_path / "a.part").write_bytes(DATA[:200_000])
    with cases.serving(DATA) as server:
        get(server, tmp_path / "a")
    assert server.ranges == ["bytes=200000-"]


def test_a_part_that_is_whole_or_too_long_is_not_asked_for_again_or_begun_anew(tmp_path):
    for length, requests in ((300_000, 0), (300_010, 1)):
        (tmp_path / "a.part").write_bytes((DATA + b"0123456789")[:length])
        with cases.serving(DATA) as server:
            assert get(server, tmp_path / "a").read_bytes() == DATA
        assert len(server.ranges) == requests
        (tmp_path / "a").unlink()


def test_what_is_there_and_right_is_not_downloaded_and_what_is_wrong_is(tmp_path):
    (tmp_path / "a").write_bytes(DATA)
    with cases.serving(DATA) as server:
        get(server, tmp_path / "a")
        assert server.ranges == []
        cases.flip(tmp_path / "a", 77)
        assert get(server, tmp_path / "a").read_bytes() == DATA


@pytest.mark.parametrize(
    ("behaviour", "changes", "said"),
    [
        ("wrong", {}, "is not the archive that the table lists: its sha256 is"),
        ("short", {}, "it has 150,000 bytes, not 300,000"),
        ("short", {"bytes": 0}, "is not the archive that the table lists: its sha256 is"),
        ("missing", {}, "answers HTTP 404"),
        ("ok", {"bytes": 299_999}, "it has 300,000 bytes, not 299,999"),
        ("ok", {"sha256": "", "md5": "0" * 32}, "its md5 is"),
    ],
)
def test_a_wrong_archive_is_named_and_never_there(tmp_path, behaviour, changes, said):
    with (
        cases.serving(DATA, *[behaviour] * 9) as server,
        pytest.raises(RunError, match=said) as caught,
    ):
        get(server, tmp_path / "a", **changes)
    assert "\n" not in str(caught.value) and server.address in str(caught.value)
    assert not (tmp_path / "a").exists()


def test_a_server_out_of_reach_is_named_and_what_came_is_kept(tmp_path):
    with cases.serving(DATA) as server:
        pass
    (tmp_path / "a.part").write_bytes(DATA[:1234])
    with pytest.raises(RunError, match=r"refused; the 1,234 bytes that came are kept, run"):
        get(server, tmp_path / "a")
    assert (tmp_path / "a.part").read_bytes() == DATA[:1234]
    with pytest.raises(UserError, match="must begin with http"):
        download(Archive("file:///etc/passwd", "a", "x"), tmp_path / "a")


def test_a_full_disk_while_downloading_keeps_what_came(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with cases.serving(DATA) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(RunError, match=r"cannot write .*a\.part: File too large; what"):
                get(server, tmp_path / "a")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert get(server, tmp_path / "a").read_bytes() == DATA
    assert server.ranges[1] is not None


# Archives.


def tar_with(path: Path, *members: tuple[str, bytes, str]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info, io.BytesIO())
    return path


def zip_with(path: Path, name: str, mode: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, "content")
    return path


@pytest.mark.parametrize(
    ("name", "kind", "target", "said"),
    [
        ("../evil", tarfile.REGTYPE, "", "lies outside the folder"),
        ("a/../../evil", tarfile.REGTYPE, "", "lies outside the folder"),
        ("/tmp/evil", tarfile.REGTYPE, "", "lies outside the folder"),
        ("evil", tarfile.SYMTYPE, "/etc/passwd", "is a link or a device"),
        ("evil", tarfile.LNKTYPE, "good", "is a link or a device"),
        ("evil", tarfile.FIFOTYPE, "", "is a link or a device"),
    ],
)
def test_a_tar_archive_that_reaches_outside_is_not_unpacked(tmp_path, name, kind, target, said):
    members = [("good", tarfile.REGTYPE, ""), (name, kind, target)]
    archive = tar_with(tmp_path / "a.tar", *members)
    with pytest.raises(RunError, match=f"a.tar is not unpacked: its member .* {said}"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [
        ("../evil", 0o100644, "lies outside"),
        ("/evil", 0o100644, "lies outside"),
        ("C:/evil", 0o100644, "lies outside"),
        ("a\\..\\..\\evil", 0o100644, "lies outside"),
        ("evil", 0o120777, "is a link"),
    ],
)
def test_a_zip_archive_that_reaches_outside_is_not_unpacked(tmp_path, name, mode, said):
    archive = zip_with(tmp_path / "a.zip", name, mode)
    with pytest.raises(RunError, match=f"a.zip is not unpacked: its member .* {said}"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_good_archives_are_unpacked_as_far_as_wanted(tmp_path):
    (tmp_path / "a.zip").write_bytes(cases.zip_of({"d/one": b"1", "d/two": b"2"}))
    unpack(tmp_path / "a.zip", tmp_path / "out", lambda name: name.endswith("one"))
    assert [p.name for p in (tmp_path / "out" / "d").iterdir()] == ["one"]


@pytest.mark.parametrize("data", [cases.cifar_archive(), cases.zip_of({"d/one": DATA})])
def test_a_damaged_archive_is_named(tmp_path, data):
    for name, bad in (("cut", data[: len(data) // 2]), ("empty", b""), ("other", b"x" * 2000)):
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(RunError, match=f"{name} is damaged: .*; remove it and fetch it again"):
            unpack(tmp_path / name, tmp_path / "out")


def converted(tmp_path: Path, format: str, data: bytes, segmentation: bool) -> dict:
    """Unpack, convert and read an archive's splits."""
    (tmp_path / "archive").write_bytes(data)
    unpack(tmp_path / "archive", tmp_path / "raw", lambda name: is_wanted(format, name))
    source, found = open_source(tmp_path / "raw", format), {}
    for split, samples in source.splits.items():
        path = tmp_path / f"{split}.parquet"
        write_parquet(path, samples(), segmentation, lambda n: None)
        found[split] = cases.pyarrow.parquet.read_table(path).to_pylist()
    return found | {"classes": source.classes}


def test_tiny_imagenet_is_converted_without_a_change(tmp_path):
    root, ids = "tiny-imagenet-200", ["n02", "n01"]
    members = {
        f"{root}/words.txt": b"n01\tgoldfish, carp\nn02\tshark\nn03\tnot in it\n",
        f"{root}/val/val_annotations.txt": b"val_0.JPEG\tn02\t0\t1\t2\t3\nval_1.JPEG\tn01\t0\n",
        f"{root}/val/images/val_0.JPEG": b"first",
        f"{root}/val/images/val_1.JPEG": b"second",
        f"{root}/test/images/test_0.JPEG": b"unlabelled",
    }
    members |= {f"{root}/train/{i}/images/{i}_0.JPEG": i.encode() for i in ids}
    members |= {f"{root}/train/{i}/{i}_boxes.txt": b"" for i in ids}
    found = converted(tmp_path, "tiny-imagenet", cases.zip_of(members), False)
    rows = {s: [(r["image"]["bytes"], r["label"]) for r in found[s]] for s in ("train", "test")}
    assert rows == {"train": [(b"n01", 0), (b"n02", 1)], "test": [(b"first", 1), (b"second", 0)]}
    assert found["classes"] == ("goldfish, carp", "shark")


def test_camvid_is_converted_without_a_change(tmp_path):
    members = {
        f"Repository-1/CamVid/{split}{kind}/{name}.png": f"{split}{kind}{name}".encode()
        for split in ("train", "val", "test")
        for kind in ("", "annot")
        for name in "ab"
    }
    found = converted(tmp_path, "camvid-segnet", cases.zip_of(members), True)
    for split in ("train", "val", "test"):
        pairs = [
            (row["image"]["bytes"].decode(), row["label"]["bytes"].decode()) for row in found[split]
        ]
        assert pairs == [(f"{split}{name}", f"{split}annot{name}") for name in "ab"]


# The whole of it: fetch.


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A machine of its own, and a function that puts an archive into its table."""
    monkeypatch.setenv("ERFBOOK_DATASETS", str(tmp_path / "table.toml"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ERFBOOK_DATA", raising=False)
    real._load.cache_clear()

    def write(data: bytes, address: str, **changes) -> None:
        path = cases.write_table(
            tmp_path / "table.toml", archive=cases.archive_entry(data, address, **changes)
        )
        text = path.read_text().replace(
            "n_classes = 3\nheight = 8\nwidth = 8", "n_classes = 10\nheight = 32\nwidth = 32", 1
        )
        path.write_text(text.replace("classes = ['a', 'b', 'c']", "classes = []", 1))

    return write


ARCHIVE = cases.cifar_archive()


def assert_is_the_archive(data: datasets.ImageSet) -> None:
    batches = {"train": [(1, 15), (2, 15)], "test": [(3, 12)]}
    for name, split in (("train", data.train), ("test", data.test)):
        records = np.concatenate([cases.cifar_records(*seed) for seed in batches[name]])
        records = records[shuffled(len(records))]
        assert np.array_equal(split.labels.numpy(), records[:, 0])
        assert np.array_equal(split.images.numpy().reshape(len(records), -1), records[:, 1:])


def test_a_fetched_set_is_the_archive_to_the_last_bit(table, tmp_path):
    with cases.serving(ARCHIVE, "drop") as server:
        table(ARCHIVE, server.address)
        folder = fetch(find_entry("small"))
        assert fetch(find_entry("small")) == folder and len(server.ranges) == 2
    data = datasets.load("small")
    assert_is_the_archive(data)
    assert data.note == "Small, official archive" and data.classes[3] == "class 3"
    left = sorted(p.name for p in (tmp_path / "cache" / "erfbook" / "data").rglob("*"))
    assert left == [".fetch", "origin.json", "small", "test.parquet", "train.parquet"]


def test_the_fingerprint_of_a_fetched_set_is_that_of_its_archive(table):
    """How parquet is written may change from version to version; what is in it does not."""
    with cases.serving(ARCHIVE) as server:
        table(ARCHIVE, server.address)
        folder = fetch(find_entry("small"))
        before = datasets.fingerprint("small")
        path = folder / "train.parquet"
        table_of_rows = cases.pyarrow.parquet.read_table(path)
        cases.pyarrow.parquet.write_table(table_of_rows, path, compression="gzip")
        with pytest.raises(UserError, match=r"train\.parquet is damaged: it is not what was made"):
            datasets.fingerprint("small")
        origin = json.loads((folder / "origin.json").read_text())
        origin["files"]["train.parquet"] = cases.file_entry(path)
        (folder / "origin.json").write_text(json.dumps(origin))
        assert datasets.fingerprint("small") == before
        origin["archive"]["checksum"] = "0" * 64
        (folder / "origin.json").write_text(json.dumps(origin))
        with pytest.raises(UserError, match="which the table does not list"):
            datasets.load("small")


def test_a_fetched_set_that_is_damaged_is_fetched_again(table):
    with cases.serving(ARCHIVE) as server:
        table(ARCHIVE, server.address)
        folder = fetch(find_entry("small"))
        for harm in (lambda p: cases.flip(p, 900), Path.unlink):
            harm(folder / "test.parquet")
            with pytest.raises(UserError, match=r"test\.parquet"):
                datasets.load("small")
            fetch(find_entry("small"))
            assert_is_the_archive(datasets.load("small"))


def test_what_was_not_fetched_is_not_overwritten(table, tmp_path, monkeypatch):
    monkeypatch.setenv("ERFBOOK_DATA", str(tmp_path / "mine"))
    cases.write_small(tmp_path / "mine" / "small")
    table(ARCHIVE, "http://127.0.0.1:9/")
    with pytest.raises(UserError, match="holds files that were not fetched"):
        fetch(find_entry("small"))
    with pytest.raises(UserError, match="Scenes needs no download"):
        fetch(find_entry("scenes"))


def test_an_interruption_while_converting_costs_no_download(table, monkeypatch):
    def interrupted(path: Path, *_) -> int:
        path.write_bytes(b"half a fi")
        raise KeyboardInterrupt

    with cases.serving(ARCHIVE) as server:
        table(ARCHIVE, server.address)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(fetching, "write_parquet", interrupted)
            fetch(find_entry("small"))
        assert not datasets.is_present("small")
        fetch(find_entry("small"))
    assert len(server.ranges) == 1
    assert_is_the_archive(datasets.load("small"))


def test_an_archive_with_too_few_images_leaves_nothing(table, tmp_path):
    lacking = cases.zip_of(
        {"cifar-10-batches-bin/data_batch_1.bin": cases.cifar_records(1, 15).tobytes()}
    )
    with cases.serving(lacking) as server:
        table(lacking, server.address)
        with pytest.raises(RunError, match="holds 15 images for train, not 30"):
            fetch(find_entry("small"))
    assert not datasets.is_present("small")


def test_two_fetches_at_once_are_one_too_many(table, tmp_path):
    table(ARCHIVE, "http://127.0.0.1:9/")
    work = tmp_path / "cache" / "erfbook" / "data" / ".fetch" / "small"
    with (
        locked(work / "lock", "x"),
        pytest.raises(RunError, match=f"process {os.getpid()} is at fetching small already"),
    ):
        fetch(find_entry("small"))


def test_a_disk_without_room_is_said_before_anything_is_downloaded(table, monkeypatch):
    with cases.serving(ARCHIVE) as server:
        table(ARCHIVE, server.address)
        monkeypatch.setattr(
            fetching.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})
        )
        with pytest.raises(RunError, match=r"MB of free space and .* needs about"):
            fetch(find_entry("small"))
    assert server.ranges == []


def test_a_download_killed_in_the_middle_is_taken_up_again(table, tmp_path):
    part = tmp_path / "cache" / "erfbook" / "data" / ".fetch" / "small" / "archive.tar.gz.part"
    with cases.serving(ARCHIVE, "slow") as server:
        table(ARCHIVE, server.address)
        command = [sys.executable, "-m", "erfbook", "data", "fetch", "small"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            until = time.monotonic() + 60
            while not (part.is_file() and part.stat().st_size > 10_000):
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        assert not datasets.is_present("small")
        kept = part.stat().st_size
        assert 10_000 < kept < len(ARCHIVE)
        fetch(find_entry("small"))
        assert server.ranges == [None, f"bytes={kept}-"]
    assert_is_the_archive(datasets.load("small"))
