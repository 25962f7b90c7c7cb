"""MAEST in the tables: its networks, their pre-training and extraction, what papers report for it, and its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..citations import Citation
from ..recipes import START, demo_data, mel_store, music, train_tracks
from ..scale import Scale, Target
from ..steps import Estimate, Ref, Step
from . import System, family

PRODUCTS = {
    "small": 2.4e10,
    "published": 6.0e10,
}  # multiplications and additions per second by size, in training and in inference
MAIN = ("maest_30s_from_passt_inference", "discogs-maest-30s-pw-129e")
KEEP_UNTAGGED = ("maest", "marble")  # variants of MagnaTagATune's groundtruth
NO_TABLE = "The MAEST paper's numbers of this table: not available (none of its result tables could be read)."


@dataclass(frozen=True)
class Network:
    """A MAEST that can be extracted from.

    Args:
        name: for people.
        named: named configs that ex_maest.py builds it with.
        updates: settings beside these.
        weights: card of a published one.
        checkpoint: of one trained here.
        clip: length of its input, s.
        width: of its blocks, for estimates.
        depth: number of blocks, for estimates.
        stride: between patches, for estimates.
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
        """Return the multiplications of one window's pass."""
        frames = int(self.clip * 62.5)
        tokens = max((96 - 16) // self.stride + 1, 1) * max((frames - 16) // self.stride + 1, 1) + 2
        return self.depth * (12.0 * self.width**2 * tokens + 2.0 * self.width * tokens**2)

    @property
    def rate(self) -> float:
        """Return how many of them two cores do per second."""
        return PRODUCTS["small" if self.width < 512 else "published"]


# ---- networks
def pretrained(scale: Scale, name: str = "MAEST", clip: float | None = None, table: str = "demo", **updates: Any) -> Network:
    """Return a small MAEST, pre-trained on the demo music (or on the tracks of one of its tables).

    Args:
        scale: the table's.
        name: for people.
        clip: length of its input, s; None: the scale's longest.
        table: whose tracks and labels of the demo music.
        **updates: dotted keys of ex_maest.py -> values.
    """
    clip = max(scale.lengths) if clip is None else clip
    shape = {key: value for key, value in updates.items() if key.startswith("maest.")}
    net = replace(_small(scale, name, clip), updates={"datamodule.clip_length": clip, "seed": scale.seed, **shape})
    clips = 24 * train_tracks(scale, table)
    seconds = START + 3 * clips * net.products / net.rate
    settings = {**demo_data(scale, table), "seed": scale.seed, "datamodule.clip_length": clip, **updates}
    step = Step(
        f"pre-train {name}, {clip:g} s" + ("" if table == "demo" else f" on {table}"), "ex_maest.py", "main", net.named, settings,
        estimate=Estimate(seconds, 25.0, f"{clips} clips, {net.products / 1e6:.0f} M products each, three times, at {net.rate:.0e}/s"),
    )  # fmt: skip
    return replace(net, checkpoint=Ref(step, "checkpoint"))


def untrained(scale: Scale) -> Network:
    """Return the same network with random weights."""
    return _small(scale, "untrained", max(scale.lengths))


def _small(scale: Scale, name: str, clip: float) -> Network:
    settings = {"datamodule.clip_length": clip, "seed": scale.seed}
    return Network(name, tuple(scale.named_configs["maest"]), settings, clip=clip, depth=scale.depth)


def published(config: str, card: str, seconds: float) -> Network:
    """Return a published MAEST by its inference config."""
    return Network(card, (config,), weights=(card,), clip=seconds, width=768, depth=12, stride=10)


def untrained_published(scale: Scale) -> Network:
    """Return the published network's size with random weights."""
    settings = {"maest.pretrained": False, "seed": scale.seed}
    return Network("untrained", (MAIN[0],), settings, clip=30.0, width=768, depth=12, stride=10)


def main_network(scale: Scale) -> Network:
    """Return the MAEST that most tables are about."""
    return published(*MAIN, 30.0) if scale.published else pretrained(scale)


def describe_main(scale: Scale) -> str:
    """Return which network and block a table is about, for a note below it."""
    if scale.published:
        return f"Network: {MAIN[1]}, block {scale.block} (0-based) unless said otherwise."
    size = f"{scale.depth} blocks, {max(scale.lengths):g} s"
    return f"Network: the demo's MAEST ({size}), block {scale.block} (0-based) unless said otherwise."


# ---- extraction
def extracted(
    scale: Scale, net: Network, blocks: Sequence[int] | None = None, target: Target | None = None, **updates: Any
) -> Step:
    """Return the extraction of all windows of all tracks.

    Args:
        scale: the table's.
        net: the network.
        blocks: whose outputs are kept; None: all of the scale's network.
        target: the data set; None: the demo music.
        **updates: dotted keys of ex_maest.py -> values beside the network's.
    """
    blocks = list(range(scale.depth)) if blocks is None else list(blocks)
    settings: dict[str, Any] = {**net.updates, **updates, "predict.transformer_block": blocks}
    settings["datamodule.base_dir"] = mel_store(scale, target)
    tracks, length = (scale.demo_tracks, 7.75) if target is None else (target.tracks, target.seconds)
    windows = tracks * max(round(length / net.clip), 1)
    if net.checkpoint is not None:
        settings["maest.checkpoint"] = net.checkpoint
    changed = ", ".join(f"{key.removeprefix('maest.')}={value}" for key, value in updates.items())
    where = "" if target is None else f" on {target.data}"
    title = f"extract {net.name}, {net.clip:g} s" + (f" ({changed})" if changed else "") + where
    estimate = Estimate(
        START + windows * net.products / net.rate,
        windows * len(blocks) * 3 * net.width * 4 / 1e6,
        f"{windows} windows of {tracks} tracks, {net.products / 1e6:.0f} M products each",
    )
    return Step(title, "ex_maest.py", "extract_embeddings", net.named, settings, net.weights, estimate=estimate)


def logits(scale: Scale, net: Network) -> Step:
    """Return the extraction of a teacher's logits of the demo music."""
    settings: dict[str, Any] = {
        **net.updates,
        "datamodule.base_dir": Ref(music(scale), "mels"),
        "maest.checkpoint": net.checkpoint,
    }
    windows = 2 * scale.demo_tracks
    estimate = Estimate(START + windows * net.products / net.rate, windows * 120 / 1e6, f"{windows} windows")
    return Step(f"logits of {net.name}", "ex_maest.py", "extract_logits", net.named, settings, estimate=estimate)


# ---- rows
def cited(scale: Scale) -> list[Citation]:
    """Return what others than the MAEST paper report for a MAEST's embeddings on the scale's data."""
    benchmark, metric = "MGPHot autotagging benchmark", "mAP (mean of 5 seeds)"
    if scale.dataset in ("demo", "mtt"):
        kept = scale.target is not None and scale.target.variant in KEEP_UNTAGGED
        unlike = "here they are kept, where nothing else is said" if kept else ""
        return [Citation(benchmark, "MAEST", "MTT (50 tags)", metric, clips="removed, to go by the level", unlike=unlike)]
    if scale.dataset == "mtg_jamendo":
        unlike = "183 tags together, other labels than here"
        return [Citation(benchmark, "MAEST", "MTG-Jamendo (183 tags)", metric, unlike=unlike)]
    return []


@family("maest", first=True)
def systems(scale: Scale, target: Target | None) -> Sequence[System]:
    """Return the main network and one of its size with random weights: the three tokens of the probed block, stacked."""
    random = untrained_published(scale) if scale.published else untrained(scale)
    blocks = [scale.block] if scale.published else None
    one, other = (Ref(extracted(scale, net, blocks, target), str(scale.block)) for net in (main_network(scale), random))
    return [
        System("MAEST", one, "cdt", "stack", citations=cited(scale), origin="Discogs20" if scale.published else ""),
        System("untrained MAEST", other, "cdt", "stack", trained=False),
    ]
