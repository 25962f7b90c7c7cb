"""Transfer learning: how well do frozen embeddings hold a set of labels? MAEST's probe (arXiv 2309.16418, section 4.4).

python ex_maest.py extract_embeddings with maest_30s_from_passt_inference target_mtt
python ex_tl.py with target_mtt_tl
python ex_tl.py with data.base_dir=EMBEDDINGS data.groundtruth=labels.csv data.types=cdt data.reduce=stack
python ex_tl.py with target_mtt_tl marble                  another field's protocol: maest_tl, clmr_linear, clmr_mlp, marble, omar
python ex_tl.py sweep with target_mtt_tl data.base_dir=outputs/embeddings/mtt/30sec/      a score per block and kind of token
python ex_tl.py few_label with target_mtt_tl               score versus the share of training labels
python ex_tl.py with beats data.base_dir=FRAMES data.annotations=BEATS    frame-level: beats, chords, structure (docs/probes.md)
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import configs
from configs.schema_probe import ExTl
from datasets.utils.terminal import begin_in_utf8, visible
from helpers.experiments.experiment import Experiment, Run
from helpers.experiments.job import metric_logger, run_folder
from helpers.experiments.provenance import project_sources
from helpers.utils.typed_config import build

if TYPE_CHECKING:
    from helpers.evaluation.baseline_inputs import BaselineInputs
    from helpers.probe.protocol import Protocol

log = logging.getLogger(__name__)
ROOT = Path(__file__).parent

ex = Experiment("transfer_learning", ExTl, named=configs.PROBE, root="out_dir", base_dir=str(ROOT))
ex.store_sources(project_sources(ROOT))


def typed(config: Mapping[str, Any]) -> ExTl:
    """Return Sacred's config as an instance of its schema."""
    found: ExTl = build(ExTl, config)
    return found


def targets(config: ExTl, out_dir: Path, embedded: bool = True) -> dict[str, Any]:
    """Return groundtruth (or values) by split, or {"all": ...} for cross-validation, with the share of the training tracks that is asked for.

    embedded: whether the command reads embeddings.
    """
    from helpers.evaluation.few_label import drawn
    from helpers.metrics.tasks import get_task
    from helpers.probe.targets import TableReading, read_frame_targets, read_targets
    from models.errors import ConfigError, GroundtruthError

    d = config.data
    if d.base_dir is None and embedded:
        raise ConfigError("No embeddings: give data.base_dir, what the command extract_embeddings of pre-training wrote.")
    if get_task(d.task).frames is not None:
        found = read_frame_targets(d.task, d.annotations, d.groundtruth, d.metadata_dir, d.split_seed, d.skip_missing)
    else:
        reading = TableReading(d.group_column, d.label_separator)
        found = read_targets(
            d.task, d.groundtruth, d.metadata_dir, d.label_column, d.split_seed, reading, folds=d.folds, out_dir=out_dir
        )
    n = next(iter(found.values())).n_labels
    if d.n_classes not in (None, n):
        raise GroundtruthError(
            f"data.n_classes is {d.n_classes}, the groundtruth has {n} labels: leave it out, or take the other groundtruth."
        )
    if d.train_share != 1:
        if d.folds:
            raise ConfigError("data.train_share is for a split, not for cross-validation: leave data.folds or it out.")
        found["train"] = found["train"].subset(drawn(len(found["train"]), d.train_share, d.split_seed))
    return found


def protocol(config: ExTl) -> Protocol:
    """Return settings and inputs of the probe, the seeds, and the data set's name."""
    from helpers.probe.protocol import Protocol
    from helpers.probe.sections import check_frame_settings, probe_inputs, probe_settings

    c, d = config, config.data
    check_frame_settings(d)
    return Protocol(
        settings=probe_settings(c.trainer, c.optimizer, c.model, d.batch_size, d.standardise, d, d.task),
        inputs=probe_inputs(d),
        seeds=tuple(c.seeds),
        skip_missing=d.skip_missing,
        data=data_name(c),
    )


def refuse_unused(config: ExTl, command: str) -> None:
    """Raise ConfigError for settings, other than the defaults, that `command` would not use."""
    from models.errors import ConfigError

    unused = {("data", key): "the probe's (main)" for key in ("untrained_dir", "mel_dir", "baselines")}
    if command == "finetune":
        own = {"max_epochs": "max_epochs", "precision": "precision", "max_lr": "lr and head_lr", "weight_decay": "weight_decay"}
        own |= {"warmup_epochs": "warmup_epochs", "batch_size": "batch_size"}
        keys = [("trainer", f.name) for f in fields(config.trainer)]
        keys += [("optimizer", f.name) for f in fields(config.optimizer) if f.name != "monitor"]
        windows = [f"{part}_windows" for part in ("train", "val", "test")]
        embedded = ["types", "reduce", "token_size", "layers", "layer_reduce", "standardise", *windows]
        keys += [("data", key) for key in ("batch_size", *embedded)]
        for section, key in keys:
            unused[section, key] = f"fine-tuning has finetune.{own[key]}" if key in own else "the probe's"
    usual = ExTl()
    differs = lambda section, key: getattr(getattr(config, section), key) != getattr(getattr(usual, section), key)  # noqa: E731
    if found := [f"{section}.{key} ({why})" for (section, key), why in unused.items() if differs(section, key)]:
        raise ConfigError(f"{command} does not use {', '.join(found)}: leave {'it' if len(found) == 1 else 'them'} out.")


def check_repetitions(config: ExTl) -> None:
    """Raise ConfigError for seeds beside a cross-validation, whose repetitions have their own."""
    from models.errors import ConfigError

    if config.data.folds and config.seeds != ExTl().seeds:
        raise ConfigError(
            f"seeds={config.seeds} does nothing in a cross-validation: its spread is over data.repeats (now {config.data.repeats}), each with "
            "other folds and its number as seed. Set data.repeats."
        )
    if config.data.folds:
        log.info("Cross-validation over all tracks: the labels' own split, where there is one, is not used.")


def data_name(config: ExTl) -> str:
    """Return the data set's name, which its scores carry."""
    d = config.data
    return Path(d.groundtruth or d.metadata_dir or d.annotations or "").resolve().with_suffix("").name


def summary(run: Run, scores: Any) -> dict[str, float]:
    """Log the headline scores as test_<name> with the run's observers, and return them."""
    found = {f"test_{metric.log_name or metric.name}": scores.mean(metric) for metric in scores.spec.headline}
    for name, value in found.items():
        run.log_scalar(name, value, 0)
    return found


def print_guesses(scores: Any, found: Mapping[str, Any], how: Protocol, folder: Path) -> None:
    """Of a frame-level task, print and save what a constant and a random guess score, beside one result of the probe."""
    from helpers.evaluation.frame_guesses import guesses_beside
    from helpers.reports.tables import print_scores

    beside = guesses_beside(scores.settings["embeddings"], found, how)
    for one in beside:
        one.save(folder / one.name.replace(" ", "_"))
    if beside:
        print_scores([scores, *beside])


def baselines(config: ExTl, found: Mapping[str, Any], how: Protocol) -> BaselineInputs:
    """Return the inputs of what stands beside the probe; made where they are not there yet. Of tasks in time only those that are named."""
    from helpers.evaluation.baseline_inputs import BaselineInputs, BaselineMaker, baseline_inputs
    from helpers.metrics.tasks import get_task
    from helpers.probe.inputs import check_tracks

    d = config.data
    if get_task(d.task).frames is not None:
        return BaselineInputs(False, d.mel_dir, d.untrained_dir)
    check_tracks(str(d.base_dir), found, how.inputs, how.skip_missing)  # before anything is made
    schemas = {name: script.schema for script in (configs.EX_SSL, configs.EX_MAEST) for name in script.families}
    maker = BaselineMaker(
        embeddings=str(d.base_dir),
        inputs=how.inputs,
        cache=Path(config.out_dir) / "untrained",
        build=lambda family, values: build(schemas[family], values),
        asked=d.baselines != "auto",
    )
    return baseline_inputs(d.baselines, maker, d.mel_dir, d.untrained_dir)


# ---- commands
@ex.main
def main(_run: Run, _config: Mapping[str, Any]) -> dict[str, float]:
    """Train a head per seed, choose each one's epoch on validation, score the test tracks once. Writes scores, report.html and the best head."""
    from helpers.evaluation.baseline_inputs import chosen_baselines
    from helpers.evaluation.comparison import compare_systems
    from helpers.evaluation.constant_guess import constant_guess
    from helpers.extraction.origin import heard_notes, heard_tracks, random_notes
    from helpers.reports.report import Report, write_report
    from helpers.reports.tables import print_scores
    from helpers.reports.winner import winner

    config = typed(_config)
    d = config.data
    check_repetitions(config)
    chosen_baselines(d.baselines)
    folder = run_folder(_run, config.out_dir)
    how = protocol(config)  # refused before any file is read
    found = targets(config, folder)
    beside = baselines(config, found, how)
    systems = {"probe": str(d.base_dir)} | ({"untrained": beside.untrained} if beside.untrained else {})
    scores, results = compare_systems(
        systems,
        found,
        how,
        mels=beside.mels,
        folds=d.folds,
        repeats=d.repeats,
        log_curve=metric_logger(_run),
    )
    if beside.constant:
        scores = [*scores, constant_guess(scores[0], found)]
    if heard := heard_tracks(str(d.base_dir), scores[0].keys, how.inputs.layers):
        scores[0].settings["heard_in_pre_training"] = heard
    for one in scores:
        place = folder if one is scores[0] else folder / one.name.replace(" ", "_")
        results.get(one.name, one).save(place)
    print_scores(scores)
    notes = [*heard_notes(heard), *random_notes(str(d.base_dir), how.inputs.layers)]
    for line in [*filter(None, [winner(scores)]), *notes]:
        print(visible(line))
    if scores[0].spec.frames is None:
        page = Report(f"Probe: {how.data}", scores, notes=notes, about={"Embeddings": {"folder": str(d.base_dir)}})
        print(visible(f"Report: {write_report(folder / 'report.html', page)}"))
    print(f"Scores, predictions{' and the best head' if results else ''}: {folder}")
    return summary(_run, scores[0])


@ex.command
def sweep(_run: Run, _config: Mapping[str, Any]) -> dict[str, Any]:
    """Score per block and kind of token: data.base_dir is the folder above the blocks. Writes sweep.html, .png, .svg, .csv and .json. Resumes."""
    from helpers.evaluation.sweep import best_by_validation, run_sweep, write_tables
    from helpers.evaluation.sweep_report import print_sweep, report_sweep
    from models.errors import ConfigError

    config = typed(_config)
    refuse_unused(config, "sweep")
    folder, s = run_folder(_run, config.out_dir), config.sweep
    if config.data.folds:
        raise ConfigError("A sweep is over a split: leave data.folds out.")
    how, found = protocol(config), targets(config, folder)
    cells = run_sweep(
        str(config.data.base_dir),
        found,
        how,
        layers=s.layers,
        types=[kind.strip() for kind in s.types.split(",")],
        cache=Path(config.out_dir) / "cells",
    )
    write_tables(cells, folder)
    written = report_sweep(cells, folder, s.title, s.metric)
    print_sweep(cells, s.metric)
    print(f"Figure, table and page: {', '.join(map(str, written))}")
    best = best_by_validation(cells)
    print_guesses(best.scores, found, how, folder)
    for cell in cells:
        _run.log_scalar(f"test_{cell.scores.spec.main.name}.{cell.types}", cell.scores.mean(), cell.block)
    return {"block": best.block, "types": best.types, f"test_{best.scores.spec.main.name}": best.scores.mean()}


@ex.command
def few_label(_run: Run, _config: Mapping[str, Any]) -> dict[str, float]:
    """Score versus the share of training labels (1, 10, 100 %), several draws of each. Writes few_label.html, .png, .svg, .csv, .json, points/."""
    from helpers.evaluation.few_label import run_few_label, save_points
    from helpers.evaluation.few_label_report import print_few_label, report_few_label
    from models.errors import ConfigError

    config = typed(_config)
    refuse_unused(config, "few_label")
    folder, f = run_folder(_run, config.out_dir), config.few_label
    if config.data.folds or config.data.train_share != 1:
        raise ConfigError("few_label draws its shares from the training split itself: leave data.folds and data.train_share out.")
    how, found = protocol(config), targets(config, folder)
    points = run_few_label(str(config.data.base_dir), found, how, **vars(f))
    save_points(points, folder)
    written = report_few_label(points, folder)
    print_few_label(points)
    print(f"Figure, table and page: {', '.join(map(str, written))}")
    print_guesses(points[-1].scores, found, how, folder)
    return {f"test_{p.scores.spec.main.name}.{100 * p.share:g}%.{p.draw}": p.scores.mean() for p in points}


@ex.command
def finetune(_run: Run, _config: Mapping[str, Any]) -> dict[str, float]:
    """Train the encoder finetune.model itself on the target, whole or its last blocks; test once. Leaves network.safetensors for each seed."""
    from helpers.metrics.tasks import get_task
    from models.errors import ConfigError

    config = typed(_config)
    if get_task(config.data.task).frames is not None:
        raise ConfigError(f"Fine-tuning is for tracks: the task {config.data.task} is probed on vectors in time (main).")
    from helpers.evaluation.finetune import NETWORK, FineTuneProtocol, FineTuneSettings, finetune, how_to_hear, networks_left
    from helpers.families.checkpointing import checkpoint_gradients
    from helpers.reports.tables import print_scores
    from models import load_model
    from models.registry import family_of

    d, m, f = config.data, config.model, dict(vars(config.finetune))
    model, store, again = f.pop("model"), f.pop("store"), f.pop("gradient_checkpointing")
    if model is None or store is None:
        raise ConfigError(
            "finetune.model names the network (a registered one, or a weight file), finetune.store what it hears. Both are wanted."
        )
    if d.folds:
        raise ConfigError("Fine-tuning is on a split: leave data.folds out.")
    refuse_unused(config, "finetune")
    how = FineTuneProtocol(
        task=d.task,
        head={"hidden": m.hidden_units, "num_layers": m.num_layers, "dropout": m.drop_out, "input_dropout": m.input_drop_out},
        loss=m.loss,
        monitor=config.optimizer.monitor,
        aggregate=d.aggregate,
        seeds=config.seeds,
        skip_missing=d.skip_missing,
        data=data_name(config),
    )
    folder = run_folder(_run, config.out_dir)
    scores = finetune(
        lambda seed: checkpoint_gradients(load_model(model), "finetune.gradient_checkpointing") if again else load_model(model),
        store,
        targets(config, folder, embedded=False),
        FineTuneSettings(**f),
        how,
        out_dir=folder,
        about={"model": model, "store": store},
        log_metric=metric_logger(_run),
    )
    scores.save(folder)
    print_scores([scores])
    net = folder / f"seed-{config.seeds[0]}" / NETWORK
    how_to = how_to_hear(
        net, family_of(net), {name: one.file for one in (configs.EX_MAEST, configs.EX_SSL) for name in one.families}
    )
    print(visible("\n".join([f"Scores and predictions: {folder}", *networks_left(scores, folder), how_to])))
    return summary(_run, scores)


@ex.command
def compare(_run: Run, _config: Mapping[str, Any]) -> dict[str, float]:
    """Results that were saved before, in one table, and their paired differences: compare.runs=exp_out/tl/1,exp_out/tl/2. Tests nothing anew.

    Writes differences.csv.
    """
    from helpers.reports.tables import print_differences, print_scores, saved_systems, write_differences

    config = typed(_config)
    systems = saved_systems([part.strip() for part in config.compare.runs.split(",") if part.strip()])
    print_scores(systems)
    print_differences(systems)
    print(f"Differences: {write_differences(systems, run_folder(_run, config.out_dir) / 'differences.csv')}")
    return {one.name: one.mean() for one in systems}


if __name__ == "__main__":
    begin_in_utf8()
    ex.run_commandline(sys.argv)
