"""Transfer learning: how well do frozen embeddings hold a set of labels? One probe for all systems, data sets and tasks.

A small head is trained on embeddings that sit in memory as one array, its epoch chosen by validation, the test split scored once. Several seeds (and
learning rates, blocks, token types) train side by side (helpers/head_training.py); no item is touched by Python.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from datasets.groundtruth.groups import Groups
from datasets.utils.files import atomic
from datasets.utils.ragged import joined
from models.errors import ConfigError, GroundtruthError, listed
from models.heads import ProbeHead
from models.weights.head_origin import LAYER, LOSS, SHA

from ..extraction.embeddings import load_embeddings
from ..extraction.tokens import select_tokens
from ..metrics.aggregation import AGGREGATIONS, aggregate
from ..metrics.metric import Predictions, mean_of_outputs
from ..metrics.scores import SystemScores
from ..metrics.tasks import LOSS_CURVE, get_task
from .frames import Frames
from .head_training import Examples, HeadSpec, Source, TrainedHead, head_logits, initial_head, train_heads
from .settings import ProbeSettings

LARGEST = 1e15  # of an embedding: its square, and sums of those, are still numbers in single precision
__all__ = ["ProbeResult", "ProbeSettings", "Split", "initial_head", "load_embeddings", "run_probe", "select_tokens"]

log = logging.getLogger(__name__)
LogCurve = Callable[[str, float, int], None]  # a curve's name, its value, the epoch


@dataclass(frozen=True)
class Split:
    """One part of a data set, in memory.

    name: what scores on it are reported under ("train", "validation", "test").
    keys: the N tracks.
    x: embeddings float32 [N, D], or with windows [W, D]; of K layers that a head mixes [N or W, K, D].
    y: labels, bool or 0/1 [N, L]; values of a regression, float [N, L]; annotations, Ragged of that shape.
    track: int [W], rising: the track (number in keys) of each window; None: row i is track i.
    frames: of frame-level tasks, where y is a Ragged of annotations: times and targets of the rows of x.
    group: what each track belongs to, where the table says it: by it intervals are taken.
    """

    name: str
    keys: list[str]
    x: np.ndarray
    y: Any
    track: np.ndarray | None = None
    frames: Frames | None = None
    group: Groups | None = None

    def known(self) -> Split:
        """Without the frames that count for nothing, for learning alone."""
        if self.frames is None or self.frames.known.all():
            return self
        rows = np.flatnonzero(self.frames.known)
        return replace(self, x=self.x[rows], frames=self.frames.rows(rows))

    def examples(self, task: str = "multi-label") -> Examples:
        """What training takes; of frame-level tasks each row is an example."""
        if self.frames is not None:
            return Examples(self.x, self.frames.targets, None, frames=self.frames)
        return Examples(self.x, self.y if get_task(task).numeric else self.y.astype(bool), self.track)


Splits = tuple[Split, Split, Split]  # training, validation, test


class Targets(NamedTuple):
    """A split's tracks and labels alone: its name, keys [N], and y as of a Split [N, L]."""

    name: str
    keys: Sequence[str]
    y: Any


@dataclass(frozen=True)
class ProbeResult:
    """A trained probe: the scores of all seeds, and each seed's head at the epoch that was kept."""

    scores: SystemScores
    heads: list[ProbeHead]
    best: int  # index of the seed with the best validation score
    shift: np.ndarray | None = None  # [D], when the inputs were standardised
    scale: np.ndarray | None = None

    def save(self, folder: Path | str) -> Path:
        """Write scores.json, scores.npz and head.safetensors (the best seed's head by validation, the standardisation, and which
        encoder's which layer, and with which loss, it was trained on where that is known) into `folder`.
        """
        from safetensors.torch import save_file

        state = {name: tensor.contiguous() for name, tensor in self.heads[self.best].state_dict().items()}
        if self.shift is not None and self.scale is not None:
            state |= {"input_shift": torch.from_numpy(self.shift), "input_scale": torch.from_numpy(self.scale)}
        with atomic(Path(folder) / "head.safetensors") as part:
            about = {"seed": str(self.scores.seeds[self.best]), "labels": "\n".join(self.scores.labels)}
            about |= {name: self.scores.settings[name] for name in (SHA, LAYER) if name in self.scores.settings}
            about[LOSS] = self.scores.settings["trained_with"]
            save_file(state, str(part), metadata={**about, "activation": self.heads[self.best].activation})
        return self.scores.save(folder)


def run_probe(
    name: str,
    splits: Splits,
    labels: Sequence[str],
    seeds: Sequence[int] = (0, 1, 2),
    settings: ProbeSettings | None = None,
    about: Mapping[str, Any] | None = None,
    log_curve: LogCurve | None = None,
    on_epoch: Callable[[], object] | None = None,
) -> ProbeResult:
    """Train one head per seed (and learning rate of a grid), choose by validation, and score the test split once.

    Args:
        name: what the system is called in tables.
        splits: training, validation and test, with the same D inputs and L labels.
        labels: names of the L labels.
        seeds: one head each.
        settings: how heads are trained (none: as MAEST's).
        about: plain values that are saved with the result (embeddings, block, token types).
        log_curve: called for every epoch as log_curve("val_loss", value, epoch) with the mean over seeds, for train_loss and every validation curve.
        on_epoch: called after every epoch of every head (progress).

    Raises GroundtruthError or ConfigError before training for splits that do not fit each other or hold values that are not
    finite, for a training or test split without items, and for a validation split on which the monitor is not defined.
    """
    settings = settings or ProbeSettings()
    source = prepare(splits, labels, seeds, settings)
    specs = [HeadSpec(int(seed), rate) for seed in seeds for rate in settings.rates]
    trained = chosen_rates(train_heads(specs, [source], settings, labels, on_epoch), settings)
    if log_curve is not None:
        log_curves(trained, log_curve)
    return score_test(name, trained, source, splits[2], labels, settings, about)


def prepare(splits: Splits, labels: Sequence[str], seeds: Sequence[int], settings: ProbeSettings) -> Source:
    """What heads learn from, after all checks; of the test split only its shapes, keys and finiteness are looked at. Raises as `run_probe`."""
    check_splits(splits, labels, settings.monitor_name, settings.task)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ConfigError(f"A probe needs one or more different seeds of 0 or more, not {list(seeds)}.")
    train, validation, _ = splits
    shift, scale = standardisation(train.x) if settings.standardise else (None, None)
    return Source(train.known().examples(settings.task), validation.examples(settings.task), shift, scale)


def chosen_rates(trained: Sequence[TrainedHead], settings: ProbeSettings) -> list[TrainedHead]:
    """Of each seed (and source) the head whose learning rate is best by the monitor; the order of the first of each."""
    sign = settings.spec.sign(settings.monitor_name)
    best: dict[tuple[int, int], TrainedHead] = {}
    for head in trained:
        key = (head.spec.source, head.spec.seed)
        if key not in best or sign * head.value(settings.monitor_name) > sign * best[key].value(settings.monitor_name):
            best[key] = head
    return list(best.values())


def log_curves(trained: Sequence[TrainedHead], log_curve: LogCurve) -> None:
    """Log the curves' means over the heads that reached each epoch."""
    for name in trained[0].curves:
        for epoch, value in enumerate(_padded(trained, name).T):
            log_curve(name, float(np.nanmean(value)), epoch)


def _padded(trained: Sequence[TrainedHead], name: str) -> np.ndarray:
    """One curve of every head, [H, epochs]; NaN behind the end of a head that stopped early."""
    longest = max(len(head.curves[name]) for head in trained)
    return np.stack(
        [np.pad(head.curves[name], (0, longest - len(head.curves[name])), constant_values=np.nan) for head in trained]
    )


def score_test(
    name: str,
    trained: Sequence[TrainedHead],
    source: Source,
    test: Split,
    labels: Sequence[str],
    settings: ProbeSettings,
    about: Mapping[str, Any] | None = None,
) -> ProbeResult:
    """Score trained heads on the test split: the one place that uses it."""
    monitor, loss, spec = settings.monitor_name, settings.loss_name, settings.spec
    how = settings.aggregate if settings.aggregate != "best" else best_aggregation(trained, source, labels, settings)
    outputs = [head_logits(head.head, test.x, source) for head in trained]
    targets = test.y if test.frames is not None else test.examples(settings.task).y
    if test.frames is not None:
        predictions: Any = test.frames.outputs(np.stack(outputs), loss)
        how = "vectors in time"
    else:
        predictions = np.stack([aggregate(z, test.track, len(test.keys), how, loss, spec.one_class) for z in outputs])
    windows: dict[str, list[float]] = {}
    if test.track is not None and test.frames is None:
        for z in outputs:
            each = aggregate(z, None, len(z), how, loss, spec.one_class)
            for metric, value in spec.score(Predictions(targets[test.track], each, labels)).items():
                windows.setdefault(metric, []).append(value)
    chosen = [head.value(monitor) for head in trained]
    rates = {"max_lr": [head.spec.rate for head in trained]} if settings.lr_grid else {}
    best = int(np.argmax(spec.sign(monitor) * np.array(chosen)))
    mixed = [head.head.layer_logits for head in trained if head.head.layer_logits is not None]
    shares = {"layer_weights": [logits.detach().softmax(0).tolist() for logits in mixed]} if mixed else {}
    scores = SystemScores(
        name=name,
        split=test.name,
        labels=list(labels),
        keys=list(test.keys),
        targets=targets,
        predictions=predictions,
        seeds=[head.spec.seed for head in trained],
        validation={monitor: chosen, "best_epoch": [int(head.kept) for head in trained], **rates},
        history={curve: _padded(trained, curve) for curve in trained[0].curves},
        settings={
            "system": "probe",
            **{**asdict(settings), "lr_grid": list(settings.lr_grid)},
            "in_dim": int(test.x.shape[-1]),
            "trained_with": loss,
            "chosen_by": monitor,
            "aggregate": "one vector per track" if test.track is None else "mean" if spec.numeric else how,
            **shares,
            **(about or {}),
        },
        task=settings.task,
        windows=windows,
        groups=test.group,
    )
    return ProbeResult(scores, [head.head for head in trained], best, source.shift, source.scale)


def best_aggregation(trained: Sequence[TrainedHead], source: Source, labels: Sequence[str], settings: ProbeSettings) -> str:
    """The way from windows to tracks that is best on validation, by the monitor's metric, mean over heads."""
    spec, validation, found = settings.spec, source.validation, {}
    metric = spec.curves.get(settings.monitor_name, spec.main)
    outputs = [head_logits(head.head, validation.x, source) for head in trained]
    for how in AGGREGATIONS:
        tracks = [aggregate(z, validation.track, len(validation.y), how, settings.loss_name, spec.one_class) for z in outputs]
        scores = [mean_of_outputs(metric.score(Predictions(validation.y, values, labels))) for values in tracks]
        found[how] = float(np.mean(scores)) * metric.sign
    return max(found, key=lambda how: found[how])


def standardisation(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of every column, [D] (or [K, D]) each, float32; the sd of a constant column is taken as 1."""
    shift, scale = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    return shift.astype(np.float32), np.where(scale > 1e-8 * (1 + np.abs(shift)), scale, 1.0).astype(np.float32)


def check_splits(splits: Splits, labels: Sequence[str], monitor: str = "auto", task: str = "multi-label") -> None:
    """Refuse splits that cannot be trained on or scored, before any work. Raises GroundtruthError."""
    check_sizes(splits)
    train = splits[0]
    for split in splits:
        n, rows = len(split.keys), len(split.keys) if split.track is None else len(split.track)
        if split.x.shape != (rows, *train.x.shape[1:]) or split.y.shape != (n, len(labels)):
            raise GroundtruthError(
                f"The {split.name} split has embeddings {split.x.shape} and labels {split.y.shape}; {n} tracks, {len(labels)} labels "
                f"and {train.x.shape[1:]} inputs want {(rows, *train.x.shape[1:])} and {(n, len(labels))}."
            )
        if split.track is not None and not np.array_equal(np.unique(split.track), np.arange(n)):
            raise GroundtruthError(f"The {split.name} split has tracks without windows.")
        bad = np.flatnonzero(~_sound_rows(split.x))
        if len(bad):
            named = np.unique(bad if split.track is None else split.track[bad])
            shown = ", ".join(split.keys[i] for i in named[:5])
            raise GroundtruthError(
                f"{len(named)} of {n} {split.name} tracks have embeddings that are not finite, or beyond {LARGEST:g}: {shown}. Extract them again."
            )
    check_truths([Targets(split.name, split.keys, split.y) for split in splits], labels, monitor, task)


def check_sizes(splits: Sequence[Targets | Split]) -> None:
    """Refuse a split without tracks, and a test split (the last) of one. Raises GroundtruthError."""
    for split in splits:
        if not len(split.keys):
            raise GroundtruthError(f"The {split.name} split has no tracks.")
    if len(splits[-1].keys) == 1:
        raise GroundtruthError(
            f"The {splits[-1].name} split has one track, {splits[-1].keys[0]}: scores compare tracks, give it more."
        )


def check_truths(splits: Sequence[Targets], labels: Sequence[str], monitor: str = "auto", task: str = "multi-label") -> None:
    """Refuse labels that cannot be trained on or scored, whatever is trained. splits: train, validation, test. Raises GroundtruthError."""
    check_sizes(splits)
    validation = splits[1]
    spec = get_task(task)
    spec.check(joined([split.y for split in splits]), [key for split in splits for key in split.keys], labels)
    for one, other in combinations(splits, 2):
        used = set(one.keys)
        if shared := [key for key in other.keys if key in used]:
            raise GroundtruthError(
                f"{len(shared)} {other.name} tracks are also used as {one.name} tracks: {', '.join(shared[:5])}."
            )
    if spec.one_class:
        _check_classes(splits, labels)
    monitor = spec.monitor(monitor)
    metric = spec.curves.get(monitor) if spec.frames is None else None
    if metric is not None and not metric.is_defined(validation.y, labels):
        found = (
            "" if spec.numeric else "; ".join(f"{one.name} ({len(one.keys)} tracks): {_uneven(one.y, labels)}" for one in splits)
        )
        raise GroundtruthError(
            f"No {spec.nouns[0]} has what {monitor} needs among the {len(validation.y)} validation tracks: {metric.needs}. "
            f"{found}{'. ' if found else ''}Give validation more tracks, or choose the epoch by the loss: optimizer.monitor={LOSS_CURVE}."
        )


def _check_classes(splits: Sequence[Targets], labels: Sequence[str]) -> None:
    """Refuse one class in all splits, and log it in one of them: a head that always names it is right there."""
    of = [[label for label, there in zip(labels, np.asarray(split.y.any(axis=0))) if there] for split in splits]
    if len({label for found in of for label in found}) == 1:
        raise GroundtruthError(
            f"All tracks are of the class '{of[0][0]}': there is nothing to tell apart. Add tracks of other classes, or choose another column "
            "(data.label_column)."
        )
    for split, found in zip(splits, of):
        if len(found) == 1:
            log.warning("All %d %s tracks are of the class '%s'.", len(split.keys), split.name, found[0])


def _uneven(y: np.ndarray, labels: Sequence[str]) -> str:
    """Which labels no track has, and which every track has."""
    none, every = ([label for label, odd in zip(labels, np.asarray(which)) if odd] for which in (~y.any(axis=0), y.all(axis=0)))
    words = [f"{what} {listed(found, 5)}" for what, found in (("no track has", none), ("every track has", every)) if found]
    return ", ".join(words) or "each label on some tracks"


def _sound_rows(x: np.ndarray) -> np.ndarray:
    """Which rows hold numbers up to LARGEST only, no NaN, bool [R], in bounded memory."""
    axes = tuple(range(1, x.ndim))
    return np.concatenate([(np.abs(x[i : i + 4096]) <= LARGEST).all(axis=axes) for i in range(0, len(x), 4096)])
