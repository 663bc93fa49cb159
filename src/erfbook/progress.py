"""One bar on the error stream: how much is done, how fast, and the time left; and its messages."""

from __future__ import annotations

import os
import sys

from tqdm import tqdm


def open_bar(name: str, total: int | None, unit: str, done: int = 0) -> tqdm:
    """Return a bar that is drawn on a terminal only.

    The variable TQDM_DISABLE decides otherwise: 0 draws it anywhere, 1 nowhere.

    Args:
        name: in front of it; empty for no bar.
        total: how many there are in all; None if that is unknown.
        unit: what is counted, in the plural.
        done: how many an earlier piece of the run has made.
    """
    asked = {"0": False, "1": True}.get(os.environ.get("TQDM_DISABLE", ""))
    return tqdm(
        desc=name,
        initial=done,
        total=total,
        unit=f" {unit}",
        unit_scale=True,
        file=sys.stderr,
        mininterval=0.5,
        dynamic_ncols=True,
        disable=asked if name else True,
    )


def tell(message: str) -> None:
    """Print a line on the error stream, above a bar that may be there."""
    tqdm.write(message, file=sys.stderr)
