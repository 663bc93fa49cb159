"""A folder of records, one file each."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from erfbook.errors import RunError
from erfbook.records.compare import Conflict, find_differences
from erfbook.records.files import Unwritable, remove_left_parts, write_whole
from erfbook.records.npz import Damaged, Misplaced, decode, encode
from erfbook.records.record import Record, Spec, is_experiment

_LOG = logging.getLogger("erfbook.records")
_FILE = re.compile(r"[0-9a-f]{24}\.npz")  # every other name is somebody else's file
_ATTEMPTS = 3  # at a place that other processes fill and clear at the same time


class Store:
    """Records in ``folder/<experiment>/<key>.npz``.

    Looking never changes a file. Only what is in the place of a record that is to be made, and is
    not that record, is renamed.

    Args:
        folder: where records are looked for and put; made when the first one is saved.
        also: folders where they are looked for next, such as the published ones.
    """

    def __init__(self, folder: str | Path, *, also: Sequence[str | Path] = ()) -> None:
        self.folder = Path(folder)
        self.also = tuple(Store(other) for other in also)
        self._told: set[Path] = set()

    def path(self, spec: Spec) -> Path:
        """Return where the record of ``spec`` is or would be in this store's own folder."""
        return self.folder / spec.experiment / f"{spec.key}.npz"

    def find(self, spec: Spec) -> Record | None:
        """Return the record of ``spec``, verified; None if there is none.

        What is not that record gives up its place in this store's own folder, so that it can be
        made: the file is renamed, a line on the log says so, and it counts as none.

        Raises:
            RunError: it is there but cannot be read.
        """
        return self.read(self.path(spec)) or self._find_behind(spec)

    def holds(self, spec: Spec) -> bool:
        """Tell whether the record of ``spec`` is there, verified; every file stays as it is."""
        return (self.look(self.path(spec)) or self._find_behind(spec)) is not None

    def _find_behind(self, spec: Spec) -> Record | None:
        found = (other.look(other.path(spec)) for other in self.also)
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
        for _ in range(_ATTEMPTS):
            present = self.read(path)
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
                continue
        raise Unwritable(f"cannot write {path}: its name is taken by what is no record; remove it")

    def select(self, experiment: str | None = None) -> Iterator[Record]:
        """Yield the records, or those of one experiment, in the order of their files' names.

        A run that several folders hold is yielded from the first of them.
        """
        files: dict[tuple[str, str], list[Path]] = {}
        for store in (self, *self.also):
            for path in store.files(experiment):
                files.setdefault((path.parent.name, path.name), []).append(path)
        for _, places in sorted(files.items()):
            found = (self.look(path) for path in places)
            record = next((r for r in found if r is not None), None)
            if record is not None:
                yield record

    def files(self, experiment: str | None = None) -> list[Path]:
        """Return the files of this store's own folder, or those of one experiment, sorted.

        Only names that :meth:`path` could give count.
        """
        names = (experiment,) if experiment is not None else _names(self.folder)
        folders = [self.folder / name for name in names if is_experiment(name)]
        return sorted(f / name for f in folders for name in _names(f) if _FILE.fullmatch(name))

    def check(self, path: Path) -> Record:
        """Return the record in a file, verified; the file stays where it is.

        Raises:
            Misplaced: it is a whole record of another run than its name says.
            Damaged: it is not a whole record.
            FileNotFoundError: it is not there.
            RunError: it cannot be read.
        """
        try:
            record = decode(path.read_bytes())
        except IsADirectoryError:
            raise Damaged("it is a folder, not a file") from None
        except OSError as error:
            if path.is_symlink() and not path.exists():
                raise Damaged("it is a link to a file that is not there") from None
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise FileNotFoundError(str(path)) from None
            raise RunError(f"cannot read {path}: {error.strerror}") from error
        if (record.spec.experiment, record.spec.key) != (path.parent.name, path.stem):
            raise Misplaced(f"it holds {record.spec.experiment} {record.spec.key}, another run")
        return record

    def look(self, path: Path) -> Record | None:
        """Return the record in a file; None, with a line on the log, if it cannot be used."""
        try:
            return self.check(path)
        except FileNotFoundError:
            return None
        except (Damaged, RunError) as error:
            if path not in self._told:
                _LOG.warning("%s; it is not used", _describe(path, error))
                self._told.add(path)
            return None

    def read(self, path: Path) -> Record | None:
        """Return the record in a file; None if there is none, or once another thing is set aside.

        Raises:
            RunError: it is there but cannot be read.
        """
        try:
            return self.check(path)
        except FileNotFoundError:
            return None
        except Damaged as error:
            _LOG.warning("%s; %s", _describe(path, error), _set_aside(path))
            return None


def _names(folder: Path) -> list[str]:
    """Return the names in a folder; none where it is no folder.

    Raises:
        RunError: it cannot be read.
    """
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RunError(f"cannot read {folder}: {error.strerror}") from error


def _describe(path: Path, error: Exception) -> str:
    if isinstance(error, RunError):
        return str(error)
    return f"{'misplaced' if isinstance(error, Misplaced) else 'damaged'} record {path}: {error}"


def _set_aside(path: Path) -> str:
    """Rename what is in the place of a record, so that nobody reads it again; say how."""
    n = 0
    while os.path.lexists(aside := path.with_name(f"{path.name}.bad{n or ''}")):
        n += 1
    with contextlib.suppress(OSError):  # a folder that only others may write
        os.rename(path, aside)
        return f"set aside as {aside.name}"
    return "it is not used"
