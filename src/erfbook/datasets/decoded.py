"""Decoded images in a file of their own, so that a set is decoded once on a machine.

A file is a magic word, the length of a header, the header (JSON: fingerprint, and shape and place
of each array), the arrays, and the SHA-256 of all that. It is mapped, not read: the arrays take no
memory besides the system's own cache of files. It may be removed at any time.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np

from erfbook.datasets.places import cache_root, written_whole

_MAGIC = b"ERFDATA1"
_ALIGNMENT = 64
_CHECKSUM_BYTES = 32

Arrays = dict[str, np.ndarray]


def decoded_folder() -> Path:
    """Return the folder of decoded sets."""
    return cache_root() / "decoded"


def decoded_path(fingerprint: str) -> Path:
    """Return the file of a set's decoded images, whether it exists or not."""
    return decoded_folder() / f"{fingerprint}.images"


def read_decoded(fingerprint: str) -> Arrays | None:
    """Return the arrays of a set; None if there are none, or if their file is damaged.

    A damaged file is named on standard error and removed.
    """
    path = decoded_path(fingerprint)
    try:
        content = np.memmap(path, np.uint8, mode="c")
    except (OSError, ValueError):  # there is none, or it is empty
        return None
    arrays = _parse(content, fingerprint)
    if arrays is None:
        _say(f"{path} is damaged and is not used; the images are decoded again")
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _say(f"cannot remove {path}: {error.strerror}")
    return arrays


def write_decoded(fingerprint: str, arrays: Arrays) -> bool:
    """Keep the arrays of a set; return False, having said why, if that was not possible."""
    path = decoded_path(fingerprint)
    places, offset = {}, 0
    for name, array in arrays.items():
        places[name] = {"shape": array.shape, "offset": offset}
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    header = json.dumps({"fingerprint": fingerprint, "arrays": places}).encode()
    header += b" " * (-(len(_MAGIC) + 8 + len(header)) % _ALIGNMENT)
    digest = hashlib.sha256()
    try:
        with written_whole(path) as file:
            head = _MAGIC + len(header).to_bytes(8, "little") + header
            for part in (head, *(_padded(array) for array in arrays.values())):
                for piece in part if isinstance(part, tuple) else (part,):
                    digest.update(piece)
                    file.write(piece)
            file.write(digest.digest())
    except OSError as error:
        _say(f"cannot keep decoded images in {path}: {error.strerror}; they are decoded each time")
        return False
    return True


def _padded(array: np.ndarray) -> tuple[memoryview, bytes]:
    data = np.ascontiguousarray(array)
    return data.data.cast("B"), b"\0" * (-array.nbytes % _ALIGNMENT)


def _parse(content: np.ndarray, fingerprint: str) -> Arrays | None:
    body, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:].tobytes()
    if body[: len(_MAGIC)].tobytes() != _MAGIC or hashlib.sha256(body.data).digest() != checksum:
        return None
    start = len(_MAGIC) + 8
    length = int.from_bytes(body[len(_MAGIC) : start].tobytes(), "little")
    header = json.loads(body[start : start + length].tobytes())
    if header["fingerprint"] != fingerprint:
        return None
    arrays = {}
    for name, place in header["arrays"].items():
        first = start + length + place["offset"]
        flat = np.asarray(body[first : first + math.prod(place["shape"])])
        arrays[name] = flat.reshape(place["shape"])
    return arrays


def _say(message: str) -> None:
    print(f"erfbook: {message}", file=sys.stderr)
