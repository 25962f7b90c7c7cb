"""MAEST: the scale's main network, and one of its size with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import recipes as r
from ..rows import maest_quotes, main_maest
from ..steps import Ref
from . import Scale, System, family


@family("maest")
def systems(scale: Scale, target: Mapping[str, Any] | None) -> Sequence[System]:
    """The three tokens of the probed block, stacked."""
    published = scale["networks"] == r.PUBLISHED
    if published:
        trained, random = main_maest(scale), r.untrained_published(scale)
        blocks: Sequence[int] | None = [scale["block"]]
    else:
        trained, random, blocks = main_maest(scale), r.untrained(scale), None
    one, other = (Ref(r.extracted(scale, net, blocks, target), str(scale["block"])) for net in (trained, random))
    return [
        System("MAEST", one, "cdt", "stack", quotes=maest_quotes(scale), origin="Discogs20" if published else ""),
        System("untrained MAEST", other, "cdt", "stack", trained=False),
    ]
