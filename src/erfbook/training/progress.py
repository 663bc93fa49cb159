"""One bar on the error stream: images a second, loss, time left."""

from __future__ import annotations

import os
import sys

from tqdm import tqdm


def open_bar(name: str, done: int, total: int) -> tqdm:
    """Return a bar of images; it is drawn on a terminal only.

    The variable TQDM_DISABLE decides otherwise: 0 draws it anywhere, 1 nowhere.

    Args:
        name: in front of it; empty for no bar.
        done: images of an earlier piece of the run.
        total: images of the whole run.
    """
    asked = {"0": False, "1": True}.get(os.environ.get("TQDM_DISABLE", ""))
    return tqdm(
        desc=name,
        initial=done,
        total=total,
        unit=" images",
        unit_scale=True,
        file=sys.stderr,
        mininterval=0.5,
        dynamic_ncols=True,
        disable=asked if name else True,
    )
