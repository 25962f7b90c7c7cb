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
from ..extraction.embeddings import Reduce
from ..extraction.extract import extract_embeddings
from ..metrics.scores import SystemScores
from ..probe.inputs import Inputs, read_split
from ..probe.protocol import Protocol
from ..probe.run import ProbeResult, ProbeSettings, Split, Splits, run_probe
from ..reports.report import Report
from .baselines import mel_statistics
from .comparison import compare_systems, mel_name
from .crossval import cross_validate, linear_fit, probe_fit, repeated_folds

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


def split_study(
    trained: AudioEncoder,
    untrained: AudioEncoder,
    found: Tracks,
    folder: Path,
    *,
    seeds: Sequence[int],
    settings: ProbeSettings,
    inputs: Inputs,
    block: int,
    batch_size: int,
    mels: Path | None,
    z_scored: bool = False,
) -> Study:
    """The three systems on the splits train, val and test; `folder` has the training's history and gets the embeddings.

    inputs: what of the embeddings the probe sees. mels: mel store of the same tracks, for mel statistics (none: without them).
    z_scored: beside them both networks once more, under the same probe on z-scored inputs.
    """
    stores: dict[str, str | Path] = {}
    for name, net in ((TRAINED, trained), (UNTRAINED, untrained)):
        stores[name] = _embed(net, found.store, folder / "embeddings" / name, name, block, batch_size)
    how = Protocol(settings, inputs, tuple(seeds), data=found.name)
    scores, probes = compare_systems(stores, found.truths, how, mels=mels)
    compared = [(TRAINED, one.name) for one in scores[1:]]
    if z_scored:
        named = {f"{name}, inputs z-scored": path for name, path in stores.items()}
        more, more_probes = compare_systems(named, found.truths, replace(how, settings=replace(settings, standardise=True)))
        scores, probes = [*scores, *more], {**probes, **more_probes}
        compared += [(more[0].name, one) for one in (more[1].name, *([mel_name(settings.task)] if mels is not None else []))]
    truths = found.truths
    return Study(scores, trained, found.store, truths["test"], truths, folder / "history.json", block, probes, compared=compared)


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
    *,
    folds: int,
    repeats: int,
    settings: ProbeSettings,
    types: str,
    reduce: Reduce,
    block: int,
    batch_size: int,
) -> Study:
    """The three systems by repeated k-fold cross-validation, on the same folds; each fold's network is pre-trained without its test tracks.

    pretrain: {"train", "val"} groundtruths and a folder -> the trained network.
    """
    truth = found.truths["all"]
    inputs = Inputs(types, reduce, untrained.embed_dim)
    baseline = _embed(untrained, found.store, folder / "embeddings" / UNTRAINED, UNTRAINED, block, batch_size)
    everything = read_split("all", baseline, truth, inputs, skip_missing=True, data=found.name)
    chosen = repeated_folds(everything.y, folds, repeats)
    last: dict[str, Any] = {}

    number = {key: i for i, key in enumerate(truth.keys)}

    def tracks_of(split: Split) -> Groundtruth | Values:
        return truth.subset([number[key] for key in split.keys])

    def fit(splits: Splits, repeat: int) -> np.ndarray:
        train, validation, test = splits
        where = folder / "folds" / f"{len(last)}"
        log.info("Fold %d of %d.", len(last) + 1, folds * repeats)
        net = pretrain({"train": tracks_of(train), "val": tracks_of(validation)}, where)
        path = _embed(net, found.store, where / "embeddings", TRAINED, block, batch_size)
        parts = tuple(read_split(part.name, path, tracks_of(part), inputs) for part in splits)
        last[str(where)] = (net, where, test)
        return run_probe("fold", parts, truth.labels, seeds=(repeat,), settings=settings).scores.predictions[0]  # type: ignore[arg-type]

    about, task = {"types": types, "reduce": reduce, "block": block}, settings.task
    mel = Split(everything.name, everything.keys, mel_statistics(found.store, everything.keys), everything.y)
    scores = [
        cross_validate(TRAINED, fit, everything, truth.labels, chosen, about, task),
        cross_validate(UNTRAINED, probe_fit(truth.labels, settings), everything, truth.labels, chosen, about, task),
        cross_validate(mel_name(task), linear_fit(truth.labels, task), mel, truth.labels, chosen, task=task),
    ]
    net, where, unseen = list(last.values())[-1]
    notes = ("Each fold's network was pre-trained without its test tracks; curves and examples are the last fold's.",)
    return Study(scores, net, found.store, tracks_of(unseen), {"all": truth}, where / "history.json", block, notes=notes)


def _embed(net: AudioEncoder, store: Path, out: Path, name: str, block: int, batch_size: int) -> Path:
    return extract_embeddings(net, store, out, [block], model=name, batch_size=batch_size).paths[block]
