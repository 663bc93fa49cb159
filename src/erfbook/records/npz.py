"""A record as one file that NumPy alone can read, with its own checksum.

The file is an ``.npz``: ``head.json`` (spec, metrics, provenance) and one ``.npy`` an array::

    stored = np.load(file)
    head = json.loads(stored["head.json"])

Its last 64 bytes, in the comment of the archive, are the SHA-256 of all bytes before them, so any
byte that differs is noticed, also by ``head -c -64 FILE | sha256sum``.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from erfbook.errors import UserError
from erfbook.records import plain
from erfbook.records.record import Record, Spec

FORMAT = 1
HEAD = "head.json"
LARGEST = 50_000_000  # bytes; all records in a repository have to stay below it together
_LABEL = b"sha256 "
_N_DIGITS = 64
_OLDEST = (1980, 1, 1, 0, 0, 0)  # the first time a zip archive can hold


class Damaged(ValueError):
    """The bytes are not a whole record."""


class Misplaced(Damaged):
    """The bytes are a whole record, but not of the run that their place is for."""


def encode(record: Record) -> bytes:
    """Return a record's file: the same bytes for the same content.

    Raises:
        ValueError: its arrays are too large for a record.
    """
    size = sum(array.nbytes for array in record.arrays.values())
    if size > LARGEST:
        raise ValueError(
            f"the arrays of {record.spec.experiment} take {size / 1e6:.0f} MB, more than the "
            f"{LARGEST / 1e6:.0f} MB of a record; keep fewer, or records.compact them"
        )
    head = {
        "format": FORMAT,
        "spec": _fields(record.spec),
        "metrics": record.metrics,
        "provenance": record.provenance,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, HEAD, plain.dumps(head, indent=1).encode())
        for name in sorted(record.arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, record.arrays[name], (1, 0), allow_pickle=False)
            _add(archive, f"{name}.npy", member.getvalue())
        archive.comment = _LABEL + b"0" * _N_DIGITS
    return _sealed(buffer.getvalue()[:-_N_DIGITS])


def decode(content: bytes) -> Record:
    """Return the record in a file's bytes.

    Raises:
        Damaged: a byte differs, some are missing, or they never were a record.
        UserError: a later version of the package wrote it.
    """
    body = content[:-_N_DIGITS]
    if not body.endswith(_LABEL):
        raise Damaged("it is cut short, or never was a record")
    if _sealed(body) != content:
        raise Damaged("its checksum does not match")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            head = plain.loads(archive.read(HEAD))
            _check_format(head["format"])
            arrays = {
                name.removesuffix(".npy"): np.lib.format.read_array(
                    io.BytesIO(archive.read(name)), allow_pickle=False
                )
                for name in archive.namelist()
                if name != HEAD
            }
        return Record(Spec(**head["spec"]), head["metrics"], arrays, head["provenance"])
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise Damaged(f"it is not a record: {error}") from error


def read_spec(path: Path) -> Spec:
    """Return what a record's file says it is the result of; its checksum is not looked at.

    Raises:
        Damaged: there is no such head in it.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return Spec(**plain.loads(archive.read(HEAD))["spec"])
    except (LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise Damaged(f"it is not a record: {error}") from error


def _check_format(number: int) -> None:
    if number > FORMAT:
        raise UserError(
            f"a record has format {number}, and this erfbook reads up to {FORMAT}: update it"
        )


def _fields(spec: Spec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in Spec.__dataclass_fields__}


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _OLDEST)
    info.create_system, info.external_attr = 3, 0o644 << 16  # as on Unix, wherever it is made
    archive.writestr(info, content, zipfile.ZIP_DEFLATED, compresslevel=9)


def _sealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).hexdigest().encode()
