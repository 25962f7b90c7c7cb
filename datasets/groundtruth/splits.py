"""Training, validation and test: a seeded, stratified split of a groundtruth that has none, written out as a file.

Stratified for many labels at once, after the iterative stratification of Sechidis, Tsoumakas and Vlahavas (2011): the rarest label first, each
split takes what it still lacks of that label. What a label leaves over by rounding is carried to the next one, so that labels of a few tracks
each do not all end in the training split.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.bounded_files import MOST_TABLE, open_regular
from models.errors import GroundtruthError, listed
from models.randomness import stream

from ..utils.files import atomic
from .groundtruth import SPLITS, Groundtruth
from .split_coverage import MOST_CELLS, Units

log = logging.getLogger(__name__)
FRACTIONS = (0.8, 0.1, 0.1)
DEALS = 20  # further deals, where the first one lacks something


def stratified_split(groundtruth: Groundtruth, seed: int = 0, fractions: Sequence[float] = FRACTIONS) -> list[str]:
    """Return 'train', 'val' or 'test' for each track: a pure function of the groundtruth and the seed.

    Each label, and the tracks without one, come into the splits in proportion to `fractions` as nearly as whole tracks allow. Tracks of one
    group stay together. Every split has a track, of four tracks or more the test two. Where validation or test would have nothing to tell apart
    (each label on all tracks or on none), or where tracks have one class each and training would not see all classes, up to DEALS further deals are
    made and mended by moving single groups (or tracks); what cannot be had then is logged.

    Raises GroundtruthError for fewer tracks or groups than splits.
    """
    shares = np.asarray(fractions, dtype=float)
    if shares.shape != (3,) or (shares < 0).any() or not np.isclose(shares.sum(), 1):
        raise GroundtruthError(f"Fractions of train, val and test are three numbers that make 1; got {tuple(fractions)}.")
    unit = np.arange(len(groundtruth)) if groundtruth.group is None else group_units(groundtruth.group)
    n_units, kind = int(unit.max(initial=-1)) + 1, "tracks" if groundtruth.group is None else "groups"
    if n_units < (wanted := int((shares > 0).sum())):
        raise GroundtruthError(
            f"{n_units} {kind} cannot be split: {wanted} splits want one each. Add {kind}, or give a column 'split' of your own."
        )
    first = _dealt(groundtruth, shares, stream(seed, "split"))
    if n_units * max(groundtruth.n_labels, 1) > MOST_CELLS:
        return [SPLITS[s] for s in first.tolist()]
    units = _units(groundtruth, unit, shares)
    found = first
    if any(units.faults_of(_of_units(first, unit))):
        found = _best_deal(groundtruth, units, unit, first, seed)
        _log_faults(groundtruth, units, _of_units(found, unit))
    return [SPLITS[s] for s in found.tolist()]


def _dealt(groundtruth: Groundtruth, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The split of each track [N], dealt once."""
    if groundtruth.group is None:
        return _split_tracks(groundtruth, shares, rng)
    return _split_groups(groundtruth, groundtruth.group, shares, rng)


def _units(groundtruth: Groundtruth, unit: np.ndarray, shares: np.ndarray) -> Units:
    """What is dealt, with its labels; unit: of each track [N]."""
    rows, columns = _pairs(groundtruth)
    counts = np.zeros((int(unit.max()) + 1, groundtruth.n_labels), dtype=np.int64)
    np.add.at(counts, (unit[rows], columns), 1)
    one_class = groundtruth.n_labels > 0 and bool((np.bincount(rows, minlength=len(groundtruth)) == 1).all())
    return Units(np.bincount(unit), counts, shares, one_class)


def _of_units(assigned: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """The split of each unit [U] where each track's [N] is known."""
    return assigned[np.unique(unit, return_index=True)[1]]


def _best_deal(groundtruth: Groundtruth, units: Units, unit: np.ndarray, first: np.ndarray, seed: int) -> np.ndarray:
    """The split of each track by the deal that lacks least, mended; the first of those that lack nothing."""
    best: tuple[tuple[int, int, int], np.ndarray] | None = None
    for deal in range(DEALS + 1):
        rng = stream(seed, "split", "deal", deal)
        assigned = first if deal == 0 else _dealt(groundtruth, units.shares, rng)
        mended = units.mended(_of_units(assigned, unit), rng)
        faults = units.faults_of(mended)
        if best is None or faults < best[0]:
            best = faults, mended
        if not any(faults):
            break
    assert best is not None  # of the first deal
    return best[1][unit]


def _log_faults(groundtruth: Groundtruth, units: Units, assigned: np.ndarray) -> None:
    """Say what no deal gave."""
    tracks, unseen, alike = units.faults_of(assigned)
    kind = "tracks" if groundtruth.group is None else "groups"
    if unseen:
        names = [groundtruth.labels[i] for i in units.unseen(assigned).tolist()]
        log.warning("No deal of these %s gives training a track of every class: it lacks %s.", kind, listed(names, 5))
    if tracks or alike:
        log.warning(
            "Validation or test has %s: too few %s for a split. Cross-validation (data.folds) tests every track.",
            "a single track" if tracks else "nothing to tell apart", kind,
        )  # fmt: skip


def _split_tracks(groundtruth: Groundtruth, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The split of each track [N], label after label, the one with the fewest tracks left first."""
    n, n_labels = len(groundtruth), groundtruth.n_labels
    rows, columns = _pairs(groundtruth)
    by_label = np.argsort(columns, kind="stable")
    of_label = np.split(rows[by_label], np.cumsum(np.bincount(columns, minlength=n_labels))[:-1])
    row_first = np.searchsorted(rows, np.arange(n + 1))
    left = np.bincount(columns, minlength=n_labels)  # tracks of each label not yet assigned
    wanted = left[:, None] * shares  # what each split still lacks of each label [L, 3]
    assigned = np.full(n, -1)
    carried = np.zeros(3)
    waiting = left > 0
    while waiting.any():
        label = int(np.argmin(np.where(waiting, left, np.iinfo(left.dtype).max)))
        waiting[label] = False
        members = of_label[label][assigned[of_label[label]] < 0]
        if not len(members):
            continue
        assigned[members], carried = _deal(len(members), wanted[label], carried, shares, rng)
        # what these tracks have of all other labels is assigned with them
        touched = np.concatenate([np.arange(row_first[i], row_first[i + 1]) for i in members.tolist()])
        np.subtract.at(wanted, (columns[touched], assigned[rows[touched]]), 1)
        np.subtract.at(left, columns[touched], 1)
    rest = np.flatnonzero(assigned < 0)  # tracks without any label
    if len(rest):
        lacking = n * shares - np.bincount(assigned[assigned >= 0], minlength=3)
        assigned[rest], _ = _deal(len(rest), lacking, np.zeros(3), shares, rng)
    return assigned


def _deal(
    n: int, wanted: np.ndarray, carried: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Deal n tracks to the splits, each to the one that lacks most; returns the split of each, in random order, and what rounding leaves."""
    quota = np.maximum(wanted, 0)
    quota = n * (quota / quota.sum() if quota.sum() > 0 else shares)
    lacks = (quota + carried).tolist()
    chosen = np.empty(n, dtype=np.int64)
    for i in range(n):
        chosen[i] = split = lacks.index(max(lacks))
        lacks[split] -= 1
    return rng.permutation(chosen), np.array(lacks)


def group_units(group: Sequence[str]) -> np.ndarray:
    """Return the number of each track's group, int64 [N], from 0 in the order of their first tracks; a track without a group's name is one
    of its own.
    """
    number: dict[str, int] = {}
    return np.array([number.setdefault(name or f"\0{i}", len(number)) for i, name in enumerate(group)], dtype=np.int64)


def _split_groups(groundtruth: Groundtruth, group: list[str], shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The split of each track [N], group after group, large ones first.

    A group goes where it brings the counts of all its labels, and of tracks, nearest to what is wanted: where the sum over labels of
    (what the split lacks)^2 / (what it should have) falls most.
    """
    unit = group_units(group)
    n_units, n_labels = int(unit.max()) + 1, groundtruth.n_labels
    rows, columns = _pairs(groundtruth)
    # one more "label" that every track has keeps the sizes in proportion
    code = np.concatenate([unit[rows] * (n_labels + 1) + columns, unit * (n_labels + 1) + n_labels])
    code, count = np.unique(code, return_counts=True)
    units, labels = code // (n_labels + 1), code % (n_labels + 1)
    first = np.searchsorted(units, np.arange(n_units + 1))
    goal = np.bincount(labels, weights=count, minlength=n_labels + 1)[:, None] * np.where(shares > 0, shares, np.nan)
    lacks = goal.copy()
    sizes = np.bincount(unit, minlength=n_units)
    order = rng.permutation(n_units)
    assigned = np.empty(n_units, dtype=np.int64)
    for u in order[np.argsort(-sizes[order], kind="stable")].tolist():
        span = slice(first[u], first[u + 1])
        mine, c = labels[span], count[span][:, None]
        gain = (c * (2 * lacks[mine] - c) / goal[mine]).sum(axis=0)
        assigned[u] = split = int(np.nanargmax(gain))
        lacks[mine, split] -= count[span]
    return assigned[unit]


def _pairs(groundtruth: Groundtruth) -> tuple[np.ndarray, np.ndarray]:
    """All (track, label) that are set. Bounded memory beside the result."""
    found = []
    for start in range(0, len(groundtruth), 65536):
        rows, columns = np.nonzero(np.unpackbits(groundtruth.packed[start : start + 65536], axis=1, count=groundtruth.n_labels))
        found.append((rows + start, columns))
    return np.concatenate([r for r, _ in found]), np.concatenate([c for _, c in found])


def hash_split(names: Sequence[str], share: float, seed: int = 0) -> list[str]:
    """Return 'train' or 'val' for each track, without labels: by a hash of its name, so that tracks which are added later move no other.

    share: of the validation, above 0 and below 1; it gets two tracks at least (a contrastive validation needs a negative).

    Raises GroundtruthError for another share, or fewer than four tracks.
    """
    if not 0 < share < 1:
        raise GroundtruthError(f"The share of the validation is above 0 and below 1; got {share}.")
    if len(names) < 4:
        raise GroundtruthError(f"{len(names)} tracks cannot be split: at least four are wanted, two of them to validate.")
    key = f"{seed} ".encode()
    places = [int.from_bytes(hashlib.sha256(key + name.encode("utf-8", "surrogateescape")).digest()[:8], "big") for name in names]
    limit = max(share * 2**64, sorted(places)[1])
    return ["val" if place <= limit else "train" for place in places]


# -- as a file


def write_split(path: str | Path, groundtruth: Groundtruth) -> None:
    """Write `path,split` lines, in the groundtruth's order; all at once or not at all. Raises GroundtruthError when there is none to write."""
    if groundtruth.split is None:
        raise GroundtruthError("This groundtruth has no split to write.")
    try:
        with atomic(path) as part, open(part, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "split"])
            writer.writerows(zip(groundtruth.keys, groundtruth.split))
    except OSError as error:
        raise GroundtruthError(f"The split could not be written to {path}: {error.strerror}.") from error


def read_split(path: str | Path, groundtruth: Groundtruth) -> Groundtruth:
    """Return the groundtruth with the splits that `write_split` wrote. Raises GroundtruthError when the file does not name exactly its tracks."""
    path = Path(path)
    try:
        with open_regular(
            path, GroundtruthError, MOST_TABLE, "r", newline="", encoding="utf-8", errors="surrogateescape"
        ) as file:
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
    """Return the groundtruth with splits: its own, else those of the file at `path`, else new ones, written to `path` so that every run has the same.

    Raises GroundtruthError as `read_split` and `stratified_split` do.
    """
    if groundtruth.split is not None:
        return groundtruth
    if path is not None and Path(path).exists():
        return read_split(path, groundtruth)
    split = stratified_split(groundtruth, seed, fractions)
    done = groundtruth.with_split(split)
    counts = {name: split.count(name) for name in SPLITS}
    together = "" if groundtruth.group is None else " (tracks of one group stay together)"
    sizes = ", ".join(f"{n} {name}" for name, n in counts.items())
    log.info("Split of %d tracks with seed %d%s: %s.", len(done), seed, together, sizes)
    if path is not None:
        write_split(path, done)
        log.info("The split was written to %s.", path)
    return done
