"""Damaged and unfit files are named with what to do, and never used; so are damaged caches."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import datasets_cases as cases
import numpy as np
import pytest

from erfbook import datasets
from erfbook.datasets import decoded, real
from erfbook.errors import UserError


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A machine of its own: a table of small sets, an empty folder of data, an empty cache."""
    monkeypatch.setenv("ERFBOOK_DATASETS", str(cases.write_table(tmp_path / "table.toml")))
    monkeypatch.setenv("ERFBOOK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    real._load.cache_clear()
    return tmp_path


def list_copy(here: Path) -> None:
    """Put the checksums of the small set into the table."""
    cases.write_table(here / "table.toml", copy=here / "data" / "small")


# What may be wrong with a file.


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def lose_column(path: Path) -> None:
    cases.rewrite(path, label=None, klass=[0] * 30)


def lose_rows(path: Path) -> None:
    table = cases.pyarrow.parquet.read_table(path).slice(0, 29)
    cases.pyarrow.parquet.write_table(table, path)


def wrong_label(path: Path) -> None:
    cases.rewrite(path, label=[0] * 29 + [3])


def wrong_size(path: Path) -> None:
    cell = {"bytes": cases.png(np.zeros((9, 8, 3), np.uint8)), "path": "x"}
    cases.rewrite(path, img=[cell] * 30)


def no_bytes(path: Path) -> None:
    cases.rewrite(path, img=[{"bytes": None, "path": "elsewhere.png"}] * 30)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (truncate, r"train\.parquet is damaged or not whole .*remove it"),
        (lose_column, r"train\.parquet has no column label \(it has img, klass\); rename it"),
        (lose_rows, r"train\.parquet has 29 images where Small has 30: .*remove it"),
        (wrong_label, r"train\.parquet row 29: label must be 0 to 2, not 3; remove it"),
        (wrong_size, r"train\.parquet row 0, image: it is 8 x 9 px, not 8 x 8; remove it"),
        (no_bytes, r"train\.parquet row 0: the image has no bytes; remove it"),
        (
            lambda path: cases.spoil_image(path, 4),
            r"row 4, image: .*cannot be decoded.*; remove it",
        ),
        (lambda path: path.unlink(), r"small has no train\.parquet: the set is not whole"),
        (lambda path: path.rename(path.with_name("x.txt")), r"has no train\.parquet"),
    ],
)
def test_an_unfit_file_is_named_with_what_to_do(here, harm, said):
    folder = cases.write_small(here / "data" / "small")
    harm(folder / "train.parquet")
    with pytest.raises(UserError, match=said) as caught:
        datasets.load("small")
    assert "\n" not in str(caught.value)


def test_a_label_of_a_pixel_that_is_out_of_range_is_named(here):
    folder = cases.write_scenes(here / "data" / "scenes")
    labels = [{"bytes": cases.png(np.full(cases.SCENE, 4, np.uint8)), "path": ""}] * 5
    cases.rewrite(folder / "train.parquet", label=labels)
    with pytest.raises(UserError, match=r"row 0: label 4 is above the highest of Scenes, 3"):
        datasets.load("scenes")


def test_a_missing_shard_is_named(here):
    folder = cases.write_small(here / "data" / "small", shards=3)
    (folder / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(UserError, match="3 of one kind are expected; add the missing"):
        datasets.load("small")
    assert not datasets.is_present("small")


def test_a_known_copy_is_named_and_a_damaged_one_never_used(here):
    folder = cases.write_small(here / "data" / "small")
    unlisted = datasets.load("small")
    assert unlisted.note.startswith("Small, unlisted copy ")
    list_copy(here)
    listed = datasets.load("small")
    assert listed.note == "Small, listed copy" and listed.fingerprint == unlisted.fingerprint
    size = (folder / "test.parquet").stat().st_size
    good = (folder / "test.parquet").read_bytes()
    for position in np.random.default_rng(0).integers(0, size, 8):
        cases.flip(folder / "test.parquet", int(position))
        for use in (datasets.load, datasets.fingerprint):
            with pytest.raises(UserError, match=r"test\.parquet is damaged: its SHA-256 begins"):
                use("small")
        (folder / "test.parquet").write_bytes(good)
    cases.assert_is_small(datasets.load("small"))


def test_a_copy_of_another_size_is_used_and_called_unlisted(here):
    folder = cases.write_small(here / "data" / "small")
    list_copy(here)
    cases.rewrite(folder / "test.parquet", extra=[1] * 12)  # the same rows in another file
    data = datasets.load("small")
    cases.assert_is_small(data)
    whole = data.note.removeprefix("Small, unlisted copy ")
    assert len(whole) == 8 and int(whole, 16) >= 0


def test_the_fingerprint_needs_no_image_and_changes_with_any(here, monkeypatch):
    folder = cases.write_small(here / "data" / "small")
    monkeypatch.setattr(real, "decode_split", None)
    before = datasets.fingerprint("small")
    cases.rewrite(folder / "test.parquet", label=[0] * 12)
    assert datasets.fingerprint("small") != before


def test_a_checksum_is_remembered_until_the_file_changes(here, monkeypatch):
    from erfbook.datasets import checksums

    folder = cases.write_small(here / "data" / "small")
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    before = datasets.fingerprint("small")
    computed = []
    monkeypatch.setattr(
        checksums, "hash_file", lambda p, _h=checksums.hash_file: computed.append(p) or _h(p)
    )
    assert datasets.fingerprint("small") == before and computed == []
    cases.flip(folder / "train.parquet", 500)
    assert datasets.fingerprint("small") != before
    assert computed == [folder / "train.parquet"]
    # A file changed a moment ago may change again within the clock's step: not remembered.
    cases.flip(folder / "train.parquet", 500)
    assert datasets.fingerprint("small") == before


# Decoded images are kept in a file.


def kept_file(here: Path) -> Path:
    (path,) = (here / "cache" / "erfbook" / "decoded").iterdir()
    return path


def test_images_are_decoded_once_and_mapped_from_then_on(here, monkeypatch):
    cases.write_small(here / "data" / "small")
    datasets.load("small")
    real._load.cache_clear()
    monkeypatch.setattr(real, "decode_split", None)
    data = datasets.load("small")
    cases.assert_is_small(data)
    with open("/proc/self/maps") as maps:  # in memory as the system's cache of the file only
        assert str(kept_file(here)) in maps.read()
    data.train.images[0] = 0  # a private page: the file stays
    real._load.cache_clear()
    cases.assert_is_small(datasets.load("small"))


def test_a_kept_file_with_any_bit_changed_is_named_removed_and_made_again(here, capsys):
    cases.write_small(here / "data" / "small")
    datasets.load("small")
    path = kept_file(here)
    good = path.read_bytes()
    positions = [0, 9, 40, len(good) // 2, len(good) - 1]
    for position in positions:
        real._load.cache_clear()
        cases.flip(path, position)
        cases.assert_is_small(datasets.load("small"))
        assert "is damaged and is not used" in capsys.readouterr().err
        assert path.read_bytes() == good
    for length in (0, 10, len(good) - 1):
        real._load.cache_clear()
        path.write_bytes(good[:length])
        cases.assert_is_small(datasets.load("small"))
        assert path.read_bytes() == good


def test_a_kept_file_of_another_set_is_not_taken(here):
    cases.write_small(here / "data" / "small")
    data = datasets.load("small")
    shutil.copy(kept_file(here), decoded.decoded_path("other-v1"))
    assert decoded.read_decoded("other-v1") is None
    assert decoded.read_decoded(data.fingerprint) is not None


def test_a_cache_that_cannot_be_written_is_said_and_costs_nothing_else(here, monkeypatch, capsys):
    (here / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "file"))
    cases.write_small(here / "data" / "small")
    cases.assert_is_small(datasets.load("small"))
    assert "cannot keep decoded images" in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_a_file(here, capsys):
    cases.write_small(here / "data" / "small")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        data = datasets.load("small")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    cases.assert_is_small(data)
    assert "File too large; they are decoded each time" in capsys.readouterr().err
    assert list((here / "cache" / "erfbook" / "decoded").iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_is_under_way_is_not(here):
    cases.write_small(here / "data" / "small")
    folder = here / "cache" / "erfbook" / "decoded"
    name = f"{datasets.fingerprint('small')}.images"
    folder.mkdir(parents=True)
    old, new = folder / f".{name}.1.part", folder / f".{name}.2.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    cases.assert_is_small(datasets.load("small"))
    assert sorted(path.name for path in folder.iterdir()) == [new.name, name]
