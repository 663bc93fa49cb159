"""Fetching a whole set: to the last bit, once, and again after any interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets_cases as cases
import numpy as np
import pytest

from erfbook import datasets
from erfbook.datasets import fetch as fetching
from erfbook.datasets import real
from erfbook.datasets.catalogue import find_entry
from erfbook.datasets.counter import shuffled
from erfbook.datasets.fetch import fetch
from erfbook.datasets.places import locked
from erfbook.errors import RunError, UserError


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
