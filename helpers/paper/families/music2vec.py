"""music2vec in the tables: its pre-training and extraction, and its rows. What its papers report could not be read: nothing is cited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..recipes import START, demo_data, music, train_tracks
from ..scale import Scale, Target
from ..steps import Estimate, ExternalPath, Ref, Step
from . import System, family

RATE = 16000  # Hz
CROPS_PER_SECOND, EPOCHS = 80.0, 2  # of the demo's network in training, with two steps side by side on two cores
CARD, PUBLISHED_LAYER, DEMO_LAYER = "music2vec-v1", 11, 0


def pretrained(scale: Scale) -> Step:
    """Return the pre-training of a small music2vec on the demo music, without labels."""
    crops = EPOCHS * train_tracks(scale)
    estimate = Estimate(START + crops / CROPS_PER_SECOND, 15.0, f"{crops} crops at {CROPS_PER_SECOND:g}/s")
    settings = {**demo_data(scale, waveform=RATE), "seed": scale.seed}
    return Step("pre-train music2vec", "ex_ssl.py", "main", tuple(scale.named_configs["music2vec"]), settings, estimate=estimate)


def extracted(scale: Scale, target: Target | None = None, trained: bool = True) -> Ref:
    """Return the probed layer's vectors of every window.

    Args:
        scale: the table's.
        target: the data set; None: the demo music.
        trained: by this scale's weights, published or trained here; else by random ones.
    """
    layer = PUBLISHED_LAYER if scale.published else DEMO_LAYER
    settings: dict[str, Any] = {"seed": scale.seed, "music2vec.pretrained": trained and scale.published}
    settings["predict.transformer_block"] = layer
    if target is None:
        settings |= {"datamodule.base_dir": Ref(music(scale, waveform=RATE), f"samples-{RATE}"), "datamodule.tail": "pad"}
    else:
        place = target.waveform_dir(RATE)
        cure = f"{target.cure}, then python -m datasets.prepare AUDIO {place} --waveform {RATE}"
        settings["datamodule.base_dir"] = ExternalPath(place, cure)
    if trained and not scale.published:
        settings["music2vec.checkpoint"] = Ref(pretrained(scale), "checkpoint")
    tracks = scale.demo_tracks if target is None else target.tracks
    per_track = 30.0 if target is None else 0.05  # the published network reads 30 s in 20 s of one core
    estimate = Estimate(START + tracks / per_track, tracks * 0.001, f"{tracks} tracks at {per_track:g}/s")
    title = f"extract {'' if trained else 'untrained '}music2vec" + ("" if target is None else f" on {target.data}")
    weights = (CARD,) if trained and scale.published else ()
    named = tuple(scale.named_configs["music2vec"])
    step = Step(title, "ex_ssl.py", "extract_embeddings", named, settings, weights, estimate=estimate)
    return Ref(step, str(layer))


@family("music2vec")
def systems(scale: Scale, target: Target | None) -> Sequence[System]:
    """Return the main network and one of its size with random weights: the probed layer, one vector per window."""
    origin = "about 1000 h of music" if scale.published else ""
    return [
        System("music2vec", extracted(scale, target), origin=origin),
        System("untrained music2vec", extracted(scale, target, trained=False), trained=False),
    ]
