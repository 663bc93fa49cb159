"""A run's checkpoint over time: when it is written, what a full disk does, whose it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from erfbook.errors import RunError
from erfbook.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from erfbook.training.identity import check_same_run

_log = logging.getLogger(__name__)


class Keeper:
    """Write a run's checkpoint when it is due, and survive that it cannot be written.

    Args:
        checkpoint: where, and how often.
        identity: of the run, from :func:`erfbook.training.identity.identify`.
    """

    def __init__(self, checkpoint: Checkpoint, identity: Mapping[str, Any]) -> None:
        self.path = checkpoint.path
        self.step: int | None = None  # of the checkpoint that stands
        self.seconds = 0.0  # that the last write took
        self._every_s, self._identity = checkpoint.every_s, identity
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether there is enough new work to keep."""
        return time.monotonic() - self._last >= self._every_s

    @property
    def stands(self) -> str:
        """What there is to go on from, in words."""
        if self.step is None:
            return "nothing is kept of the run"
        return f"{self.path} holds it as of step {self.step}"

    def load(self) -> dict[str, Any] | None:
        """Return the state that was kept; None if there is none.

        Raises:
            UserError: the checkpoint is of another run.
        """
        content = read_checkpoint(self.path)
        if content is None:
            return None
        check_same_run(self.path, content["identity"], self._identity)
        self.step = content["state"]["step"]
        return content["state"]

    def keep(self, state: Mapping[str, Any], *, must: bool = False) -> None:
        """Write a state.

        A disk that is full does not end the run: it is said, and tried again when the next
        checkpoint is due.

        Args:
            state: with its ``step``.
            must: raise where it cannot be written, because the run ends here.

        Raises:
            RunError: it cannot be written, and must.
        """
        start = self._last = time.monotonic()
        try:
            write_checkpoint(self.path, {"identity": self._identity, "state": state})
        except OSError as error:
            line = f"cannot write the checkpoint {self.path}: {error.strerror}; {self.stands}"
            if must:
                raise RunError(line) from None
            _log.warning("%s; training goes on", line)
            return
        self._last = time.monotonic()
        self.seconds, self.step = self._last - start, state["step"]
