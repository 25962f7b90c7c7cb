"""musicnn in the tables: the published network (MagnaTagATune), one of its size with random weights, and what is reported for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..citations import Citation
from ..recipes import START, mel_store
from ..scale import Scale, Target
from ..steps import Estimate, Ref, Step
from . import System, family

CONFIG, CARD = "musicnn_mtt", "musicnn-mtt"
LAYER = 5  # "penultimate"
WINDOWS_PER_SECOND = 7.8  # of one core


def extracted(scale: Scale, target: Target | None, trained: bool) -> Step:
    """Return the extraction of the last layer of all windows.

    Args:
        scale: the table's.
        target: the data set; None: the demo music.
        trained: by the published weights; else by random ones.
    """
    settings: dict[str, Any] = {
        "seed": scale.seed,
        "musicnn.pretrained": trained,
        "predict.transformer_block": LAYER,
        "datamodule.base_dir": mel_store(scale, target),
    }
    tracks, length = (scale.demo_tracks, 7.75) if target is None else (target.tracks, target.seconds)
    windows = tracks * max(round(length / 3), 1)
    estimate = Estimate(START + windows / WINDOWS_PER_SECOND, windows * 0.001, f"{windows} windows at {WINDOWS_PER_SECOND:g}/s")
    where = "" if target is None else f" on {target.data}"
    title = f"extract {'' if trained else 'untrained '}musicnn{where}"
    return Step(title, "ex_maest.py", "extract_embeddings", (CONFIG,), settings, (CARD,) if trained else (), estimate=estimate)


def cited(scale: Scale) -> list[Citation]:
    """Return what CLMR's authors report for the network of Pons et al., and its own log: end to end, not by a probe."""
    if scale.dataset not in ("demo", "mtt"):
        return []
    unlike = "trained on it end to end, not probed"
    return [
        Citation("CLMR", "Pons et al. (supervised)", "MTT", metric, clips="unknown", unlike=unlike)
        for metric in ("ROC-AUC", "PR-AUC")
    ]


@family("musicnn")
def systems(scale: Scale, target: Target | None) -> Sequence[System]:
    """Return the published network and one of its size with random weights: the last layer, one vector per window."""
    trained, random = (Ref(extracted(scale, target, published), str(LAYER)) for published in (True, False))
    return [
        System("musicnn (published)", trained, citations=cited(scale), origin="MagnaTagATune"),
        System("untrained musicnn", random, trained=False),
    ]
