"""Score versus the share of training labels, as CLMR reports it (arXiv 2103.09410, section 5): how few labels an encoder's vectors need.

The same validation and test tracks judge every share. A share is drawn several times, each draw by its number alone, so that all systems see the same
tracks and smaller shares lie within larger ones. Spread: over draws and seeds together; all labels have one draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datasets.groundtruth.annotations import Truth
from models.errors import ConfigError, GroundtruthError

from ..metrics.differences import as_one
from ..metrics.intervals import DRAW, overlap_of
from ..metrics.scores import SystemScores
from ..probe.head_training import HeadSpec, train_heads
from ..probe.inputs import check_tracks, read_split
from ..probe.protocol import Protocol
from ..probe.run import Split, chosen_rates, prepare, score_test
from .comparison import probe_progress, token_facts


@dataclass(frozen=True)
class Point:
    """One draw of one share: tracks that were trained on, the scores of all seeds, and how many labels no track of the draw has."""

    share: float
    draw: int
    n_tracks: int
    scores: SystemScores
    unseen: int = 0


def drawn(n: int, share: float, draw: int) -> np.ndarray:
    """Numbers of the tracks of a draw, rising: at least one of n. The draws of one number lie within each other (1 % within 10 % within all)."""
    if not 0 < share <= 1:
        raise ConfigError(f"A share of the training labels is {share}; it lies above 0 and is 1 at most.")
    order = np.random.default_rng([draw, n]).permutation(n)
    return np.sort(order[: max(round(share * n), 1)])


def run_few_label(
    source: str | Path,
    truths: Mapping[str, Truth],
    protocol: Protocol | None = None,
    *,
    shares: Sequence[float] = (0.01, 0.1, 1.0),
    draws: int = 3,
    same_steps: bool = True,
) -> list[Point]:
    """Probe with each share of the training tracks; points by share, then draw.

    Args:
        source: embeddings.
        truths: groundtruth by split.
        protocol: how all draws are probed.
        shares: of the training tracks.
        draws: how often each share is drawn.
        same_steps: an epoch goes over a share as often as fits the tracks of all, so that few labels do not mean few steps.

    Raises ConfigError for shares or draws that are none, GroundtruthError or StoreError as the probe does, before training.
    """
    if not shares or len(set(shares)) != len(shares) or draws < 1:
        raise ConfigError(f"few_label wants different shares and one draw or more; got shares {list(shares)}, draws {draws}.")
    how = protocol or Protocol()
    settings, inputs, seeds = how.settings, how.inputs, how.seeds
    check_tracks(source, truths, inputs, how.skip_missing)
    labels = next(iter(truths.values())).labels
    parts = {part: read_split(part, source, truth, inputs, how.skip_missing, how.data) for part, truth in truths.items()}
    n = len(parts["train"].keys)
    wanted = [(share, draw) for share in sorted(shares) for draw in range(draws if share < 1 else 1)]
    kept = [drawn(n, share, draw) for share, draw in wanted]
    if not settings.spec.numeric and not all(parts["train"].y[rows].any() for rows in kept):
        raise GroundtruthError(
            f"A draw of {min(shares):.2%} of {n} tracks ({min(map(len, kept))}) holds no label at all: take larger shares."
        )
    trains = [subset(parts["train"], rows) for rows in kept]
    sources = []
    for train in trains:
        made = prepare((train, parts["val"], parts["test"]), labels, seeds, settings)
        repeat = max(round(n / len(train.keys)), 1) if same_steps else 1
        sources.append(replace(made, train=replace(made.train, repeat=repeat)))
    specs = [HeadSpec(int(seed), rate, i) for i in range(len(sources)) for seed in seeds for rate in settings.rates]
    with probe_progress(settings, how.heads, [parts["train"]] * len(sources)) as on_epoch:
        heads = chosen_rates(train_heads(specs, sources, settings, labels, on_epoch), settings)
    points = []
    for i, ((share, draw), train) in enumerate(zip(wanted, trains)):
        about = {
            "embeddings": str(source), **token_facts(source, inputs), "share": share, "draw": draw, "train_tracks": len(train.keys)
        }  # fmt: skip
        others = [rows for rows, (of, _) in zip(kept, wanted) if of == share]
        own = [head for head in heads if head.spec.source == i]
        name = f"{share:.4g} of the labels, draw {draw}"
        unseen = 0 if settings.spec.numeric else int((~train.y.any(axis=0)).sum())
        scores = score_test(name, own, sources[i], parts["test"], labels, settings, about).scores
        scores = replace(scores, overlap=overlap_of(others))
        points.append(Point(share, draw, len(train.keys), scores, unseen))
    return points


def subset(split: Split, tracks: np.ndarray) -> Split:
    """Some tracks of a split, with their windows."""
    keys = [split.keys[i] for i in tracks]
    if split.track is None:
        return Split(split.name, keys, split.x[tracks], split.y[tracks], group=split.group and split.group.pick(tracks))
    new = np.full(len(split.keys), -1)
    new[tracks] = np.arange(len(tracks))
    rows = np.flatnonzero(new[split.track] >= 0)
    frames = None if split.frames is None else split.frames.tracks(tracks)
    return Split(
        split.name, keys, split.x[rows], split.y[tracks], new[split.track[rows]], frames, split.group and split.group.pick(tracks)
    )


def save_points(points: Sequence[Point], folder: Path) -> None:
    """Scores and predictions of every draw, in folder/points/<share>-<draw>: what comparisons on the same tracks take."""
    for p in points:
        p.scores.save(folder / "points" / f"{p.share:g}-{p.draw}")


def saved_share(folder: Path, share: str) -> SystemScores:
    """All draws and seeds of one share, as results of one system, out of the folder of `save_points`. Raises ConfigError where there are none."""
    draws = [SystemScores.load(path, warn=False) for path in sorted((folder / "points").glob(f"{share}-*"))]
    if not draws:
        raise ConfigError(f"{folder} holds no predictions of the share {share}.")
    return as_one(draws, DRAW)
