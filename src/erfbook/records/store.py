"""A folder of records, one file each."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from erfbook.errors import RunError
from erfbook.records.compare import Conflict, find_differences
from erfbook.records.files import remove_left_parts, write_whole
from erfbook.records.npz import Damaged, decode, encode
from erfbook.records.record import RESERVED, Record, Spec

_LOG = logging.getLogger("erfbook.records")


class Store:
    """Records in ``folder/<experiment>/<key>.npz``.

    Args:
        folder: where records are looked for and put; made when the first one is saved.
        also: folders where they are looked for next, such as the published ones.
    """

    def __init__(self, folder: str | Path, *, also: Sequence[str | Path] = ()) -> None:
        self.folder = Path(folder)
        self.also = tuple(Store(other) for other in also)

    def path(self, spec: Spec) -> Path:
        """Return where the record of ``spec`` is or would be in this store's own folder."""
        return self.folder / spec.experiment / f"{spec.key}.npz"

    def find(self, spec: Spec) -> Record | None:
        """Return the record of ``spec``, verified; None if there is none.

        A damaged file is renamed, a line on the log says so, and it counts as none.
        """
        record = self.read(self.path(spec))
        if record is not None:
            return record
        found = (other.find(spec) for other in self.also)
        return next((record for record in found if record is not None), None)

    def save(self, record: Record) -> Path:
        """Write a record, whole or not at all, and return its file.

        One that is there already with the same results stays as it is.

        Raises:
            Conflict: one is there with other results; it stays.
            RunError: it cannot be written.
        """
        return self.add(encode(record))

    def add(self, content: bytes, *, replace: bool = False) -> Path:
        """Put a record's file into the store, whole or not at all, and return where it is.

        Args:
            content: the bytes of the file.
            replace: whether it takes the place of one with other results.

        Raises:
            Damaged: the bytes are not a whole record.
            Conflict: one is there with other results, and is not to be replaced.
            RunError: it cannot be written.
        """
        record = decode(content)
        path = self.path(record.spec)
        remove_left_parts(path)
        present = self.read(path)
        while True:
            if present is not None:
                differences = find_differences(present, record)
                if not differences:
                    return path
                if not replace:
                    raise Conflict(present, record, differences)
            try:
                write_whole(path, content, replace=present is not None)
                return path
            except FileExistsError:  # another process was faster
                present = self.read(path)

    def select(self, experiment: str | None = None) -> Iterator[Record]:
        """Yield the records, or those of one experiment, in the order of their files' names.

        A run that several folders hold is yielded from the first of them.
        """
        files: dict[tuple[str, str], list[Path]] = {}
        for store in (self, *self.also):
            for path in store.files(experiment):
                files.setdefault((path.parent.name, path.name), []).append(path)
        for _, places in sorted(files.items()):
            found = (self.read(path) for path in places)
            record = next((r for r in found if r is not None), None)
            if record is not None:
                yield record

    def files(self, experiment: str | None = None) -> list[Path]:
        """Return the files of this store's own folder, or those of one experiment, sorted."""
        found = self.folder.glob(f"{experiment or '*'}/*.npz")
        return sorted(path for path in found if path.parent.name != RESERVED)

    def check(self, path: Path) -> Record:
        """Return the record in a file, verified; the file stays where it is.

        Raises:
            Damaged: it is not a whole record, or not the one its name says.
            FileNotFoundError: it is not there.
            RunError: it cannot be read.
        """
        try:
            record = decode(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(str(path)) from None
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}") from error
        if (record.spec.experiment, record.spec.key) != (path.parent.name, path.stem):
            raise Damaged(f"it holds {record.spec.experiment} {record.spec.key}, another run")
        return record

    def read(self, path: Path) -> Record | None:
        """Return the record in a file; None if there is none, or once a damaged one is set aside.

        Raises:
            RunError: it is there but cannot be read.
        """
        try:
            return self.check(path)
        except FileNotFoundError:
            return None
        except Damaged as error:
            _set_aside(path, str(error))
            return None


def _set_aside(path: Path, reason: str) -> None:
    """Rename a damaged file so that nobody reads it again, and say so."""
    n = 0
    while (aside := path.with_name(f"{path.name}.bad{n or ''}")).exists():
        n += 1
    place = "it is not used"
    with contextlib.suppress(OSError):  # a folder that only others may write
        os.rename(path, aside)
        place = f"set aside as {aside.name}"
    _LOG.warning("damaged record %s: %s; %s", path, reason, place)
