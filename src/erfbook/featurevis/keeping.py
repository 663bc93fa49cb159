"""The file that keeps a visualisation while it is under way: whole, verified, of this run alone."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from erfbook.errors import RunError, UserError

_HEAD = b"erfbook-featurevis-1 "
_log = logging.getLogger(__name__)


class Keeper:
    """Write what is done when it is due.

    Args:
        path: the file; None to keep nothing.
        every_s: seconds between two writes.
        identity: fingerprint of everything that the result depends on.
    """

    def __init__(self, path: Path | None, every_s: float, identity: str) -> None:
        self.path = None if path is None else Path(path)
        self._every_s, self._identity = every_s, identity
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether there is enough new work to keep."""
        return self.path is not None and time.monotonic() - self._last >= self._every_s

    def load(self) -> dict[str, Any] | None:
        """Return what was kept of this run; None if there is nothing.

        A damaged file is set aside, with a message, and the work begins anew.

        Raises:
            UserError: the file is of another run.
            RunError: it cannot be read.
        """
        if self.path is None:
            return None
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError(f"cannot read the checkpoint {self.path}: {error.strerror}") from error
        head, _, body = raw.partition(b"\n")
        if head != _HEAD + hashlib.sha256(body).hexdigest().encode():
            aside = self.path.with_name(f"{self.path.name}.damaged")
            self.path.replace(aside)
            _log.warning("the checkpoint %s is damaged and not used; it is kept as %s",
                         self.path, aside.name)  # fmt: skip
            return None
        content = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
        if content.pop("identity") != self._identity:
            raise UserError(
                f"the checkpoint {self.path} is of another run (other weights, units, seeds or "
                "settings); name another file, or remove it"
            )
        return content

    def keep(self, content: Mapping[str, Any]) -> None:
        """Write the state, whole or not at all.

        Raises:
            RunError: it cannot be written; what was there still stands.
        """
        if self.path is None:
            return
        buffer = io.BytesIO()
        torch.save({"identity": self._identity, **content}, buffer)
        body = buffer.getvalue()
        part = self.path.with_name(f"{self.path.name}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(_HEAD + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            line = f"cannot write the checkpoint {self.path}: {error.strerror}"
            raise RunError(line) from error
        self._last = time.monotonic()

    def remove(self) -> None:
        """Remove the file, once the result is returned."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def fingerprint(model: nn.Module, parts: Iterable[object]) -> str:
    """Return a hash of a model's weights and of other things by how they print."""
    found = hashlib.sha256(repr(tuple(parts)).encode())
    for name, tensor in model.state_dict().items():
        found.update(name.encode())
        if isinstance(tensor, torch.Tensor):
            found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
