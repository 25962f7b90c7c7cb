"""The progress of steps, for people: on a terminal those that run, their time and what is left; in a log file lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rich.status import Status

from datasets.utils.terminal import Console, Text

from .cells import short_path
from .plan import Makespan, Measured, format_duration, time_factor
from .steps import Step

MINUTE = 60.0  # s between two lines of a step, where there is no terminal


class StepProgress:
    """Print how far the steps of a table are. A context; `update` is the callback of make_steps.

    On a terminal: how long the running steps have run, how long all may take, and a line per step that has ended. Elsewhere (a log file) lines
    alone: as a step begins, every minute, as it ends.

    Args:
        seconds: the steps to make, and how long each should take.
        log_path: step -> the log of its process.
        makespan_of: step -> seconds of each, to the seconds of all.
        console: where it is printed; None: standard error.
    """

    def __init__(
        self,
        seconds: Mapping[Step, float],
        log_path: Callable[[Step], Path],
        makespan_of: Makespan,
        console: Console | None = None,
    ):
        self.seconds, self._log_path, self._makespan_of = dict(seconds), log_path, makespan_of
        self._places = {step: i for i, step in enumerate(self.seconds, 1)}
        self._left = dict(self.seconds)  # of those that have not ended
        self._running: dict[Step, float] = {}  # seconds since its start
        self._took: Measured = {}
        self._next_line: dict[Step, float] = {}
        self.console = console or Console(stderr=True)
        self._status: Status | None = None

    def __enter__(self) -> StepProgress:
        if self.console.is_terminal:
            self._status = self.console.status("")
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status is not None:
            self._status.stop()

    def update(self, step: Step, event: str, seconds: float) -> None:
        """Print what has become of a step. event: "begins", "runs", "waits" (for another process), "done" or "failed". seconds: since its start."""
        if event in ("begins", "runs"):
            self._running[step] = seconds
            self._left[step] = max(self._expected(step) - seconds, 0.0)
        elif event in ("done", "failed"):
            self._running.pop(step, None)
            self._left.pop(step, None)
            if event == "done":
                self._learn(step, seconds)
        if event == "waits":
            self._print(f"Another process makes: {step.title}. Waiting for it.")
        elif event == "done":
            self._print(f"{self._name(step)}: done in {format_duration(seconds)}")
        elif event == "failed":
            self._print(f"FAILED: {step.title}, after {format_duration(seconds)}", "bold")
        elif self._status is None:
            self._print_line(step, event, seconds)
        if self._status is not None:
            self._status.update(self._running_lines())

    def _print_line(self, step: Step, event: str, seconds: float) -> None:
        if event == "begins":
            self._print(f"{self._name(step)} (about {format_duration(self._expected(step))}){self._remaining()}")
            self._next_line[step] = MINUTE
        elif seconds >= self._next_line.setdefault(step, MINUTE):
            place = short_path(self._log_path(step))
            self._print(
                f"... {self._name(step)}: {format_duration(seconds)} of about {format_duration(self._expected(step))}; log: {place}"
            )
            self._next_line[step] += MINUTE

    def _running_lines(self) -> Text:
        """Return a line per step that runs; behind the last what is left in all."""
        lines = [
            f"{self._name(step)}: {format_duration(seconds)} of about {format_duration(self._expected(step))}"
            for step, seconds in self._running.items()
        ]
        return Text("\n".join(lines) + self._remaining()) if lines else Text("")

    def _name(self, step: Step) -> str:
        number = f"{self._places[step]} of {len(self._places)}" if step in self._places else "again"  # its result went meanwhile
        return f"[{number}] {step.title}"

    def _expected(self, step: Step) -> float:
        return self.seconds.get(step, step.estimate.seconds)

    def _learn(self, step: Step, seconds: float) -> None:
        """Estimate steps of the same kind that have not begun anew: by the median of this run's."""
        kind = (step.script, step.command)
        self._took.setdefault(kind, []).append((step.estimate.seconds, seconds))
        for other in self._left:
            factor = time_factor(other, self._took)
            if other not in self._running and (other.script, other.command) == kind and factor is not None:
                self.seconds[other] = self._left[other] = factor * other.estimate.seconds

    def _remaining(self) -> str:
        """Return how long all may still take; nothing where the last ones take longer than estimated."""
        left = self._makespan_of(self._left)
        return f"; {format_duration(left)} left in all" if left >= 1.0 else ""

    def _print(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style), highlight=False, soft_wrap=True)
