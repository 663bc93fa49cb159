"""The table of data sets: ``datasets.toml`` beside this file, or the one ERFBOOK_DATASETS names."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from erfbook.datasets.places import named_place
from erfbook.errors import UserError

TASKS = ("classification", "segmentation")


@dataclass(frozen=True)
class KnownFile:
    """Size and SHA-256 of a file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Copy:
    """A copy of a set whose files are known by their checksums."""

    note: str
    files: Mapping[str, KnownFile]
    checked: str = ""


@dataclass(frozen=True)
class Archive:
    """What is downloaded for a set.

    Args:
        url: its address; http or https.
        file: its name on this machine.
        format: which converter reads it.
        bytes: its size; 0 where it could not be established.
        sha256, md5: its checksums; empty where they could not be established.
        checked: how size and checksums were established.
    """

    url: str
    file: str
    format: str
    bytes: int = 0
    sha256: str = ""
    md5: str = ""
    checked: str = ""

    @property
    def checksum(self) -> tuple[str, str]:
        """The algorithm and the checksum that decide; SHA-256 where it is known."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5)


@dataclass(frozen=True)
class Entry:
    """One data set of the table.

    Args:
        name: as :func:`erfbook.datasets.load` takes it.
        title: as pages call it.
        task: classification or segmentation.
        terms: licence, or what its authors ask for.
        embedded: whether it is made by the package itself.
        version, sha256: of an embedded set's content.
        classes: names in the order of the labels; empty if they come with the data.
        n_classes: how many; labels run from 0.
        ignore: the label that does not count, if there is one.
        height, width: of an image, in pixels.
        rows: images of each split.
        splits: names that the files or folders of a split may have.
        homepage: of its publisher.
        archive: what can be downloaded.
        copies: what is known of other copies.
    """

    name: str
    title: str
    task: str
    terms: str
    embedded: bool = False
    version: int = 0
    sha256: str = ""
    classes: tuple[str, ...] = ()
    n_classes: int = 0
    ignore: int | None = None
    height: int = 0
    width: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    homepage: str = ""
    archive: Archive | None = None
    copies: tuple[Copy, ...] = ()

    @property
    def highest_label(self) -> int:
        """The largest label that may occur."""
        return max(self.n_classes - 1, -1 if self.ignore is None else self.ignore)

    @property
    def how_to_get(self) -> str:
        """What to do to have the set, in one clause."""
        local = f"set ERFBOOK_DATA to a folder that holds {self.name}/train.parquet or images"
        return f"erfbook data fetch {self.name}, or {local}" if self.archive else local


def table_path() -> Path:
    """Return the file of the table."""
    return named_place("ERFBOOK_DATASETS") or Path(__file__).with_name("datasets.toml")


def read_table() -> dict[str, Entry]:
    """Return the entries of the table by name.

    Raises:
        UserError: the file is missing, is not TOML, or an entry lacks something.
    """
    path = table_path()
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"cannot read the table of data sets {path}: {error.strerror}") from None


def find_entry(name: str) -> Entry:
    """Return a set's entry.

    Raises:
        UserError: there is no set of that name.
    """
    table = read_table()
    if name not in table:
        close = difflib.get_close_matches(name, table, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UserError(f"no data set {name!r}{hint} (there are {', '.join(table)})")
    return table[name]


@lru_cache(maxsize=8)
def _read(path: Path, _changed: int) -> dict[str, Entry]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: _entry(name, dict(row)) for name, row in table.items()}
    except (tomllib.TOMLDecodeError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"the table of data sets {path} cannot be used: {error}") from None


def _entry(name: str, row: dict[str, Any]) -> Entry:
    archive, copies = row.pop("archive", None), row.pop("copies", [])
    row["classes"] = tuple(row.get("classes", ()))
    row["splits"] = {split: tuple(names) for split, names in row.get("splits", {}).items()}
    entry = Entry(
        name,
        **row,
        archive=Archive(**archive) if archive else None,
        copies=tuple(_copy(copy) for copy in copies),
    )
    if entry.task not in TASKS:
        raise ValueError(f"task of {name} must be {' or '.join(TASKS)}, not {entry.task!r}")
    if not entry.embedded and not {"train", "test"} <= set(entry.rows) & set(entry.splits):
        raise ValueError(f"{name} needs rows and splits for train and test")
    return entry


def _copy(row: dict[str, Any]) -> Copy:
    files = {name: KnownFile(**known) for name, known in row["files"].items()}
    return Copy(row["note"], files, row.get("checked", ""))
