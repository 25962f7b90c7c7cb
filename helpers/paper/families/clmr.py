"""CLMR in the tables: its pre-training, supervised baseline and extraction, what papers report for it, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..citations import Citation
from ..recipes import START, demo_data, music, train_tracks
from ..scale import Scale, Target
from ..steps import Estimate, ExternalPath, Ref, Step
from . import System, family

RATE = 22050  # Hz
CLIPS_PER_SECOND = 27.0  # of the demo's network, in training
PAPER_ROWS = {
    "linear": "SampleCNN/CLMR 48/10000, linear",
    "mlp": "SampleCNN/CLMR 48/10000, MLP",
    "supervised": "SampleCNN (supervised)",
}


def waveform_store(target: Target) -> ExternalPath:
    """Return a published data set's samples."""
    place = target.waveform_dir(RATE)
    return ExternalPath(place, f"{target.cure}, then python -m datasets.prepare AUDIO {place} --waveform {RATE}")


def pretrained(scale: Scale, table: str = "demo") -> Step:
    """Return the pre-training of a small CLMR, without labels, on the tracks of a table of the demo music."""
    settings = {**demo_data(scale, table, waveform=RATE), "seed": scale.seed}
    clips = 12 * train_tracks(scale, table)
    estimate = Estimate(START + clips / CLIPS_PER_SECOND, 20.0, f"{clips} clips at {CLIPS_PER_SECOND:g}/s")
    where = "" if table == "demo" else f" on {table}"
    return Step(f"pre-train CLMR{where}", "ex_ssl.py", "main", tuple(scale.named_configs["clmr"]), settings, estimate=estimate)


def supervised(scale: Scale) -> Step:
    """Return the test of the same network, trained on the labels of the scale's data (its input)."""
    target = scale.target
    if target is None:
        data = demo_data(scale, waveform=RATE)
        clips = 12 * train_tracks(scale)
        seconds = START + 0.4 * clips / CLIPS_PER_SECOND
        estimate = Estimate(seconds, 20.0, f"{clips} clips at {2.5 * CLIPS_PER_SECOND:g}/s")
    else:
        data = {"datamodule.base_dir": waveform_store(target)}
        for part in ("train", "val", "test"):
            data[f"datamodule.groundtruth_{part}"] = ExternalPath(f"{target.metadata_dir}groundtruth-{part}.csv", target.cure)
        basis = "200 epochs of the training tracks at 20 clips/s of the published size"
        estimate = Estimate(200 * target.tracks * 0.7 / 20.0, 100.0, basis)
    named, settings = tuple(scale.named_configs["supervised"]), {**data, "seed": scale.seed}
    train = Step("train SampleCNN on labels", "ex_ssl.py", "main", named, settings, estimate=estimate)
    return Step("test SampleCNN", "ex_ssl.py", "test", named, {**settings, "ckpt_path": Ref(train, "checkpoint")})


def extracted(scale: Scale, checkpoint: Ref | None, target: Target | None = None, published: bool = False) -> Step:
    """Return the extraction of the representation of every window.

    Args:
        scale: the table's.
        checkpoint: of a training here; None: the published weights, or random ones.
        target: the data set; None: the demo music.
        published: whether the weights are the published ones.
    """
    settings: dict[str, Any] = {"seed": scale.seed, "clmr.pretrained": published}
    if target is None:
        settings["datamodule.base_dir"] = Ref(music(scale, waveform=RATE), f"samples-{RATE}")
    else:
        settings["datamodule.base_dir"] = waveform_store(target)
    if checkpoint is not None:
        settings["clmr.checkpoint"] = checkpoint
    which = "CLMR" if checkpoint is not None or published else "untrained SampleCNN"
    tracks = scale.demo_tracks if target is None else target.tracks
    estimate = Estimate(START + tracks / 60.0, tracks * 0.02, f"{tracks} tracks at 60/s")
    weights = ("clmr-magnatagatune",) if published else ()
    named = tuple(scale.named_configs["clmr"])
    return Step(f"extract {which}", "ex_ssl.py", "extract_embeddings", named, settings, weights, estimate=estimate)


def main_embeddings(scale: Scale, target: Target | None) -> tuple[Ref, Ref]:
    """Return the representations of the scale's main network, and of one with random weights."""
    checkpoint = None if scale.published else Ref(pretrained(scale), "checkpoint")
    trained = extracted(scale, checkpoint, target, published=scale.published)
    return Ref(trained, "embeddings"), Ref(extracted(scale, None, target), "embeddings")


# ---- rows
def cited(scale: Scale, head: str) -> list[Citation]:
    """Return what CLMR's authors (or, for other data, JukeMIR's) report. head: linear, mlp or supervised."""
    data = scale.dataset
    if data in ("demo", "mtt"):
        return [Citation("CLMR", PAPER_ROWS[head], "MTT", metric, clips="unknown") for metric in ("ROC-AUC", "PR-AUC")]
    if data == "msd" and head == "supervised":
        return [Citation("CLMR", PAPER_ROWS[head], "MSD", "ROC-AUC", unlike="which split is not said")]
    others = {"gtzan": [("GTZAN fault-filtered", "acc")], "giantsteps_key": [("GiantSteps key", "weighted acc")]}
    others["emomusic"] = [("EmoMusic", "R2 arousal"), ("EmoMusic", "R2 valence")]
    if head == "supervised":
        return []
    return [Citation("JukeMIR", "CLMR (contrastive)", dataset, metric) for dataset, metric in others.get(data, [])]


@family("clmr")
def systems(scale: Scale, target: Target | None) -> Sequence[System]:
    """Return the main network and one of its size with random weights: the representation, one vector per window."""
    trained, random = main_embeddings(scale, target)
    origin = "MagnaTagATune" if scale.published else ""
    return [
        System("CLMR", trained, citations=cited(scale, "mlp"), origin=origin),
        System("untrained SampleCNN", random, trained=False),
    ]
