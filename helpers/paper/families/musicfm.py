"""MusicFM in the tables: what papers report for it, and its rows."""

from __future__ import annotations

from collections.abc import Sequence

from ..citations import Citation
from ..encoders import Encoder
from ..scale import Scale, Target
from . import System, family

ENCODER = Encoder(
    "musicfm",
    "MusicFM",
    24000,
    "musicfm-msd",
    6,
    1,
    epochs=16,
    crops_per_second=60.0,
    origin="Million Song Dataset",
    megabytes=0.05,
)
PAPER_ROWS = {
    "FM1 (=MERT; BERT 330M 75Hz 5s k-means, in-house)": "FM1, MERT's kind, 160 000 h",
    "FM7 (Conformer 330M 25Hz 30s)": "FM7, 160 000 h",
    "FM9 (Conformer 330M 25Hz 30s, FMA data)": "FM9, FMA",
    "FM7-finetune": "FM7, fine-tuned",
    "FM9-finetune (FMA)": "FM9, fine-tuned",
}


def cited(scale: Scale) -> list[Citation]:
    """Return what the MuQ paper reports for the published MSD network, probed by MARBLE's protocol."""
    row = {"demo": ("MTT", ("AP", "ROC")), "mtt": ("MTT", ("AP", "ROC")), "gtzan": ("GTZAN", ("Acc",))}.get(scale.dataset)
    if row is None:
        return []
    data, metrics = row
    return [Citation("MuQ", "MusicFM (MSD)", data, metric, clips="unknown" if data == "MTT" else "") for metric in metrics]


@family("musicfm")
def systems(scale: Scale, target: Target | None) -> Sequence[System]:
    """Return the main network and one of its size with random weights: the probed layer, one vector per window."""
    return ENCODER.systems(scale, target, cited(scale))
