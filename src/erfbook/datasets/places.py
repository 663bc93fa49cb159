"""Where data lie on this machine, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from erfbook.errors import RunError

_ABANDONED_SECONDS = 3600.0  # far longer than writing the largest set takes


def named_place(variable: str) -> Path | None:
    """Return the file or folder that an environment variable names, absolute; None if none does.

    A place below the working folder stays the same one when that changes.
    """
    given = os.environ.get(variable)
    return Path(given).expanduser().absolute() if given else None


def cache_root() -> Path:
    """Return the folder of what can be made again: ``$XDG_CACHE_HOME/erfbook``."""
    return (named_place("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "erfbook"


def data_roots() -> tuple[Path, ...]:
    """Return the folders that sets are looked for in: ERFBOOK_DATA, then the default one."""
    given, default = named_place("ERFBOOK_DATA"), cache_root() / "data"
    return (given, default) if given else (default,)


def destination() -> Path:
    """Return the folder that fetched sets are put into."""
    return data_roots()[0]


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of ``path`` once the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.part"):  # by a process that was killed
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                left.unlink()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends.

    Raises:
        RunError: another process holds it.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise RunError(f"process {holder} is at {what} already; wait until it ends") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
