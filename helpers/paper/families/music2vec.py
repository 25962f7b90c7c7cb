"""music2vec in the tables: its rows. What its papers report could not be read: nothing is cited."""

from __future__ import annotations

from collections.abc import Sequence

from ..encoders import Encoder
from ..scale import Scale, Target
from . import System, family

ENCODER = Encoder(
    "music2vec",
    "music2vec",
    16000,
    "music2vec-v1",
    11,
    0,
    epochs=16,
    crops_per_second=50.0,
    origin="about 1000 h of music",
    megabytes=0.1,
)


@family("music2vec")
def systems(scale: Scale, target: Target | None) -> Sequence[System]:
    """Return the main network and one of its size with random weights: the probed layer, one vector per window."""
    return ENCODER.systems(scale, target, ())
