"""One bar on the error stream: products done, time left, what has converged; and its messages."""

from __future__ import annotations

import os
import sys

from tqdm import tqdm


def open_bar(name: str, total: int | None) -> tqdm:
    """Return a bar of Hessian-vector products; it is drawn on a terminal only.

    The variable TQDM_DISABLE decides otherwise: 0 draws it anywhere, 1 nowhere.

    Args:
        name: in front of it; empty for no bar.
        total: products expected; None if that is unknown.
    """
    asked = {"0": False, "1": True}.get(os.environ.get("TQDM_DISABLE", ""))
    return tqdm(
        desc=name,
        total=total,
        unit=" products",
        file=sys.stderr,
        mininterval=0.5,
        dynamic_ncols=True,
        disable=asked if name else True,
    )


def tell(message: str) -> None:
    """Print a line on the error stream, above a bar that may be there."""
    tqdm.write(message, file=sys.stderr)
