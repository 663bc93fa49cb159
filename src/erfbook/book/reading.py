"""Which records a notebook read, so that a build can tell whether they are still the same.

A notebook looks records up in two ways. It *finds* one it would otherwise compute, which changes
nothing but the time it takes; and it goes through what there is of an experiment, published or
made here, to set it beside its own run. The second is what its pages rest on, and is noted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from erfbook.book import fingerprint
from erfbook.book.paths import Project
from erfbook.records import Damaged, Record, Spec, Store, is_quick, read_spec

_ALL = "*"  # what stands for the name where every experiment is gone through


class Noting(Store):
    """Records in a folder, and for each experiment that is gone through a digest of its own.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.noted: dict[str, str] = {}


class Published(Noting):
    """The records that came with the book; each experiment that is looked at is noted."""

    def files(self, experiment: str | None = None) -> list[Path]:
        found = super().files(experiment)
        self.noted.setdefault(experiment or _ALL, fingerprint.of_files(found, self.folder))
        return found

    def find(self, spec: Spec) -> Record | None:
        self.files(spec.experiment)
        return super().find(spec)


class Own(Noting):
    """The records made on this machine; an experiment is noted when its records are gone through.

    A build's own runs are not part of the note: whichever notebook makes them, they are found.
    """

    def files(self, experiment: str | None = None) -> list[Path]:
        found = super().files(experiment)
        names = [path.name for path in found if _is_by_hand(path)]
        digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()
        self.noted.setdefault(experiment or _ALL, digest)
        return found


def is_unchanged(project: Project, noted: Mapping[str, Mapping[str, str]]) -> bool:
    """Return whether what a notebook read is what it would read now."""
    stores: dict[str, Noting] = {
        "published": Published(project.records),
        "own": Own(project.own_records),
    }
    if set(noted) != set(stores):
        return False
    for name, store in stores.items():
        for experiment in noted[name]:
            store.files(None if experiment == _ALL else experiment)
    return all(store.noted == noted[name] for name, store in stores.items())


def _is_by_hand(path: Path) -> bool:
    """Tell whether a record was made by a sweep; a damaged one was not."""
    try:
        return not is_quick(read_spec(path))
    except (OSError, Damaged):
        return False
