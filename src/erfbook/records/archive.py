"""The file that records travel in, and how it or a folder of records is read back.

The file is a zip archive: ``manifest.json`` (the SHA-256 of every other member),
``records/<experiment>/<key>.npz``, and ``under-way/<key>…`` where unfinished runs travel too.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from erfbook.errors import RunError, UserError
from erfbook.records import plain
from erfbook.records.npz import LARGEST, Damaged, decode
from erfbook.records.provenance import now
from erfbook.records.record import RESERVED

FORMAT = 1
MANIFEST = "manifest.json"
_RECORD = re.compile(r"(?:records/)?([A-Za-z0-9][\w.-]*/[0-9a-f]{24})\.npz", re.ASCII)
_UNFINISHED = re.compile(rf"{RESERVED}/([0-9a-f]{{24}})([.-][\w.-]*)", re.ASCII)
_NOT_ONE = "{} is cut short, or no file of exported records; copy it again"
_BLOCK = 1 << 20  # bytes read at once
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError)


@dataclass(frozen=True)
class Source:
    """Records and unfinished runs somewhere else, to be read one by one.

    Args:
        place: the file or folder.
        open: a member by its name.
        names: of all members.
        digests: SHA-256 by member; None where the source has no manifest.
    """

    place: Path
    open: Callable[[str], IO[bytes]]
    names: tuple[str, ...]
    digests: Mapping[str, str] | None

    @property
    def records(self) -> dict[str, str]:
        """Members that are records, by ``<experiment>/<key>``."""
        matches = {name: _RECORD.fullmatch(name) for name in self.names}
        found = {match[1]: name for name, match in matches.items() if match}
        return {n: m for n, m in sorted(found.items()) if not n.startswith(f"{RESERVED}/")}

    @property
    def under_way(self) -> dict[str, dict[str, str]]:
        """Members of each unfinished run, by key and by what follows the key."""
        runs: dict[str, dict[str, str]] = {}
        for name in sorted(self.names):
            match = _UNFINISHED.fullmatch(name)
            if match and match[2] != ".lock":
                runs.setdefault(match[1], {})[match[2]] = name
        return {key: files for key, files in runs.items() if ".json" in files}

    def lost(self) -> list[str]:
        """Return members that the manifest promises and that are not there."""
        return sorted((self.digests or {}).keys() - set(self.names))

    def read(self, name: str) -> bytes:
        """Return a small member whole.

        Raises:
            Damaged: it cannot be read, is too large, or is not what the manifest says.
        """
        parts: list[bytes] = []
        self.copy(name, parts.append, LARGEST + _BLOCK)
        return b"".join(parts)

    def copy(self, name: str, put: Callable[[bytes], object], most: float = float("inf")) -> None:
        """Hand a member's bytes to ``put``, block by block.

        Raises:
            Damaged: it cannot be read, is longer than ``most`` bytes, or is not what the manifest
                says.
        """
        digest, n_bytes = hashlib.sha256(), 0
        for block in self._blocks(name):
            n_bytes += len(block)
            if n_bytes > most:
                raise Damaged("it is larger than a record can be")
            digest.update(block)
            put(block)
        if self.digests is not None and self.digests.get(name) != digest.hexdigest():
            raise Damaged("its checksum is not that of the manifest")

    def _blocks(self, name: str) -> Iterator[bytes]:
        try:
            with self.open(name) as file:
                while block := file.read(_BLOCK):
                    yield block
        except _BROKEN as error:
            raise Damaged(f"it cannot be read: {error}") from error


@contextlib.contextmanager
def open_source(place: Path) -> Iterator[Source]:
    """Open an exported file, one record's file, or a folder of records.

    Raises:
        UserError: it is none of these.
    """
    if place.is_dir():
        names = [f.relative_to(place).as_posix() for f in sorted(place.rglob("*")) if f.is_file()]
        source = Source(place, lambda name: (place / name).open("rb"), tuple(names), None)
        if not source.records and not source.under_way:
            raise UserError(f"there are no records in the folder {place}")
        yield source
        return
    try:
        opened = _read_record(place) or zipfile.ZipFile(place)
    except FileNotFoundError:
        raise UserError(f"there is no file or folder {place}") from None
    except zipfile.BadZipFile:
        raise UserError(_NOT_ONE.format(place)) from None
    except OSError as error:
        raise UserError(f"cannot read {place}: {error.strerror}") from error
    if isinstance(opened, Source):
        yield opened
        return
    with opened:
        digests = _read_manifest(opened, place)
        yield Source(place, opened.open, tuple(opened.namelist()), digests)


def _read_record(place: Path) -> Source | None:
    """Return a file that is one sound record, whatever its name, as a source of its own."""
    if place.stat().st_size > LARGEST + _BLOCK or not place.is_file():
        return None
    content = place.read_bytes()
    try:
        spec = decode(content).spec
    except Damaged:
        return None
    name = f"{spec.experiment}/{spec.key}.npz"
    return Source(place, lambda _: io.BytesIO(content), (name,), None)


def write_archive(members: Mapping[str, Path]) -> Callable[[BinaryIO], None]:
    """Return a function that writes files as an archive.

    Args:
        members: files by their names in it.
    """

    def write(file: BinaryIO) -> None:
        digests: dict[str, str] = {}
        with zipfile.ZipFile(file, "w") as archive:  # stored: records are compressed already
            for name, path in sorted(members.items()):
                digest = hashlib.sha256()
                with path.open("rb") as member, archive.open(name, "w", force_zip64=True) as target:
                    while block := member.read(_BLOCK):
                        digest.update(block)
                        target.write(block)
                digests[name] = digest.hexdigest()
            head = {"format": FORMAT, "made": now(), "sha256": digests}
            archive.writestr(MANIFEST, plain.dumps(head, indent=1))

    return write


def _read_manifest(archive: zipfile.ZipFile, place: Path) -> dict[str, str]:
    try:
        head = plain.loads(archive.read(MANIFEST))
        if head["format"] > FORMAT:
            raise UserError(
                f"{place} has format {head['format']}, and this erfbook reads up to {FORMAT}: "
                "update it"
            )
        return {str(name): str(digest) for name, digest in head["sha256"].items()}
    except KeyError:
        # Cut short it may still look like an archive: the one that is its last whole record.
        raise UserError(_NOT_ONE.format(place)) from None
    except UserError:
        raise
    except (*_BROKEN, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{place} is damaged: {error}; copy it again") from error
