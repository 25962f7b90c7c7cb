"""What a system scored: several seeds on one split, with the spread, and the predictions kept for later comparisons.

Conventions: scores are shares in [0, 1]; sd is the sample standard deviation over seeds (nan for one seed); an interval is the bootstrap's over
tracks of the mean over seeds. Classes without positives (or, for ROC-AUC, without negatives) leave the means and are counted.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datasets.utils.files import atomic
from models.errors import ConfigError

from ..utils.json_values import plain
from .tagging import interval_of
from .tasks import BOUNDS, Task, get_task, resampled, score


@dataclass(frozen=True)
class SystemScores:
    """Predictions of one system on one split, and everything derived from them.

    name: what is compared ("pre-trained", "untrained", "mel statistics").
    split: the name of the scored split, with the data set's where there is one ("demo test").
    labels: names of the L classes.
    keys: names of the N tracks.
    targets: bool [N, L]; of a regression float [N, L].
    predictions: probabilities float64 [S, N, L], one set per seed; of a regression the values.
    seeds: the S seeds.
    validation: per seed what the system was chosen by, e.g. {"val_roc": [S]}.
    history: curves of the training, name -> [S, epochs].
    settings: how it was made (plain values).
    folds: of a cross-validation, int [S, N]. A class's score is then the mean over the folds that it is defined in: predictions of different
        folds come from different heads and are not ranked against each other (Forman and Scholz, 2010).
    warn: say, when scores are first asked for, which classes have none.
    task: what was asked (helpers/tasks.py), which decides the scores. windows: the same scores window by window, metric -> [S], where windows were
        scored at all.
    """

    name: str
    split: str
    labels: list[str]
    keys: list[str]
    targets: np.ndarray
    predictions: np.ndarray
    seeds: list[int]
    validation: dict[str, list[float]] = field(default_factory=dict)
    history: dict[str, np.ndarray] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    folds: np.ndarray | None = None
    task: str = "multi-label"
    windows: dict[str, list[float]] = field(default_factory=dict)
    warn: bool = True

    def __post_init__(self) -> None:
        want = (len(self.seeds), len(self.keys), len(self.labels))
        if self.predictions.shape != want or self.targets.shape != want[1:]:
            raise ConfigError(
                f"Scores of '{self.name}': predictions are {self.predictions.shape} and targets {self.targets.shape}; "
                f"{want[0]} seeds, {want[1]} tracks and {want[2]} labels want {want} and {want[1:]}."
            )
        if self.folds is not None and self.folds.shape != want[:2]:
            raise ConfigError(
                f"Folds of '{self.name}' are {self.folds.shape}; {want[0]} repetitions of {want[1]} tracks want {want[:2]}."
            )
        if self.folds is not None and self.task != "multi-label":
            raise ConfigError(f"Cross-validation is for the task multi-label; '{self.name}' is {self.task}.")

    @property
    def asked(self) -> Task:
        """The task, with its scores' names."""
        return get_task(self.task)

    @cached_property
    def _per_seed(self) -> list[dict[str, Any]]:
        return [self._score(i, p) for i, p in enumerate(self.predictions)]

    @cached_property
    def _cache(self) -> dict[tuple, np.ndarray]:
        return {}

    def _score(self, seed: int, predictions: np.ndarray) -> dict[str, Any]:
        if self.folds is None:
            return score(self.task, self.targets, predictions, self.labels, warn=self.warn and seed == 0)
        parts = [self.folds[seed] == f for f in np.unique(self.folds[seed])]
        each = [score(self.task, self.targets[rows], predictions[rows], warn=False) for rows in parts]
        out: dict[str, Any] = {name: float(np.mean([scores[name] for scores in each])) for name in ("micro_roc", "micro_ap")}
        for kind in ("roc", "ap"):
            per_class = np.array([scores[f"class_{kind}"] for scores in each])
            defined = np.isfinite(per_class).sum(axis=0)
            mean = np.where(defined > 0, np.nansum(per_class, axis=0) / np.maximum(defined, 1), np.nan)
            out[f"class_{kind}"], out[f"n_{kind}"] = mean, int((defined > 0).sum())
            out[f"macro_{kind}"] = float(mean[defined > 0].mean()) if (defined > 0).any() else float("nan")
        return out

    def scores(self, metric: str) -> np.ndarray:
        """One of the task's metrics per seed, [S]; its per_label ones ("class_roc") give [S, L] (nan where undefined)."""
        return np.array([scores[metric] for scores in self._per_seed])

    def mean(self, metric: str | None = None) -> float:
        """Over seeds, of a metric (default: the task's first)."""
        return float(self.scores(metric or self.asked.metrics[0]).mean())

    def sd(self, metric: str | None = None) -> float:
        """Over seeds; nan for one seed."""
        scores = self.scores(metric or self.asked.metrics[0])
        return float(scores.std(ddof=1)) if len(scores) > 1 else float("nan")

    def n_classes(self, metric: str = "macro_roc") -> int:
        """Classes that take part in a macro mean."""
        if self.task != "multi-label":
            return int(self._per_seed[0]["n_classes"])
        return int(self._per_seed[0]["n_ap" if metric.endswith("ap") else "n_roc"])

    def interval(
        self, metric: str | None = None, share: float = 0.95, n_resamples: int = 1000, seed: int = 0
    ) -> tuple[float, float]:
        """Bootstrap interval over tracks of the mean over seeds, within the score's own bounds: `metrics.interval_of`."""
        metric = metric or self.asked.metrics[0]
        low, high = interval_of(self.resampled(metric, n_resamples, seed), self.mean(metric), share)
        least, most = BOUNDS.get(metric, (0.0, 1.0))
        return (low, high) if math.isnan(low) else (max(low, least), min(high, most))

    def resampled(self, metric: str | None = None, n_resamples: int = 1000, seed: int = 0) -> np.ndarray:
        """The mean over seeds on every bootstrap resample of the tracks, [n_resamples]; one `seed` and N draw the same tracks for
        any system.
        """
        key = (metric or self.asked.metrics[0], n_resamples, seed)
        if key not in self._cache:
            folds = [None] * len(self.seeds) if self.folds is None else self.folds
            drawn = [
                resampled(
                    self.task, self.targets, p, self.labels, n_resamples, seed, fold, "micro" if "micro" in key[0] else "macro"
                )
                for p, fold in zip(self.predictions, folds)
            ]
            for name in drawn[0]:
                self._cache[name, n_resamples, seed] = np.mean([scores[name] for scores in drawn], axis=0)
        return self._cache[key]

    def summary(self) -> dict[str, Any]:
        """Plain values for json: scores with spread, classes used, and how it was made."""
        out: dict[str, Any] = {"name": self.name, "split": self.split, "n_tracks": len(self.keys), "n_labels": len(self.labels)}
        out["task"] = self.task
        for metric in self.asked.metrics:
            out[metric] = {"mean": self.mean(metric), "sd": self.sd(metric), "per_seed": self.scores(metric).tolist()}
            out[metric]["interval_95"] = list(self.interval(metric))
        for metric in self.asked.headline:
            out[metric]["n_classes"] = self.n_classes(metric)
        for metric in self.asked.per_label:
            out[metric] = dict(zip(self.labels, self.scores(metric).mean(axis=0).tolist()))
        if self.windows:
            out["windows"] = self.windows
        return out | {"seeds": self.seeds, "validation": self.validation, "settings": self.settings}

    def label_rows(self) -> str:
        """A csv with a row per label: how many of the scored tracks have it, and its scores, mean and sd over seeds; empty where undefined."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        counts = [] if self.task == "regression" else [("tracks", self.targets.sum(axis=0).astype(int))]
        columns = [(name, scores) for metric in self.asked.per_label for name, scores in self._label_columns(metric)]
        writer.writerow(["label", *(name for name, _ in (*counts, *columns))])
        for i, label in enumerate(self.labels):
            cells = ["" if math.isnan(values[i]) else f"{values[i]:.6f}" for _, values in columns]
            writer.writerow([label, *(int(values[i]) for _, values in counts), *cells])
        return text.getvalue()

    def _label_columns(self, metric: str) -> list[tuple[str, np.ndarray]]:
        scores, name = self.scores(metric), metric.removeprefix("class_")
        spread = [(f"{name}_sd", scores.std(axis=0, ddof=1))] if len(scores) > 1 else []
        return [(name, scores.mean(axis=0)), *spread]

    def save(self, folder: Path | str) -> Path:
        """Write scores.json and labels.csv (to be read by people) and scores.npz (to be loaded again) into `folder`; each appears whole or not at
        all.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"history_{name}": np.asarray(curve) for name, curve in self.history.items()}
        arrays |= {"targets": self.targets, "predictions": self.predictions}
        arrays |= {} if self.folds is None else {"folds": self.folds}
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
        """Read what `save` wrote. warn: say again which classes have no score."""
        folder = Path(folder)
        about = json.loads((folder / "scores.json").read_text())
        with np.load(folder / "scores.npz", allow_pickle=False) as arrays:
            history = {name.removeprefix("history_"): arrays[name] for name in arrays.files if name.startswith("history_")}
            return cls(
                name=about["name"],
                split=about["split"],
                labels=arrays["labels"].tolist(),
                keys=arrays["keys"].tolist(),
                targets=arrays["targets"],
                predictions=arrays["predictions"],
                seeds=about["seeds"],
                validation=about["validation"],
                history=history,
                settings=about["settings"],
                folds=arrays["folds"] if "folds" in arrays.files else None,
                task=about.get("task", "multi-label"),
                windows=about.get("windows", {}),
                warn=warn,
            )


@dataclass(frozen=True)
class Difference:
    """Score of system `a` minus that of `b` on the same tracks, in score units; the interval is the paired bootstrap's over
    tracks.
    """

    a: str
    b: str
    metric: str
    mean: float
    interval: tuple[float, float]


def check_comparable(a: SystemScores, b: SystemScores) -> None:
    """Raises ConfigError for systems that were not scored on the same task, tracks and labels."""
    if a.task != b.task:
        raise ConfigError(
            f"'{a.name}' is {a.task}, '{b.name}' {b.task}: results of different tasks have no scores in common and cannot be compared."
        )
    same_folds = (a.folds is None and b.folds is None) or np.array_equal(a.folds, b.folds)
    if (
        not same_folds
        or a.split != b.split
        or a.keys != b.keys
        or a.labels != b.labels
        or not np.array_equal(a.targets, b.targets)
    ):
        raise ConfigError(
            f"'{a.name}' ({a.split}) and '{b.name}' ({b.split}) were not scored on the same tracks, labels and folds."
        )


def compare(
    a: SystemScores, b: SystemScores, metric: str | None = None, share: float = 0.95, n_resamples: int = 1000
) -> Difference:
    """Paired comparison of two systems that were scored on the same tracks and labels. Raises ConfigError when they were not."""
    check_comparable(a, b)
    metric = metric or a.asked.metrics[0]
    differences = a.resampled(metric, n_resamples) - b.resampled(metric, n_resamples)
    mean = a.mean(metric) - b.mean(metric)
    return Difference(a.name, b.name, metric, mean, interval_of(differences, mean, share))
