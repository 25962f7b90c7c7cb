"""What a network has to beat: logistic regression on statistics of the mel spectrogram.

Per track: mean and standard deviation over time of each band of the raw log-mel (2 x 96 values), with `deltas` also those of its first difference
(4 x 96). They know timbre and loudness, not order in time. Inputs are standardised by the training split, one logistic regression per label, one
regularisation strength for all labels, chosen by validation macro ROC-AUC; the test split is scored once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from datasets.store.track_store import TrackStore
from models.errors import ConfigError

from ..extraction.embeddings import find_names
from ..metrics.scores import SystemScores
from ..metrics.tagging import tagging_scores
from ..probe.run import Split, check_splits, standardisation

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


def run_logistic_regression(
    name: str,
    train: Split,
    validation: Split,
    test: Split,
    labels: Sequence[str],
    strengths: Sequence[float] = STRENGTHS,
    about: dict | None = None,
) -> SystemScores:
    """Fit one logistic regression per label, choose C by validation macro ROC-AUC, score the test split once.

    The fit is convex and has no random part: one result, no spread over seeds (`seeds` is [0]). A label that all or none of the training tracks
    carry gets its share as a constant.

    Raises GroundtruthError or ConfigError before fitting, as `helpers.probe.run.run_probe` does.
    """
    check_splits(train, validation, test, labels)
    if not strengths or min(strengths) <= 0:
        raise ConfigError(f"The strengths to choose from are positive numbers, not {list(strengths)}.")
    shift, scale = standardisation(train.x)

    def inputs(split: Split) -> np.ndarray:
        return ((split.x - shift) / scale).astype(np.float64)

    x, val_x = inputs(train), inputs(validation)
    targets = train.y.astype(bool)
    tried: list[tuple[float, list[np.ndarray]]] = []
    starts: list[np.ndarray | None] = [None] * len(labels)
    for strength in sorted(strengths):  # from the stiffest on: each fit starts where the one before ended
        starts = [_fit(x, targets[:, c], strength, starts[c]) for c in range(len(labels))]
        roc = tagging_scores(validation.y.astype(bool), _probabilities(val_x, starts), warn=False)["macro_roc"]
        tried.append((roc, starts))
    rocs = [roc for roc, _ in tried]
    best = int(np.argmax(rocs))
    predictions = _probabilities(inputs(test), tried[best][1])
    return SystemScores(
        name=name,
        split=test.name,
        labels=list(labels),
        keys=list(test.keys),
        targets=test.y.astype(bool),
        predictions=predictions[None],
        seeds=[0],
        validation={"val_roc": [float(rocs[best])]},
        settings={
            "system": "logistic regression",
            "standardise": True,
            "C": float(sorted(strengths)[best]),
            "C_tried": [float(c) for c in sorted(strengths)],
            "val_roc_tried": [float(roc) for roc in rocs],
            "chosen_by": "val_roc",
            "in_dim": train.x.shape[1],
            "deterministic": True,
            **(about or {}),
        },
    )


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


def _probabilities(x: np.ndarray, fits: list[np.ndarray]) -> np.ndarray:
    """[N, D] and one [D + 1] per label -> [N, L]."""
    weights = np.stack(fits, axis=1)
    return 1 / (1 + np.exp(-np.clip(x @ weights[:-1] + weights[-1], -500, 500)))
