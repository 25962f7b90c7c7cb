"""The command that pre-trains, extracts and probes, and writes one page of it all."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from datasets.groundtruth.groundtruth import Groundtruth, match
from datasets.groundtruth.values import Values
from datasets.store.track_store import TrackStore
from models.bounded_files import check_writable_file, read_json
from models.encoder import AudioEncoder
from models.errors import ConfigError

from ..data.find import Tracks, demo_data, prepared
from ..data.heard import read_heard
from ..evaluation import showcase
from ..evaluation.study import ProbeSetup, Study, folds_study, forget_older_embeddings, split_study
from ..extraction.origin import heard_notes
from ..families.base import RANDOM, Config, Purpose
from ..probe.inputs import Inputs
from ..probe.protocol import Protocol
from ..probe.sections import probe_settings
from ..reports.report import Example, write_report
from ..reports.tables import print_scores
from ..runtime.place import is_first_process
from .context import Context
from .train import train


def report(context: Context) -> dict[str, float]:
    """Pre-train, extract, probe (beside an untrained network and mel statistics), and write one page of it all: report.html.

    report.folds: for small data, all of it k times, each time pre-trained without the tracks that are then tested.
    """
    config = context.config
    _check_folds(config)
    _check_path(config.report.path)
    _probe(context, _begun_with(context))  # layer and settings, refused before music is made and a network trained
    if config.report.folds:
        folder, study = context.folder, _folds_study(context)
    else:
        job = context.enter(("train", "val", "test"), Purpose.TRAIN)
        context = replace(context, seed=job.seed)
        folder = job.folder
        result = train(context, job.tracks, folder, job.start)
        if not is_first_process():
            return {}  # it was there for the training
        assert result.last is not None  # a training that ends leaves it
        forget_older_embeddings(folder, result.last)
        study = _split_study(context, job.tracks, folder, str(result.best or result.last))
    scores = _write(context, study, folder)
    main = study.scores[0].spec.main
    for name, score in scores.items():
        context.run.log_scalar(f"test_{main.log_name or main.name}.{name}", score, 0)
    return scores


def _begun_with(context: Context) -> AudioEncoder:
    """Return a network of the trained one's sizes: a weight file's, where the training begins with one."""
    family, config = context.family, context.config
    if family.section(config).checkpoint is None:
        return family.sketch(config)
    return family.network(config, None, context.seed)


def _check_path(path: str | None) -> None:
    """Raise ConfigError where the page could not be written."""
    if path is None:
        return
    if Path(path).is_dir():
        raise ConfigError(f"report.path is {path}, a folder: name the file of the page, such as {Path(path) / 'report.html'}.")
    check_writable_file(path, ConfigError, "report.path")


def _check_folds(config: Config) -> None:
    """Raise ConfigError for what does not go with cross-validation."""
    if config.report.folds and config.ckpt_path is not None:
        raise ConfigError(
            "Every fold is pre-trained from the beginning, without its test tracks: ckpt_path does not go with report.folds. Leave one out."
        )
    windows = [
        f"report.data.{part}_windows"
        for part in ("train", "val", "test")
        if getattr(config.report.data, f"{part}_windows") != "mean"
    ]
    unused = [*windows, *(["report.z_scored"] if config.report.z_scored else [])]
    if config.report.folds and unused:
        raise ConfigError(
            f"Cross-validation takes one vector per track, once: leave {', '.join(unused)} at mean (report.z_scored at False), or report.folds at 0."
        )
    if config.report.folds and (str(config.trainer.devices), config.trainer.num_nodes) != ("1", 1):
        raise ConfigError(
            "Cross-validation trains a network per fold, each in one process: leave trainer.devices and num_nodes at 1."
        )


def _probe(context: Context, net: AudioEncoder) -> ProbeSetup:
    """Return how the config probes networks such as `net`."""
    config, r = context.config, context.config.report
    layer = context.family.layers(config, net)[0]
    seen = context.family.probe_inputs(config, net, layer)
    protocol = Protocol(
        probe_settings(r.trainer, r.optimizer, r.model, r.batch_size, r.standardise, r.data, r.task),
        Inputs(seen.types, seen.reduce, seen.token_size, train=seen.train, val=seen.val, test=seen.test),
        tuple(r.seeds),
    )
    return ProbeSetup(
        protocol,
        layer=layer,
        batch_size=config.datamodule.batch_size_test,
        z_scored=r.z_scored,
    )


def _split_study(context: Context, found: Tracks, folder: Path, weights: str) -> Study:
    family, config, labels = context.family, context.config, found.truths["test"].labels or None
    trained = family.network(config, labels, context.seed, weights)
    untrained = family.network(config, labels, context.seed, RANDOM)
    return split_study(trained, untrained, found, folder, _probe(context, trained), _mel_store(context, found))


def _folds_study(context: Context) -> Study:
    family, config, r = context.family, context.config, context.config.report
    found = context.find_tracks(("all",), Purpose.TRAIN)
    labels = found.truths["all"].labels

    def pretrain(truths: Mapping[str, Groundtruth | Values], where: Path) -> AudioEncoder:
        of_labels = {split: truth for split, truth in truths.items() if isinstance(truth, Groundtruth)}
        fold = Tracks(found.store, None, of_labels, found.name)
        result = train(context, fold, where, prefix=f"fold{where.name}.")
        return family.network(config, labels, context.seed, str(result.best or result.last))

    untrained = family.network(config, labels, context.seed, RANDOM)
    return folds_study(
        pretrain,
        untrained,
        found,
        context.folder,
        _probe(context, untrained),
        _mel_store(context, found),
        folds=r.folds,
        repeats=r.repeats,
    )


def _mel_store(context: Context, found: Tracks) -> Path | None:
    """Return mels of the same tracks: the store itself, or one that is made where their audio is known."""
    c = context.config.datamodule
    if context.family.waveform_rate(context.config) is None:
        return found.store
    if c.audio_dir is None and c.base_dir is not None:
        return None
    return prepared(c.audio_dir, None) if c.audio_dir is not None else demo_data(c.demo_tracks)[0]


def _write(context: Context, study: Study, folder: Path) -> dict[str, float]:
    """Save a study's probes, write its page and print its scores; return each system's mean score."""
    r, net = context.config.report, study.network
    study.save(folder / "probe")
    about = {
        "Pre-training": {"command": " ".join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]), "seed": context.seed},
        "Network": {**net.settings, **({"labels": len(net.label_names)} if net.has_classes else {}), "layer probed": study.block},
    }
    shown: list[Example] = []
    if net.has_classes and isinstance(study.shown, Groundtruth):
        shown = showcase.examples(net, study.store, study.shown, study.mels)
    learned = _last_validated(study.curves)
    notes = [
        *study.notes,
        *_heard_before(context, study),
        *_notes(context),
        *context.family.training_notes(context.config, learned),
    ]
    page = study.report(r.title, about, examples=shown, notes=notes)
    path = write_report(Path(r.path) if r.path else folder / "report.html", page)
    print_scores(study.scores)
    context.print(f"Report: {path}")
    return {one.name: one.mean() for one in study.scores}


def _heard_before(context: Context, study: Study) -> list[str]:
    """Return the sentence on scored tracks that the weights which the training began with had heard."""
    heard = read_heard(context.family.section(context.config).checkpoint)
    if heard is None:
        return []
    store, keys = TrackStore.open(study.store), study.scores[0].keys
    names = [store.names[i] for i in match(keys, store.names).numbers if i >= 0]
    found = heard.among(names, store.lengths[[store.index(name) for name in names]])
    if not any(found.values()):
        return []
    counts = {
        "trained_on": len(found["train"]),
        "chosen_by": len(found["val"]),
        "with_labels": int(heard.labelled),
        "of": len(keys),
    }
    return heard_notes(counts)


def _last_validated(history: Path) -> dict[str, float]:
    """Return the metrics of the last epoch that was validated."""
    rows: list[dict[str, float]] = list(read_json(history))
    return next((row for row in reversed(rows) if "val_loss" in row), {})


def _notes(context: Context) -> list[str]:
    """Return what the page says of labels and inputs."""
    notes = []
    if not context.family.labelled(context.config):
        notes.append(
            "Pre-training saw the training tracks without their labels; the probe's head was trained on the frozen vectors."
        )
    if context.config.report.z_scored:
        notes.append(
            "Inputs z-scored: by the training tracks' mean and deviation. An untrained network's vectors hardly vary, and gain most by it."
        )
    return notes
