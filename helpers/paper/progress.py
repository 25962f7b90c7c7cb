"""What the engine does, for people: on a terminal the steps at hand, their time and what is left; in a log file lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.status import Status
from rich.text import Text

from .cells import short_path
from .plan import Measured, Span, clock, factor_of
from .steps import Step

MINUTE = 60.0  # s between two lines of a step, where there is no terminal


class Teller:
    """Says what the engine does. On a terminal: how long the steps at hand have run, how long all may take, and a line per step that has ended.
    Elsewhere (a log file) lines alone: as a step begins, every minute, as it ends. A context; `tell` is for make_steps.

    seconds: the steps to make, and how long each is thought to take. log_of: where a step's process writes what it says. span_of: how long several
    take in all.
    """

    def __init__(
        self,
        seconds: Mapping[Step, float],
        log_of: Callable[[Step], Path],
        span_of: Span,
        console: Console | None = None,
    ):
        self.seconds, self._log_of, self._span_of = dict(seconds), log_of, span_of
        self._places = {step: i for i, step in enumerate(self.seconds, 1)}
        self._left = dict(self.seconds)  # of those that have not ended
        self._running: dict[Step, float] = {}  # seconds since its start
        self._took: Measured = {}
        self._next_line: dict[Step, float] = {}
        self.console = console or Console(stderr=True)
        self._status: Status | None = None

    def __enter__(self) -> Teller:
        if self.console.is_terminal:
            self._status = self.console.status("")
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, step: Step, what: str, seconds: float) -> None:
        """What a step does ("begins", "runs", "waits", "done", "failed"), and for how long it has."""
        if what in ("begins", "runs"):
            self._running[step] = seconds
            self._left[step] = max(self._wanted(step) - seconds, 0.0)
        elif what in ("done", "failed"):
            self._running.pop(step, None)
            self._left.pop(step, None)
            if what == "done":
                self._learn(step, seconds)
        if what == "waits":
            self._say(f"Another process makes: {step.title}. Waiting for it.")
        elif what == "done":
            self._say(f"{self._name(step)}: done in {clock(seconds)}")
        elif what == "failed":
            self._say(f"FAILED: {step.title}, after {clock(seconds)}", "bold")
        elif self._status is None:
            self._line(step, what, seconds)
        if self._status is not None:
            self._status.update(self._at_hand())

    def _line(self, step: Step, what: str, seconds: float) -> None:
        if what == "begins":
            self._say(f"{self._name(step)} (about {clock(self._wanted(step))}){self._in_all()}")
            self._next_line[step] = MINUTE
        elif seconds >= self._next_line.setdefault(step, MINUTE):
            place = short_path(self._log_of(step))
            self._say(f"... {self._name(step)}: {clock(seconds)} of about {clock(self._wanted(step))}; log: {place}")
            self._next_line[step] += MINUTE

    def _at_hand(self) -> Text:
        """A line per step that runs; what is left in all behind the last."""
        lines = [
            f"{self._name(step)}: {clock(seconds)} of about {clock(self._wanted(step))}"
            for step, seconds in self._running.items()
        ]
        return Text("\n".join(lines) + self._in_all()) if lines else Text("")

    def _name(self, step: Step) -> str:
        number = f"{self._places[step]} of {len(self._places)}" if step in self._places else "again"  # its result went meanwhile
        return f"[{number}] {step.title}"

    def _wanted(self, step: Step) -> float:
        return self.seconds.get(step, step.estimate.seconds)

    def _learn(self, step: Step, seconds: float) -> None:
        """What a step took tells how long those like it will, which have not begun: the median of this run's."""
        kind = (step.script, step.command)
        self._took.setdefault(kind, []).append((step.estimate.seconds, seconds))
        for other in self._left:
            factor = factor_of(other, self._took)
            if other not in self._running and (other.script, other.command) == kind and factor is not None:
                self.seconds[other] = self._left[other] = factor * other.estimate.seconds

    def _in_all(self) -> str:
        """How long all may still take; nothing where the last ones take longer than was thought."""
        left = self._span_of(self._left)
        return f"; {clock(left)} left in all" if left >= 1.0 else ""

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style), highlight=False, soft_wrap=True)
