"""How stores of tracks go through a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from datasets.loading.clips import WindowRule
from models.errors import ConfigError
from models.windows import Tail

from .outputs import Pool

Format = Literal["store", "npy"]
Dtype = Literal["float32", "float16"]


@dataclass(frozen=True)
class ExtractionSettings:
    """Windows, batches and what is kept of them.

    Attributes:
        model: name of the network, kept with the output; None: its family's.
        clip_frames: length of a window in frames or samples; None: the network's.
        rule: how tracks are cut, in place of clip_frames, half_overlap and tail; None: as these say.
        half_overlap: a window begins every half of one.
        tail: what becomes of a track's end (models/windows.py).
        batch_size: windows at once.
        precision: "32", or "bf16-mixed" / "16-mixed" for autocast; "32-onednn" (devices.resolve_precision), "auto" for the fastest here.
        dtype: of the stored values, float32 (as computed) or float16 (half the disk, 3 digits).
        format: "store", one track store, or "npy", a file per track.
        pool: of format "npy": "none", or "mean" over windows weighted by valid frames, [3, C].
        frames: keep every vector in time in place of what sums up a window (frames.py).

    Raises ConfigError for values that do not exist or do not go together.
    """

    model: str | None = None
    clip_frames: int | None = None
    rule: WindowRule | None = None
    half_overlap: bool = False
    tail: Tail = "pad"
    batch_size: int = 20
    precision: str = "32"
    dtype: Dtype = "float32"
    format: Format = "store"
    pool: Pool = "none"
    frames: bool = False

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("tail", self.tail, Tail),
            ("dtype", self.dtype, Dtype),
            ("format", self.format, Format),
            ("pool", self.pool, Pool),
        ):
            if value not in get_args(choices):
                raise ConfigError(f"{name} is '{value}'; choose one of {', '.join(get_args(choices))}.")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}; it must be 1 or more.")
        if self.format == "npy" and self.frames:
            raise ConfigError("Vectors in time go to track stores, which know their rate and times: leave format at store.")
        if self.format == "store" and self.pool != "none":
            raise ConfigError("pool is for format npy: a store keeps every window, and readers average.")
