"""What a network has to beat: a linear model (logistic regression; of numbers ridge regression) on statistics of the mel spectrogram.

Per track: mean and standard deviation over time of each band of the raw log-mel (2 x 96 values), with `deltas` also those of its first difference
(4 x 96). They know timbre and loudness, not order in time. Inputs are standardised by the training split, one model per output, one
regularisation strength for all outputs, chosen by the task's main metric on validation; the test split is scored once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.store.track_store import TrackStore
from models.errors import ConfigError

from ..extraction.embeddings import find_names
from ..metrics.metric import Predictions, mean_of_outputs
from ..metrics.scores import SystemScores
from ..metrics.tasks import get_task
from ..probe.run import Split, Splits, check_splits, standardisation

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # scikit-learn's C: the inverse of the regularisation


def mel_statistics(
    source: str | Path | TrackStore, keys: Sequence[str], deltas: bool = False, step: Callable[[], object] | None = None
) -> np.ndarray:
    """Mean and sd over time of every band of the raw log-mel, float32 [N, 2 * bands], then of its first difference ([N, 4 * bands]).

    source: a mel TrackStore (opened, or its path or folder). keys: the wanted tracks. step: called after each track (progress).

    Raises GroundtruthError that counts and lists absent keys; StoreError for a store that does not hold mel spectrograms.
    """
    store = source if isinstance(source, TrackStore) else TrackStore.open(source)
    store.require(kind="mel")
    names = find_names(keys, store.names, str(store.paths[0]), "mel spectrogram")
    parts = 4 if deltas else 2
    out = np.empty((len(names), parts * store.item_shape[0]), dtype=np.float32)
    for i, name in enumerate(names):
        mel = store.read(name).astype(np.float64)
        rows = [mel.mean(axis=0), mel.std(axis=0)]
        if deltas:
            change = np.diff(mel, axis=0) if len(mel) > 1 else np.zeros_like(mel)
            rows += [change.mean(axis=0), change.std(axis=0)]
        out[i] = np.concatenate(rows)
        if step is not None:
            step()
    return out


def mel_frames(source: str | Path | TrackStore, keys: Sequence[str], times: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Mean and sd of every band over the mel frames that each vector in time stands for, float32 [R, 2 * bands].

    times: [R, 2] in seconds, of the tracks' vectors one track after the other; lengths: how many each has. Raises as `mel_statistics`.
    """
    store = source if isinstance(source, TrackStore) else TrackStore.open(source)
    store.require(kind="mel")
    rate = store.attrs["sample_rate"] / store.attrs["hop"]
    names = find_names(keys, store.names, str(store.paths[0]), "mel spectrogram")
    out = np.empty((len(times), 2 * store.item_shape[0]), dtype=np.float32)
    for name, first, n in zip(names, np.cumsum(lengths) - lengths, lengths):
        mel = store.read(name).astype(np.float64)
        starts = np.clip(np.round(times[first : first + n, 0] * rate).astype(int), 0, len(mel) - 1)
        stops = np.clip(np.round(times[first : first + n, 1] * rate).astype(int), starts + 1, len(mel))
        sums, squares = (np.concatenate([np.zeros((1, mel.shape[1])), np.cumsum(part, axis=0)]) for part in (mel, mel**2))
        share = (stops - starts)[:, None]
        mean = (sums[stops] - sums[starts]) / share
        spread = np.sqrt(np.maximum((squares[stops] - squares[starts]) / share - mean**2, 0.0))
        out[first : first + n] = np.concatenate([mean, spread], axis=1)
    return out


def run_linear_model(
    name: str,
    splits: Splits,
    labels: Sequence[str],
    task: str = "multi-label",
    strengths: Sequence[float] = STRENGTHS,
    about: Mapping[str, Any] | None = None,
) -> SystemScores:
    """Fit one linear model per output, choose C by the task's usual validation curve, score the test split once.

    Outputs are labels or classes (one logistic regression each, the others against it) or numbers (ridge regression). A fit is convex and has no
    random part: one result, no spread over seeds (`seeds` is [0]). A label that all or none of the training tracks carry gets its share as a
    constant.

    Args:
        name: what the system is called in tables.
        splits: training, validation and test.
        labels: names of the L outputs.
        task: what is asked, which decides the scores.
        strengths: of C to choose from, the inverse of the regularisation.
        about: plain values that are saved with the result.

    Raises GroundtruthError or ConfigError before fitting, as `helpers.probe.run.run_probe` does.
    """
    spec = get_task(task)
    curve = spec.monitor("auto")
    check_splits(splits, labels, curve, task)
    if not strengths or min(strengths) <= 0:
        raise ConfigError(f"The strengths to choose from are positive numbers, not {list(strengths)}.")
    train, validation, test = splits
    shift, scale = standardisation(train.x)

    def inputs(split: Split) -> np.ndarray:
        return ((split.x - shift) / scale).astype(np.float64)

    def predict(x: np.ndarray, fits: list[np.ndarray]) -> np.ndarray:
        weights = np.stack(fits, axis=1)  # [D + 1, L]
        z = x @ weights[:-1] + weights[-1]
        return z if spec.numeric else 1 / (1 + np.exp(-np.clip(z, -500, 500)))

    x, val_x = inputs(train), inputs(validation)
    targets = train.examples(task).y
    tried: list[tuple[float, list[np.ndarray]]] = []
    starts: list[np.ndarray | None] = [None] * len(labels)
    for strength in sorted(strengths):  # from the stiffest on: each fit starts where the one before ended
        if spec.numeric:
            fits = _fit_ridge(x, targets, strength)
        else:
            fits = [_fit(x, targets[:, c], strength, starts[c]) for c in range(len(labels))]
            starts = list(fits)
        metric, data = spec.curves[curve], Predictions(validation.examples(task).y, predict(val_x, fits), labels)
        tried.append((mean_of_outputs(metric.score(data)), fits))
    values = [value for value, _ in tried]
    best = int(np.argmax(spec.sign(curve) * np.array(values)))
    return SystemScores(
        name=name,
        split=test.name,
        labels=list(labels),
        keys=list(test.keys),
        targets=test.examples(task).y,
        predictions=predict(inputs(test), tried[best][1])[None],
        seeds=[0],
        validation={curve: [float(values[best])]},
        settings={
            "system": "ridge regression" if spec.numeric else "logistic regression",
            "standardise": True,
            "C": float(sorted(strengths)[best]),
            "C_tried": [float(c) for c in sorted(strengths)],
            f"{curve}_tried": [float(value) for value in values],
            "chosen_by": curve,
            "in_dim": train.x.shape[1],
            "deterministic": True,
            **(about or {}),
        },
        task=task,
        groups=test.group,
    )


def _fit_ridge(x: np.ndarray, targets: np.ndarray, strength: float) -> list[np.ndarray]:
    """Coefficients and intercept of every number, L times [D + 1]: least squares, with the mean squared coefficients times 1 / C."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=1 / strength).fit(x, np.asarray(targets, dtype=np.float64))
    return list(np.concatenate([np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)[:, None]], axis=1))


def _fit(x: np.ndarray, target: np.ndarray, strength: float, start: np.ndarray | None) -> np.ndarray:
    """Coefficients and intercept of one label, [D + 1]."""
    if target.all() or not target.any():
        share = np.clip(target.mean(), 1e-6, 1 - 1e-6)
        return np.append(np.zeros(x.shape[1]), np.log(share / (1 - share)))
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=100, tol=1e-6, warm_start=start is not None)
    if start is not None:
        model.coef_, model.intercept_, model.classes_ = start[None, :-1].copy(), start[-1:].copy(), np.array([False, True])
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # weak regularisation on separable labels: validation judges the result
        model.fit(x, target)
    return np.append(model.coef_[0], model.intercept_)
