"""Several systems under one probe, on the same tracks, labels and folds: embeddings, those of an untrained network, mel statistics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.groundtruth.annotations import Truth
from datasets.groundtruth.values import Values
from datasets.utils.progress import JobProgress
from models.errors import ConfigError, GroundtruthError

from ..extraction.embeddings import has_tokens
from ..extraction.origin import origin_of
from ..metrics.scores import SystemScores
from ..probe.inputs import Inputs, check_tracks, read_split
from ..probe.protocol import Protocol
from ..probe.run import LogCurve, ProbeResult, ProbeSettings, Split, run_probe
from .baselines import mel_frames, mel_statistics, run_linear_model
from .crossval import cross_validate, linear_fit, probe_fit, repeated_folds
from .frame_guesses import guesses
from .system_names import mel_name

log = logging.getLogger(__name__)


def compare_systems(
    embeddings: Mapping[str, str | Path],
    truths: Mapping[str, Truth],
    protocol: Protocol | None = None,
    *,
    mels: str | Path | None = None,
    repeats: int = 0,
    folds: int = 0,
    log_curve: LogCurve | None = None,
) -> tuple[list[SystemScores], dict[str, ProbeResult]]:
    """Scores of every system, in the order of `embeddings`, mel statistics last, and the trained probes by system (none under cross-validation).

    Args:
        embeddings: name -> store or folder.
        truths: groundtruth by split (train, val, test), or {"all": ...} for `folds` > 0.
        protocol: how all of them are probed.
        mels: mel store; adds mean and sd per band with a linear model.
        repeats: of a cross-validation.
        folds: of a cross-validation; 0: the splits are used.
        log_curve: is handed the first system's curves.

    Raises GroundtruthError, StoreError or ConfigError before training for what is missing or does not fit.
    """
    how = protocol or Protocol()
    inputs, settings = how.inputs, how.settings
    if folds and (inputs.train, inputs.val, inputs.test) != ("mean", "mean", "mean"):
        raise ConfigError(
            "Cross-validation takes one vector per track: leave data.train_windows, data.val_windows and data.test_windows at mean."
        )
    loaded: dict[str, dict[str, Split]] = {}
    for source in embeddings.values():
        check_tracks(source, truths, inputs, how.skip_missing)
    for name, source in embeddings.items():
        loaded[name] = {
            part: read_split(part, source, truth, inputs, how.skip_missing, how.data) for part, truth in truths.items()
        }
    if mels is not None:
        like = next(iter(loaded.values()))
        loaded[mel_name(settings.task)] = {part: mel_split(mels, split) for part, split in like.items()}
    _same_tracks(loaded)
    labels = next(iter(truths.values())).labels
    about = {name: {**_facts(source, inputs), "embeddings": str(source)} for name, source in embeddings.items()}
    if folds:
        every, truth = next(iter(loaded.values()))["all"], truths["all"]
        group_of = dict(zip(truth.keys, getattr(truth, "group", None) or ()))
        group = [group_of[key] for key in every.keys] if group_of else None
        spread = every.y
        if (
            isinstance(truth, Values) and group is not None
        ):  # whole groups want their numbers spread; single tracks have them dealt as ever
            number = {key: i for i, key in enumerate(truth.keys)}
            spread = truth.subset([number[key] for key in every.keys]).binned().matrix()
        grouped = {} if group is None else {"n_groups": len(set(group))}
        facts = {name: {**about.get(name, {}), **grouped} for name in loaded}
        return _by_folds(loaded, facts, settings, labels, repeated_folds(spread, folds, max(repeats, 1), inputs.seed, group)), {}
    return _by_splits(loaded, about, labels, how, log_curve)


def _by_folds(
    loaded: Mapping[str, Mapping[str, Split]],
    about: Mapping[str, Mapping[str, Any]],
    settings: ProbeSettings,
    labels: Sequence[str],
    folds: np.ndarray,
) -> list[SystemScores]:
    """Cross-validate every system on the same folds, int [repeats, N]."""
    scores = []
    with fold_progress(len(loaded) * len(folds) * (int(folds.max()) + 1)) as on_fold:
        for name, parts in loaded.items():
            linear = about[name].get("embeddings") is None
            fit = linear_fit(labels, settings.task) if linear else probe_fit(labels, settings)
            facts = {**({} if linear else asdict(settings)), **about[name]}
            scores.append(cross_validate(name, fit, parts["all"], labels, folds, facts, settings.task, on_fold))
    return scores


def _by_splits(
    loaded: Mapping[str, Mapping[str, Split]],
    about: Mapping[str, Mapping[str, Any]],
    labels: Sequence[str],
    protocol: Protocol,
    log_curve: LogCurve | None,
) -> tuple[list[SystemScores], dict[str, ProbeResult]]:
    """Train on one split, choose on another, score the third."""
    settings, scores = protocol.settings, []
    results: dict[str, ProbeResult] = {}
    trains = [parts["train"] for name, parts in loaded.items() if name in about]
    with probe_progress(settings, protocol.heads, trains) as on_epoch:
        for name, parts in loaded.items():
            splits = (parts["train"], parts["val"], parts["test"])
            if name not in about:
                scores.append(_linear(name, splits, labels, protocol))
                continue
            facts = {**about[name], "train_tracks": len(parts["train"].keys)}
            facts |= origin_of(str(about[name]["embeddings"]), protocol.inputs.layers)
            curves = log_curve if not results else None
            results[name] = run_probe(name, splits, labels, protocol.seeds, settings, facts, curves, on_epoch)
            scores.append(results[name].scores)
            log_unfinished(scores[-1], settings)
            log_edge(scores[-1], settings)
    first = next(iter(loaded.values()))
    return [*scores, *guesses(first["train"], first["test"], labels, settings.task)], results


def mel_split(mels: str | Path, like: Split) -> Split:
    """The tracks of a split with statistics of their mels: of the whole track, or of what each vector in time stands for."""
    if like.frames is None:
        with JobProgress("Reading mels", len(like.keys), "tracks", last_line=False) as progress:
            return Split(like.name, like.keys, mel_statistics(mels, like.keys, step=progress.advance), like.y, group=like.group)
    return replace(like, x=mel_frames(mels, like.keys, like.frames.times, like.frames.lengths))


def _linear(name: str, splits: tuple[Split, Split, Split], labels: Sequence[str], protocol: Protocol) -> SystemScores:
    """A linear model on mel statistics; of frames a head without a hidden layer, which learns as the probe does."""
    if splits[0].frames is None:
        return run_linear_model(name, splits, labels, protocol.settings.task)
    settings = replace(protocol.settings, num_layers=1, standardise=True, dropout=0.0, input_dropout=0.0)
    return run_probe(name, splits, labels, protocol.seeds, settings, {"system": "linear head"}).scores


@contextmanager
def fold_progress(folds: int) -> Iterator[Callable[[], object]]:
    """A bar over the folds of a cross-validation; what it yields is called after each."""
    with JobProgress("Cross-validating", folds, "folds") as progress:
        yield progress.advance


def log_unfinished(scores: SystemScores, settings: ProbeSettings) -> None:
    """Log where every head was best in its last epochs, so that longer training would probably score better."""
    best = np.array(scores.validation["best_epoch"])
    ends = np.isfinite(scores.history[settings.monitor_name]).sum(axis=1)
    if settings.keep == "best" and len(best) and ends.min() > 5 and (ends - best <= np.maximum(1, ends // 20)).all():
        log.warning(
            "%s: %s is best in the last epochs (%s of %d): the probe has not learned all it can. Train longer (trainer.max_epochs), or faster "
            "(optimizer.max_lr).", scores.name, settings.monitor_name, ", ".join(map(str, best + 1)), ends.max(),
        )  # fmt: skip


def log_edge(scores: SystemScores, settings: ProbeSettings) -> None:
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


def _facts(source: str | Path, inputs: Inputs) -> dict[str, object]:
    """Which tokens, layers and windows the scores are of, where there is a choice."""
    facts: dict[str, object] = {**token_facts(source, inputs)}
    if inputs.layers:
        facts |= {"layers": list(inputs.layers), "layer_reduce": inputs.layer_reduce}
    if (inputs.train, inputs.val, inputs.test) != ("mean", "mean", "mean"):
        facts |= {"train_windows": inputs.train, "val_windows": inputs.val, "test_windows": inputs.test}
    return facts


@contextmanager
def probe_progress(settings: ProbeSettings, heads: int, trains: Sequence[Split]) -> Iterator[Callable[[], object] | None]:
    """A bar over the epochs of all heads, `heads` on each training split; what it yields is called after each. Early stops end it early."""
    epochs = 0
    for split in trains:
        items = len(split.x) if settings.examples == "row" else len(split.keys)
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
