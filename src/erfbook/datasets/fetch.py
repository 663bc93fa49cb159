"""Fetch a set: download its archive, unpack it, convert it, and only then put it in its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tqdm import tqdm

from erfbook.datasets.catalogue import Archive, Entry
from erfbook.datasets.checksums import hash_file
from erfbook.datasets.convert import CONVERTER_VERSION, is_wanted, open_source, write_parquet
from erfbook.datasets.download import download
from erfbook.datasets.folders import locate
from erfbook.datasets.identity import ORIGIN, identify
from erfbook.datasets.places import destination, locked
from erfbook.datasets.real import CLASS_NAMES
from erfbook.datasets.unpack import unpack
from erfbook.errors import RunError, UserError

# An archive, what is unpacked, and the converted files are on the disk at the same time.
_SPACE_FACTOR = 4


def fetch(entry: Entry) -> Path:
    """Download a set and return its folder; run again after an interruption, it goes on.

    Raises:
        UserError: the set has nothing to download, or its folder holds something else already.
        RunError: the download failed, another process is at it, or the archive is not right.
    """
    if entry.archive is None:
        raise UserError(f"{entry.title} needs no download: it is made by the package")
    root = destination()
    folder, work = root / entry.name, root / ".fetch" / entry.name
    if _is_fetched(entry, folder):
        return folder
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write {work}: {error.strerror}; set ERFBOOK_DATA to a folder of yours"
        ) from None
    with locked(work / "lock", f"fetching {entry.name}"):
        _check_space(entry.archive, work)
        archive = download(entry.archive, work / entry.archive.file)
        made = _convert(entry, entry.archive, archive, work)
        if folder.is_dir():
            folder.replace(work / "damaged")  # empty, or fetched once and damaged since
        made.replace(folder)
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _is_fetched(entry: Entry, folder: Path) -> bool:
    """Return whether a folder holds the fetched set, whole; False if there is room for it."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    if not (folder / ORIGIN).is_file():
        raise UserError(
            f"{folder} holds files that were not fetched; erfbook data verify {entry.name} says "
            "what they are; move them away to fetch the set"
        )
    try:
        found = locate(entry)
        return found is not None and found.folder == folder and bool(identify(found))
    except UserError:
        return False


def _check_space(archive: Archive, work: Path) -> None:
    needed, free = _SPACE_FACTOR * archive.bytes, shutil.disk_usage(work).free
    if free < needed:
        raise RunError(
            f"{work} has {free / 1e6:,.0f} MB of free space and {archive.file} needs about "
            f"{needed / 1e6:,.0f} MB; free some, or set ERFBOOK_DATA to another disk"
        )


def _convert(entry: Entry, archive: Archive, file: Path, work: Path) -> Path:
    """Return a folder with the set's files and where they come from."""
    raw, made = work / "raw", work / "made"
    for folder in (raw, made, work / "damaged"):  # what an interruption left
        shutil.rmtree(folder, ignore_errors=True)
    unpack(file, raw, lambda name: is_wanted(archive.format, name))
    made.mkdir()
    source = open_source(raw, archive.format)
    files = {}
    for split, samples in source.splits.items():
        path, expected = made / f"{entry.splits[split][0]}.parquet", entry.rows[split]
        with tqdm(total=expected, desc=f"convert {split}", unit="image", disable=None) as bar:
            n = write_parquet(path, samples(), entry.task == "segmentation", bar.update)
        if n != expected:
            raise RunError(f"{archive.url} holds {n} images for {split}, not {expected}")
        files[path.name] = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
    if source.classes:
        (made / CLASS_NAMES).write_text("\n".join(source.classes) + "\n", encoding="utf-8")
    algorithm, checksum = archive.checksum
    origin = {
        "archive": {"url": archive.url, "algorithm": algorithm, "checksum": checksum},
        "converter": CONVERTER_VERSION,
        "files": files,
    }
    (made / ORIGIN).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(raw, ignore_errors=True)
    return made
