"""Train and test any objective with Lightning: `fit` and `evaluate`, with plain arguments and plain results."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, RichProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from rich.console import Console

from models.checkpoints import AVERAGED, RAW, read_checkpoint
from models.errors import ConfigError
from models.objective import Objective

from .averaging import AveragedWeights
from .checkpointing import AtomicCheckpointIO, best_and_last
from .devices import in_job, resolve_accelerator, resolve_devices, resolve_precision, resolve_strategy
from .history import History, LogFunction, ProgressLines, write_json
from .lit import LitObjective, Optimization

log = logging.getLogger(__name__)

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


@dataclass
class Evaluation:
    """What a test found: metrics by name, and class by class what `tagging_scores` gave for each set of scores."""

    metrics: dict[str, float]
    classes: dict[str, dict[str, Any]]


@in_job
def fit(
    objective: Objective,
    datamodule: pl.LightningDataModule,
    *,
    out_dir: str | Path,
    max_epochs: int,
    optimization: Optimization | None = None,
    averaging: AveragedWeights | None = None,
    seed: int = 0,
    devices: int | str | list[int] = 1,
    num_nodes: int = 1,
    accelerator: str = "auto",
    precision: str | int = "auto",
    strategy: str = "auto",
    sync_batchnorm: bool = False,
    limit_train_batches: int | float | None = None,
    limit_val_batches: int | float | None = None,
    num_sanity_val_steps: int = 0,
    check_val_every_n_epoch: int = 1,
    log_every_n_steps: int = 50,
    reload_dataloaders_every_n_epochs: int = 0,
    accumulate_grad_batches: int = 1,
    gradient_clip_val: float | None = None,
    monitor: str = "val_loss",
    monitor_mode: str = "min",
    early_stopping: int | None = None,
    resume_from: str | Path | None = None,
    log_metric: LogFunction | None = None,
    callbacks: list[Callback] | None = None,
    show_progress: bool = True,
) -> FitResult:
    """Train `objective` on the data module's training set, validating after every epoch.

    Writes into `out_dir`: checkpoints/best.ckpt (best `monitor`), checkpoints/last.ckpt (after every epoch; each replaced whole),
    history.json and TensorBoard's files. A limit of 0 validation batches, or a data module without a validation set, leaves
    best.ckpt out.

    seed: of augmentation, patchout and weights drawn from now on; data order is the data module's. devices: a number, "auto" or
    GPU numbers. precision: "auto" or Lightning's names. resume_from: a last.ckpt whose run is continued to `max_epochs`.
    early_stopping: validations without a better `monitor` after which training ends; none: it goes on to max_epochs.
    log_metric(name, value, step) is told every metric.

    Raises ConfigError for what cannot run (before it starts), FloatingPointError for a loss that is not finite, naming the
    tracks.
    """
    if max_epochs < 1 or check_val_every_n_epoch < 1:
        raise ConfigError(
            f"max_epochs is {max_epochs} and check_val_every_n_epoch {check_val_every_n_epoch}; both must be 1 or more."
        )
    out_dir = Path(out_dir)
    accelerator = resolve_accelerator(accelerator, devices)
    devices = resolve_devices(devices, accelerator)
    strategy = resolve_strategy(strategy, devices, num_nodes)
    if resume_from is not None and not Path(resume_from).is_file():
        raise ConfigError(f"There is no checkpoint {resume_from} to continue from.")
    pl.seed_everything(seed, workers=True, verbose=False)
    history = History(out_dir / "history.json", log_metric)
    best, last = best_and_last(out_dir / "checkpoints", monitor, monitor_mode)
    stop = [EarlyStopping(monitor, patience=early_stopping, mode=monitor_mode)] if early_stopping is not None else []
    trainer = _trainer(
        out_dir,
        [best, last, history, *([averaging] if averaging else []), *stop, *(callbacks or []), *_progress(show_progress)],
        purge_step=None if resume_from is None else torch.load(resume_from, mmap=True, weights_only=True)["global_step"] + 1,
        max_epochs=max_epochs,
        devices=devices,
        num_nodes=num_nodes,
        accelerator=accelerator,
        precision=resolve_precision(precision, accelerator),
        strategy=strategy,
        sync_batchnorm=sync_batchnorm,
        limit_train_batches=limit_train_batches,
        limit_val_batches=limit_val_batches,
        num_sanity_val_steps=num_sanity_val_steps,
        check_val_every_n_epoch=check_val_every_n_epoch,
        log_every_n_steps=log_every_n_steps,
        reload_dataloaders_every_n_epochs=reload_dataloaders_every_n_epochs,
        accumulate_grad_batches=accumulate_grad_batches,
        gradient_clip_val=gradient_clip_val,
    )
    lit = LitObjective(objective, optimization, seed=seed, averaging=averaging)
    trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    log.info("Training %s parameters on %s x %s in %s.", f"{trained:,}", trainer.world_size, accelerator, trainer.precision)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with quiet():
            trainer.fit(
                lit, datamodule=datamodule, ckpt_path=None if resume_from is None else str(resume_from), weights_only=True
            )
    except SystemExit:  # how Lightning answers Ctrl-C, after it has made SIGINT deaf
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, interrupt)
        raise KeyboardInterrupt from None
    metrics = {k: v for k, v in (history.rows[-1] if history.rows else {}).items() if k not in ("epoch", "step", "seconds", "lr")}
    return FitResult(best=_path(best.best_model_path), last=_path(last.best_model_path), history=history.rows, metrics=metrics)


@in_job
def evaluate(
    objective: Objective,
    datamodule: pl.LightningDataModule,
    *,
    checkpoint: str | Path | None = None,
    out_dir: str | Path | None = None,
    devices: int | str | list[int] = 1,
    num_nodes: int = 1,
    accelerator: str = "auto",
    precision: str | int = "auto",
    strategy: str = "auto",
    limit_test_batches: int | float | None = None,
    log_metric: LogFunction | None = None,
    show_progress: bool = True,
) -> Evaluation:
    """Test `objective` per window and per track on the data module's test set.

    checkpoint: a checkpoint of `fit`, whose trained weights, and averaged ones where it holds them, are both tested, or a network's
    own state dict; none: the weights as they are. With `out_dir` the metrics are written to test.json there.
    log_metric(name, value, 0) is told every metric.

    Raises ConfigError for what cannot run, WeightsError for a checkpoint that does not fit.
    """
    accelerator = resolve_accelerator(accelerator, devices)
    devices = resolve_devices(devices, accelerator)
    averaging = AveragedWeights()
    lit = LitObjective(objective, averaging=averaging)
    if checkpoint is not None:
        state = read_checkpoint(checkpoint)
        if not any(name.startswith((RAW, AVERAGED)) for name in state):
            state = {f"{RAW}{name}": value for name, value in state.items()}
        lit.load_state_dict(state)
    trainer = _trainer(
        None,
        [averaging, *_progress(show_progress)],
        devices=devices,
        num_nodes=num_nodes,
        accelerator=accelerator,
        precision=resolve_precision(precision, accelerator),
        strategy=resolve_strategy(strategy, devices, num_nodes),
        limit_test_batches=limit_test_batches,
    )
    with quiet():
        trainer.test(lit, datamodule=datamodule, verbose=False)
    metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
    if trainer.is_global_zero:
        for name, value in metrics.items():
            if log_metric is not None:
                log_metric(name, value, 0)
        if out_dir is not None:
            write_json(Path(out_dir) / "test.json", metrics)
    return Evaluation(metrics=metrics, classes=lit.results)


# ---- Lightning's trainer
def _trainer(out_dir: Path | None, callbacks: list[Callback], purge_step: int | None = None, **settings: Any) -> pl.Trainer:
    logger = (
        False if out_dir is None else TensorBoardLogger(save_dir=out_dir, name="", version="tensorboard", purge_step=purge_step)
    )
    bar = any(isinstance(c, RichProgressBar) for c in callbacks)
    with quiet():
        return pl.Trainer(
            logger=logger,
            callbacks=callbacks,
            default_root_dir=out_dir,
            enable_checkpointing=out_dir is not None,
            enable_progress_bar=bar,
            enable_model_summary=False,
            plugins=[AtomicCheckpointIO()],
            use_distributed_sampler=False,  # the data module's samplers know the processes
            **settings,
        )


class _Bar(RichProgressBar):
    """Lightning's, on stderr and without the logger's version."""

    def __init__(self) -> None:
        super().__init__(console_kwargs={"stderr": True})

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        return {k: v for k, v in super().get_metrics(trainer, pl_module).items() if k != "v_num"}


def _progress(show: bool) -> list[Callback]:
    if not show:
        return []
    return [_Bar()] if Console(stderr=True).is_terminal else [ProgressLines()]


def _path(text: str) -> Path | None:
    return Path(text) if text and Path(text).is_file() else None


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
