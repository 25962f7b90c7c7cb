"""What a probe is to predict: labels or numbers by split, out of a table or a folder of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.groundtruth.annotations import read_annotations
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.splits import stratified_split
from datasets.groundtruth.values import Values, z_scored
from models.errors import ConfigError, GroundtruthError

from ..data.find import LabelFiles, label_files, read_truths
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
    if task == ORDINAL.name:
        if reading.group_column is not None:
            raise ConfigError("Groups are for labels: leave data.group_column out where grades are predicted.")
        return _read_grades(groundtruth, files, label_column, split_seed, folds)
    if get_task(task).numeric:
        if reading.group_column is not None:
            raise ConfigError("Groups are for labels: leave data.group_column out where numbers are predicted.")
        return _read_values(groundtruth, files, metadata_dir, label_column, folds)
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


def _read_values(
    groundtruth: str | None, files: Mapping[str, str], metadata_dir: str | None, column: str | None, folds: int
) -> dict[str, Any]:
    """Values by split, z-scored by the development tracks; of a cross-validation all of them, z-scored by all: their scale alone is known then."""
    read = {split: Values.read(path, column) for split, path in files.items()}
    whole = None if read else Values.read(str(groundtruth), column)
    found = whole.splits if whole is not None else read
    if len({tuple(truth.labels) for truth in found.values()}) > 1:
        raise GroundtruthError(f"The splits in {metadata_dir} have different values: {[t.labels for t in found.values()]}.")
    if folds:
        parts = list(found.values())
        keys = [key for part in parts for key in part.keys]
        every = whole or Values(keys, parts[0].labels, np.concatenate([part.numbers for part in parts]))
        return z_scored({"all": every}, by=("all",))
    if absent := [s for s in ("train", "val", "test") if s not in found]:
        raise GroundtruthError(
            f"{groundtruth or metadata_dir} has no {' and no '.join(absent)} tracks: a regression wants a split column."
        )
    return z_scored(found)


def _read_grades(groundtruth: str | None, files: Mapping[str, str], column: str | None, seed: int, folds: int) -> dict[str, Any]:
    """Grades as the steps that they pass, by split; a table without splits is split 80/10/10 by the seed."""
    read = {split: Values.read(path, column) for split, path in files.items()} or {"": Values.read(str(groundtruth), column)}
    if len(names := {name for values in read.values() for name in values.labels}) > 1:
        raise GroundtruthError(
            f"Grades are one column of numbers; there are {', '.join(sorted(names))}: name one, data.label_column=..."
        )
    keys = [key for values in read.values() for key in values.keys]
    numbers = np.concatenate([values.numbers[:, 0] for values in read.values()])
    grades = np.unique(numbers)
    if not 2 <= len(grades) <= MOST_STEPS:
        raise GroundtruthError(
            f"Grades are 2 to {MOST_STEPS} different numbers; there are {len(grades)}. Numbers of any value: data.task=regression."
        )
    labels = step_names(grades.tolist())
    split = [name for name, values in read.items() for _ in values.keys] if files else next(iter(read.values())).split
    truth = Groundtruth(keys, labels, np.packbits(numbers[:, None] > grades[None, :-1], axis=1), split)
    if folds:
        return {"all": truth}
    found = (truth if split is not None else truth.with_split(stratified_split(truth, seed))).splits
    if absent := [part for part in ("train", "val", "test") if part not in found]:
        raise GroundtruthError(f"{groundtruth} has no {' and no '.join(absent)} tracks: give its split column all three.")
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
