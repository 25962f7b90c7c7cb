"""What of stored embeddings a probe sees: tokens, layers, windows; and which tracks of a split have any."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from datasets.groundtruth.annotations import Annotations, Truth
from datasets.groundtruth.groundtruth import match, without_suffix
from models.errors import ConfigError, GroundtruthError, StoreError, listed

from ..extraction.embedding_sources import NPY_SUFFIX
from ..extraction.embeddings import MEMORY, Rows, embedding_names, load_rows
from ..extraction.tokens import Choice
from .frames import frames_of, pooled, read_times
from .run import Split

log = logging.getLogger(__name__)
LayerReduce = Literal["mean", "stack", "learned"]
TrainRows = Literal["mean", "each", "first", "random", "random_once"]
NAMES = {"train": "training", "val": "validation", "test": "test", "all": "all tracks"}


@dataclass(frozen=True)
class Inputs:
    """What of the embeddings a probe sees.

    types, reduce, token_size: tokens (extraction/embeddings.py's Choice). layers: blocks to take from a folder with a store in a sub-folder per
    block; none: the source itself. layer_reduce: several layers averaged, stacked, or mixed by weights that the head learns.
    train, val, test: windows of a track: "mean" (one vector per track), "each" (every window), "random" (train: another one each epoch; val: one,
    drawn once), "random_once" (train: one, drawn once and kept for all epochs), "first". seed: of the draws that are kept. memory: bytes above which
    embeddings stand in a memory map. frame_pool: of frame-level tasks, whose examples are vectors in time: how many consecutive ones are averaged.
    """

    types: str = "cdt"
    reduce: Literal["mean", "stack"] = "stack"
    token_size: int | None = None
    layers: tuple[int, ...] = ()
    layer_reduce: LayerReduce = "mean"
    train: TrainRows = "mean"
    val: Rows = "mean"
    test: Rows = "mean"
    seed: int = 0
    memory: float = MEMORY
    frame_pool: int = 1

    def __post_init__(self) -> None:
        if self.frame_pool < 1:
            raise ConfigError(f"frame_pool is {self.frame_pool}; it is 1 (every vector by itself) or more.")
        Choice(self.types, self.reduce, self.token_size)
        if self.layer_reduce not in get_args(LayerReduce):
            raise ConfigError(f"layer_reduce is '{self.layer_reduce}'; choose one of {', '.join(get_args(LayerReduce))}.")
        if self.train == "first":
            raise ConfigError(
                "Training takes mean, each or random windows of a track: with 'first' it would never hear the rest."
            )
        if self.test == "random":
            raise ConfigError("The test takes mean, each or first windows of a track: a random one would be chance.")

    def first(self, source: str | Path) -> str | Path:
        """The source, or its first layer's folder: what tells the names of tracks, and whether there are tokens."""
        return next(iter(layer_folders(source, self.layers).values())) if self.layers else source

    def read(self, source: str | Path, keys: Sequence[str], part: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows [R, D] (mixed layers: [R, K, D]) of a part ("train", "val", "test", "all"), and the track of each (`load_rows`)."""
        trained: dict[str, Rows] = {"random": "each", "random_once": "random"}  # the first draws anew every epoch
        loaded = {"train": trained.get(self.train, self.train), "val": self.val, "test": self.test}.get(part, "mean")
        choice = Choice(self.types, self.reduce, self.token_size)
        options: dict[str, Any] = dict(rows=loaded, seed=self.seed, memory=self.memory)
        if not self.layers:
            return load_rows(source, keys, choice, **options)
        found = [load_rows(place, keys, choice, **options) for place in layer_folders(source, self.layers).values()]
        shapes = {x.shape for x, _ in found}
        if len(shapes) > 1:
            raise StoreError(f"The layers' embeddings in {source} have other shapes: {sorted(shapes)}. Extract them in one pass.")
        parts = [x for x, _ in found]
        if len(parts) == 1 and self.layer_reduce != "learned":
            return found[0]
        x = np.stack(parts, axis=1)
        if self.layer_reduce != "learned":
            x = x.mean(axis=1) if self.layer_reduce == "mean" else x.reshape(len(x), -1)
        return x, found[0][1]


def layer_folders(source: str | Path, layers: Sequence[int] | None = None) -> dict[int, Path]:
    """The sub-folders of `source` that hold a block's embeddings, by block: what `predict.transformer_block=[0,1,...]` writes.

    layers: those wanted (none: all, ascending; the features after the last norm, -1, are not a block). Raises StoreError for what is not there.
    """
    folder = Path(source)
    there = {int(p.name): p for p in folder.iterdir() if p.is_dir() and p.name.isdigit()} if folder.is_dir() else {}
    wanted_here = "wanted is a folder with a sub-folder per block, as `extract_embeddings with ... "
    wanted_here += "predict.transformer_block=[0,1,2]` writes it"
    if any(folder.glob("*.h5*")) or any(folder.glob(f"*{NPY_SUFFIX}")):
        above = f": name the one above it, data.base_dir={folder.parent}" if folder.name.isdigit() else ""
        raise StoreError(
            f"{source} is a single block's folder{above}; {wanted_here}. A single block is probed without data.layers."
        )
    if not there:
        raise StoreError(f"{source} has no blocks: {wanted_here} (name the folder above them).")
    if not _are_blocks(list(there.values())):
        raise StoreError(
            f"The folders {', '.join(map(str, sorted(there)))} in {source} hold different tracks, and so are not blocks: {wanted_here}. One "
            "block's embeddings are probed without data.layers."
        )
    wanted = sorted(there) if layers is None else list(dict.fromkeys(layers))
    if absent := [k for k in wanted if k not in there]:
        raise StoreError(
            f"{source} has the blocks {', '.join(map(str, sorted(there)))}, not {', '.join(map(str, absent))}: extract them."
        )
    return {k: there[k] for k in wanted}


def _are_blocks(folders: Sequence[Path]) -> bool:
    """Whether folders with numbers for names hold the same tracks block by block, and are not folders of tracks that happen to be called so."""
    bare = [folder for folder in folders if not any(folder.glob("*.h5*")) and not (folder / "settings.json").is_file()]
    if len(bare) < 2 or len(bare) < len(folders):
        return True
    first, second = ({path.relative_to(folder) for path in folder.rglob(f"*{NPY_SUFFIX}")} for folder in bare[:2])
    return not first or not second or bool(first & second)


def check_tracks(
    source: str | Path,
    truths: Mapping[str, Truth],
    inputs: Inputs | None = None,
    skip_missing: bool = False,
) -> None:
    """Refuse tracks without embeddings, of all splits at once, before anything is read; with skip_missing only a split that has none at all.

    Raises GroundtruthError that counts them and shows how the tracks that are there are named, and for tracks that two splits share; StoreError
    where there are no embeddings.
    """
    place = (inputs or Inputs()).first(source)
    names = embedding_names(place)
    found = {part: match(truth.keys, names) for part, truth in truths.items()}
    refuse_shared({part: [names[i] for i in one.numbers[one.numbers >= 0]] for part, one in found.items()})
    absent = {part: one.absent for part, one in found.items()}
    refused = [part for part, keys in absent.items() if (len(keys) == len(truths[part]) if skip_missing else keys)]
    if not refused:
        return
    keys = [key for part in refused for key in absent[part]]
    counts = ", ".join(f"{len(absent[part])} of {len(truths[part])} {NAMES.get(part, part)}" for part in refused)
    stem = Path(without_suffix(keys[0])).name
    like = next((name for name in names if Path(without_suffix(name)).name == stem), names[0])
    empty = any(len(absent[part]) == len(truths[part]) for part in refused)
    below = [p for p in Path(source).iterdir() if p.is_dir() and p.name.isdigit()] if Path(source).is_dir() else []
    blocks = sorted((p.name for p in below), key=int)
    none_there = all(len(absent[part]) == len(truth) for part, truth in truths.items())
    if blocks and none_there and not (inputs and inputs.layers) and _are_blocks(below):  # tracks may lie in folders 0, 1, ... too
        raise GroundtruthError(
            f"{counts} tracks of the groundtruth have no embeddings in {source} itself, which has a folder per block ({', '.join(blocks)}): name "
            f"one, data.base_dir={Path(source) / blocks[0]}, or several, data.layers=[{blocks[0]}]; the command sweep takes them all."
        )
    cures = "Let the names be the same, or extract these tracks" + ("." if empty else "; data.skip_missing=True leaves them out.")
    raise GroundtruthError(
        f"{counts} tracks of the groundtruth have no embeddings in {place}: {listed(keys, 5)}. A track that is there is named {like!r}. "
        f"{cures}"
    )


def refuse_shared(parts: Mapping[str, Sequence[str]]) -> None:
    """Raise GroundtruthError for a track that two splits name (by the store's names: x.wav and x.mp3 may mean the same)."""
    for (a, ours), (b, theirs) in combinations(parts.items(), 2):
        known = set(ours)
        if shared := [name for name in theirs if name in known]:
            raise GroundtruthError(
                f"{len(shared)} {NAMES.get(b, b)} tracks are also used as {NAMES.get(a, a)} tracks: {listed(shared, 5)}. Take them out of one of "
                "the two: scores reward knowing them."
            )


def read_split(
    name: str,
    source: str | Path,
    truth: Truth,
    inputs: Inputs | None = None,
    skip_missing: bool = False,
    data: str = "",
) -> Split:
    """The tracks of `truth` with their embeddings.

    data: the data set's name, which every score on the split carries.
    skip_missing: tracks without embeddings are left out and counted in the log; else they are an error that lists them.

    Raises GroundtruthError, StoreError or ConfigError as `load_rows` does.
    """
    inputs = inputs or Inputs()
    if skip_missing:
        found = match(truth.keys, embedding_names(inputs.first(source)))
        if found.absent:
            log.warning("%s: %s They are left out.", split_name(data, name), found.message(str(source)))
            truth = truth.subset(np.flatnonzero(found.numbers >= 0))
    if isinstance(truth, Annotations):
        every = replace(inputs, train="each", val="each", test="each")
        times, lengths, left_out = read_times(inputs.first(source), truth.keys)
        x, times, lengths = pooled(every.read(source, truth.keys, name)[0], times, lengths, inputs.frame_pool)
        owner = np.repeat(np.arange(len(truth)), lengths)
        return Split(
            split_name(data, name), list(truth.keys), x, truth.matrix(), owner, frames_of(truth, times, lengths, left_out)
        )
    x, track = inputs.read(source, truth.keys, name)
    return Split(split_name(data, name), list(truth.keys), x, truth.matrix(), track, group=truth.group)


def split_name(data: str, part: str) -> str:
    """What scores on a part of a data set are reported under: "mtt test"."""
    return f"{data} {NAMES.get(part, part)}".strip()
