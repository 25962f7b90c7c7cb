"""Makes the steps that are missing, each once, several side by side: what the most other steps wait for goes first.

Most of a probe's time on small data is the start of its process, which uses one core: two of them side by side take hardly longer than one. Two
trainings side by side, with a share of the cores each, are through before the same two one after the other (measured on two cores: an epoch takes 1.5
times as long on one core as on both). A training beside short steps is not: it waits for them, and then has all cores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from datasets.utils.locks import open_locked

from .child_process import ChildProcess, terminate
from .engine import Done, Engine, Outcome, Pending
from .plan import critical_paths
from .records import LOCK, finished_run
from .steps import Step

OnEvent = Callable[[Step, str, float], object]
POLL_SECONDS = 0.1  # s between two looks at processes and at locks
REPORT_SECONDS = 1.0  # s between two events of a process that runs
LONG_FACTOR = 2.0  # times as long as all others at hand: such a step is through sooner with all cores, after them


def make_steps(
    engine: Engine,
    steps: Sequence[Step],
    on_event: OnEvent = lambda step, event, seconds: None,
    jobs: int = 1,
    seconds: Mapping[Step, float] | None = None,
) -> dict[Step, Outcome]:
    """Make all that is missing of the steps and what they need. Returns how each (the needed ones too) stands then.

    A failure does not stop the others. Whatever ends the wait (Ctrl-C, SIGTERM) is passed on to the processes, which save what they have.

    Args:
        engine: the folder of the steps.
        steps: those that are asked for.
        on_event: called with a step, what has become of it, and its seconds: as it begins ("begins"), every second ("runs"), where another process
            makes it ("waits"), and at its end ("done", "failed").
        jobs: number of steps made side by side.
        seconds: how long they should take; None: as their estimates say.
    """
    every, known = engine.needed(steps), seconds or {}
    wanted = {step: known.get(step, step.estimate.seconds) for step in every}
    chains = critical_paths(wanted, engine.keys)
    scheduler = _Scheduler(
        engine, steps, {step: wanted[step] for step in sorted(every, key=lambda step: -chains[step])}, on_event, jobs
    )
    try:
        scheduler.run()
    finally:
        scheduler.stop()
    return {step: engine.state(step) for step in every}


def cores() -> int:
    """Return the number of cores that this process may compute with: OMP_NUM_THREADS where it is set, else all that it may run on."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Running:
    """A step whose process runs, and the lock of its folder."""

    step: Step
    child: ChildProcess
    lock: IO[str]
    reported: float = 0.0


class _Scheduler:
    """One make_steps. steps: those that are asked for. seconds: they and all that they need, the most urgent first, and how long each should
    take.
    """

    def __init__(self, engine: Engine, steps: Sequence[Step], seconds: Mapping[Step, float], on_event: OnEvent, jobs: int):
        self.engine, self.steps, self.seconds, self.on_event, self.jobs = engine, steps, seconds, on_event, jobs
        self.running: list[_Running] = []
        self._elsewhere: set[Step] = set()  # made by another process, when last looked at ...
        self._reported: set[Step] = set()  # ... and ever

    def run(self) -> None:
        """Make steps until nothing can be made any more."""
        while True:
            ready, elsewhere = self._ready(), self._elsewhere
            self._elsewhere = set()
            for step in ready:
                running = [one.step for one in self.running]
                self._start(step, [*running, *(one for one in ready if one not in {step, *running, *elsewhere})])
            if not ready and not self.running:
                return
            self._wait()

    def stop(self) -> None:
        """End what runs."""
        try:
            terminate([one.child for one in self.running])
        finally:
            for one in self.running:
                one.lock.close()

    def _ready(self) -> list[Step]:
        """Return the pending steps whose inputs are there: also those of a step whose input has gone since."""
        at_work, wanted = {one.step for one in self.running}, set(self.engine.wanted(self.steps))
        ready = [step for step in self.seconds if step in wanted - at_work and isinstance(self.engine.state(step), Pending)]
        return [step for step in ready if all(isinstance(self.engine.state(before), Done) for before in step.inputs)]

    def _start(self, step: Step, others: Sequence[Step]) -> None:
        """Start a step, if there is room. others: those that run and those that could. One that measures time wants the machine for itself."""
        alone = step.exclusive or any(one.step.exclusive for one in self.running)
        if len(self.running) >= (1 if alone else self.jobs):
            return
        if self.jobs > 1 and others and self.seconds[step] > LONG_FACTOR * sum(self.seconds[one] for one in others):
            return
        lock = open_locked(self.engine.folder(step) / LOCK)
        if lock is None:
            if step not in self._reported:
                self.on_event(step, "waits", 0.0)
            self._reported.add(step)
            self._elsewhere.add(step)
            return
        try:
            if not isinstance(self.engine.state(step), Done):  # else another process has made it meanwhile
                self._start_locked(step, lock, 1 + len(others))
        finally:
            if not any(one.lock is lock for one in self.running):
                lock.close()

    def _start_locked(self, step: Step, lock: IO[str], at_hand: int) -> None:
        folder = self.engine.folder(step)
        self.engine.prepare(step)
        self.on_event(step, "begins", 0.0)
        if finished_run(folder, step) is not None:  # it was killed between its end and the record
            self.on_event(step, "done" if self.engine.finish(step, 0, 0.0) else "failed", 0.0)
            return
        beside = 1 if step.exclusive else min(self.jobs, at_hand)
        threads = max(cores() // beside, 1) if beside > 1 else None
        self.running.append(_Running(step, self.engine.start(step, lock, threads), lock))

    def _wait(self) -> None:
        """Wait until a process ends, or it is time to look at the locks of others."""
        if not self.running:
            time.sleep(POLL_SECONDS)
        while self.running:
            for one in list(self.running):
                exit_code = one.child.exit_code(POLL_SECONDS / len(self.running))
                if exit_code is not None:
                    self._end(one, exit_code)
                    return
                if one.child.seconds - one.reported >= REPORT_SECONDS:
                    one.reported = one.child.seconds
                    self.on_event(one.step, "runs", one.reported)
            if self._elsewhere:
                return

    def _end(self, one: _Running, exit_code: int) -> None:
        self.running.remove(one)
        try:
            made = self.engine.finish(one.step, exit_code, one.child.seconds)
        finally:
            one.lock.close()
        self.on_event(one.step, "done" if made else "failed", one.child.seconds)
