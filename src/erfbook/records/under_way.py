"""Runs that are not finished: a lock while one is made, its checkpoint, the time it took so far.

Everything lies in ``<records>/under-way`` under names that begin with the run's key: ``<key>.lock``
while a process makes the run, ``<key>.json`` (the spec and the pieces done so far), and whatever
the run keeps itself in, beginning with ``<key>.pt``. All of it goes when the record is saved.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erfbook.errors import RunError
from erfbook.records import plain
from erfbook.records.files import Unwritable, write_whole
from erfbook.records.npz import Damaged
from erfbook.records.record import RESERVED, Spec

_POLL_S = 0.1  # between two looks at a lock that another process holds
_CLOCK_STEP_S = 0.05  # files are stamped with a clock that runs in steps, and may lag by one
_USELESS = (".part", ".damaged")  # half-written, or found to be damaged and set aside
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class Busy(RunError):
    """Another process makes the same run."""


@dataclass
class UnderWay:
    """One unfinished run in a folder of records.

    Args:
        folder: of the records.
        spec: of the run.
    """

    folder: Path
    spec: Spec

    @property
    def checkpoint(self) -> Path:
        """The file that the run may keep itself in; others beside it begin with its stem."""
        return self.folder / RESERVED / f"{self.spec.key}.pt"

    @property
    def account(self) -> Path:
        """The file that says which run it is and what time it took."""
        return self.checkpoint.with_suffix(".json")

    def files(self) -> list[Path]:
        """Return the files that the run has kept itself in, sorted."""
        own = {self.account.name, self._lock.name}
        found = self.checkpoint.parent.glob(f"{self.spec.key}*")
        return sorted(p for p in found if p.name not in own and p.suffix not in _USELESS)

    def pieces(self) -> list[dict[str, Any]]:
        """Return seconds, device, commit and date of each piece that is still worth something.

        A piece whose process was killed counts up to its last checkpoint; one that left no
        checkpoint is lost, and so are those before it.
        """
        files = self.files()
        if not files:
            return []
        pieces, began = self._read()
        if began is not None:
            kept = _newest(files) - began.pop("began")
            pieces += [{"seconds": round(kept, 3), **began}] if kept > 0 else []
        return pieces

    def seconds(self) -> float:
        """Return the time that the pieces so far took."""
        return sum(piece["seconds"] for piece in self.pieces())

    def begin(self, about: Mapping[str, Any]) -> None:
        """Note that a piece begins now.

        Args:
            about: what to keep of it: device, commit, date.
        """
        self._write(self.pieces(), {"began": time.time(), **about})

    def pause(self, seconds: float, about: Mapping[str, Any]) -> None:
        """Note that a piece ended and the run can be taken up again, if it left a checkpoint."""
        files = self.files()
        if not files:
            self.account.unlink(missing_ok=True)
            return
        pieces, began = self._read()
        if began is None or _newest(files) > began["began"] - _CLOCK_STEP_S:
            pieces += [{"seconds": round(seconds, 3), **about}]
        self._write(pieces, None)

    def settle(self) -> None:
        """Close a piece whose process was killed, so that the account no longer rests on times."""
        self._write(self.pieces(), None)

    def clear(self) -> None:
        """Remove all that was kept of the run."""
        folder, key = self.checkpoint.parent, self.spec.key
        for path in (*folder.glob(f"{key}*"), *folder.glob(f".{key}*")):
            if path != self._lock:
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove all that was kept of a run whose record came from elsewhere, unless it is made."""
        if self.files():
            with contextlib.suppress(Busy), self.hold(0):
                self.clear()

    @contextlib.contextmanager
    def hold(
        self,
        wait_s: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> Iterator[None]:
        """Keep other processes from making the same run for as long as the block lasts.

        The system lets go of the lock of a process that died, so nothing stale has to be judged.

        Args:
            wait_s: how long to wait for a process that makes it now; None for as long as it takes.
            clock: what waiting is measured with.

        Raises:
            Busy: it is still being made then.
        """
        until = None if wait_s is None else clock() + wait_s
        handle = self._try_lock()
        while handle is None:
            if until is not None and clock() >= until:
                raise Busy(f"{self.spec.experiment} {self.spec.key} is being made by {self._who()}")
            time.sleep(_POLL_S)
            handle = self._try_lock()
        try:
            yield
        finally:
            if handle >= 0:
                self._lock.unlink(missing_ok=True)
                os.close(handle)

    @property
    def _lock(self) -> Path:
        return self.checkpoint.with_suffix(".lock")

    def _try_lock(self) -> int | None:
        """Return a handle on the lock, None if another holds it, -1 where there are no locks."""
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise Unwritable(f"cannot write {self._lock}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_same(handle, self._lock):  # its holder removed it just before we got it
                os.close(handle)
                return self._try_lock()
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle
        except OSError as error:
            os.close(handle)
            if error.errno in _NO_LOCKS:
                return -1
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return None
            self._lock.unlink(missing_ok=True)
            raise Unwritable(f"cannot write {self._lock}: {error.strerror}") from error

    def _who(self) -> str:
        with contextlib.suppress(OSError):
            return self._lock.read_text(encoding="utf-8").strip() or "another process"
        return "another process"

    def _read(self) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """Return the finished pieces, and the one that began; none where that is not known."""
        with contextlib.suppress(OSError, Damaged):
            return read_pieces(self.account.read_bytes())
        return [], None  # the time is told as far as it is known; checkpoints check themselves

    def _write(self, pieces: list[dict[str, Any]], began: Mapping[str, Any] | None) -> None:
        spec = {name: getattr(self.spec, name) for name in Spec.__dataclass_fields__}
        head = {"spec": spec, "pieces": pieces, "open": None if began is None else dict(began)}
        write_whole(self.account, plain.dumps(head, indent=1).encode(), replace=True)


def find_under_way(folder: Path) -> list[UnderWay]:
    """Return the unfinished runs of a folder of records that left something to go on from."""
    found = []
    for path in sorted((folder / RESERVED).glob("*.json")):
        with contextlib.suppress(Damaged):
            run = UnderWay(folder, read_account(path.read_bytes()))
            if run.account.name == path.name and run.files():
                found.append(run)
    return found


def read_account(content: bytes) -> Spec:
    """Return the run that an account is about.

    Raises:
        Damaged: it is not an account.
    """
    try:
        return Spec(**plain.loads(content)["spec"])
    except (ValueError, LookupError, TypeError) as error:
        raise Damaged(f"it is not an account of a run: {error}") from error


def read_pieces(content: bytes) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the finished pieces that an account tells of, and the one that began.

    Raises:
        Damaged: it is not an account.
    """
    try:
        head = plain.loads(content)
        pieces = [{**piece, "seconds": _time(piece["seconds"])} for piece in head["pieces"]]
        began = head["open"]
        return pieces, None if began is None else {**began, "began": _time(began["began"])}
    except (ValueError, LookupError, TypeError) as error:
        raise Damaged(f"it is not an account of a run: {error}") from error


def _time(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{value!r} is no time")
    return seconds


def _newest(files: list[Path]) -> float:
    return max((path.stat().st_mtime for path in files), default=0.0)


def _is_same(handle: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(handle)
    return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)
