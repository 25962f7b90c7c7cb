"""Steps by what they are for, at a scale: music, pre-training, extraction, probe. Tables put rows together of these.

Two tables that ask for the same network ask for the same step: a step is its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .steps import Estimate, Outside, Ref, Step

Scale = Mapping[str, Any]

# What the slower machine of docs/results.md does, two steps side by side on two cores, for estimates of steps that were never run
PRODUCTS = {
    "small": 2.4e10,
    "published": 6.0e10,
}  # multiplications and additions per second by size, in training and in inference
START = 7.0  # s until a command begins its work
CLIPS_PER_SECOND = 27.0  # of the demo's CLMR, in training
MUSIC_PER_SECOND = 25.0  # tracks made and prepared
PROBE_SECONDS = 8.0  # three heads on the demo's tracks
DEMO_TRACKS = 2000
TRAINED, PUBLISHED = "trained", "published"


@dataclass(frozen=True)
class Network:
    """A MAEST that can be extracted from.

    named, updates: what ex_maest.py builds it with. weights: card of published ones. checkpoint: of one trained here. clip: s. width, depth: for
    estimates.
    """

    name: str
    named: tuple[str, ...]
    updates: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    checkpoint: Ref | None = None
    clip: float = 5.0
    width: int = 128
    depth: int = 4
    stride: int = 16

    @property
    def products(self) -> float:
        """Multiplications of one window's pass."""
        frames = int(self.clip * 62.5)
        tokens = max((96 - 16) // self.stride + 1, 1) * max((frames - 16) // self.stride + 1, 1) + 2
        return self.depth * (12.0 * self.width**2 * tokens + 2.0 * self.width * tokens**2)

    @property
    def rate(self) -> float:
        """How many of them two cores do per second."""
        return PRODUCTS["small" if self.width < 512 else "published"]


# ---- data
def music(scale: Scale, tracks: int | None = None, waveform: int | None = None) -> Step:
    """The demo music, made and prepared, with a table per group of labels."""
    from datasets.demo.writer import VERSION

    n = scale["tracks"] if tracks is None else tracks
    updates: dict[str, Any] = {"music.tracks": n} | ({} if waveform is None else {"music.waveform": waveform})
    count = n or DEMO_TRACKS
    estimate = Estimate(
        START + count / MUSIC_PER_SECOND, count * (0.45 if waveform else 0.25), f"{count} tracks at {MUSIC_PER_SECOND:g}/s"
    )
    what = "mels" if waveform is None else f"samples at {waveform} Hz"
    return Step(
        f"demo music, {count} tracks, {what}",
        "ex_paper.py",
        "demo_music",
        (),
        updates,
        about={"demo": VERSION},
        estimate=estimate,
        same_again=True,
    )


def demo_data(scale: Scale, table: str = "demo", tracks: int | None = None, waveform: int | None = None) -> dict[str, Any]:
    """Settings of ex_maest.py or ex_ssl.py: the demo music under the labels of a table (helpers/paper/groups.py)."""
    made = music(scale, tracks, waveform)
    store = "mels" if waveform is None else f"samples-{waveform}"
    return {"datamodule.base_dir": Ref(made, store), "datamodule.groundtruth": Ref(made, table)}


# ---- MAEST
def pretrained(scale: Scale, name: str = "MAEST", clip: float | None = None, table: str = "demo", **updates: Any) -> Network:
    """A small MAEST, pre-trained on the demo music (or on the tracks of one of its tables)."""
    longest = max(scale["lengths"])
    clip = longest if clip is None else clip
    shape = {key: value for key, value in updates.items() if key.startswith("maest.")}
    settings = {"datamodule.clip_length": clip, **updates}
    net = Network(
        name,
        tuple(scale["maest"]),
        {"datamodule.clip_length": clip, "seed": scale["seed"], **shape},
        clip=clip,
        depth=scale["depth"],
    )
    clips = 24 * _train_tracks(scale, table)
    seconds = START + 3 * clips * net.products / net.rate
    data = {**demo_data(scale, table), "seed": scale["seed"]}
    step = Step(
        f"pre-train {name}, {clip:g} s" + ("" if table == "demo" else f" on {table}"),
        "ex_maest.py", "main", tuple(scale["maest"]), {**data, **settings},
        estimate=Estimate(seconds, 25.0, f"{clips} clips, {net.products / 1e6:.0f} M products each, three times, at {net.rate:.0e}/s"),
    )  # fmt: skip
    return replace(net, checkpoint=Ref(step, "checkpoint"))


def untrained(scale: Scale, clip: float | None = None) -> Network:
    """The same network with random weights."""
    clip = max(scale["lengths"]) if clip is None else clip
    settings = {"datamodule.clip_length": clip, "seed": scale["seed"]}
    return Network("untrained", tuple(scale["maest"]), settings, clip=clip, depth=scale["depth"])


def published(config: str, card: str, seconds: float, **updates: Any) -> Network:
    """A published MAEST by its inference config."""
    return Network(card, (config,), updates, weights=(card,), clip=seconds, width=768, depth=12, stride=10)


def untrained_published(scale: Scale) -> Network:
    """The published network's size with random weights."""
    settings = {"maest.pretrained": False, "seed": scale["seed"]}
    return Network("untrained", ("maest_30s_from_passt_inference",), settings, clip=30.0, width=768, depth=12, stride=10)


def _train_tracks(scale: Scale, table: str = "demo") -> int:
    """Of one domain half of them."""
    return round(0.76 * (scale["tracks"] or DEMO_TRACKS) * (0.5 if table.startswith("domain") else 1.0))


def extracted(
    scale: Scale, net: Network, blocks: Sequence[int] | None = None, target: Mapping[str, Any] | None = None, **updates: Any
) -> Step:
    """All windows of all tracks through a network; all of its blocks unless some are named. target: a published data set's facts; none: demo."""
    blocks = list(range(scale["depth"])) if blocks is None else list(blocks)
    settings: dict[str, Any] = {**net.updates, **updates, "predict.transformer_block": blocks}
    if target is None:
        tracks, windows = scale["tracks"] or DEMO_TRACKS, (scale["tracks"] or DEMO_TRACKS) * max(round(7.75 / net.clip), 1)
        settings["datamodule.base_dir"] = Ref(music(scale), "mels")
    else:
        tracks, windows = target["tracks"], target["tracks"] * max(round(target["seconds"] / net.clip), 1)
        settings["datamodule.base_dir"] = Outside(target["base_dir"], target["cure"])
    if net.checkpoint is not None:
        settings["maest.checkpoint"] = net.checkpoint
    changed = ", ".join(f"{key.removeprefix('maest.')}={value}" for key, value in updates.items())
    what = f"{net.name}, {net.clip:g} s" + (f" ({changed})" if changed else "")
    seconds = START + windows * net.products / net.rate
    estimate = Estimate(
        seconds,
        windows * len(blocks) * 3 * net.width * 4 / 1e6,
        f"{windows} windows of {tracks} tracks, {net.products / 1e6:.0f} M products each",
    )
    where = "" if target is None else f" on {target['data']}"
    return Step(
        f"extract {what}{where}", "ex_maest.py", "extract_embeddings", net.named, settings, net.weights, estimate=estimate
    )


def logits(scale: Scale, net: Network) -> Step:
    """A teacher's logits of the demo music."""
    settings: dict[str, Any] = {
        **net.updates,
        "datamodule.base_dir": Ref(music(scale), "mels"),
        "maest.checkpoint": net.checkpoint,
    }
    windows = 2 * (scale["tracks"] or DEMO_TRACKS)
    estimate = Estimate(START + windows * net.products / net.rate, windows * 120 / 1e6, f"{windows} windows")
    return Step(f"logits of {net.name}", "ex_maest.py", "extract_logits", net.named, settings, estimate=estimate)


# ---- CLMR
CLMR_RATE = 22050  # Hz


def waveform_store(target: Mapping[str, Any]) -> Outside:
    """A published data set's samples."""
    place = target["waveform_dir"]
    return Outside(place, f"{target['cure']}, then python -m datasets.prepare AUDIO {place} --waveform {CLMR_RATE}")


def clmr_pretrained(scale: Scale, table: str = "demo") -> Step:
    """A small CLMR, pre-trained without labels on the tracks of a table of the demo music."""
    settings = {**demo_data(scale, table, waveform=CLMR_RATE), "seed": scale["seed"]}
    clips = 12 * _train_tracks(scale, table)
    estimate = Estimate(START + clips / CLIPS_PER_SECOND, 20.0, f"{clips} clips at {CLIPS_PER_SECOND:g}/s")
    where = "" if table == "demo" else f" on {table}"
    return Step(f"pre-train CLMR{where}", "ex_ssl.py", "main", tuple(scale["clmr"]), settings, estimate=estimate)


def clmr_supervised(scale: Scale) -> tuple[Step, Step]:
    """The same network trained on the demo's labels, and its test."""
    settings = {**demo_data(scale, waveform=CLMR_RATE), "seed": scale["seed"]}
    clips = 12 * _train_tracks(scale)
    estimate = Estimate(START + 0.4 * clips / CLIPS_PER_SECOND, 20.0, f"{clips} clips at {2.5 * CLIPS_PER_SECOND:g}/s")
    train = Step("train SampleCNN on labels", "ex_ssl.py", "main", tuple(scale["supervised"]), settings, estimate=estimate)
    tested = {**settings, "ckpt_path": Ref(train, "checkpoint")}
    return train, Step("test SampleCNN", "ex_ssl.py", "test", tuple(scale["supervised"]), tested)


def clmr_extracted(
    scale: Scale, checkpoint: Ref | None, target: Mapping[str, Any] | None = None, pretrained: bool = False
) -> Step:
    """The representation of every window. checkpoint: of a training here; pretrained: the published weights; neither: random ones."""
    settings: dict[str, Any] = {"seed": scale["seed"], "clmr.pretrained": pretrained}
    if target is None:
        settings["datamodule.base_dir"] = Ref(music(scale, waveform=CLMR_RATE), f"samples-{CLMR_RATE}")
        tracks = scale["tracks"] or DEMO_TRACKS
    else:
        settings["datamodule.base_dir"] = waveform_store(target)
        tracks = target["tracks"]
    if checkpoint is not None:
        settings["clmr.checkpoint"] = checkpoint
    which = "CLMR" if checkpoint is not None or pretrained else "untrained SampleCNN"
    estimate = Estimate(START + tracks / 60.0, tracks * 0.02, f"{tracks} tracks at 60/s")
    weights = ("clmr-magnatagatune",) if pretrained else ()
    return Step(f"extract {which}", "ex_ssl.py", "extract_embeddings", tuple(scale["clmr"]), settings, weights, estimate=estimate)


# ---- probes
def probe(
    scale: Scale,
    embeddings: Ref,
    *,
    types: str = "cdt",
    reduce: str = "stack",
    table: str = "demo",
    target: Mapping[str, Any] | None = None,
    named: Sequence[str] | None = None,
    command: str = "main",
    title: str = "",
    **updates: Any,
) -> Step:
    """A probe on embeddings. table: of the demo music. target: a published data set's facts. command: main, sweep or few_label."""
    settings: dict[str, Any] = {
        "data.base_dir": embeddings,
        "data.types": types,
        "data.reduce": reduce,
        "seeds": list(scale["seeds"]),
    }
    protocol = tuple(scale["probe"] if named is None else named)
    tracks = scale["tracks"] or DEMO_TRACKS
    if target is None:
        settings["data.groundtruth"] = Ref(music(scale), table)
    else:
        protocol = (target["config"], *protocol)
        settings["data.metadata_dir"] = Outside(target["metadata_dir"], target["cure"])
        tracks = target["tracks"]
    heads = len(scale["shares"]) * scale["draws"] if command == "few_label" else 3 * scale["depth"] if command == "sweep" else 1
    seconds = START + PROBE_SECONDS * heads * tracks / DEMO_TRACKS
    what = {"main": "probe", "sweep": "sweep", "few_label": "shares of the labels,"}[command]
    name = title or f"{embeddings.step.title.removeprefix('extract ')}: {types}" + (f" {reduce}" if len(types) > 1 else "")
    return Step(
        f"{what} {name}" + ("" if table == "demo" else f" on {table}"),
        "ex_tl.py", command, protocol, {**settings, **updates},
        estimate=Estimate(seconds, 1.0 * heads, f"{heads} x {len(scale['seeds'])} heads on {tracks} tracks"),
    )  # fmt: skip


def mel_store(scale: Scale, target: Mapping[str, Any] | None = None) -> Ref | Outside:
    """Mels of the tracks that are probed."""
    return Ref(music(scale), "mels") if target is None else Outside(target["base_dir"], target["cure"])


def result_folder(system: str) -> str:
    """Where ex_tl.py puts the scores of a system beside the first."""
    return system.replace(" ", "_")
