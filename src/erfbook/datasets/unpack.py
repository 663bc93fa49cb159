"""Unpack an archive inside a folder, and nowhere else."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from erfbook.errors import RunError

_LARGEST_BYTES = 8 << 30  # unpacked; the largest set has a tenth of it
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)


def unpack(archive: Path, folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> None:
    """Unpack a zip or tar archive.

    Args:
        archive: the file.
        folder: where to; made if needed.
        wanted: whether a member of that name is unpacked.

    Raises:
        RunError: the archive is damaged, or a member is a link, lies outside the folder, or is
            neither a file nor a folder; nothing of such an archive is unpacked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _unpack_zip(opened, archive, folder, wanted)
        else:
            with tarfile.open(archive) as opened:
                _unpack_tar(opened, archive, folder, wanted)
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the archive's
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":-")
        raise RunError(f"{archive} is damaged: {reason}; remove it and fetch it again") from None


def _unpack_zip(opened: zipfile.ZipFile, archive: Path, folder: Path, wanted) -> None:
    members = opened.infolist()
    _check_size(archive, sum(member.file_size for member in members))
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        plain = member.is_dir() or kind in (0, stat.S_IFREG)
        _check(archive, member.filename, plain)
    for member in members:
        if member.is_dir() or not wanted(member.filename):
            continue
        target = folder / member.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file)


def _unpack_tar(opened: tarfile.TarFile, archive: Path, folder: Path, wanted) -> None:
    members = opened.getmembers()
    _check_size(archive, sum(member.size for member in members))
    for member in members:
        _check(archive, member.name, member.isdir() or member.isreg())
    chosen = [member for member in members if member.isreg() and wanted(member.name)]
    opened.extractall(folder, members=chosen, filter="data")


def _check(archive: Path, name: str, plain: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]
    if outside or not plain:
        fault = "lies outside the folder" if outside else "is a link or a device"
        raise RunError(f"{archive} is not unpacked: its member {name!r} {fault}")


def _check_size(archive: Path, total: int) -> None:
    if total > _LARGEST_BYTES:
        raise RunError(f"{archive} is not unpacked: it would take {total:,} bytes")
