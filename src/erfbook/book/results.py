"""Read the named results out of executed notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from erfbook.claims import Result
from erfbook.errors import UserError

RECORD = "application/papermill.record/json"
TOOK = "erfbook-took"  # keys of a last output's metadata
READ = "erfbook-read"


@dataclass(frozen=True)
class Took:
    """What the execution of a notebook took, and where: device with its number of threads."""

    seconds: float
    megabytes: float
    device: str
    profile: str


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


def read_took(path: Path) -> Took | None:
    """Return what an executed notebook took; None if it does not say."""
    found = last_note(json.loads(path.read_text(encoding="utf-8")), TOOK)
    return None if found is None else Took(**found)


def last_note(notebook: dict, name: str) -> dict | None:
    """Return what an executed notebook says of itself under a key; None if it does not."""
    for cell in reversed(notebook["cells"]):
        for output in cell.get("outputs", ()):
            found = output.get("metadata", {}).get(name)
            if found is not None:
                return found
    return None


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
