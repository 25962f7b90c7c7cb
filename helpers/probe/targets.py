"""What a probe is to predict: labels or numbers by split, out of a table or a folder of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.groundtruth.annotations import read_annotations
from datasets.groundtruth.groundtruth import SPLITS, Groundtruth
from datasets.groundtruth.groups import Groups
from datasets.groundtruth.splits import ensure_split
from datasets.groundtruth.values import Values, z_scored
from models.errors import ConfigError, GroundtruthError

from ..data.find import LabelFiles, label_files, read_truths, warn_of_torn_groups
from ..metrics.ordinal import ORDINAL, step_names
from ..metrics.tasks import get_task
from .label_column import MOST_STEPS, check_labels, column_of, cure, one_name_per_key


@dataclass(frozen=True)
class TableReading:
    """How a table is read beside its label column: the column of groups, and what parts labels in a cell; None: found out."""

    group_column: str | None = None
    separator: str | None = None


def read_targets(
    task: str,
    groundtruth: str | None,
    metadata_dir: str | None,
    label_column: str | None,
    split_seed: int,
    reading: TableReading | None = None,
    folds: int = 0,
    out_dir: Path | None = None,
) -> dict[str, Any]:
    """Groundtruth (or, for a regression, z-scored Values) by split: train, val, test, or {"all": ...} for cross-validation.

    groundtruth: one file for all; metadata_dir: a folder of groundtruth-train, -val and -test files, whose labels.txt, where there is one, gives
    the labels' order.

    label_column: of the labels, or of the one value; of the task key a column named key is found. Labels that are numbers in truth are refused.

    Raises GroundtruthError or ConfigError for what is not there or does not fit.
    """
    reading = reading or TableReading()
    if (groundtruth is None) == (metadata_dir is None):
        raise ConfigError(
            "No labels: give data.groundtruth (one file), or data.metadata_dir (a folder of groundtruth-train/-val/-test files); one of the two."
        )
    files = label_files(metadata_dir) if metadata_dir else {}
    if get_task(task).numeric or task == ORDINAL.name:
        tables = Tables(groundtruth, files, label_column, reading.group_column, split_seed, out_dir)
        return _read_grades(tables, folds) if task == ORDINAL.name else _read_values(tables, folds)
    order = Path(metadata_dir or "") / "labels.txt"
    names = order if files and order.is_file() else None
    splits = ("all",) if folds else ("train", "val", "test")
    first = str(groundtruth or files["train"])
    column = column_of(task, first, label_column)
    try:
        truths = read_truths(
            LabelFiles(groundtruth, files, column, reading.group_column, split_seed, names, reading.separator), splits, out_dir
        )
    except GroundtruthError as error:
        raise GroundtruthError(f"{error}{cure(error, first)}") from None
    if task == "key":
        truths = one_name_per_key(truths)
    check_labels(task, truths, str(groundtruth or metadata_dir), column)
    return dict(truths)


@dataclass(frozen=True)
class Tables:
    """Tables of numbers: one for all splits, or a file per split; the column of the value, that of groups, the seed of a split that they
    do not say, and where it is written to.
    """

    groundtruth: str | None
    files: Mapping[str, str]
    column: str | None
    group_column: str | None
    seed: int
    out_dir: Path | None

    @property
    def place(self) -> str:
        """Where they are, for messages."""
        return str(self.groundtruth or Path(next(iter(self.files.values()))).parent)

    def read(self) -> tuple[Values, bool]:
        """All tracks as one table, with their splits where these are known, and whether they are.

        Raises GroundtruthError for splits of different values.
        """
        if not self.files:
            whole = Values.read(str(self.groundtruth), self.column, self.group_column)
            return whole, whole.split is not None
        parts = {split: Values.read(path, self.column, self.group_column) for split, path in self.files.items()}
        if len({tuple(part.labels) for part in parts.values()}) > 1:
            raise GroundtruthError(
                f"The splits in {self.place} have different values: {[part.labels for part in parts.values()]}."
            )
        groups = [part.group for part in parts.values()]
        return Values(
            [key for part in parts.values() for key in part.keys],
            next(iter(parts.values())).labels,
            np.concatenate([part.numbers for part in parts.values()]),
            [split for split, part in parts.items() for _ in part.keys],
            Groups.joined(groups),
        ), True

    def split(self, truth: Groundtruth) -> Groundtruth:
        """The tracks with a split made by the seed, which is written out."""
        return ensure_split(truth, None if self.out_dir is None else self.out_dir / "split.csv", self.seed)

    def check_whole(self, found: Mapping[str, Any]) -> None:
        """Raise GroundtruthError where a split column leaves a split without tracks."""
        if absent := [split for split in SPLITS if split not in found]:
            raise GroundtruthError(f"{self.place} has no {' and no '.join(absent)} tracks: give its split column all three.")


def _read_values(tables: Tables, folds: int) -> dict[str, Any]:
    """Values by split, z-scored by the development tracks; of a cross-validation all of them, z-scored by all: their scale alone is known then.

    A table without splits is split 80/10/10 by the seed, groups together, each quarter of a value's range in proportion.
    """
    whole, has_splits = tables.read()
    if folds:
        return z_scored({"all": whole}, by=("all",))
    if not has_splits:
        whole = replace(whole, split=tables.split(whole.binned()).split)
    found = whole.splits
    tables.check_whole(found)
    warn_of_torn_groups(whole, tables.place)
    return z_scored(found)


def _read_grades(tables: Tables, folds: int) -> dict[str, Any]:
    """Grades as the steps that they pass, by split; a table without splits is split 80/10/10 by the seed."""
    whole, has_splits = tables.read()
    if len(whole.labels) > 1:
        raise GroundtruthError(
            f"Grades are one column of numbers; there are {', '.join(sorted(whole.labels))}: name one, data.label_column=..."
        )
    numbers = whole.numbers[:, 0]
    grades = np.unique(numbers)
    if not 2 <= len(grades) <= MOST_STEPS:
        raise GroundtruthError(
            f"Grades are 2 to {MOST_STEPS} different numbers; there are {len(grades)}. Numbers of any value: data.task=regression."
        )
    labels = step_names(grades.tolist())
    steps = np.packbits(numbers[:, None] > grades[None, :-1], axis=1)
    truth = Groundtruth(whole.keys, labels, steps, whole.split, whole.group)
    if folds:
        return {"all": truth}
    found = (truth if has_splits else tables.split(truth)).splits
    tables.check_whole(found)
    warn_of_torn_groups(truth, tables.place)
    return dict(found)


def read_frame_targets(
    task: str,
    annotations: str | None,
    groundtruth: str | None,
    metadata_dir: str | None,
    split_seed: int = 0,
    skip_missing: bool = False,
) -> dict[str, Any]:
    """Annotations by split: train, val, test.

    annotations: folder of a file per track (datasets/groundtruth/annotation_files.py). groundtruth: table of the tracks and their splits;
    metadata_dir: a folder of one per split; neither: every file is a track's, split 80/10/10 by split_seed.

    Raises GroundtruthError or ConfigError for what is not there or cannot be used.
    """
    rules = get_task(task).frames
    assert rules is not None
    if annotations is None:
        raise ConfigError(f"No annotations: the task {task} wants data.annotations, a folder of a file per track.")
    if groundtruth is not None and metadata_dir is not None:
        raise ConfigError(
            "The tracks stand in data.groundtruth (one table), or in data.metadata_dir (one per split); give one of the two."
        )
    files = label_files(metadata_dir) if metadata_dir else None
    found = read_annotations(rules.kind, annotations, groundtruth, files, split_seed, skip_missing).splits
    if absent := [split for split in ("train", "val", "test") if split not in found]:
        raise GroundtruthError(f"{groundtruth or annotations} has no {' and no '.join(absent)} tracks with annotations.")
    return dict(found)
