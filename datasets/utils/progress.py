"""Progress of long jobs: a bar with rate and time left on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from .terminal import Console

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 30.0


class _Rate(ProgressColumn):
    """Units per second, over the last while."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {self.unit}/s", style="progress.data.speed")


class JobProgress:
    """How far a long job is.

        with JobProgress("Preparing", total=200, unit="files") as progress:
            for outcome in ...:
                progress.advance(note="2 bad")

    On a terminal a bar; else lines through logging (level INFO).

    Args:
        what: what is done, for people.
        total: how many there are in all; an estimate may be too low.
        unit: their name in the plural.
        done: how many of `total` stand already; they do not count in the rate.
        console: where to draw (stderr).
        every_seconds: the shortest time between two lines.
        last_line: whether a line is logged at the end.
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str = "items",
        done: int = 0,
        console: Console | None = None,
        *,
        every_seconds: float = SECONDS_BETWEEN_LINES,
        last_line: bool = True,
    ):
        self.every_seconds, self.last_line = every_seconds, last_line
        self.what, self.total, self.unit = what, total, unit
        self.before, self.done = done, 0
        self._note = ""
        console = console or Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(unit)]
            clocks = [TimeElapsedColumn(), TextColumn("gone,"), TimeRemainingColumn(), TextColumn("left")]
            self._bar = Progress(*columns, *clocks, TextColumn("{task.fields[note]}"), console=console)
            self._task = self._bar.add_task(what, total=total, completed=done, note="")

    def __enter__(self) -> JobProgress:
        self._begun = self._said = time.monotonic()
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self.done and self.last_line:
            self._log()

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more as done; `note` stands beside the figures from now on."""
        self.done += n
        self.total = max(self.total, self.before + self.done)  # it may have been an estimate
        self._note = note
        if self._bar is not None:
            self._bar.update(self._task, advance=n, total=self.total, note=note)
        elif time.monotonic() - self._said >= self.every_seconds:
            self._log()

    def end_early(self, why: str) -> None:
        """Take the rest as not wanted, as `why` says: nothing is left."""
        left, self.total = self.total - self.before - self.done, self.before + self.done
        if left:
            self._note = f"{why} ({left} {self.unit} fewer)"
            if self._bar is not None:
                self._bar.update(self._task, total=self.total, note=self._note)

    def _log(self) -> None:
        self._said = time.monotonic()
        rate = self.done / max(self._said - self._begun, 1e-9)
        done = self.before + self.done
        left = (self.total - done) / rate if rate else 0.0
        note = f", {self._note}" if self._note else ""
        log.info("%s: %d of %d, %.1f %s/s, %s left%s", self.what, done, self.total, rate, self.unit, _clock(left), note)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
