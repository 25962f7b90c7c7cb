"""Annotations: what happens when within tracks (beats, chords, sections), for frame-level tasks; the counterpart of a groundtruth.

A row of a track's annotation is [start, end, label]: seconds, and the number of the label (-1: what counts for nothing, such as a chord outside of
the vocabulary). An event (a beat, a boundary) starts and ends at one time.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.bounded_files import MOST_TABLE, open_regular
from models.errors import GroundtruthError, listed

from ..utils.ragged import Ragged
from .annotation_files import SUFFIXES, Kind, Span, read_annotation
from .chords import CHORDS, chord_class
from .groundtruth import SPLITS, Groundtruth, match, without_suffix
from .repeats import twice
from .split_names import split_names
from .splits import stratified_split
from .values import PATHS, Values

BOUNDARY = "boundary"


@dataclass(frozen=True)
class Annotations:
    """kind: beats, chords or sections. keys: the N tracks. labels: of the L outputs. rows: [E, 3] of each track. split: each one's, where known.

    Raises GroundtruthError for no tracks, and tracks that stand twice.
    """

    kind: Kind
    keys: list[str]
    labels: list[str]
    rows: Ragged
    split: list[str] | None = None

    def __post_init__(self) -> None:
        if not self.keys:
            raise GroundtruthError("There are no annotations: they name no track.")
        if len(set(self.keys)) != len(self.keys):
            raise GroundtruthError(f"Tracks stand more than once among the annotated ones: {listed(twice(self.keys))}.")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def n_labels(self) -> int:
        """L."""
        return len(self.labels)

    def matrix(self) -> Ragged:
        """Return all rows, of shape [N, L]."""
        return self.rows

    def subset(self, which: Sequence[int] | np.ndarray) -> Annotations:
        """Return these tracks, in this order."""
        rows = [int(i) for i in which]
        split = None if self.split is None else [self.split[i] for i in rows]
        return Annotations(self.kind, [self.keys[i] for i in rows], self.labels, self.rows[np.array(rows, dtype=np.int64)], split)

    @property
    def splits(self) -> dict[str, Annotations]:
        """{split: its tracks}; {} where it is not known."""
        if self.split is None:
            return {}
        rows = {name: [i for i, split in enumerate(self.split) if split == name] for name in SPLITS}
        return {name: self.subset(chosen) for name, chosen in rows.items() if chosen}


Truth = Groundtruth | Values | Annotations  # what tracks have: labels, numbers, or annotations in time


def read_annotations(
    kind: Kind,
    folder: str | Path,
    table: str | Path | None = None,
    tables: Mapping[str, str] | None = None,
    seed: int = 0,
    skip_missing: bool = False,
) -> Annotations:
    """Read a folder of annotation files, one per track, under the tracks' names with a suffix of the kind (annotation_files.py).

    Args:
        kind: "beats", "chords" or "sections".
        folder: of the files.
        table: a csv or tsv of the tracks (path, and their split where it says it), or another kind of groundtruth; None: every file is a track's.
        tables: such a table per split, in place of the one.
        seed: of an 80/10/10 split where no table says one.
        skip_missing: tracks without a file are left out instead of refused.

    Raises GroundtruthError naming file and line for an annotation that cannot be used, and for tracks without one.
    """
    place, suffixes = Path(folder), SUFFIXES[kind]
    if not place.is_dir():
        raise GroundtruthError(f"There is no folder of annotations at {place} (data.annotations).")
    files = sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    if not files:
        raise GroundtruthError(f"{place} holds no annotations of {kind}: files that end in {listed(suffixes)} are wanted.")
    keys, split = _tracks(files, table, tables)
    found = match(keys, files)
    if found.absent and not (skip_missing and len(found.absent) < len(keys)):
        raise GroundtruthError(
            f"{len(found.absent)} of {len(keys)} tracks have no annotation of {kind} in {place}: {listed(found.absent)}. A file that is there is "
            f"named {files[0]!r}. Let the names be the same; data.skip_missing=True leaves these tracks out."
        )
    there = np.flatnonzero(found.numbers >= 0)
    read = [read_annotation(place / files[int(found.numbers[i])], kind) for i in there]
    labels, rows = _numbered(kind, read)
    lengths = [len(one) for one in rows]
    whole = Ragged(np.concatenate([np.zeros((0, 3)), *rows]), lengths, len(labels))
    keys = [keys[i] for i in there]
    chosen = None if split is None else [split[i] for i in there]
    if chosen is None:
        chosen = stratified_split(Groundtruth.unlabelled(keys), seed)
    return Annotations(kind, keys, labels, whole, chosen)


def _tracks(
    files: Sequence[str], table: str | Path | None, tables: Mapping[str, str] | None
) -> tuple[list[str], list[str] | None]:
    """Keys of the tracks, and the split of each."""
    if tables:
        parts = {split: _read_paths(path)[0] for split, path in tables.items()}
        return [key for keys in parts.values() for key in keys], [split for split, keys in parts.items() for _ in keys]
    if table is not None:
        return _read_paths(table)
    return [without_suffix(name) for name in files], None


def _read_paths(path: str | Path) -> tuple[list[str], list[str] | None]:
    """The tracks of a table, and their splits where it says them."""
    path = Path(path)
    if not path.is_file():
        raise GroundtruthError(f"There is no table of tracks at {path}.")
    if path.suffix.lower() not in (".csv", ".tsv"):
        truth = Groundtruth.read(str(path))
        return list(truth.keys), truth.split
    try:
        with open_regular(path, GroundtruthError, MOST_TABLE, "r", newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            columns = list(reader.fieldnames or [])
            rows: list[dict[str, Any]] = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GroundtruthError(f"{path} cannot be read as a table: {error}.") from None
    place = next((name for name in columns if name.lower() in PATHS), None)
    if place is None:
        raise GroundtruthError(f"{path} has the columns {listed(columns)}; wanted is one of {', '.join(PATHS)}.")
    keys = [str(row[place]) for row in rows]
    return keys, split_names([row["split"] for row in rows], keys) if "split" in columns else None


def _numbered(kind: Kind, read: Sequence[Sequence[Span]]) -> tuple[list[str], list[np.ndarray]]:
    """Labels, and the annotations with their numbers, [E, 3] each."""
    if kind == "beats":
        return ["beat"], [np.array([[s.start, s.end, 0] for s in spans]).reshape(-1, 3) for spans in read]
    if kind == "chords":
        return list(CHORDS), [np.array([[s.start, s.end, chord_class(s.label)] for s in spans]).reshape(-1, 3) for spans in read]
    names = sorted({s.label for spans in read for s in spans})
    number = {name: i for i, name in enumerate(names)}
    rows = []
    for spans in read:
        inner = [s.start for s in spans[1:]]
        events = [[s.start, s.end, number[s.label]] for s in spans] + [[time, time, len(names)] for time in inner]
        rows.append(np.array(events, dtype=np.float64).reshape(-1, 3))
    return [*names, BOUNDARY], rows
