"""Where a result comes from: code, versions, device, time."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from erfbook.hardware import name_device

_SOURCE = Path(__file__).resolve().parents[1]


def provenance(
    device: Any,
    seconds: float,
    *,
    data: str = "",
    pieces: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return where a result made here and now comes from, for :class:`Record`.

    Args:
        device: what computed: a ``torch.device`` or its name.
        seconds: that the run took, all its pieces together.
        data: what the data set is, in words.
        pieces: where a run was made in several: seconds, device, commit and date of each.
    """
    found: dict[str, Any] = {
        **code_state(),
        "versions": versions(),
        "device": name_device(device),
        "threads": _n_threads(),
        "seconds": round(seconds, 3),
        "date": now(),
    }
    if data:
        found["data"] = data
    if len(pieces) > 1:
        found["pieces"] = [dict(piece) for piece in pieces]
    return found


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=1)
def code_state() -> Mapping[str, Any]:
    """Return commit, whether the package differs from it, and a digest of the package's source.

    It is read once a process, for that is when the code was. Where git or the checkout is missing,
    the commit is ``unknown`` (or what ``ERFBOOK_COMMIT`` says) and the digest still tells.
    """
    state: dict[str, Any] = {"source": _digest_source()}
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name, folder=Path(__file__).parent)
        state["commit"] = _git("rev-parse", "--short=10", "HEAD")
        state["dirty"] = bool(_git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.SubprocessError):
        state["commit"] = os.environ.get("ERFBOOK_COMMIT", "unknown")
        state["dirty"] = None
    return state


def versions() -> dict[str, str]:
    """Return the versions of what numbers depend on."""
    import numpy
    import torch

    found = {"python": platform.python_version(), "numpy": numpy.__version__}
    return found | {"torch": str(torch.__version__)}


def _n_threads() -> int:
    import torch

    return torch.get_num_threads()


def _digest_source() -> str:
    digest = hashlib.sha256()
    for path in sorted(_SOURCE.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(_SOURCE).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()[:12]


def _git(*words: str, folder: Path = _SOURCE) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.strip()
