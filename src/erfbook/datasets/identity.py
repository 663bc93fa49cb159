"""Say what a set's files are: the official archive, a known copy, or an unlisted one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erfbook.datasets.catalogue import Entry
from erfbook.datasets.checksums import hash_file, hash_tree, remembered_hash, remembered_tree_hash
from erfbook.datasets.folders import Found, label_image
from erfbook.datasets.rows import remedy
from erfbook.errors import UserError

ORIGIN = "origin.json"  # written beside fetched files: what archive they were made of
DECODER_VERSION = 1  # raised when the same files would give other arrays, or in another order


@dataclass(frozen=True)
class Identity:
    """What a set's files are.

    Args:
        note: in the words a page uses.
        fingerprint: the same for the same images on every machine.
    """

    note: str
    fingerprint: str


def identify(found: Found, *, afresh: bool = False) -> Identity:
    """Return what a set's files are, from their checksums.

    Args:
        found: the files.
        afresh: compute every checksum anew instead of remembering it.

    Raises:
        UserError: a file is damaged: its checksum is not what its name and size promise.
    """
    entry = found.entry
    if found.layout == "images":
        files = _with_labels(found)
        whole = (hash_tree if afresh else remembered_tree_hash)(found.folder, files)
        return Identity(
            f"{entry.title}, unlisted folder of images {whole[:8]}", _fingerprint(entry, whole)
        )
    hash_one = hash_file if afresh else remembered_hash
    origin = _read_origin(found.folder, entry)
    if origin is not None:
        _check_origin(found, origin, hash_one)
        archive = origin["archive"]
        return Identity(
            f"{entry.title}, official archive",
            _fingerprint(entry, f"archive {archive['checksum']} {origin['converter']}"),
        )
    return _identify_copy(found, hash_one)


def _identify_copy(found: Found, hash_one: Callable[[Path], str]) -> Identity:
    entry = found.entry
    hashes = {path: hash_one(path) for files in found.files.values() for path in files}
    for path, checksum in hashes.items():
        _check_listed(path, checksum, entry)
    lines = [
        f"{split} {hashes[path]}\n"
        for split in ("train", "test")  # what a split is made of; others are not loaded
        for path in found.files[split]
    ]
    whole = hashlib.sha256("".join(lines).encode()).hexdigest()
    for copy in entry.copies:
        listed = {name: known.sha256 for name, known in copy.files.items()}
        if all(listed.get(path.name) == checksum for path, checksum in hashes.items()):
            return Identity(f"{entry.title}, {copy.note}", _fingerprint(entry, whole))
    return Identity(f"{entry.title}, unlisted copy {whole[:8]}", _fingerprint(entry, whole))


def _check_listed(path: Path, checksum: str, entry: Entry) -> None:
    size = path.stat().st_size
    known = [copy.files[path.name] for copy in entry.copies if path.name in copy.files]
    same_size = [file for file in known if file.bytes == size]
    if same_size and all(file.sha256 != checksum for file in same_size):
        raise UserError(
            f"{path} is damaged: its SHA-256 begins {checksum[:12]}, that of the known copy of "
            f"this name and size {same_size[0].sha256[:12]}; {remedy(entry)}"
        )


def _check_origin(found: Found, origin: Mapping[str, Any], hash_one: Callable[[Path], str]) -> None:
    listed = origin["files"]
    present = {path.name: path for files in found.files.values() for path in files}
    for name, known in listed.items():
        path = present.get(name)
        if path is None:
            raise UserError(f"{found.folder / name} is missing; {remedy(found.entry)}")
        if hash_one(path) != known["sha256"]:
            raise UserError(
                f"{path} is damaged: it is not what was made of the archive; {remedy(found.entry)}"
            )
    for name in present.keys() - listed.keys():
        raise UserError(
            f"{present[name]} does not belong to the fetched set; remove it from {found.folder}"
        )


def _read_origin(folder: Path, entry: Entry) -> dict[str, Any] | None:
    """Return what is written beside fetched files; None for files from elsewhere."""
    path = folder / ORIGIN
    if not path.is_file():
        return None
    try:
        origin = json.loads(path.read_bytes())
        stated = origin["archive"]["checksum"]
        _ = {name: known["sha256"] for name, known in origin["files"].items()}, origin["converter"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is damaged; {remedy(entry)}") from None
    if entry.archive is None or stated != entry.archive.checksum[1]:
        raise UserError(
            f"{path} names an archive with checksum {stated}, which the table does not list; "
            f"{remedy(entry)}"
        )
    return origin


def _with_labels(found: Found) -> list[Path]:
    files = [path for paths in found.files.values() for path in paths]
    if found.entry.task == "segmentation":
        files += [label_image(path) for path in files]
    return sorted(files)


def _fingerprint(entry: Entry, content: str) -> str:
    text = f"{entry.name} {entry.height}x{entry.width} {content}"
    return f"{entry.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}-v{DECODER_VERSION}"
