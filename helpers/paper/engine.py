"""How a step stands (done, open, failed, or why it cannot be made), its process, and its record. side_by_side.py makes many."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from models.errors import StoreError, WeightsNotFoundError
from models.registry import get_card
from models.weights.downloads import offline
from models.weights.locate import find_weights, local_weights, weight_folders

from ..experiments.provenance import git_state
from .child_process import Child
from .records import LOG, OUT, RUNS, Done, clear, finished_run, read_inputs, read_made, read_record, write_record
from .steps import Keys, Outside, Ref, Step, in_order

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Open:
    """A step that can be made, and is not yet."""


@dataclass(frozen=True)
class Absent:
    """A step that cannot be made: files are not on this machine. lacking: which, and where they go."""

    lacking: tuple[str, ...]

    @property
    def text(self) -> str:
        """For a table's cell."""
        return f"not available: {'; '.join(self.lacking)}"


@dataclass(frozen=True)
class Failed:
    """A step whose process failed. log: what it said."""

    log: Path
    exit_code: int


Outcome = Done | Open | Absent | Failed
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # variables that say how many a process computes with


class Engine:
    """The steps below `out_dir`, shared by all tables.

    scripts: the folder of ex_*.py. keys: names of steps. download: whether published weights may be fetched from the network.
    """

    def __init__(self, out_dir: Path, scripts: Path, keys: Keys, download: bool = False):
        self.root, self.scripts, self.keys, self.download = Path(out_dir).resolve() / "steps", Path(scripts), keys, download
        git = git_state(self.scripts)
        self.commit = "unknown" if git is None else git["commit"][:12] + ("+" if git["dirty"] else "")
        self._failed: dict[str, Failed] = {}  # by key, in this process
        self._may_come = download and not offline()  # weights that are not here, until they were asked for

    def folder(self, step: Step) -> Path:
        """Where a step's files are."""
        return self.root / self.keys(step)

    def state(self, step: Step) -> Outcome:
        """Done, failed in this process, absent (it or what it needs), or open: also where an input was made anew, or is to be, since."""
        return self._standing(step, {})[0]

    def _standing(self, step: Step, seen: dict[str, tuple[Outcome, str | None]]) -> tuple[Outcome, str | None]:
        """How a step stands, and which making of it counts, whether its files are all there or not; None where none does. seen: by key."""
        key = self.keys(step)
        if key not in seen:
            inputs = [self._standing(before, seen) for before in step.inputs]
            made = read_made(self.folder(step)) if self._fits(step, inputs) else None
            done = None if made is None else read_record(self.folder(step))
            seen[key] = (self._not_done(step, key, [found for found, _ in inputs]) if done is None else done, made)
        return seen[key]

    def _not_done(self, step: Step, key: str, needed: Sequence[Outcome]) -> Outcome:
        """needed: how the inputs stand."""
        if key in self._failed:
            return self._failed[key]
        lacking = [one for found in needed if isinstance(found, Absent) for one in found.lacking] + self._lacking(step)
        if lacking:
            return Absent(tuple(dict.fromkeys(lacking)))
        return next((found for found in needed if isinstance(found, Failed)), Open())

    def _fits(self, step: Step, inputs: Sequence[tuple[Outcome, str | None]]) -> bool:
        """Whether a step's result came of its inputs as they are. Files of theirs may be gone (that saves disk), but not their record: who removes
        that wants them, and what follows from them, made anew. One that cannot be made again, or is the same again, may be gone whole.
        """
        began = read_inputs(self.folder(step)) or {}
        for before, (found, made) in zip(step.inputs, inputs):
            if made is None and (before.same_again or isinstance(found, Absent)):
                continue
            if made is None or made != began.get(self.keys(before), ""):
                return False
        return True

    def clear(self, step: Step) -> None:
        """Make the step's folder ready for its process; see records.clear. Inputs must be done."""
        found = {self.keys(before): read_record(self.folder(before)) for before in step.inputs}
        clear(self.folder(step), {key: "" if done is None else done.made for key, done in found.items()})

    def commits(self, steps: Sequence[Step]) -> dict[str, int]:
        """Versions of the code that made the steps and all that they need -> how many of them; the most first."""
        found = Counter(one.commit for one in map(self.state, self.needed(steps)) if isinstance(one, Done))
        return dict(found.most_common())

    def wanted(self, steps: Sequence[Step]) -> list[Step]:
        """Of `needed` those that are there, and those that `steps` that are not yet done want."""
        seen: dict[str, tuple[Outcome, str | None]] = {}
        states = {step: self._standing(step, seen)[0] for step in self.needed(steps)}
        of_key = {self.keys(step): step for step in states}
        left = [of_key[self.keys(step)] for step in steps]
        reached: set[Step] = set()
        while left:
            step = left.pop()
            if step not in reached:
                reached.add(step)
                left += [] if isinstance(states[step], Done) else [of_key[self.keys(before)] for before in step.inputs]
        return [step for step, found in states.items() if isinstance(found, Done) or step in reached]

    def _lacking(self, step: Step) -> list[str]:
        """What the step itself wants and is not on this machine: how to come by it."""
        lacking = []
        for one in step.outside:
            if not Path(one.path).exists():
                lacking.append(f"{one.path} is not there" + (f" ({one.cure})" if one.cure else ""))
        for name in () if self._may_come else step.weights:
            card = get_card(name)
            try:
                if local_weights(card) is None:
                    lacking.append(f"place {weight_folders()[0] / card.file}")
            except WeightsNotFoundError as error:
                lacking.append(str(error))
        return lacking

    # ---- making
    def fetch(self, steps: Sequence[Step]) -> None:
        """Download the published weights that the steps name, where that is allowed; before any key is made, since keys tell their content."""
        for name in dict.fromkeys(name for step in in_order(steps) for name in step.weights) if self.download else ():
            try:
                find_weights(get_card(name))
            except WeightsNotFoundError as error:
                log.warning("%s", error)
        self._may_come = False

    def needed(self, steps: Sequence[Step]) -> list[Step]:
        """The steps and all that they need, inputs first, one of each key."""
        found: dict[str, Step] = {}
        for step in in_order(steps):
            found.setdefault(self.keys(step), step)
        return list(found.values())

    def begin(self, step: Step, lock: IO[str], threads: int | None) -> Child:
        """Start the step's process. threads: of its arithmetic; None: as it likes."""
        few = {} if threads is None else dict.fromkeys(THREADS, str(threads))
        return Child(self.words(step, self.folder(step)), self.folder(step) / LOG, lock, {**self._environment(), **few})

    def finish(self, step: Step, exit_code: int, seconds: float) -> bool:
        """Record a step whose process has ended: that it is done (True), or has failed."""
        folder = self.folder(step)
        ended = finished_run(folder, step) if exit_code == 0 else None
        if ended is None:
            self._failed[self.keys(step)] = Failed(folder / LOG, exit_code)
            return False
        run, outputs = ended
        write_record(folder, step, run, outputs, _seconds(run, seconds), self.commit)
        return True

    def words(self, step: Step, folder: Path) -> list[str]:
        """The step's command line, its outputs going to `folder`. Inputs must be done."""
        own = "out_dir" if step.script in ("ex_tl.py", "ex_paper.py") else "trainer.default_root_dir"
        places: dict[str, Any] = {own: str(folder / RUNS)}
        if step.command.startswith("extract_"):
            places["predict.out_dir"] = str(folder / OUT)
        if step.trains:
            places["ckpt_path"] = "last"
        updates = {key: self._value(value) for key, value in step.updates.items()} | places
        command = [] if step.command == "main" else [step.command]
        return [
            str(self.scripts / step.script),
            *command,
            "with",
            *step.named,
            *(f"{key}={value!r}" for key, value in updates.items()),
        ]

    def _value(self, value: Any) -> Any:
        if isinstance(value, Outside):
            return value.path
        if not isinstance(value, Ref):
            return value
        done = read_record(self.folder(value.step))
        if done is None:
            raise StoreError(f"What '{value.step.title}' had left in {self.folder(value.step)} is gone. Start the command again.")
        return str(done.output(value.output))

    def _environment(self) -> Mapping[str, str]:
        return dict(os.environ) if self.download else {**os.environ, "HF_HUB_OFFLINE": "1"}


def _seconds(run: Mapping[str, Any], measured: float) -> float:
    """Wall-clock seconds of the command: measured, or where its end was found only, by the start and end of its run."""
    from datetime import datetime

    try:
        if not run.get("resumed"):
            began, ended = (datetime.fromisoformat(run[key]) for key in ("start_time", "stop_time"))
            return max((ended - began).total_seconds(), measured)
    except (KeyError, TypeError, ValueError):
        pass
    return measured


def failures(outcomes: Iterable[Outcome]) -> list[Failed]:
    """Those that failed, each once."""
    return list(dict.fromkeys(one for one in outcomes if isinstance(one, Failed)))
