"""Several systems under one probe, on the same tracks, labels and folds: embeddings, those of an untrained network, mel statistics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.values import Values
from datasets.utils.progress import JobProgress
from models.errors import ConfigError, GroundtruthError

from ..extraction.embeddings import has_tokens
from ..extraction.origin import origin_of
from ..metrics.scores import SystemScores
from ..probe.inputs import Inputs, check_tracks, read_split
from ..probe.run import ProbeResult, ProbeSettings, Split, run_probe
from .baselines import mel_statistics, run_logistic_regression
from .crossval import cross_validate, logistic_fit, probe_fit, repeated_folds

log = logging.getLogger(__name__)
MEL_STATISTICS = "mel statistics + logistic regression"


def compare_systems(
    embeddings: Mapping[str, str | Path],
    truths: Mapping[str, Groundtruth | Values],
    settings: ProbeSettings,
    *,
    inputs: Inputs | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    mels: str | Path | None = None,
    repeats: int = 0,
    folds: int = 0,
    skip_missing: bool = False,
    data: str = "",
    log: Callable[[str, float, int], None] | None = None,
) -> tuple[list[SystemScores], dict[str, ProbeResult]]:
    """Scores of every system, in the order of `embeddings`, mel statistics last, and the trained probes by system (none under cross-validation).

    embeddings: name -> store or folder. truths: groundtruth by split (train, val, test), or {"all": ...} for `folds` > 0.
    inputs: what of the embeddings is seen. data: the data set's name. mels: mel store; adds mean and sd per band with logistic regression.
    log: told the first system's curves.

    Raises GroundtruthError, StoreError or ConfigError before training for what is missing or does not fit.
    """
    inputs = inputs or Inputs()
    if (mels is not None or folds) and settings.task != "multi-label":
        raise ConfigError(
            f"Cross-validation (data.folds, which small_data sets) and mel statistics (data.mel_dir) are for data.task=multi-label; this is "
            f"{settings.task}: leave them out (data.folds=0)."
        )
    if folds and (inputs.train, inputs.val, inputs.test) != ("mean", "mean", "mean"):
        raise ConfigError(
            "Cross-validation takes one vector per track: leave data.train_windows, data.val_windows and data.test_windows at mean."
        )
    labels = next(iter(truths.values())).labels
    loaded: dict[str, dict[str, Split]] = {}
    for source in embeddings.values():
        check_tracks(source, truths, inputs, skip_missing)
    for name, source in embeddings.items():
        loaded[name] = {part: read_split(part, source, truth, inputs, skip_missing, data) for part, truth in truths.items()}
    if mels is not None:
        like = next(iter(loaded.values()))
        loaded[MEL_STATISTICS] = {part: Split(s.name, s.keys, mel_statistics(mels, s.keys), s.y) for part, s in like.items()}
    _same_tracks(loaded)
    windows = _windows(inputs)
    results: dict[str, ProbeResult] = {}
    scores = []
    if folds:
        every = next(iter(loaded.values()))["all"]
        group_of = dict(zip(truths["all"].keys, truths["all"].group or ()))  # labels, as was checked above
        group = [group_of[key] for key in every.keys] if group_of else None
        shared = repeated_folds(every.y, folds, max(repeats, 1), inputs.seed, group)
    trains = [] if folds else [parts["train"] for name, parts in loaded.items() if name != MEL_STATISTICS]
    progress = probe_progress(settings, len(seeds) * len(settings.rates), trains)
    with fold_progress(len(loaded) * len(shared) * folds) if folds else progress as tell:
        for name, parts in loaded.items():
            linear = name == MEL_STATISTICS
            if folds:
                fit = logistic_fit(labels) if linear else probe_fit(labels, settings)
                about = (
                    {}
                    if linear
                    else {
                        **asdict(settings),
                        **token_facts(embeddings[name], inputs),
                        **windows,
                        "embeddings": str(embeddings[name]),
                    }
                )
                about |= {} if group is None else {"n_groups": len(set(group))}
                scores.append(cross_validate(name, fit, parts["all"], labels, shared, about, tell))
            elif linear:
                scores.append(run_logistic_regression(name, parts["train"], parts["val"], parts["test"], labels))
            else:
                told = log if not results else None
                more = {**token_facts(embeddings[name], inputs), **windows, "embeddings": str(embeddings[name])}
                more["train_tracks"] = len(parts["train"].keys)
                more |= origin_of(embeddings[name], inputs.layers)
                results[name] = run_probe(
                    name, parts["train"], parts["val"], parts["test"], labels, seeds, settings, log=told, about=more, tell=tell
                )
                scores.append(results[name].scores)
                say_unfinished(scores[-1], settings)
                say_edge(scores[-1], settings)
    return scores, results


@contextmanager
def fold_progress(folds: int) -> Iterator[Callable[[], object]]:
    """A bar over the folds of a cross-validation; what it yields is called after each."""
    with JobProgress("Cross-validating", folds, "folds") as progress:
        yield progress.advance


def say_unfinished(scores: SystemScores, settings: ProbeSettings) -> None:
    """Log where every head was best in its last epochs, so that longer training would probably score better."""
    best = np.array(scores.validation["best_epoch"])
    ends = np.isfinite(scores.history[settings.monitor_name]).sum(axis=1)
    if settings.keep == "best" and len(best) and ends.min() > 5 and (ends - best <= np.maximum(1, ends // 20)).all():
        log.warning(
            "%s: %s is best in the last epochs (%s of %d): the probe has not learned all it can. Train longer (trainer.max_epochs), or faster "
            "(optimizer.max_lr).", scores.name, settings.monitor_name, ", ".join(map(str, best + 1)), ends.max(),
        )  # fmt: skip


def say_edge(scores: SystemScores, settings: ProbeSettings) -> None:
    """Log where every seed kept the largest or the smallest learning rate of a grid: a better one may lie beyond."""
    kept = set(scores.validation.get("max_lr", ()))
    for edge, word in ((max(settings.rates), "largest"), (min(settings.rates), "smallest")):
        if kept == {edge} and len(settings.rates) > 1:
            log.warning(
                "%s: every seed kept the %s rate of the grid, %g: a better one may lie beyond it.", scores.name, word, edge
            )


def token_facts(source: str | Path, inputs: Inputs) -> dict[str, object]:
    """Which tokens the scores are of; {} for embeddings without."""
    return {"types": inputs.types, "reduce": inputs.reduce} if has_tokens(inputs.first(source), inputs.token_size) else {}


def _windows(inputs: Inputs) -> dict[str, object]:
    """What is not one vector per track of one block, said with the scores."""
    said: dict[str, object] = {}
    if inputs.layers:
        said |= {"layers": list(inputs.layers), "layer_reduce": inputs.layer_reduce}
    if (inputs.train, inputs.val, inputs.test) != ("mean", "mean", "mean"):
        said |= {"train_windows": inputs.train, "val_windows": inputs.val, "test_windows": inputs.test}
    return said


@contextmanager
def probe_progress(settings: ProbeSettings, heads: int, trains: Sequence[Split]) -> Iterator[Callable[[], object] | None]:
    """A bar over the epochs of all heads, `heads` on each training split; what it yields is called after each. Early stops are told."""
    epochs = 0
    for split in trains:
        items = len(split.keys) if settings.examples == "random_row" else len(split.x)
        epochs += heads * settings.epochs(-(-items // settings.batch_size))
    if not epochs:
        yield None
        return
    with JobProgress("Probing", epochs, "epochs") as progress:
        yield lambda: progress.advance(1)
        progress.end_early("stopped early")


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
