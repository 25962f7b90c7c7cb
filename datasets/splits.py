"""Training, validation and test: a seeded, stratified split of a groundtruth that has none, written out as a file.

Stratified for many labels at once, after the iterative stratification of Sechidis, Tsoumakas and Vlahavas (2011): the rarest label first, each
split takes what it still lacks of that label. What a label leaves over by rounding is carried to the next one, so that labels of a few tracks
each do not all end in the training split.
"""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.errors import GroundtruthError
from models.randomness import stream

from .groundtruth import SPLITS, Groundtruth, listed

log = logging.getLogger(__name__)
FRACTIONS = (0.8, 0.1, 0.1)


def stratified_split(groundtruth: Groundtruth, seed: int = 0, fractions: Sequence[float] = FRACTIONS) -> list[str]:
    """'train', 'val' or 'test' for each track: a pure function of the groundtruth and the seed.

    Each label, and the tracks without one, come into the splits in proportion to `fractions` as nearly as whole tracks allow. Tracks of one
    group stay together.

    Raises GroundtruthError when a split would be empty.
    """
    shares = np.asarray(fractions, dtype=float)
    if shares.shape != (3,) or (shares < 0).any() or not np.isclose(shares.sum(), 1):
        raise GroundtruthError(f"Fractions of train, val and test are three numbers that make 1; got {tuple(fractions)}.")
    unit_of, sizes = _units(groundtruth)
    assigned = _stratify(groundtruth, unit_of, sizes, shares, stream(seed, "split"))
    names = [SPLITS[s] for s in assigned[unit_of].tolist()]
    empty = [name for name, share in zip(SPLITS, shares) if share > 0 and name not in names]
    if empty:
        units = "groups" if groundtruth.group is not None else "tracks"
        raise GroundtruthError(
            f"{len(sizes)} {units} cannot be split: nothing is left for {' and '.join(empty)}. Give splits of your own."
        )
    return names


def _units(groundtruth: Groundtruth) -> tuple[np.ndarray, np.ndarray]:
    """What is assigned as one: each track's unit [N], and each unit's number of tracks [U]."""
    if groundtruth.group is None:
        n = len(groundtruth)
        return np.arange(n), np.ones(n, dtype=np.int64)
    number: dict[str, int] = {}
    # a track without a group's name is a group of its own
    unit_of = np.array([number.setdefault(g if g else f"\0{i}", len(number)) for i, g in enumerate(groundtruth.group)])
    return unit_of, np.bincount(unit_of)


def _stratify(
    groundtruth: Groundtruth, unit_of: np.ndarray, sizes: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    rows, columns = _pairs(groundtruth)
    n_units, n_labels = len(sizes), groundtruth.n_labels
    # how many tracks of each label every unit holds, as pairs (unit, label, count) sorted by label
    code, count = np.unique(columns * n_units + unit_of[rows], return_counts=True)
    labels, units = code // n_units, code % n_units
    first = np.searchsorted(labels, np.arange(n_labels + 1))
    by_unit = np.argsort(units, kind="stable")
    unit_first = np.searchsorted(units[by_unit], np.arange(n_units + 1))
    left = np.bincount(labels, weights=count, minlength=n_labels)  # tracks of each label not yet assigned
    wanted = left[:, None] * shares  # what each split still lacks of each label [L, 3]
    assigned = np.full(n_units, -1)
    carried = np.zeros(3)
    open_labels = left > 0
    while open_labels.any():
        label = int(np.argmin(np.where(open_labels, left, np.inf)))
        open_labels[label] = False
        span = slice(first[label], first[label + 1])
        free = assigned[units[span]] < 0
        members, weights = units[span][free], count[span][free]
        if not len(members):
            continue
        chosen, carried = _deal(members, weights, np.maximum(wanted[label], 0), carried, rng)
        assigned[members] = chosen
        # what these units hold of all other labels is assigned with them
        touched = np.concatenate([by_unit[unit_first[u] : unit_first[u + 1]] for u in members.tolist()])
        np.subtract.at(wanted, (labels[touched], assigned[units[touched]]), count[touched])
        np.subtract.at(left, labels[touched], count[touched])
    rest = np.flatnonzero(assigned < 0)  # units without any label
    if len(rest):
        lacking = sizes.sum() * shares - np.bincount(assigned[assigned >= 0], sizes[assigned >= 0], minlength=3)
        assigned[rest], _ = _deal(rest, sizes[rest], np.maximum(lacking, 0), np.zeros(3), rng)
    return assigned


def _pairs(groundtruth: Groundtruth) -> tuple[np.ndarray, np.ndarray]:
    """All (track, label) that are set. Bounded memory beside the result."""
    found = []
    for start in range(0, len(groundtruth), 65536):
        rows, columns = np.nonzero(np.unpackbits(groundtruth.packed[start : start + 65536], axis=1, count=groundtruth.n_labels))
        found.append((rows + start, columns))
    return np.concatenate([r for r, _ in found]), np.concatenate([c for _, c in found])


def _deal(
    members: np.ndarray, weights: np.ndarray, wanted: np.ndarray, carried: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Deal units to the three splits, each to the one that lacks most; returns the split of each and what is left over by rounding."""
    total = weights.sum()
    quota = wanted * (total / wanted.sum()) if wanted.sum() > 0 else np.full(3, total / 3)
    lacks = (quota + carried).tolist()
    order = rng.permutation(len(members))
    # groups: large ones first, while there is room for them
    order = order[np.argsort(-weights[order], kind="stable")]
    chosen = np.empty(len(members), dtype=np.int64)
    for i, weight in zip(order.tolist(), weights[order].tolist()):
        split = lacks.index(max(lacks))
        chosen[i] = split
        lacks[split] -= weight
    return chosen, np.array(lacks)


# -- as a file


def write_split(path: str | Path, groundtruth: Groundtruth) -> None:
    """Write `path,split` lines, in the groundtruth's order; all at once or not at all. Raises GroundtruthError when there is none to write."""
    if groundtruth.split is None:
        raise GroundtruthError("This groundtruth has no split to write.")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    try:
        with open(draft, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "split"])
            writer.writerows(zip(groundtruth.keys, groundtruth.split))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise GroundtruthError(f"The split could not be written to {path}: {error.strerror}.") from error


def read_split(path: str | Path, groundtruth: Groundtruth) -> Groundtruth:
    """The groundtruth with the splits that `write_split` wrote. Raises GroundtruthError when the file does not name exactly its tracks."""
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.reader(file))
    except (OSError, csv.Error) as error:
        raise GroundtruthError(f"The split {path} cannot be read: {error}.") from None
    if not rows or rows[0] != ["path", "split"] or any(len(row) != 2 for row in rows):
        raise GroundtruthError(f"{path} is not a split: lines 'path,split' with that header are wanted.")
    split = dict(rows[1:])
    missing = [key for key in groundtruth.keys if key not in split]
    strange = sorted(set(split) - set(groundtruth.keys))
    if missing or strange:
        what = f"it lacks {listed(missing, 3)}" if missing else f"it names {listed(strange, 3)}"
        raise GroundtruthError(f"The split {path} was made for other labels ({what}). Remove it to have a new one made.")
    return groundtruth.with_split([split[key] for key in groundtruth.keys])


def ensure_split(
    groundtruth: Groundtruth, path: str | Path | None = None, seed: int = 0, fractions: Sequence[float] = FRACTIONS
) -> Groundtruth:
    """The groundtruth with splits: its own, else those of the file at `path`, else new ones, written to `path` so that every run has the same.

    Raises GroundtruthError as `read_split` and `stratified_split` do.
    """
    if groundtruth.split is not None:
        return groundtruth
    if path is not None and Path(path).exists():
        return read_split(path, groundtruth)
    done = groundtruth.with_split(stratified_split(groundtruth, seed, fractions))
    counts = {name: done.split.count(name) for name in SPLITS}
    log.info("Split of %d tracks with seed %d: %s.", len(done), seed, ", ".join(f"{n} {name}" for name, n in counts.items()))
    if path is not None:
        write_split(path, done)
        log.info("The split was written to %s.", path)
    return done
