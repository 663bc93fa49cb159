"""Ctrl-C between steps: a step is finished, the run kept, and only then the interrupt raised."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class HeldInterrupt:
    """Hold a first Ctrl-C back until the run asks for it; a second one comes through at once.

    Only Python's own handler, in the main thread, is replaced: whoever has set another one keeps
    it.

    Args:
        wanted: whether to hold anything back at all.
    """

    def __init__(self, wanted: bool = True) -> None:
        self.came = False
        main = threading.current_thread() is threading.main_thread()
        own = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self._holds = wanted and own

    def __enter__(self) -> HeldInterrupt:
        if self._holds:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._holds:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.came and kind is None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True
