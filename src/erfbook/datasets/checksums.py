"""Checksums of files, remembered as long as a file's size and time of change stay."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from erfbook.datasets.places import cache_root, written_whole
from erfbook.errors import UserError

_BLOCK = 1 << 20
# A file that changed this shortly before it was read might change again without a new time.
_SETTLED_SECONDS = 2.0


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file.

    Raises:
        UserError: it cannot be read.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()


def remembered_hash(path: Path) -> str:
    """Return the SHA-256 of a file, computed only if its size or time of change are new."""
    key = str(path.resolve())
    return _remembered(key, _state([path]), [path], lambda: hash_file(path))


def remembered_tree_hash(folder: Path, files: Sequence[Path]) -> str:
    """Return the SHA-256 over the names and contents of a folder's files."""
    key = f"{folder.resolve()}/*"
    return _remembered(key, _state(files), files, lambda: hash_tree(folder, files))


def hash_tree(folder: Path, files: Sequence[Path]) -> str:
    """Return the SHA-256 over the names and contents of a folder's files, computed now."""
    lines = (f"{p.relative_to(folder).as_posix()} {hash_file(p)}\n" for p in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _state(files: Sequence[Path]) -> str:
    stats = ((str(path), path.stat()) for path in files)
    lines = "".join(f"{name} {s.st_size} {s.st_mtime_ns}\n" for name, s in stats)
    return hashlib.sha256(lines.encode()).hexdigest()


def _remembered(key: str, state: str, files: Sequence[Path], compute) -> str:
    memory = cache_root() / "checksums.json"
    known = _read(memory)
    if known.get(key, {}).get("state") == state:
        return known[key]["sha256"]
    newest = max(path.stat().st_mtime for path in files)
    settled = time.time() - newest > _SETTLED_SECONDS
    found = compute()
    if settled and _state(files) == state:
        kept = _read(memory) | {key: {"state": state, "sha256": found}}
        with contextlib.suppress(OSError), written_whole(memory) as file:
            file.write(json.dumps(kept, indent=1, sort_keys=True).encode())
    return found


def _read(memory: Path) -> dict[str, dict[str, str]]:
    try:
        known = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    good = isinstance(known, dict) and all(
        isinstance(row, dict) and {"state", "sha256"} <= row.keys() for row in known.values()
    )
    return known if good else {}
