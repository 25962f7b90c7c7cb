"""The command that trains: the default one."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path

from datasets.loading.datamodule import TrackDataModule
from models.weights.checkpoints import HEAD

from ..data.find import Tracks
from ..data.heard import heard_of, read_heard
from ..data.silence import warn_of_silence
from ..experiments.job import metric_logger, work_begins
from ..families.base import Purpose
from ..families.checkpointing import checkpoint_gradients
from ..runtime.devices import count_processes
from ..runtime.place import is_first_process
from ..training.fit import FitResult, fit
from ..training.same_training import BATCH, DATA, TrainingIdentity
from ..training.settings import TrainingSettings
from .context import Context
from .loading import make_data_module
from .networks import check_trainable

log = logging.getLogger(__name__)


def main(context: Context) -> dict[str, float]:
    """Pre-train: the default command. Leaves checkpoints/best.ckpt, last.ckpt and history.json in the run's folder."""
    job = context.enter(("train", "val"), Purpose.TRAIN)
    context = replace(context, seed=job.seed)
    result = train(context, job.tracks, job.folder, job.start)
    context.print(f"Best epoch's weights: {result.best or result.last}", f"Last epoch's weights: {result.last}")
    return result.metrics


def train(context: Context, found: Tracks, folder: Path, start: Path | None = None, prefix: str = "") -> FitResult:
    """Train the config's network on the found tracks; all that is left of it stands in `folder`.

    Args:
        context: of the command.
        found: tracks of the splits train and val.
        folder: where to.
        start: the checkpoint to go on from.
        prefix: of the metrics' names.
    """
    family, config, seed = context.family, context.config, context.seed
    labels = found.truths["train"].labels if family.labelled(config) else []
    net = family.network(config, labels or None, seed)
    if HEAD in family.settings_of(family.section(config).checkpoint):
        log.info("The checkpoint was fine-tuned: training begins with its encoder, without the head of the fine-tuning.")
    check_trainable(family, net, labels)
    if config.trainer.gradient_checkpointing:
        checkpoint_gradients(net, "trainer.gradient_checkpointing")
    data = make_data_module(family, config, net, found, seed)
    data.setup("fit")
    data.check_batches(count_processes(config.trainer))
    n_validation = int(data.summary().get("tracks of val", 0))
    family.before_training(config, n_validation)
    work_begins(context.run)
    if is_first_process():
        _note_heard(context, data, folder)
    if is_first_process() and start is None:
        for split, what in (("train", "training"), ("val", "validation")):
            if split in found.truths:
                warn_of_silence(data.split(split).reader.store, data.split(split).tracks, what)
    result = fit(
        family.objective(config, net),
        data,
        TrainingSettings.of(config.trainer, out_dir=folder, seed=seed, resume_from=start),
        optimization=family.optimization(config),
        averaging=family.averaging(config),
        identity=_identity(context, data),
        log_metric=metric_logger(context.run, prefix),
    )
    family.after_training(config, n_validation, {**result.metrics, "step": float(result.steps)})
    return result


def _note_heard(context: Context, data: TrackDataModule, folder: Path) -> None:
    """Keep which tracks are trained on and chosen by beside the checkpoints, with those of the weights that the training begins with."""
    family, config = context.family, context.config
    splits = {name: data.split(name) for name in ("train", "val") if name in data.given}
    heard = heard_of({name: (split.reader.store, split.tracks) for name, split in splits.items()}, family.labelled(config))
    folder.mkdir(parents=True, exist_ok=True)
    heard.joined(read_heard(family.section(config).checkpoint)).write(folder)


def _identity(context: Context, data: TrackDataModule) -> TrainingIdentity:
    """Return what a run that continues this one's checkpoints must have in common with it: its settings, its data, and items per batch."""
    config, rules = context.config, context.rules
    whole = {**asdict(config), "seed": context.seed}
    about = {
        **rules.about_data(whole, data.summary()),
        DATA: data.fingerprint(),
        BATCH: data.batching.batch_size_train * count_processes(config.trainer),
    }
    if config.module.optimizer.schedule_mode == "cosine":  # it ends with the last epoch
        about["trainer.max_epochs"] = config.trainer.max_epochs
    return rules.identity(whole, about)
