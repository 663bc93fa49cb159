"""Read the named results out of executed notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from erfbook.claims import Result
from erfbook.errors import UserError

RECORD = "application/papermill.record/json"


def read(path: Path) -> tuple[Result, ...]:
    """Return the results an executed notebook reported, in order.

    Raises:
        UserError: the file is no notebook, or was cut off.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Result(notebook=path.stem, **record) for record in _records(notebook))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is no whole notebook; erfbook build makes it anew") from None


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
