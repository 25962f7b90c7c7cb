"""OMAR-RQ in the tables: its pre-training and extraction, what its README reports, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..citations import Citation
from ..recipes import START, demo_data, music, train_tracks
from ..scale import Scale, Target
from ..steps import Estimate, ExternalPath, Ref, Step
from . import System, family

RATE = 16000  # Hz
CROPS_PER_SECOND, EPOCHS = 90.0, 12  # of the demo's network in training, with two steps side by side on two cores
CARD, PUBLISHED_LAYER, DEMO_LAYER = "omar-rq-base", 6, 0  # the first third, as the published one
README_ROWS = ("base", "multicodebook", "multifeature", "multifeature-25hz", "multifeature-25hz-fsq")


def pretrained(scale: Scale) -> Step:
    """Return the pre-training of a small OMAR-RQ on the demo music, without labels."""
    crops = EPOCHS * train_tracks(scale)
    estimate = Estimate(START + crops / CROPS_PER_SECOND, 15.0, f"{crops} crops at {CROPS_PER_SECOND:g}/s")
    settings = {**demo_data(scale, waveform=RATE), "seed": scale.seed}
    return Step("pre-train OMAR-RQ", "ex_ssl.py", "main", tuple(scale.named_configs["omar_rq"]), settings, estimate=estimate)


def layer(scale: Scale) -> int:
    """Return the layer that is probed."""
    return PUBLISHED_LAYER if scale.published else DEMO_LAYER


def extracted(scale: Scale, target: Target | None = None, trained: bool = True, frames: bool = False) -> Ref:
    """Return the vectors of the probed layer: of every window, or (frames) of every moment.

    Args:
        scale: the table's.
        target: the data set; None: the demo music.
        trained: by this scale's weights, published or trained here; else by random ones.
        frames: every vector in time.
    """
    settings: dict[str, Any] = {"seed": scale.seed, "omar_rq.pretrained": trained and scale.published}
    settings |= {"predict.frames": frames, "predict.transformer_block": layer(scale)}
    if target is None:
        settings["datamodule.base_dir"] = Ref(music(scale, waveform=RATE), f"samples-{RATE}")
    else:
        place = target.waveform_dir(RATE)
        cure = f"{target.cure}, then python -m datasets.prepare AUDIO {place} --waveform {RATE}"
        settings["datamodule.base_dir"] = ExternalPath(place, cure)
    if trained and not scale.published:
        settings["omar_rq.checkpoint"] = Ref(pretrained(scale), "checkpoint")
    if target is None:
        settings["datamodule.tail"] = "pad"
    tracks = scale.demo_tracks if target is None else target.tracks
    per_track = 30.0 if target is None else 0.05  # the published network reads 30 s in 20 s of one core
    megabytes = tracks * (0.03 if frames else 0.001)
    estimate = Estimate(START + tracks / per_track, megabytes, f"{tracks} tracks at {per_track:g}/s")
    what = "frames of " if frames else ""
    title = f"extract {what}{'' if trained else 'untrained '}OMAR-RQ" + ("" if target is None else f" on {target.data}")
    weights = (CARD,) if trained and scale.published else ()
    step = Step(
        title, "ex_ssl.py", "extract_embeddings", tuple(scale.named_configs["omar_rq"]), settings, weights, estimate=estimate
    )
    return Ref(step, str(layer(scale)))


def cited(scale: Scale) -> list[Citation]:
    """Return what the README reports for the published networks on the scale's data."""
    if scale.dataset not in ("demo", "mtt"):
        return []
    return [Citation("OMAR-RQ", "base", "MTT", "mAP", clips="unknown")]


@family("omar_rq")
def systems(scale: Scale, target: Target | None) -> Sequence[System]:
    """Return the main network and one of its size with random weights: the probed layer, one vector per window."""
    return [
        System("OMAR-RQ", extracted(scale, target), citations=cited(scale), origin="Discotube" if scale.published else ""),
        System("untrained OMAR-RQ", extracted(scale, target, trained=False), trained=False),
    ]
