"""What a probe is to predict: labels or numbers by split, out of a table or a folder of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.groundtruth.values import Values, z_scored
from models.errors import ConfigError, GroundtruthError

from ..data.find import LabelFiles, label_files, read_truths
from ..metrics.tasks import get_task
from .label_column import check_labels, column_of, cure, one_name_per_key


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
