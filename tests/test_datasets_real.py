"""Real sets from folders: what is read is what was written, and what is damaged is never used."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import datasets_cases as cases
import numpy as np
import pytest
import torch

from erfbook import datasets
from erfbook.datasets import decode, decoded, folders, identity, real
from erfbook.datasets.catalogue import find_entry
from erfbook.datasets.counter import shuffled
from erfbook.errors import RunError, UserError

ROOT = Path(__file__).parents[1]


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


def assert_is_small(data: datasets.ImageSet) -> None:
    """Hold a loaded set to the arrays it was written from, in the set's order."""
    for name, split in (("train", data.train), ("test", data.test)):
        images, labels = cases.make_images(name)
        order = shuffled(len(labels))
        assert np.array_equal(split.images.numpy(), images[order].transpose(0, 3, 1, 2))
        assert np.array_equal(split.labels.numpy(), labels[order])


@pytest.mark.parametrize(("column", "shards"), [("img", 1), ("image", 1), ("image", 3)])
def test_parquet_is_read_as_it_was_written(here, column, shards):
    cases.write_small(here / "data" / "small", column=column, shards=shards)
    assert datasets.is_present("small")
    data = datasets.load("small")
    assert_is_small(data)
    assert data.classes == ("a", "b", "c") and data.train.images.dtype == torch.uint8
    assert data.fingerprint == datasets.fingerprint("small")


def test_the_check_of_what_is_read_sees_the_order_of_the_files(here, monkeypatch):
    cases.write_small(here / "data" / "small")
    monkeypatch.setattr(decode, "shuffled", np.arange)
    with pytest.raises(AssertionError):
        assert_is_small(datasets.load("small"))


def test_an_order_fixed_for_good_mixes_classes_that_files_keep_apart(here):
    cases.write_small(here / "data" / "small")
    first = datasets.load("small").limited(12, 0).train.labels
    assert len(first.unique()) == 3  # the files begin with ten images of the first class


def test_folders_of_images_are_read_as_they_were_written(here):
    for split, folder in (("train", "train"), ("test", "val")):
        images, labels = cases.make_images(split)
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            place = here / "data" / "small" / folder / "xyz"[label]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{i:03d}.png").write_bytes(cases.png(image))
    data = datasets.load("small")  # the images are sorted by class, so names sort as rows do
    assert_is_small(data)
    assert "unlisted folder of images" in data.note
    before = data.fingerprint
    cases.flip(here / "data" / "small" / "val" / "x" / "000.png", -5)
    assert datasets.fingerprint("small") != before


def write_scene_folders(folder: Path, images: str, labels: str) -> None:
    for split in cases.SCENES:
        pixels, classes = cases.make_scenes(split)
        for i, pair in enumerate(zip(pixels, classes, strict=True)):
            for pattern, array in zip((images, labels), pair, strict=True):
                path = folder / pattern.format(split) / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(cases.png(array))


@pytest.mark.parametrize(
    "layout", ["parquet", ("{}/images", "{}/labels"), ("{}", "{}annot")], ids=str
)
def test_segmentation_sets_are_read_as_they_were_written(here, layout):
    folder = here / "data" / "scenes"
    if layout == "parquet":
        cases.write_scenes(folder)
    else:
        write_scene_folders(folder, *layout)
    data = datasets.load("scenes")
    for name, split in (("train", data.train), ("test", data.test)):
        images, labels = cases.make_scenes(name)
        order = shuffled(len(labels))
        assert np.array_equal(split.images.numpy(), images[order].transpose(0, 3, 1, 2))
        assert np.array_equal(split.labels.numpy(), labels[order])
    assert data.ignore == cases.N_CLASSES


def test_a_label_image_that_is_missing_is_named(here):
    write_scene_folders(here / "data" / "scenes", "{}", "{}annot")
    (here / "data" / "scenes" / "trainannot" / "1.png").unlink()
    with pytest.raises(UserError, match=r"train/1\.png has no label image .*trainannot; add it"):
        datasets.load("scenes")


def test_several_processes_decode_what_one_does(here, monkeypatch):
    cases.write_small(here / "data" / "small")
    cases.write_scenes(here / "data" / "scenes")
    monkeypatch.setattr(decode, "_PIXELS_A_WORKER", 60)
    monkeypatch.setattr(decode, "_BATCH", 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert_is_small(datasets.load("small"))
    cases.write_scenes(here / "data" / "scenes")
    _, labels = cases.make_scenes("train")
    found = datasets.load("scenes").train.labels.numpy()
    assert np.array_equal(found, labels[shuffled(len(labels))])
    spoil_image(here / "data" / "small" / "train.parquet", 7)
    with pytest.raises(UserError, match=r"train\.parquet row 7, image: .*cannot be decoded"):
        datasets.load("small")


def test_a_process_that_dies_while_decoding_is_an_error_and_not_a_wait():
    worker = decode._Worker(8, 8)
    worker.process.kill()
    worker.process.wait()
    with pytest.raises(RunError, match="ended early; run the command again"):
        worker.decode([b"x"], 3)
    worker.close()


# What may be wrong with a file.


def spoil_image(path: Path, row: int) -> None:
    cells = cases.pyarrow.parquet.read_table(path).to_pylist()
    cells[row]["img"]["bytes"] = cells[row]["img"]["bytes"][:40]
    cases.rewrite(path, img=[cell["img"] for cell in cells])


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
        (lambda path: spoil_image(path, 4), r"row 4, image: .*cannot be decoded.*; remove it"),
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
    assert_is_small(datasets.load("small"))


def test_a_copy_of_another_size_is_used_and_called_unlisted(here):
    folder = cases.write_small(here / "data" / "small")
    list_copy(here)
    cases.rewrite(folder / "test.parquet", extra=[1] * 12)  # the same rows in another file
    data = datasets.load("small")
    assert_is_small(data)
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
    assert_is_small(data)
    with open("/proc/self/maps") as maps:  # in memory as the system's cache of the file only
        assert str(kept_file(here)) in maps.read()
    data.train.images[0] = 0  # a private page: the file stays
    real._load.cache_clear()
    assert_is_small(datasets.load("small"))


def test_a_kept_file_with_any_bit_changed_is_named_removed_and_made_again(here, capsys):
    cases.write_small(here / "data" / "small")
    datasets.load("small")
    path = kept_file(here)
    good = path.read_bytes()
    positions = [0, 9, 40, len(good) // 2, len(good) - 1]
    for position in positions:
        real._load.cache_clear()
        cases.flip(path, position)
        assert_is_small(datasets.load("small"))
        assert "is damaged and is not used" in capsys.readouterr().err
        assert path.read_bytes() == good
    for length in (0, 10, len(good) - 1):
        real._load.cache_clear()
        path.write_bytes(good[:length])
        assert_is_small(datasets.load("small"))
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
    assert_is_small(datasets.load("small"))
    assert "cannot keep decoded images" in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_a_file(here, capsys):
    cases.write_small(here / "data" / "small")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        data = datasets.load("small")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_is_small(data)
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
    assert_is_small(datasets.load("small"))
    assert sorted(path.name for path in folder.iterdir()) == [new.name, name]


def test_a_set_that_is_not_here_is_named_with_how_to_get_it(here):
    with pytest.raises(UserError, match=r"Small is not in .*small; set ERFBOOK_DATA to a folder"):
        datasets.load("small")
    with pytest.raises(UserError, match=r"no data set 'smal'; did you mean 'small'"):
        datasets.fingerprint("smal")
    assert not datasets.is_present("small") and not datasets.is_present("smal")


def test_a_table_that_cannot_be_used_is_named(here, monkeypatch):
    for text, said in (("[a", "cannot be used"), ("[a]\ntask = 'x'", "cannot be used")):
        (here / "bad.toml").write_text(text)
        monkeypatch.setenv("ERFBOOK_DATASETS", str(here / "bad.toml"))
        with pytest.raises(UserError, match=said):
            datasets.load("small")
        (here / "bad.toml").unlink()
        with pytest.raises(UserError, match="cannot read the table"):
            datasets.load("small")


# The real copies, where they are. One split of each is decoded: all of them take a while.


def real_copy(name: str, split: str, note: str, monkeypatch, tmp_path):
    given = os.environ.get("ERFBOOK_DATA")
    folder = Path(given) if given else ROOT.parent / "shared" / "data"
    if not (folder / name).is_dir():
        pytest.skip(f"{name} is neither in ERFBOOK_DATA nor in shared/data beside the checkout")
    monkeypatch.setenv("ERFBOOK_DATA", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = folders.require(find_entry(name))
    if identity.identify(found).note != note:
        pytest.skip(f"{name} in {folder} is not the {note}")
    return found, *(torch.from_numpy(array) for array in decode.decode_split(found, split))


def test_camvid_has_its_split_and_its_classes(monkeypatch, tmp_path):
    note = "CamVid, JPEG-encoded copy"
    found, images, labels = real_copy("camvid", "val", note, monkeypatch, tmp_path)
    counts = [decode.count_rows(found, split) for split in ("train", "val", "test")]
    assert counts == [367, 101, 233]
    assert images.shape == (101, 3, 360, 480) and labels.unique().tolist() == list(range(12))
    # In a view from a car the sky is above the road.
    row = torch.arange(360.0)[:, None].expand(labels.shape)
    assert row[labels == 0].mean() < 120 < 240 < row[labels == 3].mean()


def test_cifar10_has_as_many_images_of_every_class(monkeypatch, tmp_path):
    note = "CIFAR-10, JPEG-encoded copy"
    _, images, labels = real_copy("cifar10", "test", note, monkeypatch, tmp_path)
    assert torch.bincount(labels.int()).tolist() == [1000] * 10
    # The published means of the training images; an image's mean has a standard deviation of
    # 0.12, so that of 10,000 images 0.0012: eight of them.
    mean = images.double().mean(dim=(0, 2, 3)) / 255
    assert torch.allclose(mean, torch.tensor([0.4914, 0.4822, 0.4465]).double(), atol=0.01)
    # Hypergeometric, mean 100, standard deviation 9: five of them.
    assert abs(torch.bincount(labels[:1000].int()) - 100).max() < 45
