"""From a config's sections, with their published names, to a probe's settings and inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from models.errors import ConfigError

from ..metrics.tasks import get_task
from .inputs import Inputs
from .run import ProbeSettings


class TrainerSection(Protocol):
    """The section trainer of a probe."""

    max_epochs: int
    max_steps: int | None
    precision: str | int


class OptimizerSection(Protocol):
    """The section optimizer of a probe; its other keys are read by the names of ProbeSettings."""

    name: Any
    lr_grid: Sequence[float]


class ModelSection(Protocol):
    """The section model of a probe."""

    hidden_units: int
    num_layers: int
    drop_out: float
    input_drop_out: float
    loss: str


class WindowsSection(Protocol):
    """Which windows of a track a probe sees."""

    train_windows: str
    val_windows: str
    test_windows: str
    aggregate: str
    batch_of: str


def probe_settings(
    trainer: TrainerSection,
    optimizer: OptimizerSection,
    model: ModelSection,
    batch_size: int,
    standardise: bool,
    data: WindowsSection | None = None,
    task: str | None = None,
) -> ProbeSettings:
    """Return ProbeSettings of sections with the published names.

    Args:
        trainer, optimizer, model: the sections.
        batch_size: tracks or windows per step.
        standardise: z-score the inputs.
        data: how windows are used; None: one vector per track.
        task: what is asked; None: the one of `data`, or tags.
    """
    names = (
        "monitor", "scheduler", "weight_decay", "max_lr", "max_lr_epochs", "warmup_epochs", "base_lr", "gamma", "warmup_steps", "plateau_patience",
        "plateau_monitor", "early_stopping", "early_monitor", "keep",
    )  # fmt: skip
    asked: dict[str, Any] = {}
    if data is not None:
        _check_aggregate(data)
        examples = "random_row" if data.train_windows == "random" else "track" if data.batch_of == "tracks" else "row"
        asked = {"aggregate": data.aggregate, "examples": examples}
    if task is not None:
        asked["task"] = task
    return ProbeSettings(
        hidden=model.hidden_units,
        num_layers=model.num_layers,
        dropout=model.drop_out,
        input_dropout=model.input_drop_out,
        loss=model.loss,
        max_epochs=trainer.max_epochs,
        max_steps=trainer.max_steps,
        precision=str(trainer.precision),  # type: ignore[arg-type]
        batch_size=batch_size,
        standardise=standardise,
        optimizer=optimizer.name,
        lr_grid=tuple(optimizer.lr_grid),
        **{name: getattr(optimizer, name) for name in names},
        **asked,
    )


def _check_aggregate(data: WindowsSection) -> None:
    """Raise ConfigError for an aggregation where tracks have one window."""
    lacking = [f"data.{part}_windows" for part in ("val", "test") if getattr(data, f"{part}_windows") != "each"]
    needed = ("data.val_windows", "data.test_windows") if data.aggregate == "best" else ("data.test_windows",)
    if data.aggregate != "mean_prob" and (wrong := [name for name in needed if name in lacking]):
        raise ConfigError(
            f"data.aggregate={data.aggregate} puts a track's windows together, and there is one per track: set {' and '.join(wrong)} to each, or "
            "leave data.aggregate at mean_prob."
        )


def probe_inputs(data: Any) -> Inputs:
    """Return the inputs that the section `data` of ex_tl.py names."""
    return Inputs(
        types=data.types,
        reduce=data.reduce,
        token_size=data.token_size,
        layers=tuple(data.layers or ()),
        layer_reduce=data.layer_reduce,
        train=data.train_windows,
        val=data.val_windows,
        test=data.test_windows,
        seed=data.split_seed,
        memory=data.memory_gb * 1e9,
        frame_pool=data.frame_pool,
    )


def check_frame_settings(data: Any) -> None:
    """Raise ConfigError for settings of the section `data` that its task does not use: windows where vectors in time are examples, or the reverse."""
    frames = get_task(data.task).frames is not None
    usual = {"train_windows": "mean", "val_windows": "mean", "test_windows": "mean", "aggregate": "mean_prob", "folds": 0}
    usual |= {"label_column": None, "group_column": None, "label_separator": None, "baselines": "auto"}
    if not frames:
        usual = {"annotations": None, "frame_pool": 1}
    if wrong := [f"data.{key}" for key, value in usual.items() if getattr(data, key) != value]:
        why = "every vector in time is an example, of a split" if frames else "of vectors in time"
        raise ConfigError(
            f"The task {data.task} does not use {', '.join(wrong)} ({why}): leave {'it' if len(wrong) == 1 else 'them'} out."
        )
