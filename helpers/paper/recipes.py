"""Steps that every family's tables are put together of: the demo music and probes. Networks and their extraction: families/.

Two tables that ask for the same network ask for the same step: a step is its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .scale import DEMO_TRACKS, Scale, Target
from .steps import Estimate, ExternalPath, Ref, Step

# What the slower machine of docs/results.md does, two steps side by side on two cores, for estimates of steps that were never run
START = 7.0  # s until a command begins its work
MUSIC_PER_SECOND = 25.0  # tracks made and prepared
PROBE_SECONDS = 8.0  # three heads on the demo's tracks


def music(scale: Scale, waveform: int | None = None) -> Step:
    """Return the step that makes and prepares the demo music, with a table per group of labels. waveform: sample rate, Hz; None: mels only."""
    from datasets.demo.writer import VERSION

    updates: dict[str, Any] = {"music.tracks": scale.tracks} | ({} if waveform is None else {"music.waveform": waveform})
    count = scale.demo_tracks
    estimate = Estimate(
        START + count / MUSIC_PER_SECOND, count * (0.45 if waveform else 0.25), f"{count} tracks at {MUSIC_PER_SECOND:g}/s"
    )
    what = "mels" if waveform is None else f"samples at {waveform} Hz"
    return Step(
        f"demo music, {count} tracks, {what}", "ex_paper.py", "demo_music", (), updates,
        about={"demo": VERSION, "annotations": True}, estimate=estimate, deterministic=True,
    )  # fmt: skip


def demo_data(scale: Scale, table: str = "demo", waveform: int | None = None) -> dict[str, Any]:
    """Return the settings of a training on the demo music under the labels of a table (label_groups.py)."""
    made = music(scale, waveform)
    store = "mels" if waveform is None else f"samples-{waveform}"
    return {"datamodule.base_dir": Ref(made, store), "datamodule.groundtruth": Ref(made, table)}


def train_tracks(scale: Scale, table: str = "demo") -> int:
    """Return how many tracks of the demo music are trained on; of one domain half of them."""
    return round(0.76 * scale.demo_tracks * (0.5 if table.startswith("domain") else 1.0))


def mel_store(scale: Scale, target: Target | None = None) -> Ref | ExternalPath:
    """Return the mels of the tracks that are probed."""
    return Ref(music(scale), "mels") if target is None else ExternalPath(target.base_dir, target.cure)


# ---- probes
@dataclass(frozen=True)
class ProbeSettings:
    """What a probe is trained on, and how.

    Args:
        types: tokens of the embeddings: c (CLS), d (DIST), t (mean of the others), or several of them.
        reduce: how several become one vector: stack or mean.
        table: whose labels of the demo music.
        named: named configs of ex_tl.py; None: the scale's.
        command: main, sweep or few_label.
        title: what is probed, for people; "": follows from the embeddings.
        updates: dotted keys of ex_tl.py -> values beside these.
    """

    types: str = "cdt"
    reduce: str = "stack"
    table: str = "demo"
    named: Sequence[str] | None = None
    command: str = "main"
    title: str = ""
    updates: Mapping[str, Any] = field(default_factory=dict)


def probe(scale: Scale, embeddings: Ref, settings: ProbeSettings | None = None, target: Target | None = None) -> Step:
    """Return a probe on embeddings.

    Args:
        scale: the table's.
        embeddings: output of an extraction.
        settings: None: the three tokens stacked, by the scale's protocol.
        target: the data set that they are of; None: the demo music.
    """
    s = settings or ProbeSettings()
    updates: dict[str, Any] = {
        "data.base_dir": embeddings, "data.types": s.types, "data.reduce": s.reduce, "seeds": list(scale.seeds),
    }  # fmt: skip
    if s.command == "main" and "data.annotations" not in s.updates:
        updates["data.baselines"] = "none"  # a table has them in cells of their own; tasks in time have guesses of theirs
    protocol = tuple(scale.named_configs["probe"] if s.named is None else s.named)
    tracks = scale.demo_tracks
    if target is None:
        updates["data.groundtruth"] = Ref(music(scale), s.table)
    else:
        protocol = (target.config, *protocol)
        updates["data.metadata_dir"] = ExternalPath(target.metadata_dir, target.cure)
        tracks = target.tracks
    heads = {"main": 1, "sweep": 3 * scale.depth, "few_label": len(scale.shares) * scale.draws}[s.command]
    seconds = START + PROBE_SECONDS * heads * tracks / DEMO_TRACKS
    what = {"main": "probe", "sweep": "sweep", "few_label": "shares of the labels,"}[s.command]
    source = embeddings.step.title.removeprefix("extract ")
    name = s.title or f"{source}: {s.types}" + (f" {s.reduce}" if len(s.types) > 1 else "")
    return Step(
        f"{what} {name}" + ("" if s.table == "demo" else f" on {s.table}"),
        "ex_tl.py", s.command, protocol, {**updates, **s.updates},
        estimate=Estimate(seconds, 1.0 * heads, f"{heads} x {len(scale.seeds)} heads on {tracks} tracks"),
    )  # fmt: skip


def result_folder(system: str) -> str:
    """Return where ex_tl.py puts the scores of a system beside the first."""
    return system.replace(" ", "_")
