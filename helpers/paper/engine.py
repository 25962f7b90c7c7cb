"""How a step stands (done, open, failed, or why it cannot be made), its process, and its record. scheduler.py makes many."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from models.errors import StoreError, WeightsNotFoundError
from models.registry import get_card
from models.weights.downloads import offline
from models.weights.locate import find_weights, local_weights, weight_folders

from ..experiments.provenance import git_state
from .child_process import ChildProcess
from .records import LOG, OUT, RUNS, Done, finished_run, prepare_folder, read_build, read_inputs, read_record, write_record
from .steps import ROOTED, ExternalPath, Keys, Ref, Step, in_order

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pending:
    """A step that can be made, and is not yet."""


@dataclass(frozen=True)
class Unavailable:
    """A step that cannot be made: files are not on this machine. missing: which, and where they go."""

    missing: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the text of a table's cell."""
        return f"not available: {'; '.join(self.missing)}"


@dataclass(frozen=True)
class Failed:
    """A step whose process failed. log: its output."""

    log: Path
    exit_code: int


Outcome = Done | Pending | Unavailable | Failed
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # variables that say how many a process computes with


class Engine:
    """The steps below `out_dir`, shared by all tables.

    Args:
        out_dir: their folders are in its sub-folder steps/.
        scripts: the folder of ex_*.py.
        keys: step -> the name of its folder.
        download: whether published weights may be fetched from the network.
    """

    def __init__(self, out_dir: Path, scripts: Path, keys: Keys, download: bool = False):
        self.root, self.scripts, self.keys, self.download = Path(out_dir).resolve() / "steps", Path(scripts), keys, download
        git = git_state(self.scripts)
        self.commit = "unknown" if git is None else git["commit"][:12] + ("+" if git["dirty"] else "")
        self._failed: dict[str, Failed] = {}  # by key, in this process
        self._may_download = download and not offline()  # weights that are not here, until they were asked for

    def folder(self, step: Step) -> Path:
        """Return where a step's files are."""
        return self.root / self.keys(step)

    def state(self, step: Step) -> Outcome:
        """Return how a step stands: done, failed in this process, unavailable (it or what it needs), or pending, also where an input was made
        anew since, or is to be.
        """
        return self._status(step, {})[0]

    def _status(self, step: Step, seen: dict[str, tuple[Outcome, str | None]]) -> tuple[Outcome, str | None]:
        """Return how a step stands, and which build of it counts, whether its files are all there or not; None where none does. seen: by key."""
        key = self.keys(step)
        if key not in seen:
            inputs = [self._status(before, seen) for before in step.inputs]
            made = read_build(self.folder(step)) if self._inputs_match(step, inputs) else None
            done = None if made is None else read_record(self.folder(step))
            seen[key] = (self._unfinished(step, key, [found for found, _ in inputs]) if done is None else done, made)
        return seen[key]

    def _unfinished(self, step: Step, key: str, needed: Sequence[Outcome]) -> Outcome:
        """Return how a step stands that has no valid record. needed: how its inputs stand."""
        if key in self._failed:
            return self._failed[key]
        missing = [one for found in needed if isinstance(found, Unavailable) for one in found.missing] + self._missing(step)
        if missing:
            return Unavailable(tuple(dict.fromkeys(missing)))
        return next((found for found in needed if isinstance(found, Failed)), Pending())

    def _inputs_match(self, step: Step, inputs: Sequence[tuple[Outcome, str | None]]) -> bool:
        """Return whether a step's result came of its inputs as they are.

        Files of theirs may be gone (that saves disk), but not their record: who removes that wants them, and what follows from them, made anew.
        One that cannot be made again, or is the same again, may be gone whole.
        """
        began = read_inputs(self.folder(step)) or {}
        for before, (found, made) in zip(step.inputs, inputs):
            if made is None and (before.deterministic or isinstance(found, Unavailable)):
                continue
            if made is None or made != began.get(self.keys(before), ""):
                return False
        return True

    def prepare(self, step: Step) -> None:
        """Make the step's folder ready for its process; see records.prepare_folder. Inputs must be done."""
        found = {self.keys(before): read_record(self.folder(before)) for before in step.inputs}
        prepare_folder(self.folder(step), {key: "" if done is None else done.build for key, done in found.items()})

    def commits(self, steps: Sequence[Step]) -> dict[str, int]:
        """Return the versions of the code that made the steps and all that they need -> how many of them; the most first."""
        found = Counter(one.commit for one in map(self.state, self.needed(steps)) if isinstance(one, Done))
        return dict(found.most_common())

    def wanted(self, steps: Sequence[Step]) -> list[Step]:
        """Return, of `needed`, those that are done, and those that `steps` that are not yet done want."""
        seen: dict[str, tuple[Outcome, str | None]] = {}
        states = {step: self._status(step, seen)[0] for step in self.needed(steps)}
        of_key = {self.keys(step): step for step in states}
        left = [of_key[self.keys(step)] for step in steps]
        reached: set[Step] = set()
        while left:
            step = left.pop()
            if step not in reached:
                reached.add(step)
                left += [] if isinstance(states[step], Done) else [of_key[self.keys(before)] for before in step.inputs]
        return [step for step, found in states.items() if isinstance(found, Done) or step in reached]

    def _missing(self, step: Step) -> list[str]:
        """Return what the step itself wants and is not on this machine: how to come by it."""
        missing = []
        for one in step.external:
            if not Path(one.path).exists():
                missing.append(f"{one.path} is not there" + (f" ({one.cure})" if one.cure else ""))
        for name in () if self._may_download else step.weights:
            card = get_card(name)
            try:
                if local_weights(card) is None:
                    missing.append(f"place {weight_folders()[0] / card.file}")
            except WeightsNotFoundError as error:
                missing.append(str(error))
        return missing

    # ---- making
    def fetch(self, steps: Sequence[Step]) -> None:
        """Download the published weights that the steps name, where that is allowed; before any key is made, since keys follow their content."""
        for name in dict.fromkeys(name for step in in_order(steps) for name in step.weights) if self.download else ():
            try:
                find_weights(get_card(name))
            except WeightsNotFoundError as error:
                log.warning("%s", error)
        self._may_download = False

    def needed(self, steps: Sequence[Step]) -> list[Step]:
        """Return the steps and all that they need, inputs first, one of each key."""
        found: dict[str, Step] = {}
        for step in in_order(steps):
            found.setdefault(self.keys(step), step)
        return list(found.values())

    def start(self, step: Step, lock: IO[str], threads: int | None) -> ChildProcess:
        """Start the step's process. threads: of its arithmetic; None: as it likes."""
        few = {} if threads is None else dict.fromkeys(THREADS, str(threads))
        return ChildProcess(
            self.command_line(step, self.folder(step)), self.folder(step) / LOG, lock, {**self._environment(), **few}
        )

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

    def command_line(self, step: Step, folder: Path) -> list[str]:
        """Return the step's command line, its outputs going to `folder`. Inputs must be done."""
        own = "out_dir" if step.script in ROOTED else "trainer.default_root_dir"
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
        if isinstance(value, ExternalPath):
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
    """Return the wall-clock seconds of the command: measured, or where its end was found only, by the start and end of its run."""
    try:
        if not run.get("resumed"):
            began, ended = (datetime.fromisoformat(run[key]) for key in ("start_time", "stop_time"))
            return max((ended - began).total_seconds(), measured)
    except (KeyError, TypeError, ValueError):
        pass
    return measured


def failures(outcomes: Iterable[Outcome]) -> list[Failed]:
    """Return those that failed, each once."""
    return list(dict.fromkeys(one for one in outcomes if isinstance(one, Failed)))
