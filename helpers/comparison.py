"""Several systems under one probe, on the same tracks, labels and folds: embeddings, those of an untrained network, mel statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from datasets.groundtruth import Groundtruth
from models.errors import ConfigError, GroundtruthError

from .baselines import mel_statistics, run_logistic_regression
from .crossval import cross_validate, logistic_fit, probe_fit, repeated_folds
from .probe import ProbeResult, ProbeSettings, Split, run_probe
from .scores import SystemScores
from .transfer import Windows, read_split

MEL_STATISTICS = "mel statistics + logistic regression"


def compare_systems(
    embeddings: Mapping[str, str | Path],
    truths: Mapping[str, Groundtruth],
    settings: ProbeSettings,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    types: str = "cdt",
    reduce: str = "stack",
    token_size: int | None = None,
    mels: str | Path | None = None,
    repeats: int = 0,
    folds: int = 0,
    skip_missing: bool = False,
    data: str = "",
    windows: Windows = "mean",
    log: Callable[[str, float, int], None] | None = None,
) -> tuple[list[SystemScores], dict[str, ProbeResult]]:
    """Scores of every system, in the order of `embeddings`, mel statistics last, and the trained probes by system (none under cross-validation).

    embeddings: name -> store or folder. truths: groundtruth by split (train, val, test), or {"all": ...} for `folds` > 0.
    data: the data set's name. windows: of a track (helpers/transfer.py).
    mels: mel store; adds mean and sd per band with logistic regression. log: told the first system's curves.

    Raises GroundtruthError, StoreError or ConfigError before training for what is missing or does not fit.
    """
    if windows != "mean" and folds:
        raise ConfigError("Cross-validation takes the mean over windows: set data.windows=mean, or data.folds=0.")
    labels = next(iter(truths.values())).labels
    loaded: dict[str, dict[str, Split]] = {}
    for name, source in embeddings.items():
        loaded[name] = {
            part: read_split(part, source, truth, types, reduce, token_size, skip_missing, data, windows)  # type: ignore[arg-type]
            for part, truth in truths.items()
        }
    if mels is not None:
        like = next(iter(loaded.values()))
        loaded[MEL_STATISTICS] = {part: Split(s.name, s.keys, mel_statistics(mels, s.keys), s.y) for part, s in like.items()}
    _same_tracks(loaded)
    about = {"types": types, "reduce": reduce, "windows": windows}
    results: dict[str, ProbeResult] = {}
    scores = []
    if folds:
        every = next(iter(loaded.values()))["all"]
        shared = repeated_folds(every.y, folds, max(repeats, 1))
    for name, parts in loaded.items():
        linear = name == MEL_STATISTICS
        if folds:
            fit = logistic_fit(labels) if linear else probe_fit(labels, settings)
            scores.append(cross_validate(name, fit, parts["all"], labels, shared, about))
        elif linear:
            scores.append(run_logistic_regression(name, parts["train"], parts["val"], parts["test"], labels))
        else:
            told = log if not results else None
            more = {**about, "embeddings": str(embeddings[name])}
            results[name] = run_probe(
                name, parts["train"], parts["val"], parts["test"], labels, seeds, settings, log=told, about=more
            )
            scores.append(results[name].scores)
    return scores, results


def _same_tracks(loaded: Mapping[str, Mapping[str, Split]]) -> None:
    """With skip_missing systems may lack different tracks: then nothing would be comparable."""
    first_name, first = next(iter(loaded.items()))
    for name, parts in loaded.items():
        for part, split in parts.items():
            if not np.array_equal(split.keys, first[part].keys):
                raise GroundtruthError(
                    f"'{name}' has {len(split.keys)} of the {split.name} tracks, '{first_name}' {len(first[part].keys)}, and not the same: extract "
                    "both from the same store."
                )
