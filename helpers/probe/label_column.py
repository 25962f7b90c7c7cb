"""Which column of a table a task asks for, and whether the labels that were found there suit the task."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.lines import delimiter_of, records
from models.errors import GroundtruthError, LabelColumnError, listed

from ..metrics.keys import key_class

log = logging.getLogger(__name__)
MOST_STEPS = 30  # different fractional numbers that may still be classes (ratings in half steps)
TABLES = (".csv", ".tsv", ".txt")


def column_of(task: str, path: str | Path, label_column: str | None) -> str | None:
    """The column that was chosen; of the task key the one named key, where a table has it beside its paths; else None, to be found by its name."""
    if label_column is not None or task != "key":
        return label_column
    header = _rows(path)[0]
    found = [name for name in header if name.lower() == "key"]
    if len(found) != 1 or not any(
        name.lower() in ("path", "file", "filename", "file_name", "filepath", "track") for name in header
    ):
        return None
    return found[0]


def cure(error: Exception, path: str | Path) -> str:
    """What helps where a table's labels were not found, as a sentence that begins with a space ("" for other faults): the key's full name, and
    the columns of numbers, which a regression predicts.
    """
    if not isinstance(error, LabelColumnError):
        return ""
    header, rows = _rows(path)
    numbers = [name for i, name in enumerate(header) if rows and all(len(row) > i and _is_number(row[i]) for row in rows)]
    found = (
        f" {listed(numbers)} {'holds' if len(numbers) == 1 else 'hold'} numbers: data.task=regression predicts them."
        if numbers
        else ""
    )
    return f"{found} The column of labels is named by data.label_column=... (datamodule.label_column=... where it is read for training)."


def one_name_per_key(truths: Mapping[str, Groundtruth]) -> dict[str, Groundtruth]:
    """Return groundtruths, all of the same labels, in which each key has one name, the one that most tracks have (C# major or Db major, Db:maj, ...).

    Labels that are no keys stay as they are: the task refuses them.
    """
    first = next(iter(truths.values()))
    try:
        classes = [key_class(label) for label in first.labels]
    except GroundtruthError:
        return dict(truths)
    if len(set(classes)) == len(classes):
        return dict(truths)
    counts = np.sum([truth.counts for truth in truths.values()], axis=0)
    groups: dict[tuple[int, str], list[int]] = {}
    for column, name in enumerate(classes):
        groups.setdefault(name, []).append(column)
    names = [first.labels[max(columns, key=lambda c: counts[c])] for columns in groups.values()]
    joined = [first.labels[c] for columns in groups.values() if len(columns) > 1 for c in columns]
    log.info("Names of one key are one class, shown by the most frequent of them: %s.", listed(joined))
    merged = {}
    for split, truth in truths.items():
        matrix = truth.matrix()
        columns = np.stack([matrix[:, which].any(axis=1) for which in groups.values()], axis=1)
        merged[split] = Groundtruth(truth.keys, names, np.packbits(columns, axis=1), truth.split, truth.group, checked=True)
    return merged


def check_labels(task: str, truths: Mapping[str, Groundtruth], source: str, label_column: str | None) -> None:
    """Refuse numbers that were read as labels, one class only, and say it where classes are asked for as tags.

    source: the file or folder, for messages. Raises GroundtruthError.
    """
    parts = [truth.matrix() for truth in truths.values()]
    per_track = np.concatenate([part.sum(axis=1) for part in parts])
    counts = np.sum([part.sum(axis=0) for part in parts], axis=0)
    labels = next(iter(truths.values())).labels
    used = [label for label, n in zip(labels, counts) if n]
    where = f"{source}{'' if label_column is None else f' (data.label_column={label_column})'}"
    n = len(per_track)
    if len(used) > 1 and per_track.max() == 1 and all(_is_number(label) for label in used):
        fractional = any(not float(label).is_integer() for label in used)
        if 2 * len(used) > n or (fractional and len(used) > MOST_STEPS):
            raise GroundtruthError(
                f"{where} holds {len(used)} different numbers for {n} tracks: values, not labels. To predict them: data.task=regression; for "
                "labels choose another column with data.label_column."
            )
    if not (per_track == 1).all():
        return
    if len(used) == 1:
        raise GroundtruthError(
            f"All {n} tracks of {where} have the one label '{used[0]}': there is nothing to tell apart. Choose another column with "
            "data.label_column, or tracks of other classes too."
        )
    if task == "multi-label":
        log.info("%s: every track has one label: data.task=single-label asks for it as classes (accuracy).", where)


def _rows(path: str | Path) -> tuple[list[str], list[list[str]]]:
    """Header and lines of a table; of any other kind of label file nothing."""
    path = Path(path)
    if path.suffix.lower() not in TABLES or not path.is_file():
        return [], []
    rows = [row for _, row in records(path, delimiter_of(path))]
    return ([cell.strip() for cell in rows[0]], rows[1:]) if rows else ([], [])


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
