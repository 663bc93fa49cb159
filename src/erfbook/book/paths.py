"""Where everything of a checkout lies; no other module spells a path of the project."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from erfbook.errors import UserError

# Variables that name a place of data; a child that works in another folder must find the same one.
_NAMED_PLACES = ("ERFBOOK_ROOT", "ERFBOOK_DATA", "ERFBOOK_DATASETS", "XDG_CACHE_HOME")


def absolute_places() -> dict[str, str]:
    """Return the environment variables that name a place, absolute, as seen from this folder."""
    given = {name: os.environ.get(name) for name in _NAMED_PLACES}
    return {n: str(Path(v).expanduser().absolute()) for n, v in given.items() if v}


@dataclass(frozen=True)
class Project:
    """A checkout: its root folder and what lies in it."""

    root: Path

    @cached_property
    def notebooks(self) -> dict[str, Path]:
        """Return the text notebooks by name."""
        return {path.stem: path for path in sorted((self.root / "notebooks").glob("*.py"))}

    @property
    def source(self) -> Path:
        return Path(__file__).resolve().parents[1]

    @property
    def lock(self) -> Path:
        return self.root / "requirements.lock"

    @property
    def ledger(self) -> Path:
        return self.root / "data" / "claims.yml"

    @property
    def records(self) -> Path:
        """The published records."""
        return self.root / "data" / "records"

    @property
    def own_records(self) -> Path:
        """The records of runs made on this machine."""
        return self.build / "records"

    @property
    def pages(self) -> Path:
        """The folder of authored pages."""
        return self.root / "book"

    @property
    def chapters(self) -> Path:
        """The folder of generated pages: executed notebooks, scoreboard, times."""
        return self.root / "book" / "chapters"

    @property
    def config(self) -> Path:
        return self.root / "_config.yml"

    @property
    def toc(self) -> Path:
        return self.root / "_toc.yml"

    @property
    def build(self) -> Path:
        return self.root / "_build"

    @property
    def executed(self) -> Path:
        """The store of executed notebooks, one file a key."""
        return self.build / "executed"


def find_project(start: Path | None = None) -> Project:
    """Return the checkout around ``start`` (the working folder), or the one the package lies in.

    Raises:
        UserError: neither is inside a checkout.
    """
    here = Path(os.environ.get("ERFBOOK_ROOT") or start or Path.cwd()).resolve()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir():
            return Project(folder)
    raise UserError(
        f"no notebooks and _toc.yml in {here} or above it; run this inside a checkout of the book"
    )
