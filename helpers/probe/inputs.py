"""From what a user names (embeddings, labels, published setting names) to what a probe takes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from datasets.groundtruth.groundtruth import Groundtruth, match, without_suffix
from datasets.groundtruth.values import Values, z_scored
from models.errors import ConfigError, GroundtruthError, StoreError, listed

from ..data.find import LabelFiles, label_files, read_truths
from ..extraction.embeddings import MEMORY, NPY_SUFFIX, Choice, Rows, embedding_names, load_rows
from ..metrics.tasks import get_task
from .label_column import check_labels, column_of, cure
from .run import ProbeSettings, Split

log = logging.getLogger(__name__)
LayerReduce = Literal["mean", "stack", "learned"]
NAMES = {"train": "training", "val": "validation", "test": "test", "all": "all tracks"}


class TrainerSection(Protocol):
    """The section trainer of a probe."""

    max_epochs: int
    max_steps: int | None
    precision: str | int


class OptimizerSection(Protocol):
    """The section optimizer of a probe; its other keys are read by the names of ProbeSettings."""

    name: Any
    lr_grid: Sequence[float]


class ModelSection(Protocol):
    """The section model of a probe."""

    hidden_units: int
    num_layers: int
    drop_out: float
    input_drop_out: float
    loss: str


class WindowsSection(Protocol):
    """Which windows of a track a probe sees."""

    train_windows: str
    val_windows: str
    test_windows: str
    aggregate: str


@dataclass(frozen=True)
class Inputs:
    """What of the embeddings a probe sees.

    types, reduce, token_size: tokens (helpers.embeddings.Choice). layers: blocks to take from a folder that has a store in a sub-folder per block;
    none: the source itself. layer_reduce: several layers averaged, stacked, or mixed by weights that the head learns.
    train, val, test: windows of a track: "mean" (one vector per track), "each" (every window), "random" (train: another one each epoch; val: one,
    drawn once), "first". seed: of that one draw. memory: bytes above which embeddings stand in a memory map.
    """

    types: str = "cdt"
    reduce: Literal["mean", "stack"] = "stack"
    token_size: int | None = None
    layers: tuple[int, ...] = ()
    layer_reduce: LayerReduce = "mean"
    train: Rows = "mean"
    val: Rows = "mean"
    test: Rows = "mean"
    seed: int = 0
    memory: float = MEMORY

    def __post_init__(self) -> None:
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
        rows = {"train": self.train, "val": self.val, "test": self.test}.get(part, "mean")
        loaded = rows if (part, rows) != ("train", "random") else "each"  # the training draws anew every epoch
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
    wanted_here = "wanted is a folder with a sub-folder per block, as `python ex_maest.py extract_embeddings with ... "
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
    truths: Mapping[str, Groundtruth | Values],
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
            f"one, data.base_dir={Path(source) / blocks[0]}, or several, data.layers=[{blocks[0]}]; ex_tl.py sweep takes them all."
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
    truth: Groundtruth | Values,
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
    x, track = inputs.read(source, truth.keys, name)
    return Split(split_name(data, name), list(truth.keys), x, truth.matrix(), track)


def split_name(data: str, part: str) -> str:
    """What scores on a part of a data set are reported under: "mtt test"."""
    return f"{data} {NAMES.get(part, part)}".strip()


def read_targets(
    task: str,
    groundtruth: str | None,
    metadata_dir: str | None,
    label_column: str | None,
    split_seed: int,
    group_column: str | None = None,
    folds: int = 0,
    out_dir: Path | None = None,
) -> dict[str, Any]:
    """Groundtruth (or, for a regression, z-scored Values) by split: train, val, test, or {"all": ...} for cross-validation.

    groundtruth: one file for all; metadata_dir: a folder of groundtruth-train, -val and -test files, whose labels.txt, where there is one, gives
    the labels' order.

    label_column: of the labels, or of the one value; of the task key a column named key is found. Labels that are numbers in truth are refused.

    Raises GroundtruthError or ConfigError for what is not there or does not fit.
    """
    if (groundtruth is None) == (metadata_dir is None):
        raise ConfigError(
            "No labels: give data.groundtruth (one file), or data.metadata_dir (a folder of groundtruth-train/-val/-test files); one of the two."
        )
    files = label_files(metadata_dir) if metadata_dir else {}
    if get_task(task).numeric:
        if group_column is not None:
            raise ConfigError("Groups are for labels: leave data.group_column out where numbers are predicted.")
        return _read_values(groundtruth, files, metadata_dir, label_column, folds)
    order = Path(metadata_dir or "") / "labels.txt"
    names = order if files and order.is_file() else None
    splits = ("all",) if folds else ("train", "val", "test")
    first = str(groundtruth or files["train"])
    column = column_of(task, first, label_column)
    try:
        truths = read_truths(LabelFiles(groundtruth, files, column, group_column, split_seed, names), splits, out_dir)
    except GroundtruthError as error:
        raise GroundtruthError(f"{error}{cure(error, first)}") from None
    check_labels(task, truths, str(groundtruth or metadata_dir), column)
    return dict(truths)


def _read_values(
    groundtruth: str | None, files: Mapping[str, str], metadata_dir: str | None, column: str | None, folds: int
) -> dict[str, Any]:
    """Values by split, z-scored by the development tracks; of a cross-validation all of them, z-scored by all: their scale alone is known then."""
    read = {split: Values.read(path, column) for split, path in files.items()}
    whole = None if read else Values.read(str(groundtruth), column)
    found = whole.splits if whole is not None else read
    if len({tuple(truth.labels) for truth in found.values()}) > 1:
        raise GroundtruthError(f"The splits in {metadata_dir} have different values: {[t.labels for t in found.values()]}.")
    if folds:
        parts = list(found.values())
        keys = [key for part in parts for key in part.keys]
        every = whole or Values(keys, parts[0].labels, np.concatenate([part.numbers for part in parts]))
        return z_scored({"all": every}, by=("all",))
    if absent := [s for s in ("train", "val", "test") if s not in found]:
        raise GroundtruthError(
            f"{groundtruth or metadata_dir} has no {' and no '.join(absent)} tracks: a regression wants a split column."
        )
    return z_scored(found)


def probe_settings(
    trainer: TrainerSection,
    optimizer: OptimizerSection,
    model: ModelSection,
    batch_size: int,
    standardise: bool,
    data: WindowsSection | None = None,
    task: str | None = None,
) -> ProbeSettings:
    """Return ProbeSettings of sections with the published names.

    Args:
        trainer, optimizer, model: the sections.
        batch_size: tracks or windows per step.
        standardise: z-score the inputs.
        data: how windows are used; None: one vector per track.
        task: what is asked; None: the one of `data`, or tags.
    """
    names = (
        "monitor", "scheduler", "weight_decay", "max_lr", "max_lr_epochs", "warmup_epochs", "base_lr", "gamma", "warmup_steps", "plateau_patience",
        "plateau_monitor", "early_stopping", "early_monitor", "keep",
    )  # fmt: skip
    asked: dict[str, Any] = {}
    if data is not None:
        _check_aggregate(data)
        examples = "random_row" if data.train_windows == "random" else "row"
        asked = {"aggregate": data.aggregate, "examples": examples}
    if task is not None:
        asked["task"] = task
    return ProbeSettings(
        hidden=model.hidden_units,
        num_layers=model.num_layers,
        dropout=model.drop_out,
        input_dropout=model.input_drop_out,
        loss=model.loss,
        max_epochs=trainer.max_epochs,
        max_steps=trainer.max_steps,
        precision=str(trainer.precision),  # type: ignore[arg-type]
        batch_size=batch_size,
        standardise=standardise,
        optimizer=optimizer.name,
        lr_grid=tuple(optimizer.lr_grid),
        **{name: getattr(optimizer, name) for name in names},
        **asked,
    )


def _check_aggregate(data: WindowsSection) -> None:
    """Raise ConfigError for an aggregation where tracks have one window."""
    lacking = [f"data.{part}_windows" for part in ("val", "test") if getattr(data, f"{part}_windows") != "each"]
    needed = ("data.val_windows", "data.test_windows") if data.aggregate == "best" else ("data.test_windows",)
    if data.aggregate != "mean_prob" and (wrong := [name for name in needed if name in lacking]):
        raise ConfigError(
            f"data.aggregate={data.aggregate} puts a track's windows together, and there is one per track: set {' and '.join(wrong)} to each, or "
            "leave data.aggregate at mean_prob."
        )


def probe_inputs(data: Any) -> Inputs:
    """Return the inputs that the section `data` of ex_tl.py names."""
    return Inputs(
        types=data.types,
        reduce=data.reduce,
        token_size=data.token_size,
        layers=tuple(data.layers or ()),
        layer_reduce=data.layer_reduce,
        train=data.train_windows,
        val=data.val_windows,
        test=data.test_windows,
        seed=data.split_seed,
        memory=data.memory_gb * 1e9,
    )
