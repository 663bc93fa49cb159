"""Find the files of a real set: parquet in the Hub's layout, or folders of images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from erfbook.datasets.catalogue import Entry
from erfbook.datasets.images import SUFFIXES
from erfbook.datasets.places import data_roots
from erfbook.errors import UserError

_SHARD = re.compile(r"^(?P<split>\w+?)(-(?P<index>\d{5})-of-(?P<count>\d{5}))?\.parquet$")
_MASKS = ("labels", "label", "masks")


@dataclass(frozen=True)
class Found:
    """A set's files on this machine.

    Args:
        entry: the set.
        folder: what holds them.
        layout: "parquet" or "images".
        files: of each split, in the order in which rows are counted.
    """

    entry: Entry
    folder: Path
    layout: str
    files: Mapping[str, tuple[Path, ...]]

    @cached_property
    def state(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of every file: equal states, equal contents."""
        paths = [path for files in self.files.values() for path in files]
        stats = ((str(path), path.stat()) for path in paths)
        return tuple((name, s.st_size, s.st_mtime_ns) for name, s in stats)


def locate(entry: Entry) -> Found | None:
    """Return a set's files in the first folder that has any; None if there are none.

    Raises:
        UserError: a folder holds a part of the set only, or nothing that can be read as it.
    """
    for root in data_roots():
        folder = root / entry.name
        if folder.is_dir() and any(folder.iterdir()):
            return _look_in(entry, folder)
    return None


def require(entry: Entry) -> Found:
    """Return a set's files.

    Raises:
        UserError: they are not on this machine, or not whole.
    """
    found = locate(entry)
    if found is None:
        places = " or ".join(str(root / entry.name) for root in data_roots())
        raise UserError(f"{entry.title} is not in {places}; {entry.how_to_get}")
    return found


def _look_in(entry: Entry, folder: Path) -> Found:
    parquet = {split: _shards(folder, names) for split, names in entry.splits.items()}
    if any(parquet.values()):
        return Found(entry, folder, "parquet", _whole(entry, folder, parquet, ".parquet"))
    images = {split: _images(folder, names, entry) for split, names in entry.splits.items()}
    if any(images.values()):
        return Found(entry, folder, "images", _whole(entry, folder, images, "/"))
    raise UserError(
        f"{folder} holds neither train.parquet nor a folder train of images; {entry.how_to_get}"
    )


def _whole(
    entry: Entry, folder: Path, files: Mapping[str, tuple[Path, ...]], ending: str
) -> dict[str, tuple[Path, ...]]:
    missing = [split for split in ("train", "test") if not files[split]]
    if missing:
        names = " or ".join(f"{name}{ending}" for name in entry.splits[missing[0]])
        raise UserError(f"{folder} has no {names}: the set is not whole; {entry.how_to_get}")
    return {split: paths for split, paths in files.items() if paths}


def _shards(folder: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """Return a split's parquet files: one, or all of the Hub's numbered ones."""
    matches = [(_SHARD.match(path.name), path) for path in sorted(folder.rglob("*.parquet"))]
    for name in names:
        mine = [(m, path) for m, path in matches if m and m["split"] == name]
        if not mine:
            continue
        counts = {m["count"] for m, _ in mine}
        expected = int(max(counts - {None}, default="1"))
        if len(counts) > 1 or len(mine) != expected:
            held = ", ".join(path.name for _, path in mine)
            raise UserError(
                f"{folder} holds {held} for {name}: {expected} of one kind are expected; "
                "add the missing or remove the surplus"
            )
        return tuple(path for _, path in mine)
    return ()


def _images(folder: Path, names: Iterable[str], entry: Entry) -> tuple[Path, ...]:
    """Return a split's image files; for segmentation those with a label image beside them."""
    for name in names:
        inside = folder / name
        if entry.task == "segmentation" and (inside / "images").is_dir():
            inside = inside / "images"
        if inside.is_dir():
            depth = "*" if entry.task == "segmentation" else "*/**/*"
            return tuple(sorted(p for p in inside.glob(depth) if p.suffix.lower() in SUFFIXES))
    return ()


def class_folders(found: Found) -> tuple[str, ...]:
    """Return the names of the class folders of a folder of images, in the order of the labels."""
    train = found.files["train"][0]
    split = found.folder / train.relative_to(found.folder).parts[0]
    return tuple(sorted(path.name for path in split.iterdir() if path.is_dir()))


def label_image(image: Path) -> Path:
    """Return the label image of an image of a segmentation set.

    ``<split>/images/x`` goes with ``<split>/labels/x``, and ``<split>/x`` with ``<split>annot/x``;
    the suffix may differ.

    Raises:
        UserError: there is none.
    """
    if image.parent.name == "images":
        places = [image.parents[1] / name for name in _MASKS]
    else:
        places = [image.parent.with_name(f"{image.parent.name}annot")]
    for place in places:
        for path in (place / image.name, place / f"{image.stem}.png"):
            if path.is_file():
                return path
    raise UserError(f"{image} has no label image of its name in {places[0]}; add it")
