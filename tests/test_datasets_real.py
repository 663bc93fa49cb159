"""Real sets from folders: what is read is what was written, and what is damaged is never used."""

from __future__ import annotations

import os
from pathlib import Path

import datasets_cases as cases
import numpy as np
import pytest
import torch

from erfbook import datasets
from erfbook.datasets import decode, folders, identity, real
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


@pytest.mark.parametrize(("column", "shards"), [("img", 1), ("image", 1), ("image", 3)])
def test_parquet_is_read_as_it_was_written(here, column, shards):
    cases.write_small(here / "data" / "small", column=column, shards=shards)
    assert datasets.is_present("small")
    data = datasets.load("small")
    cases.assert_is_small(data)
    assert data.classes == ("a", "b", "c") and data.train.images.dtype == torch.uint8
    assert data.fingerprint == datasets.fingerprint("small")


def test_the_check_of_what_is_read_sees_the_order_of_the_files(here, monkeypatch):
    cases.write_small(here / "data" / "small")
    monkeypatch.setattr(decode, "shuffled", np.arange)
    with pytest.raises(AssertionError):
        cases.assert_is_small(datasets.load("small"))


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
    cases.assert_is_small(data)
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
    cases.assert_is_small(datasets.load("small"))
    cases.write_scenes(here / "data" / "scenes")
    _, labels = cases.make_scenes("train")
    found = datasets.load("scenes").train.labels.numpy()
    assert np.array_equal(found, labels[shuffled(len(labels))])
    cases.spoil_image(here / "data" / "small" / "train.parquet", 7)
    with pytest.raises(UserError, match=r"train\.parquet row 7, image: .*cannot be decoded"):
        datasets.load("small")


def test_a_process_that_dies_while_decoding_is_an_error_and_not_a_wait():
    worker = decode._Worker(8, 8)
    worker.process.kill()
    worker.process.wait()
    with pytest.raises(RunError, match="ended early; run the command again"):
        worker.decode([b"x"], 3)
    worker.close()


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
