"""OMAR-RQ in the tables: what its README reports, and its rows."""

from __future__ import annotations

from collections.abc import Sequence

from ..citations import Citation
from ..encoders import Encoder
from ..scale import Scale, Target
from . import System, family

ENCODER = Encoder("omar_rq", "OMAR-RQ", 16000, "omar-rq-base", 6, 1, epochs=8, crops_per_second=45.0, origin="Discotube")
README_ROWS = ("base", "multicodebook", "multifeature", "multifeature-25hz", "multifeature-25hz-fsq")


def cited(scale: Scale) -> list[Citation]:
    """Return what the README reports for the published networks on the scale's data."""
    if scale.dataset not in ("demo", "mtt"):
        return []
    return [Citation("OMAR-RQ", "base", "MTT", "mAP", clips="unknown")]


@family("omar_rq")
def systems(scale: Scale, target: Target | None) -> Sequence[System]:
    """Return the main network and one of its size with random weights: the probed layer, one vector per window."""
    return ENCODER.systems(scale, target, cited(scale))
