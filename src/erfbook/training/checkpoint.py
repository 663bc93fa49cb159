"""The file that a run is kept in while it is under way: whole, verified, and kept twice.

The file is one line of ASCII, then what ``torch.save`` wrote; the line names the format and the
SHA-256 of the rest. It is written beside its place and renamed, so a kill leaves the old one or
the new one; the one before stays as ``NAME.previous`` for the case that the newest is damaged.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from erfbook.errors import RunError

_HEAD = b"erfbook-training-1 "
# What a safe load raises for bytes that torch.save did not write, or not in this version.
_REFUSALS = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError,
             AttributeError)  # fmt: skip
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Where a run keeps itself, and how often.

    Args:
        path: the file.
        every_s: seconds of work between two writes.
    """

    path: Path
    every_s: float = 60.0


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all; the one before stays beside it.

    Args:
        path: its file; the folder is made if there is none.
        content: tensors, arrays, numbers, words, and lists and mappings of them.

    Raises:
        OSError: the disk is full or the place cannot be written; what was there still stands.
    """
    buffer = io.BytesIO()
    torch.save(_packed(content), buffer)
    body = buffer.getbuffer()
    part = _beside(path, "part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb") as file:
            file.write(_HEAD + hashlib.sha256(body).hexdigest().encode() + b"\n")
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            path.replace(_beside(path, "previous"))
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return the newest sound checkpoint of a run, verified; None if there is none.

    A damaged file is renamed to ``NAME.damaged``, with a message, and the one before it is used.

    Raises:
        RunError: a file is there and the machine does not let it be read, or it holds something
            else than a run; it stays.
    """
    for candidate in (path, _beside(path, "previous")):
        try:
            raw = candidate.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RunError(f"cannot read the checkpoint {candidate}: {error.strerror}") from error
        try:
            content = _unpacked(raw)
        except _REFUSALS as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RunError(
                f"the checkpoint {candidate} is whole and holds no run: {reason}; remove it to "
                "begin the run anew"
            ) from error
        if content is not None:
            return content
        aside = _beside(path, "damaged")
        candidate.replace(aside)
        _log.warning("the checkpoint %s is damaged and not used; it is kept as %s",
                     candidate, aside.name)  # fmt: skip
    return None


def remove_checkpoint(path: Path) -> None:
    """Remove a run's checkpoint and what lies beside it, once its result is kept elsewhere."""
    for file in (path, *(_beside(path, kind) for kind in ("previous", "part", "damaged"))):
        file.unlink(missing_ok=True)


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.name}.{kind}")


def _unpacked(raw: bytes) -> dict[str, Any] | None:
    head, _, body = raw.partition(b"\n")
    if head != _HEAD + hashlib.sha256(body).hexdigest().encode():
        return None
    return _restored(torch.load(io.BytesIO(body), map_location="cpu", weights_only=True))


def _packed(value: Any) -> Any:
    """Return a value with its arrays as tensors, which is all a safe load takes."""
    if isinstance(value, np.ndarray):
        return {"__array__": torch.from_numpy(value)}
    if isinstance(value, Mapping):
        return {key: _packed(v) for key, v in value.items()}
    return [_packed(v) for v in value] if isinstance(value, list | tuple) else value


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if list(value) == ["__array__"]:
            return value["__array__"].numpy()
        return {key: _restored(v) for key, v in value.items()}
    return [_restored(v) for v in value] if isinstance(value, list) else value


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut, where the system can open folders."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
