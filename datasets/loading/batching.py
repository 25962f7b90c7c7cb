"""Batching: how a network's batches are cut and drawn from tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Batching:
    """What a network needs of tracks.

    Attributes:
        window: length of a clip in frames (of a waveform store: samples).
        require: attributes that the stores must have, such as {"front_end": "maest-essentia"}.
        draw: "labels": rare labels more often (sampler.py); "uniform": every track alike, labels or none.
        sample_weight_offset, sample_weight_sum: of draw "labels".
        drop_last: leave an incomplete last training batch out, for losses that depend on the batch's size.
        views: V random crops of each track in training and, the same ones every time, in validation; None: one crop, and every window.
        teacher: store of a teacher's logits; each clip then carries those of the window that it overlaps most.
    """

    window: int
    require: Mapping[str, object] = field(default_factory=dict)
    draw: Literal["labels", "uniform"] = "labels"
    sample_weight_offset: float = 100.0
    sample_weight_sum: bool = True
    drop_last: bool = False
    views: int | None = None
    teacher: Any = None
