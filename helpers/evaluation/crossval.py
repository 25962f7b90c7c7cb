"""Repeated k-fold cross-validation for sets that are too small for one split; every system is scored on the same folds.

In each repetition every track is tested once: fold f is the test split, fold f + 1 the validation split, the others train. ROC-AUC of a label is
its mean over the folds that it is defined in; AP is of all tracks at once, after the logits of each fold have been brought to mean 0 and sd 1
(metric.comparable). The spread is over repetitions, which differ in folds and seed and share the tracks: it is no measure of what other tracks
would change, which the interval is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from datasets.groundtruth.splits import group_units
from models.errors import ConfigError, GroundtruthError

from ..metrics.scores import SystemScores
from ..probe.run import ProbeSettings, Split, Splits, run_probe
from .baselines import run_linear_model

DEALS = 20  # further deals, where the first one lacks something
Fit = Callable[[Splits, int], np.ndarray]  # (train, validation, test), seed -> predictions [N, L] of the test split


def stratified_folds(y: np.ndarray, n_folds: int = 5, seed: int = 0, group: Sequence[str] | None = None) -> np.ndarray:
    """The fold of every track, int64 [N], so that each label is spread evenly: iterative stratification (Sechidis et al., 2011).

    The label with the fewest tracks left is dealt out first, each of its tracks to the fold that lacks most of it, then most tracks, then by the
    seed. y: bool [N, L]. group: [N] names (artists, albums); tracks of one name are dealt out as one, a track without a name by itself.

    Where a fold would be empty, hold nothing to tell apart (each label on all of its tracks or on none), or where tracks have one class each and a
    fold's class would stand in no fold that is trained on, up to DEALS further deals are made, and the one that lacks least is taken.

    Raises ConfigError for fewer than 3 folds (test, validation and training each need one), and more folds than tracks or groups.
    """
    y = np.asarray(y)
    y = y if y.dtype == bool or np.isin(y, (0, 1)).all() else np.zeros(y.shape, dtype=bool)  # numbers: nothing to be spread
    unit = np.arange(len(y)) if group is None else group_units(group)
    sizes = np.bincount(unit)
    if not 3 <= n_folds <= len(sizes):
        raise ConfigError(
            f"{n_folds} folds of {len(y)} tracks: wanted 3 or more folds, and no more than tracks."
            if group is None
            else f"{n_folds} folds of {len(sizes)} groups: wanted 3 or more folds, each with a group. Take fewer folds (data.folds), or another "
            "column (data.group_column)."
        )
    counts = np.zeros((len(sizes), y.shape[1]), dtype=np.int64)
    np.add.at(counts, unit, y.astype(bool))
    best = _dealt(counts, sizes.astype(np.float64), n_folds, seed)
    least = fold_faults(counts, sizes, best, n_folds)
    for deal in range(1, DEALS + 1 if any(least) else 0):
        fold = _filled(_dealt(counts, sizes.astype(np.float64), n_folds, (seed, deal)), sizes, n_folds)
        if (faults := fold_faults(counts, sizes, fold, n_folds)) < least:
            best, least = fold, faults
    return best[unit]


def fold_faults(counts: np.ndarray, sizes: np.ndarray, fold: np.ndarray, n_folds: int) -> tuple[int, int, int]:
    """What folds [U] of units lack: how many are empty; how many have each label on all of their tracks or on none; of how many a class stands in
    no fold that their system is trained on (of tracks with one class each).

    counts: [U, L] tracks of each label; sizes: [U] tracks.
    """
    tracks = np.bincount(fold, weights=sizes, minlength=n_folds).astype(np.int64)
    labels = np.stack([counts[fold == f].sum(axis=0) for f in range(n_folds)])
    empty = int((tracks == 0).sum())
    if not (labels.any() and ((labels.sum(axis=0) > 0) & (labels.sum(axis=0) < tracks.sum())).any()):
        return empty, 0, 0
    alike = int((~((labels > 0) & (labels < tracks[:, None])).any(axis=1)).sum())
    trained = labels.sum(axis=0) - labels - np.roll(labels, -1, axis=0)  # neither tested nor chosen by
    one_class = np.array_equal(counts.sum(axis=1), sizes)
    return empty, alike, int(((labels > 0) & (trained == 0)).any(axis=1).sum()) if one_class else 0


def _filled(fold: np.ndarray, sizes: np.ndarray, n_folds: int) -> np.ndarray:
    """The folds with a unit in each: an empty one gets the smallest unit of the fold with most units."""
    fold = fold.copy()
    while len(empty := np.setdiff1d(np.arange(n_folds), fold)):
        most = np.flatnonzero(fold == np.bincount(fold, minlength=n_folds).argmax())
        fold[most[np.argmin(sizes[most])]] = empty[0]
    return fold


def _dealt(y: np.ndarray, sizes: np.ndarray, n_folds: int, seed: int | tuple[int, int]) -> np.ndarray:
    """The fold of every unit [U], of `sizes` tracks each, with y [U, L] tracks of each label."""
    rng = np.random.default_rng(seed)
    fold = np.full(len(y), -1, dtype=np.int64)
    wanted = np.tile(y.sum(axis=0) / n_folds, (n_folds, 1))  # [folds, L]: positives each fold still lacks
    room = np.full(n_folds, sizes.sum() / n_folds)
    while (free := fold < 0).any():
        left = y[free].sum(axis=0)
        if left.any():
            label = int(np.argmin(np.where(left > 0, left, sizes.sum() + 1)))
            members, lack = np.flatnonzero(free & (y[:, label] > 0)), wanted[:, label]
        else:
            label, members, lack = -1, np.flatnonzero(free), np.zeros(n_folds)
        for unit in rng.permutation(members):
            chosen = int(np.lexsort((rng.random(n_folds), -room, -lack))[0])
            fold[unit] = chosen
            wanted[chosen] -= y[unit]
            room[chosen] -= sizes[unit]
    return fold


def repeated_folds(
    y: np.ndarray, n_folds: int = 5, n_repeats: int = 3, seed: int = 0, group: Sequence[str] | None = None
) -> np.ndarray:
    """Independent partitions, int64 [repeats, N]. They depend on labels, groups and the seed only, so that all systems can share them."""
    return np.stack([stratified_folds(y, n_folds, seed * 1000 + repeat, group) for repeat in range(n_repeats)])


def cross_validate(
    name: str,
    fit: Fit,
    data: Split,
    labels: Sequence[str],
    folds: np.ndarray,
    about: Mapping[str, Any] | None = None,
    task: str = "multi-label",
    on_fold: Callable[[], object] | None = None,
) -> SystemScores:
    """Score one system by repeated cross-validation.

    Args:
        name: what the system is called in tables.
        fit: trains on one split and returns the predictions of its test split; its seed is the repetition's number.
        data: all tracks; its name is the data set's.
        labels: names of the L outputs.
        folds: int [repeats, N] as `repeated_folds` makes them.
        about: plain values that are saved with the result.
        task: what is asked, which decides the scores.
        on_fold: called after every fold.

    The result holds one set of out-of-fold predictions per repetition, scored as `metric.score_folds` says.

    Raises GroundtruthError when the folds are not of these tracks.
    """
    if folds.ndim != 2 or folds.shape[1] != len(data.keys):
        raise GroundtruthError(f"The folds are of shape {folds.shape}; {len(data.keys)} tracks want [repeats, {len(data.keys)}].")
    n_folds = int(folds.max()) + 1
    predictions = np.zeros((len(folds), len(data.keys), len(labels)))
    for repeat, fold in enumerate(folds):
        for f in range(n_folds):
            test, validation = fold == f, fold == (f + 1) % n_folds
            parts = [
                _part(data, mask, f"{part} of fold {f}")
                for part, mask in (("training", ~test & ~validation), ("validation", validation), ("test", test))
            ]
            predictions[repeat, test] = fit((parts[0], parts[1], parts[2]), repeat)
            if on_fold is not None:
                on_fold()
    return SystemScores(
        name=name,
        split=f"{data.name}, {n_folds}-fold cross-validation x {len(folds)}",
        labels=list(labels),
        keys=list(data.keys),
        targets=data.examples(task).y,
        predictions=predictions,
        seeds=list(range(len(folds))),
        settings={"n_folds": n_folds, "n_repeats": len(folds), **(about or {})},
        folds=folds,
        task=task,
        groups=data.group,
    )


def probe_fit(labels: Sequence[str], settings: ProbeSettings | None = None) -> Fit:
    """A probe as a `fit` of `cross_validate`."""
    return lambda splits, seed: run_probe("fold", splits, labels, seeds=(seed,), settings=settings).scores.predictions[0]


def linear_fit(labels: Sequence[str], task: str = "multi-label") -> Fit:
    """A linear model as a `fit` of `cross_validate`."""
    return lambda splits, seed: run_linear_model("fold", splits, labels, task).predictions[0]


def _part(data: Split, mask: np.ndarray, name: str) -> Split:
    return Split(name, [key for key, kept in zip(data.keys, mask) if kept], data.x[mask], data.y[mask])
