"""Batching: how a data module cuts tracks into clips, draws them and batches them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from models.errors import ConfigError
from models.windows import Tail

from .clips import WindowRule


@dataclass(frozen=True)
class Batching:
    """What a network or experiment asks of its batches; lengths in the store's items (frames of mels, samples of waveforms).

    Args:
        window: length of a clip.
        require: attributes that the stores must have, such as {"front_end": "maest-essentia"}.
        views: random crops of each track, x [B, V, ...], in training and, the same ones every time, one such item per track in validation. None:
            one crop in training, every window in validation. Tracks shorter than a clip are then left out.
        val_crops: validation on one random crop of each track, another one in each epoch, in place of every window.
        draw: "labels": rare labels more often (sampler.py); "uniform": every track alike, labels or none.
        sample_weight_offset: see `sample_weights`.
        sample_weight_sum: see `sample_weights`.
        sampler_replace: whether a track may come twice in an epoch.
        epoch_len: draws per epoch; None: as many as tracks can be drawn.
        drop_last: leave an incomplete last training batch out, for losses that depend on the batch's size.
        batch_size_train: clips per process.
        batch_size_test: the same of validation, test and prediction.
        num_workers: processes that read; 0 reads in the training process, the fastest where the store is in the page cache (a plan of what to read
            is all that workers get: batches do not depend on their number).
        pin_memory: None: where there is a CUDA device.
        half_overlap: windows of validation, test and prediction overlap by half.
        tail: what becomes of a track's last, incomplete window: "pad", "shift" or "drop" (models.windows).

    Raises:
        ConfigError: for impossible values.
    """

    window: int
    require: Mapping[str, object] = field(default_factory=dict)
    views: int | None = None
    val_crops: bool = False
    draw: Literal["labels", "uniform"] = "labels"
    sample_weight_offset: float = 100.0
    sample_weight_sum: bool = True
    sampler_replace: bool = False
    epoch_len: int | None = None
    drop_last: bool = False
    batch_size_train: int = 12
    batch_size_test: int = 20
    num_workers: int = 0
    pin_memory: bool | None = None
    half_overlap: bool = False
    tail: Tail = "pad"

    def __post_init__(self) -> None:
        for name in ("window", "batch_size_train", "batch_size_test"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        if self.num_workers < 0:
            raise ConfigError(f"num_workers is {self.num_workers}; it must be 0 or more.")
        if self.draw not in ("labels", "uniform") or (self.views is not None and self.views < 1):
            raise ConfigError(f"draw is '{self.draw}' and views {self.views}; choose labels or uniform, and none or 1 and more.")
        if self.val_crops and self.views is not None:
            raise ConfigError(
                "Validation takes the same `views` crops every time, or other ones in each epoch (val_crops): choose one."
            )
        if self.half_overlap and self.window < 2:
            raise ConfigError("Windows of one frame cannot overlap by half.")

    @property
    def rule(self) -> WindowRule:
        """How validation, test and prediction cut a track into windows."""
        return WindowRule(self.window, max(self.window // 2, 1) if self.half_overlap else self.window, self.tail)
