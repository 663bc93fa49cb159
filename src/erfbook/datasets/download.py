"""Download a file so that an interruption costs nothing and a wrong byte is never used."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from erfbook.datasets.catalogue import Archive
from erfbook.datasets.checksums import hash_file
from erfbook.errors import RunError, UserError

_BLOCK = 1 << 18
_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 5  # in a row that bring nothing
_BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, urllib.error.URLError)


def download(
    archive: Archive, target: Path, *, pause: Callable[[float], None] = time.sleep
) -> Path:
    """Download an archive to ``target``, or return it if it is there; its checksum is verified.

    What came before an interruption stays in ``<target>.part`` and is taken up again.

    Args:
        archive: address, size and checksum.
        target: the file to be.
        pause: waits that many seconds before another attempt.

    Raises:
        UserError: the address is not one of the web.
        RunError: the server cannot be reached, or what it sends is not the archive.
    """
    if not archive.url.startswith(("http://", "https://")):
        raise UserError(
            f"the address of {archive.file} must begin with http:// or https://, "
            f"not {archive.url!r}"
        )
    if target.is_file():
        if _mismatch(archive, target) is None:
            return target
        target.unlink()  # a file of that name which is not the archive
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    resumed = part.is_file() and part.stat().st_size > 0
    _fill(archive, part, pause)
    wrong = _mismatch(archive, part)
    if wrong and resumed:  # the part may have been damaged, or be of another version
        part.unlink()
        _fill(archive, part, pause)
        wrong = _mismatch(archive, part)
    if wrong:
        part.unlink()
        raise RunError(
            f"{archive.url} is not the archive that the table lists: {wrong}; it was removed "
            "and nothing was changed. If the publisher's file is a new one, unpack it yourself "
            "into a folder named by ERFBOOK_DATA"
        )
    part.replace(target)
    return target


def _mismatch(archive: Archive, path: Path) -> str | None:
    """Return in what a file is not the archive; None if it is."""
    size = path.stat().st_size
    if archive.bytes and size != archive.bytes:
        return f"it has {size:,} bytes, not {archive.bytes:,}"
    algorithm, expected = archive.checksum
    found = hash_file(path, algorithm)
    return None if found == expected else f"its {algorithm} is {found}, not {expected}"


def _fill(archive: Archive, part: Path, pause: Callable[[float], None]) -> None:
    """Bring ``part`` to its full length, with as many connections as it takes."""
    failures = 0
    with tqdm(
        desc=archive.file, total=archive.bytes or None, unit="B", unit_scale=True, disable=None
    ) as bar:
        while True:
            before = part.stat().st_size if part.is_file() else 0
            if archive.bytes and before >= archive.bytes:
                return
            try:
                if _receive(archive, part, bar):
                    return
                reason = "the connection ended early"
            except urllib.error.HTTPError as error:
                error.close()
                _explain(archive, error)
                reason = f"HTTP {error.code}"
            except _BROKEN as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            except OSError as error:
                raise RunError(
                    f"cannot write {part}: {error.strerror}; what came is kept, make room and run "
                    "the command again to go on"
                ) from None
            after = part.stat().st_size if part.is_file() else 0
            failures = 0 if after > before else failures + 1
            if failures == _ATTEMPTS:
                raise RunError(
                    f"cannot download {archive.url}: {reason}; the {after:,} bytes that came are "
                    "kept, run the command again to go on"
                )
            pause(min(2.0**failures, 30.0))


def _explain(archive: Archive, error: urllib.error.HTTPError) -> None:
    """Raise what another attempt would not change."""
    if 400 <= error.code < 500 and error.code not in (408, 416, 429):
        raise RunError(
            f"{archive.url} answers HTTP {error.code} {error.reason}; "
            "see the publisher's page for where the archive is now"
        ) from None


def _receive(archive: Archive, part: Path, bar: tqdm) -> bool:
    """Append what one connection brings; return whether it brought all that the server has."""
    offset = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "erfbook", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    request = urllib.request.Request(archive.url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing behind the offset: all came, or the part is too long
            return _at_the_end(error, part, offset)
        raise
    with answer, open(part, "ab") as file:
        start, total = _span(answer, offset)
        if start != offset:  # the server ignores ranges, or sends another one
            if start != 0:
                raise RunError(
                    f"{archive.url} sends bytes from {start:,} where {offset:,} was asked"
                )
            file.truncate(0)
        bar.total = total or archive.bytes or None
        bar.update(start - bar.n)
        for block in _blocks(answer):
            file.write(block)
            bar.update(len(block))
            if archive.bytes and file.tell() > archive.bytes:
                break  # more than there should be: the checksum will say so
        return not total or file.tell() >= total


def _at_the_end(error: urllib.error.HTTPError, part: Path, offset: int) -> bool:
    error.close()
    size = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
    if size is None or int(size[1]) != offset:
        part.unlink()
        return False
    return True


def _span(answer: Any, offset: int) -> tuple[int, int]:
    """Return where an answer's bytes begin and how many the whole file has; 0 if not said."""
    if answer.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if span:
            return int(span[1]), int(span[2]) if span[2] != "*" else 0
        return offset, 0
    return 0, int(answer.headers.get("Content-Length") or 0)


def _blocks(answer: Any) -> Iterator[bytes]:
    """Yield what comes until the connection ends."""
    while True:
        try:
            block = answer.read1(_BLOCK)
        except OSError as error:  # so that the disk's errors are told from the network's
            raise ConnectionError(str(error)) from None
        if not block:
            return
        yield block
