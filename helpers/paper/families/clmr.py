"""CLMR: pre-trained at the scale (or the published encoder), and one of its size with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import recipes as r
from ..rows import clmr_quotes
from ..steps import Ref
from . import Scale, System, family


@family("clmr")
def systems(scale: Scale, target: Mapping[str, Any] | None) -> Sequence[System]:
    """The representation, one vector per window."""
    published = scale["networks"] == r.PUBLISHED
    checkpoint = None if published else Ref(r.clmr_pretrained(scale), "checkpoint")
    trained = r.clmr_extracted(scale, checkpoint, target, pretrained=published)
    random = r.clmr_extracted(scale, None, target)
    return [
        System("CLMR", Ref(trained, "embeddings"), quotes=clmr_quotes(scale, "mlp"), origin="MagnaTagATune" if published else ""),
        System("untrained SampleCNN", Ref(random, "embeddings"), trained=False),
    ]
