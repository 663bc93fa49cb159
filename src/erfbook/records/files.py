"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from erfbook.errors import RunError, UserError

_COUNTER = itertools.count()
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Unwritable(RunError):
    """A file cannot be written: a full disk, a folder without permission."""


def write_whole(
    path: Path, content: bytes | Callable[[BinaryIO], None], *, replace: bool = False
) -> None:
    """Write a file so that a reader, or a crash at any moment, sees all of it or none.

    Args:
        path: where; its folder is made.
        content: the bytes, or a function that writes them into an open file.
        replace: whether a file that is there already gives way.

    Raises:
        FileExistsError: the file is there, and must not be replaced.
        Unwritable: it cannot be written; nothing of it is left.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_parts(path)
        part = _part(path)
        try:
            with open(part, "xb") as file:
                content(file) if callable(content) else file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                part.replace(path)
            else:
                _rename_to_free(part, path)
            _sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


def check_target(path: Path, name: str) -> None:
    """Refuse a place where no file could be written, before there is anything to write.

    Args:
        path: where it would be.
        name: of the option, for the message.

    Raises:
        UserError: a folder or a device has the name, or nothing can be written there.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise UserError(f"{name} {path} is {kind}; name a file")
    fresh, part = [place for place in path.parents if not place.exists()], _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
    except OSError as error:
        raise UserError(f"{name} {path} cannot be written: {error.strerror}") from None
    finally:
        for remove in (part.unlink, *(place.rmdir for place in fresh)):
            with contextlib.suppress(OSError):
                remove()


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what the system says of a file into one line; whether it exists is the caller's."""
    try:
        yield
    except FileExistsError as error:
        if error.filename is not None and Path(error.filename) != path:  # a folder's name is taken
            raise _unwritable(path, error) from error
        raise
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> Unwritable:
    reason = error.strerror or type(error).__name__
    return Unwritable(f"cannot write {path}: {reason}; nothing half-made is kept")


def _rename_to_free(part: Path, path: Path) -> None:
    """Give a file its name unless the name is taken, also if another process takes it just now."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        part.replace(path)  # some network file systems have no links


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.{next(_COUNTER)}.part")


def remove_left_parts(path: Path) -> None:
    """Remove what killed processes of this machine left of the same file."""
    for part in path.parent.glob(f".{path.name}.{_host()}.*.part"):
        words = part.name.split(".")
        if words[-3].isdigit() and not is_alive(int(words[-3])):
            part.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Return whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return "".join(c for c in socket.gethostname() if c.isalnum() or c == "-") or "host"
