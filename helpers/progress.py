"""Progress of long work: a bar with rate and time left on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)
QUIET_SECONDS = 20.0  # between two lines where there is no terminal


@contextlib.contextmanager
def progress(what: str, total: int, unit: str, done: int = 0, bar: bool | None = None) -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)`, to be called as work gets done.

    what: shown before the bar. total: of `unit`s, of which `done` stand already (they do not count in the rate).
    bar: draw one; None: when standard error is a terminal.
    """
    bar = sys.stderr.isatty() if bar is None else bar
    shown = _bar(what, total, unit, done) if bar else _lines(what, total, unit, done)
    with shown as advance:
        yield advance


@contextlib.contextmanager
def _bar(what: str, total: int, unit: str, done: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    started, new = time.monotonic(), 0
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done, rate="")

        def advance(n: int) -> None:
            nonlocal new
            new += n
            bar.update(task, advance=n, rate=f"{new / max(time.monotonic() - started, 1e-9):.1f} {unit}/s")

        yield advance


@contextlib.contextmanager
def _lines(what: str, total: int, unit: str, done: int) -> Iterator[Callable[[int], None]]:
    started = told = time.monotonic()
    new = 0

    def advance(n: int) -> None:
        nonlocal new, told
        new += n
        now = time.monotonic()
        if now - told >= QUIET_SECONDS:
            told, rate = now, new / (now - started)
            log.info("%s: %d of %d %s, %.1f/s, %.0f s left.", what, done + new, total, unit, rate, (total - done - new) / rate)

    yield advance
    seconds = time.monotonic() - started
    if new:
        log.info("%s: %d %s in %.1f s (%.1f/s).", what, new, unit, seconds, new / max(seconds, 1e-9))
