"""Downloads from servers that misbehave, and archives that would write elsewhere."""

from __future__ import annotations

import io
import os
import resource
import tarfile
import zipfile
from pathlib import Path

import datasets_cases as cases
import numpy as np
import pytest

from erfbook.datasets.catalogue import Archive
from erfbook.datasets.convert import is_wanted, open_source, write_parquet
from erfbook.datasets.download import download
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
