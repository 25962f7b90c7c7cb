"""Train and test any objective with Lightning: `fit` and `evaluate`, with plain settings and plain results."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models.objective import Objective
from models.weights.checkpoints import AVERAGED, RAW, read_checkpoint

from ..runtime.devices import (
    AUTO,
    PRECISIONS,
    Hardware,
    computing_in,
    job_of,
    lightning_precision,
    resolve_accelerator,
    resolve_devices,
    resolve_precision,
    resolve_strategy,
    work_of,
)
from ..runtime.interrupts import Interrupted, StopRequest, answered_by
from ..runtime.memory import keep_freed_memory
from ..runtime.processes import share
from ._lightning import Callback, EarlyStopping, SLURMEnvironment, pl
from .averaging import AveragedWeights
from .checkpointing import AtomicCheckpointIO, LastCheckpoints, Stop, best_checkpoint
from .history import History, LogFunction, write_json
from .lightning_module import LitObjective
from .optimization import Optimization
from .progress import TrainingProgress
from .resume import Saved, read_saved
from .same_training import TrainingIdentity
from .settings import TrainingSettings
from .synced_norm import SyncedNorms

log = logging.getLogger(__name__)

# settings that are Lightning's as they are
_OF_THE_TRAINER = (
    "max_epochs", "num_nodes", "sync_batchnorm", "limit_train_batches", "limit_val_batches", "num_sanity_val_steps", "check_val_every_n_epoch",
    "log_every_n_steps", "reload_dataloaders_every_n_epochs", "accumulate_grad_batches", "gradient_clip_val",
)  # fmt: skip
# Lightning's remarks that hold for every run here and help nobody
_UNHELPFUL = (
    r".*does not have many workers which may be a bottleneck.*",  # page-cached stores are read fastest in the process itself
    r".*The number of training batches .* is smaller than the logging interval.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*You passed in a `val_dataloader` but have no `validation_step`.*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    r".*Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`.*",  # under fp16 the first steps may be skipped
    r".*Total length of `list` across ranks is zero.*",  # a run without validation is logged as such
    r".*Found \d+ module\(s\) in eval mode at the start of training.*",  # what is frozen
    r".*when using `ckpt_path`, callbacks used to create the checkpoint need to be provided.*",  # the module says what is left out
    r"Grad strides do not match bucket view strides.*",  # of the two extra tokens' positions: a copy of 2 x C numbers
    r".*all_gather is deprecated, use torch.distributed._functional_collectives.*",  # Lightning's own call
    r".*find_unused_parameters=True was specified in DDP constructor, but did not find any unused.*",
)


@dataclass
class FitResult:
    """What a training run leaves: its checkpoints, and the metrics of every epoch (also in `history.json`)."""

    best: Path | None
    last: Path | None
    history: list[dict[str, float]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)  # of the last epoch

    @property
    def steps(self) -> int:
        """Optimiser steps taken, those before a resumption included."""
        return int(self.history[-1]["step"]) if self.history else 0


@dataclass
class Evaluation:
    """What a test found: metrics by name, and class by class what `tagging_scores` gave for each set of scores."""

    metrics: dict[str, float]
    classes: dict[str, dict[str, Any]]


def fit(
    objective: Objective,
    data: pl.LightningDataModule,
    settings: TrainingSettings,
    *,
    optimization: Optimization | None = None,
    averaging: AveragedWeights | None = None,
    identity: TrainingIdentity | None = None,
    log_metric: LogFunction | None = None,
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train `objective` on the data module's training set, validating after every epoch.

    Writes into `settings.out_dir`: checkpoints/best.ckpt (best `monitor`), checkpoints/last.ckpt (after every epoch, and within epochs as
    `save_every_...` say; each replaced whole; `keep_checkpoints` - 1 older ones as step-N.ckpt), history.json and TensorBoard's
    file. A limit of 0 validation batches, or a data module without a validation set, leaves best.ckpt out.

    SIGTERM, SIGUSR1 and Ctrl-C are answered by saving last.ckpt behind the batch at hand.

    Args:
        objective: what learns.
        data: its batches.
        settings: how long, on what, and where to; names and meaning are those of the config's section `trainer`.
        optimization: optimiser and schedule.
        averaging: averaged weights beside the trained ones.
        identity: what a run that continues this one's checkpoints must have in common with it.
        log_metric: called as log_metric(name, value, step) for every metric; a resumed run logs those from before its checkpoint again.
        callbacks: more of Lightning's.

    Raises ConfigError for what cannot run, WeightsError for a checkpoint that is torn (both before it starts), FloatingPointError
    for a loss that is not finite, naming the tracks, CheckpointError for a full disk, Interrupted after a signal.
    """
    keep_freed_memory()
    with job_of(settings):
        s, identity = settings, identity or TrainingIdentity()
        accelerator = resolve_accelerator(s.accelerator, s.devices)
        devices = resolve_devices(s.devices, accelerator)
        strategy = resolve_strategy(s.strategy, devices, s.num_nodes)
        saved = None if s.resume_from is None else read_saved(s.resume_from)
        if saved is not None:
            identity.check(saved, s.max_epochs)
        pl.seed_everything(s.seed, workers=True, verbose=False)
        precision = _precision(s, accelerator, objective, saved)
        folder, request = Path(s.out_dir) / "checkpoints", StopRequest()
        history = History(Path(s.out_dir) / "history.json", Path(s.out_dir) / "tensorboard", log_metric)
        best = best_checkpoint(folder, s.monitor, s.monitor_mode)
        last = LastCheckpoints(
            folder,
            keep=s.keep_checkpoints,
            every_n_steps=s.save_every_n_steps,
            every_minutes=s.save_every_minutes,
            request=request,
            resumed_from=None if saved is None else saved.path,
        )
        stop = [] if s.early_stopping is None else [_EarlyStopping(s.monitor, patience=s.early_stopping, mode=s.monitor_mode)]
        trainer = _trainer(
            Path(s.out_dir),
            [
                best,
                last,
                history,
                *([averaging] if averaging else []),
                *stop,
                *callbacks,
                *([TrainingProgress()] if s.show_progress else []),
            ],
            devices=devices,
            accelerator=accelerator,
            precision=lightning_precision(precision),
            strategy=strategy,
            **{name: getattr(s, name) for name in _OF_THE_TRAINER},
        )
        lit = LitObjective(
            objective,
            replace(optimization or Optimization(), fused=_fused(s, precision)),
            seed=s.seed,
            averaging=averaging,
            experiment=identity.settings,
            computed_in=precision,
        )
        trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
        log.info("Training %s parameters on %s x %s in %s.", f"{trained:,}", trainer.world_size, accelerator, precision)
        if saved is not None:
            log.info(
                "Going on from %s: in or behind epoch %d of %d, step %d.", saved.path, saved.epoch + 1, s.max_epochs, saved.step
            )
        objective.train()  # networks that are loaded come in eval mode, and Lightning leaves modes as they are
        with computing_in("cpu" if accelerator == "cpu" else "cuda", precision):
            _train(trainer, lit, data, None if saved is None else saved.path, request, last)
        if saved is not None and trainer.global_step == saved.step:
            log.info("%s", _nothing_left(saved, s))
    rows = history.rows
    metrics = {k: v for k, v in (rows[-1] if rows else {}).items() if k not in ("epoch", "step", "seconds", "lr")}
    return FitResult(best=_path(best.best_model_path), last=_path(str(last.path)), history=rows, metrics=metrics)


def _nothing_left(saved: Saved, s: TrainingSettings) -> str:
    if saved.epoch + 1 >= s.max_epochs:
        return f"Nothing was left to train: {saved.path} is the end of its {s.max_epochs} epochs. To go on, raise trainer.max_epochs."
    return f"Nothing was trained: early stopping had ended {saved.path} in epoch {saved.epoch + 1}. To go on, raise trainer.early_stopping."


def _precision(s: TrainingSettings, accelerator: str, objective: Objective, saved: Saved | None) -> str:
    """Return what a training computes in, the same in all its processes; a run that goes on without being told otherwise keeps what it began with."""
    chosen = s.precision
    if str(chosen) == AUTO and saved is not None and saved.precision in PRECISIONS:
        chosen = str(saved.precision)
        log.info("Computing in %s, as this run began.", chosen)
    return share(resolve_precision(chosen, accelerator, work_of(objective.net), training=True))


def _fused(s: TrainingSettings, precision: str) -> bool:
    """Whether Adam's steps are fused: not where 32 is asked for by name, whose numbers are those of earlier runs, nor where clipping forbids it."""
    clipped = (
        s.gradient_clip_val is not None and lightning_precision(precision) != "32-true"
    )  # Lightning refuses the two together
    return str(s.precision) not in ("32", "32-true") and not clipped


def _train(
    trainer: pl.Trainer,
    lit: LitObjective,
    data: pl.LightningDataModule,
    start: Path | None,
    request: StopRequest,
    last: LastCheckpoints,
) -> None:
    """Run Lightning's loop. Raises Interrupted or KeyboardInterrupt after a signal."""
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with quiet(), answered_by(request):
            trainer.fit(lit, datamodule=data, ckpt_path=None if start is None else str(start), weights_only=True)
    except Stop as stop:
        raise Interrupted(stop.number or signal.SIGTERM, last.path) from None
    except SystemExit:  # how Lightning answers Ctrl-C (or a second signal), after it has made SIGINT deaf
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, interrupt)
        raise (KeyboardInterrupt() if request.repeated is None else Interrupted(request.repeated)) from None


def evaluate(
    objective: Objective,
    data: pl.LightningDataModule,
    hardware: Hardware,
    *,
    checkpoint: str | Path | None = None,
    out_dir: str | Path | None = None,
    limit_test_batches: int | float | None = None,
    log_metric: LogFunction | None = None,
    show_progress: bool = True,
) -> Evaluation:
    """Test `objective` per window and per track on the data module's test set.

    Args:
        objective: what is tested.
        data: its batches.
        hardware: what to compute on: HardwareSettings, or a config's section `trainer`.
        checkpoint: a checkpoint of `fit`, whose trained weights, and averaged ones where it holds them, are both tested, or a network's own
            state dict; none: the weights as they are.
        out_dir: folder that the metrics are written to, as test.json.
        limit_test_batches: number of batches (int) or share of them (float); None: all.
        log_metric: called as log_metric(name, value, 0) for every metric.
        show_progress: a bar on a terminal, lines elsewhere.

    Raises ConfigError for what cannot run, WeightsError for a checkpoint that does not fit.
    """
    keep_freed_memory(large=True)
    with job_of(hardware):
        accelerator = resolve_accelerator(hardware.accelerator, hardware.devices)
        devices = resolve_devices(hardware.devices, accelerator)
        precision = share(resolve_precision(hardware.precision, accelerator, work_of(objective.net)))
        averaging = AveragedWeights()
        lit = LitObjective(objective, averaging=averaging)
        if checkpoint is not None:
            state = read_checkpoint(checkpoint)
            if not any(name.startswith((RAW, AVERAGED)) for name in state):
                state = {f"{RAW}{name}": value for name, value in state.items()}
            lit.load_state_dict(state)
        trainer = _trainer(
            None,
            [averaging, *([TrainingProgress()] if show_progress else [])],
            devices=devices,
            num_nodes=hardware.num_nodes,
            accelerator=accelerator,
            precision=lightning_precision(precision),
            strategy=resolve_strategy(hardware.strategy, devices, hardware.num_nodes),
            limit_test_batches=limit_test_batches,
        )
        with quiet(), computing_in("cpu" if accelerator == "cpu" else "cuda", precision):
            trainer.test(lit, datamodule=data, verbose=False)
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        if trainer.is_global_zero:
            for name, value in metrics.items():
                if log_metric is not None:
                    log_metric(name, value, 0)
            if out_dir is not None:
                write_json(Path(out_dir) / "test.json", metrics)
    return Evaluation(metrics=metrics, classes=lit.results)


# ---- Lightning's trainer
def _trainer(out_dir: Path | None, callbacks: list[Callback], **settings: Any) -> pl.Trainer:
    plugins: list[Any] = [AtomicCheckpointIO()]
    if SLURMEnvironment.detect():  # what a signal does is decided in checkpointing.py, and requeueing is left to the job's script
        plugins.append(SLURMEnvironment(auto_requeue=False))
    if settings.get("accelerator") == "cpu" and settings.pop("sync_batchnorm", False):
        plugins.append(SyncedNorms())
    with quiet():
        return pl.Trainer(
            logger=False,  # history.py writes TensorBoard's file, in step with the checkpoints
            callbacks=callbacks,
            default_root_dir=out_dir,
            enable_checkpointing=out_dir is not None,
            enable_progress_bar=False,  # TrainingProgress is among the callbacks where it is wanted
            enable_model_summary=False,
            plugins=plugins,
            use_distributed_sampler=False,  # the data module's samplers know the processes
            **settings,
        )


class _EarlyStopping(EarlyStopping):
    """Lightning's; a run that it has ended stays ended when it is continued."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.stopped_epoch:
            trainer.should_stop = True


def _path(text: str) -> Path | None:
    return Path(text).resolve() if text and Path(text).is_file() else None


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning without its remarks on absent devices, and without the warnings that hold for every run here."""
    loggers = [
        logging.getLogger(n)
        for n in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators", "lightning_fabric")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for text in _UNHELPFUL:
                warnings.filterwarnings("ignore", message=text)
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
