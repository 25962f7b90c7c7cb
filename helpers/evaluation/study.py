"""A pre-trained network, an untrained one of its size and mel statistics under one probe: on one split, or by cross-validation of all of it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.values import Values
from models.encoder import AudioEncoder

from ..data.find import Tracks
from ..extraction.extract import ExtractionSettings, extract_embeddings
from ..metrics.scores import SystemScores
from ..probe.inputs import read_split
from ..probe.protocol import Protocol
from ..probe.run import ProbeResult, Split, Splits, run_probe
from ..reports.report import Report
from .baselines import mel_statistics
from .comparison import compare_systems
from .crossval import cross_validate, linear_fit, probe_fit, repeated_folds
from .own_test import ITSELF, can_be_tested, own_scores, tagger_predictions
from .system_names import mel_name

log = logging.getLogger(__name__)
TRAINED, UNTRAINED = "pre-trained", "untrained"


@dataclass(frozen=True)
class Study:
    """What a study found, and what its report shows: scores by system, probes, the network and tracks of the examples, training curves."""

    scores: list[SystemScores]
    network: AudioEncoder
    store: Path
    shown: Groundtruth | Values  # tracks that the network has not seen
    truths: Mapping[str, Groundtruth | Values]
    curves: Path
    block: int
    probes: dict[str, ProbeResult] = field(default_factory=dict)
    notes: Sequence[str] = ()
    mels: Path | None = None  # log-mels of the tracks
    compared: Sequence[tuple[str, str]] = ()  # systems whose difference is of interest (none: the first and each other)

    @property
    def class_counts(self) -> dict[str, list[int]]:
        """Split -> tracks per label; {} where targets are numbers."""
        return {name: truth.counts.tolist() for name, truth in self.truths.items() if isinstance(truth, Groundtruth)}

    def report(self, title: str, about: Mapping[str, Mapping[str, Any]], **more: Any) -> Report:
        """What its page shows. about: what was run, section -> settings. more: of Report (examples, notes, intro)."""
        return Report(
            title, self.scores, curves=self.curves, compared=self.compared, class_counts=self.class_counts, about=about, **more
        )

    def save(self, folder: Path) -> None:
        """Save every system's scores, with its probe where there is one, in a sub-folder by its name."""
        for one in self.scores:
            self.probes.get(one.name, one).save(folder / one.name.replace(" ", "_"))


@dataclass(frozen=True)
class ProbeSetup:
    """How a study probes a network.

    Attributes:
        protocol: settings, inputs and seeds of the probe (no seeds of a cross-validation, whose repetitions have their own).
        layer: that is extracted.
        batch_size: windows at once in extraction.
        z_scored: beside it the same probe on z-scored inputs.
    """

    protocol: Protocol
    layer: int
    batch_size: int
    z_scored: bool = False


def split_study(
    trained: AudioEncoder, untrained: AudioEncoder, found: Tracks, folder: Path, probe: ProbeSetup, mels: Path | None
) -> Study:
    """Return the three systems on the splits train, val and test; `folder` has the training's history and gets the embeddings.

    mels: mel store of the same tracks, for mel statistics; None: without them.
    """
    stores: dict[str, str | Path] = {}
    settings = probe.protocol.settings
    for name, net in ((TRAINED, trained), (UNTRAINED, untrained)):
        stores[name] = _embed(net, found.store, folder / "embeddings" / name, name, probe)
    scores, probes = compare_systems(stores, found.truths, replace(probe.protocol, data=found.name), mels=mels)
    if can_be_tested(trained, scores[0].labels):
        scores = [*scores, own_scores(trained, found.store, scores[0])]
    compared = [(TRAINED, one.name) for one in scores[1:]]
    if probe.z_scored:
        named = {f"{name}, inputs z-scored": path for name, path in stores.items()}
        how = replace(probe.protocol, data=found.name, settings=replace(settings, standardise=True))
        more, more_probes = compare_systems(named, found.truths, how)
        scores, probes = [*scores, *more], {**probes, **more_probes}
        compared += [(more[0].name, one) for one in (more[1].name, *([mel_name(settings.task)] if mels is not None else []))]
    truths = found.truths
    return Study(
        scores,
        trained,
        found.store,
        truths["test"],
        truths,
        folder / "history.json",
        probe.layer,
        probes,
        mels=mels,
        compared=compared,
    )


def forget_older_embeddings(folder: Path, checkpoint: Path) -> None:
    """Remove the trained network's embeddings of a run folder where they are older than its last checkpoint: it was trained further."""
    stored = folder / "embeddings" / TRAINED
    if stored.is_dir() and stored.stat().st_ctime_ns < checkpoint.stat().st_mtime_ns:
        log.info("%s are of a network that was trained further since: they are made again.", stored)
        shutil.rmtree(stored)


def folds_study(
    pretrain: Callable[[Mapping[str, Groundtruth | Values], Path], AudioEncoder],
    untrained: AudioEncoder,
    found: Tracks,
    folder: Path,
    probe: ProbeSetup,
    mels: Path | None,
    *,
    folds: int,
    repeats: int,
) -> Study:
    """Return the three systems by repeated k-fold cross-validation, on the same folds; each fold's network is pre-trained without its test tracks.

    Args:
        pretrain: {"train", "val"} groundtruths and a folder -> the trained network.
        untrained: the network before any training.
        found: tracks, with one groundtruth "all".
        folder: for embeddings and the folds' trainings.
        probe: of every fold.
        mels: mel store of the same tracks, for mel statistics; None: without them.
        folds, repeats: of the cross-validation.
    """
    truth, settings, inputs = found.truths["all"], probe.protocol.settings, probe.protocol.inputs
    baseline = _embed(untrained, found.store, folder / "embeddings" / UNTRAINED, UNTRAINED, probe)
    everything = read_split("all", baseline, truth, inputs, skip_missing=True, data=found.name)
    chosen = repeated_folds(everything.y, folds, repeats)
    last: dict[str, Any] = {}
    own: list[tuple[int, list[int], np.ndarray]] = []  # repetition, rows, predictions of each fold's tagger itself

    number = {key: i for i, key in enumerate(truth.keys)}

    def tracks_of(split: Split) -> Groundtruth | Values:
        return truth.subset([number[key] for key in split.keys])

    def fit(splits: Splits, repeat: int) -> np.ndarray:
        train, validation, test = splits
        where = folder / "folds" / f"{len(last)}"
        log.info("Fold %d of %d.", len(last) + 1, folds * repeats)
        net = pretrain({"train": tracks_of(train), "val": tracks_of(validation)}, where)
        path = _embed(net, found.store, where / "embeddings", TRAINED, probe)
        parts = tuple(read_split(part.name, path, tracks_of(part), inputs) for part in splits)
        last[str(where)] = (net, where, test)
        if can_be_tested(net, truth.labels):
            rows = [everything.keys.index(key) for key in test.keys]
            own.append((repeat, rows, tagger_predictions(net, found.store, test.keys, truth.labels)))
        return run_probe("fold", parts, truth.labels, seeds=(repeat,), settings=settings).scores.predictions[0]  # type: ignore[arg-type]

    about, task = {"types": inputs.types, "reduce": inputs.reduce, "block": probe.layer}, settings.task
    scores = [
        cross_validate(TRAINED, fit, everything, truth.labels, chosen, about, task),
        cross_validate(UNTRAINED, probe_fit(truth.labels, settings), everything, truth.labels, chosen, about, task),
    ]
    if own:
        predictions = np.zeros_like(scores[0].predictions)
        for repeat, rows, values in own:
            predictions[repeat, rows] = values
        scores.append(
            replace(scores[0], name=ITSELF, predictions=predictions, history={}, validation={}, settings={"head": "its own"})
        )
    if mels is not None:
        mel = replace(everything, x=mel_statistics(mels, everything.keys))
        scores.append(cross_validate(mel_name(task), linear_fit(truth.labels, task), mel, truth.labels, chosen, task=task))
    net, where, unseen = list(last.values())[-1]
    notes = ("Each fold's network was pre-trained without its test tracks; curves and examples are the last fold's.",)
    return Study(
        scores,
        net,
        found.store,
        tracks_of(unseen),
        {"all": truth},
        where / "history.json",
        probe.layer,
        notes=notes,
        mels=mels,
    )


def _embed(net: AudioEncoder, store: Path, out: Path, name: str, probe: ProbeSetup) -> Path:
    settings = ExtractionSettings(model=name, batch_size=probe.batch_size)
    return extract_embeddings(net, store, out, [probe.layer], settings).paths[probe.layer]
