"""Context: what a command works with, and what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets.utils.terminal import visible

from ..data.find import Tracks, find_tracks
from ..experiments.experiment import Experiment, Run
from ..experiments.job import run_folder, work_begins
from ..experiments.joining import enter_job
from ..families.base import Config, Family, Purpose
from ..runtime.place import is_first_process
from ..training.same_training import ResumeRules
from .continuing import starting_point


@dataclass(frozen=True)
class Job:
    """What the processes of one command share: the tracks, the run's folder, its seed, and the checkpoint that a training goes on from."""

    tracks: Tracks
    folder: Path
    seed: int
    start: Path | None


@dataclass(frozen=True)
class Context:
    """One call of a command.

    Attributes:
        experiment: the script's. family: of the network. run: Sacred's. config: instance of the script's schema. seed: of the run.
        rules: what a resumed run may differ in. begun: what the command's `begin` has at work already (script.BEGINNINGS); None: nothing.
    """

    experiment: Experiment
    family: Family
    run: Run
    config: Config
    seed: int
    rules: ResumeRules
    begun: Any = None

    @property
    def named(self) -> tuple[str, ...]:
        """The named configs that the command runs with."""
        return self.experiment.named

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return run_folder(self.run, self.config.trainer.default_root_dir)

    def print(self, *lines: str) -> None:
        """Print lines, on the first process only."""
        for line in lines if is_first_process() else ():
            print(visible(line))  # noqa: T201 (what a command leaves on the terminal)

    def find_tracks(
        self, splits: Sequence[str], purpose: Purpose = Purpose.USE, folder: Path | None = None, config: Config | None = None
    ) -> Tracks:
        """Return store and groundtruths that the config names, made ready; what can be refused is refused before that.

        With them the work begins, except that of a training, which has more to check (train.py).

        Args:
            splits: of "train", "val", "test", "predict"; ("all",): one groundtruth, whole.
            purpose: what the network is wanted for.
            folder: where a split that is made here is written; None: the run's.
            config: in place of the run's own.
        """
        config = config or self.config
        self.family.check(config, purpose)
        found = find_tracks(
            config.datamodule,
            splits,
            folder or self.folder,
            waveform=self.family.waveform_rate(config),
            unlabelled=None if self.family.labelled(config) else config.datamodule.val_share,
        )
        if purpose is not Purpose.TRAIN:
            work_begins(self.run)
        return found

    def enter(self, splits: Sequence[str], purpose: Purpose, config: Config | None = None) -> Job:
        """Return the job of a command that several processes may run together: the same in all of them."""
        config = config or self.config
        training = purpose is Purpose.TRAIN
        start = None
        if training and is_first_process():
            start = starting_point({**asdict(config), "seed": self.seed}, self.experiment.continued, self.rules)
        found, folder, seed, start = enter_job(
            self.run, config.trainer, self.seed, lambda folder: self.find_tracks(splits, purpose, folder, config), start
        )
        return Job(found, folder, seed, start)
