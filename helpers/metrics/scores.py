"""What a system scored: several seeds on one split, with the spread, and the predictions kept for later comparisons.

Conventions: scores are shares in [0, 1]; sd is the sample standard deviation over seeds (nan for one seed); an interval is of what the mean over
seeds would be on endlessly many tracks (intervals.py). Outputs without a score (a class without positives) leave the means and are counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datasets.groundtruth.groups import Groups
from datasets.groundtruth.lines import csv_text
from datasets.utils.arrays import load_arrays
from datasets.utils.files import atomic
from datasets.utils.ragged import Ragged
from datasets.utils.spreadsheet import safe_cell
from models.bounded_files import read_json
from models.errors import ConfigError

from ..utils.json_values import plain
from .intervals import (
    NONE,
    Between,
    Evidence,
    Uncertainty,
    Units,
    between,
    evidence_of,
    interval_of,
    repetition_factor,
    together,
    track_variance,
)
from .metric import Draws, Metric, Predictions, mean_of_outputs, score_folds
from .tasks import Task, get_task


@dataclass(frozen=True)
class SystemScores:
    """Predictions of one system on one split, and everything derived from them.

    name: what is compared ("pre-trained", "untrained", "mel statistics").
    split: the name of the scored split, with the data set's where there is one ("demo test").
    labels: names of the L classes.
    keys: names of the N tracks.
    targets: bool [N, L]; of a regression float [N, L].
    predictions: probabilities float64 [S, N, L], one set per seed; of a regression the values. Of frame-level tasks both are Ragged, of these shapes.
    seeds: the S seeds.
    validation: per seed what the system was chosen by: curve -> [S].
    history: curves of the training, name -> [S, epochs].
    settings: how it was made (plain values).
    folds: of a cross-validation, int [S, N]; scored as `metric.score_folds` says.
    warn: say, when scores are first asked for, which classes have none.
    task: what was asked (tasks.py), which decides the scores. windows: the same scores window by window, metric -> [S], where windows were
        scored at all.
    groups: what the tracks belong to (artists, songs), [N] names: intervals draw whole groups. None, or none named: every track is taken by itself.
    factors: what the S results differ in beside their seed, by which intervals are widened: "draw" (of the
        training tracks) or "network" (a pre-training) -> the number of each result's, [S].
    overlap: of several draws, how far they are of the same training tracks, from 0 up to 1 (intervals.overlap_of).
    """

    name: str
    split: str
    labels: list[str]
    keys: list[str]
    targets: Any  # an array or a Ragged
    predictions: Any
    seeds: list[int]
    validation: dict[str, list[float]] = field(default_factory=dict)
    history: dict[str, np.ndarray] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    folds: np.ndarray | None = None
    task: str = "multi-label"
    windows: dict[str, list[float]] = field(default_factory=dict)
    warn: bool = True
    groups: Groups | None = None
    factors: dict[str, list[int]] = field(default_factory=dict)
    overlap: float = 0.0

    def __post_init__(self) -> None:
        want = (len(self.seeds), len(self.keys), len(self.labels))
        if self.predictions.shape != want or self.targets.shape != want[1:]:
            raise ConfigError(
                f"Scores of '{self.name}': predictions are {self.predictions.shape} and targets {self.targets.shape}; "
                f"{want[0]} seeds, {want[1]} tracks and {want[2]} labels want {want} and {want[1:]}."
            )
        values, targets = (one.values if isinstance(one, Ragged) else one for one in (self.predictions, self.targets))
        if values.dtype.kind not in "biuf" or targets.dtype.kind not in "biuf":
            raise ConfigError(
                f"Scores of '{self.name}': predictions are {values.dtype} and targets {targets.dtype}, wanted numbers."
            )
        if not np.isfinite(values).all():
            raise ConfigError(f"Scores of '{self.name}': its predictions are not all finite numbers, and cannot be scored.")
        if self.folds is not None and self.folds.shape != want[:2]:
            raise ConfigError(
                f"Folds of '{self.name}' are {self.folds.shape}; {want[0]} repetitions of {want[1]} tracks want {want[:2]}."
            )
        if self.groups is not None and len(self.groups) != want[1]:
            raise ConfigError(f"Groups of '{self.name}' are {len(self.groups)}; {want[1]} tracks want as many.")
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"The draws of '{self.name}' overlap by {self.overlap}; wanted a share from 0, below 1.")
        if wrong := [name for name, ids in self.factors.items() if len(ids) != want[0]]:
            raise ConfigError(f"'{self.name}' has {want[0]} results, and not as many numbers of {', '.join(wrong)}.")

    @property
    def spec(self) -> Task:
        """The task with its metrics."""
        return get_task(self.task)

    @cached_property
    def _data(self) -> list[Predictions]:
        """Each seed's predictions beside the targets."""
        return [Predictions(self.targets, predictions, self.labels) for predictions in self.predictions]

    @cached_property
    def _cache(self) -> dict[tuple[Any, ...], np.ndarray]:
        return {}

    @cached_property
    def _undefined_logged(self) -> bool:
        """Log, once, which outputs have no score."""
        if wanted := self.warn and self.folds is None and self.spec.log_undefined is not None:
            self.spec.log_undefined(self._data[0])
        return wanted

    def _values(self, metric: Metric) -> np.ndarray:
        """A metric's score of every seed, [S] or [S, L]."""
        key = ("scores", metric)
        if key not in self._cache:
            self._undefined_logged  # noqa: B018 (once)
            folds = [None] * len(self.seeds) if self.folds is None else self.folds
            self._cache[key] = np.array(
                [metric.score(data) if fold is None else score_folds(metric, data, fold) for data, fold in zip(self._data, folds)]
            )
        return self._cache[key]

    def scores(self, metric: str | Metric) -> np.ndarray:
        """One of the task's metrics per seed, [S]; scores per output by their own name ("class_..."), [S, L] (NaN where undefined)."""
        for one in self.spec.per_output:
            if metric == one.outputs:
                return self._values(one)
        return np.array([mean_of_outputs(values) for values in self._values(self.spec.metric(metric))])

    def mean(self, metric: str | Metric | None = None) -> float:
        """Over seeds, of a metric (default: the task's main one)."""
        return float(self.scores(self.spec.metric(metric)).mean())

    def sd(self, metric: str | Metric | None = None) -> float:
        """Over seeds; nan for one seed."""
        scores = self.scores(self.spec.metric(metric))
        return float(scores.std(ddof=1)) if len(scores) > 1 else float("nan")

    def n_classes(self, metric: str | Metric | None = None) -> int:
        """Outputs that take part in a mean; of a metric that is none those of the task's first that is."""
        chosen = self.spec.metric(metric)
        if not chosen.outputs:
            if not self.spec.per_output:
                return len(self.labels)
            chosen = self.spec.per_output[0]
        return int(np.isfinite(self._values(chosen)[0]).sum())

    @cached_property
    def units(self) -> Units:
        """What tracks are drawn as."""
        return Units(len(self.keys), self.groups if self.group_name else None)

    @property
    def group_name(self) -> str:
        """What intervals are taken by ("artist"); "" for tracks that are taken by themselves."""
        return self.groups.of if self.groups and any(self.groups) else ""

    def evidence(self, metric: str | Metric | None = None) -> Evidence:
        """What an interval stands on, and why there is none where there is none ("too few positives")."""
        chosen = self.spec.metric(metric)
        if chosen not in self._evidence:
            self._evidence[chosen] = evidence_of(chosen, self.targets, self.units)
        return self._evidence[chosen]

    @cached_property
    def _evidence(self) -> dict[Metric, Evidence]:
        return {}

    def interval(
        self, metric: str | Metric | None = None, share: float = 0.95, n_resamples: int = 1000, seed: int = 0
    ) -> tuple[float, float]:
        """Of what the mean over seeds stands for: the score on endlessly many tracks (groups) of the kind; of a cross-validation that of
        the procedure, trained on other tracks too; of several draws or networks that of others. (nan, nan) where `evidence` says that too
        little is known.
        """
        chosen, found = self.spec.metric(metric), self.evidence(metric)
        if found.why:
            return NONE
        about = chosen.about or chosen
        values = self.scores(about)
        known = self._uncertainty(about, self._drawn(about, n_resamples, seed), values)
        return interval_of(chosen, self.mean(chosen), float(values.mean()), known, found.count, share)

    def _uncertainty(self, metric: Metric, drawn: np.ndarray, values: np.ndarray) -> Uncertainty:
        """Of the mean of values [S], which score [S, R] on parts of the tracks."""
        return together(self._over_tracks(metric, drawn), self._between(metric, values, drawn))

    def _between(self, metric: Metric, values: np.ndarray, drawn: np.ndarray) -> list[Between]:
        return between(values, drawn, self._draws(drawn.shape[1]).share, self.factors, self.overlap, self._middle(metric))

    def _over_tracks(self, metric: Metric, drawn: np.ndarray) -> tuple[float, float]:
        """Variance over tracks of the mean of scores [S, R], and its degrees of freedom."""
        factor = None if self.folds is None else repetition_factor(len(self.seeds), metric.order)
        return track_variance(drawn, self._draws(drawn.shape[1]).share, factor, self._middle(metric)), self.evidence(metric).df

    def _middle(self, metric: Metric) -> float:
        """What `of_halves` does with the mean of two halves: with groups their sizes count as well as tracks and pairs."""
        return 1.0 if metric.order == 3 else 0.0 if self.units.n < len(self.keys) else -1.0

    def _draws(self, n_resamples: int, seed: int = 0) -> Draws:
        return Draws.of(len(self.keys), n_resamples, seed, self.units.numbers)

    def _drawn(self, metric: Metric, n_resamples: int, seed: int) -> np.ndarray:
        """Each result's score on every part of the tracks, [S, R]."""
        key = (metric, n_resamples, seed)
        if key not in self._cache:
            draws = self._draws(n_resamples, seed)
            folds = [None] * len(self.seeds) if self.folds is None else self.folds
            self._cache[key] = np.array([metric.resampled(data, draws, fold) for data, fold in zip(self._data, folds)])
        return self._cache[key]

    def resampled(self, metric: str | Metric | None = None, n_resamples: int = 1000, seed: int = 0) -> np.ndarray:
        """The mean over seeds on random halves of the tracks, [n_resamples]; one `seed` and N draw the same tracks for any system."""
        return self._drawn(self.spec.metric(metric), n_resamples, seed).mean(axis=0)

    def minus(self, other: SystemScores, metric: Metric, n_resamples: int = 1000, seed: int = 0) -> Uncertainty:
        """How surely the difference of two means on the same tracks is known."""
        own, others = (one._drawn(metric, n_resamples, seed) for one in (self, other))
        if len(own) == len(others) and self.factors == other.factors:  # the same draws of training tracks, or as many networks
            return self._uncertainty(metric, own - others, self.scores(metric) - other.scores(metric))
        drawn = own - others if len(own) == len(others) else (own.mean(axis=0) - others.mean(axis=0))[None]
        sides = ((self, own), (other, others))
        return together(
            self._over_tracks(metric, drawn),
            [more for one, parts in sides for more in one._between(metric, one.scores(metric), parts)],
        )

    def summary(self) -> dict[str, Any]:
        """Plain values for json: scores with spread, classes used, and how it was made."""
        out: dict[str, Any] = {"name": self.name, "split": self.split, "n_tracks": len(self.keys), "n_labels": len(self.labels)}
        out["task"] = self.task
        for metric in self.spec.metrics:
            out[metric.name] = {"mean": self.mean(metric), "sd": self.sd(metric), "per_seed": self.scores(metric).tolist()}
            out[metric.name]["interval_95"] = list(self.interval(metric))
            out[metric.name] |= {"no_interval": why} if (why := self.evidence(metric).why) else {}
        for metric in self.spec.headline:
            out[metric.name]["n_classes"] = self.n_classes(metric)
        for metric in self.spec.per_output:
            out[metric.outputs] = dict(zip(self.labels, self.scores(metric.outputs).mean(axis=0).tolist()))
        if self.windows:
            out["windows"] = self.windows
        if self.group_name:
            out |= {"intervals_by": self.group_name, "n_groups": self.units.n}
        if self.factors:
            out["factors"] = self.factors
        if self.overlap:
            out["overlap"] = self.overlap
        return out | {"seeds": self.seeds, "validation": self.validation, "settings": self.settings}

    def label_rows(self) -> str:
        """A csv with a row per label: how many of the scored tracks have it, and its scores, mean and sd over seeds; empty where undefined."""
        counts = [] if self.spec.numeric else [("tracks", self.targets.sum(axis=0).astype(int))]
        columns = [column for metric in self.spec.per_output for column in self._label_columns(metric)]
        rows = [["label", *(name for name, _ in (*counts, *columns))]]
        for i, label in enumerate(self.labels):
            cells = ["" if math.isnan(values[i]) else f"{values[i]:.6f}" for _, values in columns]
            rows.append([safe_cell(label), *(str(int(values[i])) for _, values in counts), *cells])
        return csv_text(rows)

    def _label_columns(self, metric: Metric) -> list[tuple[str, np.ndarray]]:
        scores = self.scores(metric.outputs)
        spread = [(f"{metric.column}_sd", scores.std(axis=0, ddof=1))] if len(scores) > 1 else []
        return [(metric.column, scores.mean(axis=0)), *spread]

    def save(self, folder: Path | str) -> Path:
        """Write scores.json and labels.csv (to be read by people) and scores.npz (to be loaded again) into `folder`; each appears whole or not at
        all.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"history_{name}": np.asarray(curve) for name, curve in self.history.items()}
        for name, values in (("targets", self.targets), ("predictions", self.predictions)):
            arrays |= values.packed(name) if isinstance(values, Ragged) else {name: values}
        arrays |= {} if self.folds is None else {"folds": self.folds}
        arrays |= {"groups": np.array(self.groups)} if self.group_name else {}
        arrays |= {"keys": np.array(self.keys), "labels": np.array(self.labels)}
        with atomic(folder / "scores.npz") as part, open(part, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        with atomic(folder / "labels.csv") as part:
            part.write_text(self.label_rows())
        with atomic(folder / "scores.json") as part:
            part.write_text(json.dumps(plain(self.summary()), indent=2) + "\n")
        return folder / "scores.json"

    @classmethod
    def load(cls, folder: Path | str, warn: bool = True) -> SystemScores:
        """Read what `save` wrote. warn: say again which classes have no score. Raises ConfigError for files that it did not write."""
        folder = Path(folder)
        arrays = load_arrays(folder / "scores.npz", ConfigError)
        try:
            about = read_json(folder / "scores.json")
            history = {name.removeprefix("history_"): arrays[name] for name in arrays if name.startswith("history_")}
            return cls(
                name=about["name"],
                split=about["split"],
                labels=arrays["labels"].tolist(),
                keys=arrays["keys"].tolist(),
                targets=_read("targets", arrays),
                predictions=_read("predictions", arrays),
                seeds=about["seeds"],
                validation=about["validation"],
                history=history,
                settings=about["settings"],
                folds=arrays.get("folds"),
                task=about.get("task", "multi-label"),
                windows=about.get("windows", {}),
                warn=warn,
                groups=Groups(arrays["groups"].tolist(), about.get("intervals_by", "")) if "groups" in arrays else None,
                factors=about.get("factors", {}),
                overlap=about.get("overlap", 0.0),
            )
        except ConfigError as error:
            raise ConfigError(f"The results in {folder} cannot be read: {error}") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, ZeroDivisionError) as error:
            raise ConfigError(f"{folder} holds no results of a probe: {' '.join(repr(error).split())[:200]}.") from error


def _read(name: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray | Ragged:
    return arrays[name] if name in arrays else Ragged.unpacked(name, arrays)
