"""A folder of records, one file each."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from erfbook.records.record import Record, Spec


class Store:
    """Records in ``folder/<experiment>/<key>.npz``.

    Args:
        folder: made when the first record is saved.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, spec: Spec) -> Path:
        """Return where the record of ``spec`` is or would be."""
        return self.folder / spec.experiment / f"{spec.key}.npz"

    def find(self, spec: Spec) -> Record | None:
        """Return the record of ``spec``, verified; None if there is none."""
        path = self.path(spec)
        return _read(path) if path.is_file() else None

    def save(self, record: Record) -> Path:
        """Write a record, whole or not at all, and return its file."""
        path = self.path(record.spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        head = {key: asdict(record)[key] for key in ("spec", "metrics", "provenance")}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{"_head": np.array(json.dumps(head)), **record.arrays})
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(buffer.getvalue())
        part.replace(path)
        return path

    def select(self, experiment: str | None = None) -> Iterator[Record]:
        """Yield the records, or those of one experiment, in the order of their files' names."""
        for path in sorted(self.folder.glob(f"{experiment or '*'}/*.npz")):
            yield _read(path)


def _read(path: Path) -> Record:
    with np.load(path, allow_pickle=False) as stored:
        head = json.loads(str(stored["_head"]))
        arrays = {name: stored[name] for name in stored.files if name != "_head"}
    return Record(Spec(**head["spec"]), head["metrics"], arrays, head["provenance"])
