"""Whether an executed notebook still stands for what would be executed now."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterable
from pathlib import Path

from erfbook import claims
from erfbook.book.paths import Project, absolute_places
from erfbook.profiles import Parameters


def of_execution(project: Project, notebook: str, profile: str, values: Parameters) -> str:
    """Return the key of one execution: a notebook is reused only under the same key.

    It covers the notebook, the package's source, the lock, the Python version, the parameters,
    the local data sets, and the ledger's rows that the notebook answers; the records that it read
    are noted while it runs, in :mod:`erfbook.book.reading`.
    """
    rows = [c for c in claims.load(project.ledger) if notebook in c.notebooks]
    parts = {
        "notebook": of_files([project.notebooks[notebook]], project.root),
        "source": of_files(project.source.rglob("*.py"), project.source),
        "lock": of_files([project.lock], project.root),
        "python": platform.python_version(),
        "profile": profile,
        "parameters": values.as_dict(),
        "data": of_data(),
        "claims": [dataclasses.asdict(row) for row in rows],
    }
    return _digest(json.dumps(parts, sort_keys=True, default=str).encode())


def of_files(files: Iterable[Path], root: Path) -> str:
    """Return a digest of the names and contents of ``files``; caches and folders do not count."""
    digest = hashlib.sha256()
    for path in sorted(f for f in files if f.is_file() and "__pycache__" not in f.parts):
        digest.update(f"{path.relative_to(root)}\0{_digest(path.read_bytes())}\n".encode())
    return digest.hexdigest()


def of_data() -> str:
    """Return a digest of the local data sets: names, sizes and times, for they can be large."""
    folder = absolute_places().get("ERFBOOK_DATA")
    if not folder or not Path(folder).is_dir():
        return "embedded"
    files = sorted(f for f in Path(folder).rglob("*") if f.is_file())
    facts = [(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return _digest(json.dumps(facts).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
