"""Read the named results out of executed notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from erfbook.claims import Result

RECORD = "application/papermill.record/json"


def read(path: Path) -> tuple[Result, ...]:
    """Return the results an executed notebook reported, in order.

    Raises:
        ValueError: the file is no notebook.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Result(notebook=path.stem, **record) for record in _records(notebook))


def read_all(folder: Path) -> tuple[Result, ...]:
    """Return the results of every executed notebook in ``folder``."""
    return tuple(r for path in sorted(folder.glob("*.ipynb")) for r in read(path))


def _records(notebook: dict) -> Iterator[dict]:
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            text = output.get("data", {}).get(RECORD)
            if text is None:
                continue
            record = json.loads("".join(text))
            if record["value"] in ("nan", "inf", "-inf"):
                record["value"] = float(record["value"])
            yield record
