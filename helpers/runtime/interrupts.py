"""Signals that end a run: SIGTERM, SIGUSR1, which schedulers send before they take a machine back, and SIGINT (Ctrl-C).

Training answers the first one by saving a checkpoint behind the batch at hand and ending; a second one ends it at once. Elsewhere the
first one ends the run. Either way the run is recorded as INTERRUPTED and the process exits with 128 + the signal's number.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal has ended the run. checkpoint: where to continue from, if training has begun."""

    STATUS = "INTERRUPTED"  # Sacred's word for it, which it reads here

    def __init__(self, number: int, checkpoint: Path | None = None):
        self.number, self.checkpoint = signal.Signals(number), checkpoint
        saved = "" if checkpoint is None else f" Saved: {checkpoint}. The same command with ckpt_path=last continues."
        super().__init__(f"Ended by {self.number.name}.{saved}")

    @property
    def exit_code(self) -> int:
        """Return what a shell sees."""
        return 128 + int(self.number)


class StopRequest:
    """Notes the first signal in `received`; the second is `repeated`, and raises Interrupted where the program then is."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.repeated: int | None = None

    def __call__(self, number: int, frame: Any) -> None:
        if self.received is not None:
            self.repeated = number
            raise Interrupted(number)
        self.received = number

    def install(self) -> None:
        """Answer the signals (again: Lightning puts handlers of its own in their place)."""
        if _may_handle():
            for number in SIGNALS:
                signal.signal(number, self)


def end_at_once(number: int, frame: Any) -> None:
    """A handler for the time outside training."""
    raise Interrupted(number)


@contextmanager
def answered_by(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """These signals go to `handler` in this block. Only in the main thread, which is where Python can do that."""
    if not _may_handle():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)


def _may_handle() -> bool:
    return threading.current_thread() is threading.main_thread()
