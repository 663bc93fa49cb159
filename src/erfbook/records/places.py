"""Where records lie: in the checkout around the working folder, or in ``records`` without one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Folders of records.

    Args:
        own: of runs made on this machine.
        published: of the records that came with the book; None where there is no book.
    """

    own: Path
    published: Path | None


def find_places() -> Places:
    """Return the folders of the checkout around the working folder, or around the package.

    ``ERFBOOK_ROOT`` names another folder to begin from. On a machine with the package alone, own
    records go to ``records`` in the working folder.
    """
    here = Path(os.environ.get("ERFBOOK_ROOT") or Path.cwd()).resolve()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir():
            return Places(folder / "_build" / "records", folder / "data" / "records")
    return Places(Path("records"), None)
