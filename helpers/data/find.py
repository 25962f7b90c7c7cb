"""Which tracks and labels a run is about: audio that is prepared first, a store and its label files, or the embedded demo data."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from datasets.collection.findings import torn_groups
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.splits import ensure_split, hash_split
from datasets.groundtruth.values import Values
from datasets.store.track_store import TrackStore
from datasets.utils.locks import wait_for_lock
from models.errors import AudioError, ConfigError, GroundtruthError, StoreError, listed

log = logging.getLogger(__name__)
SPLITS = ("train", "val", "test")
PREPARED = Path("exp_out/prepared")  # where stores of `audio_dir` go when no base_dir is given
DEMO = Path("exp_out/demo_data")


@dataclass(frozen=True)
class Tracks:
    """Store(s) of mels or waveforms and groundtruths by split ("predict" is absent when every track of the store is meant)."""

    store: Path
    store_val: Path | None = None
    truths: dict[str, Groundtruth] = field(default_factory=dict)
    name: str = ""  # of the data set


class DataSection(Protocol):
    """What the section datamodule says of tracks and labels."""

    audio_dir: str | None
    base_dir: str | None
    base_dir_val: str | None
    groundtruth: str | None
    groundtruth_train: str | None
    groundtruth_val: str | None
    groundtruth_test: str | None
    groundtruth_predict: str | None
    label_column: str | None
    label_separator: str | None
    group_column: str | None
    demo_tracks: int | None
    split_seed: int


def find_tracks(
    data: DataSection, splits: Sequence[str], out_dir: Path, *, waveform: int | None = None, unlabelled: float | None = None
) -> Tracks:
    """Return the tracks of `splits`: audio is prepared first, and what was prepared before is not done again.

    Args:
        data: the section. Audio is prepared into its base_dir (default: a folder of exp_out/prepared); one groundtruth for all splits, or a file per
            split; nothing named at all: the demo data.
        splits: of "train", "val", "test", "predict"; ("all",): one groundtruth, whole.
        out_dir: a split that the one groundtruth does not give is written to out_dir/split.csv.
        waveform: rate in Hz of the stores' samples; None: mels.
        unlabelled: a share in 0..1; where no labels are named, that much of the store is "val" and the rest "train", by a hash of the names (a
            training that needs no labels); labels that are named give their splits.

    Raises ConfigError, GroundtruthError or StoreError before any work for what is missing or does not fit.
    """
    labels = {split: getattr(data, f"groundtruth_{split}") for split in (*SPLITS, "predict")}
    if data.audio_dir is not None and not Path(data.audio_dir).is_dir():
        raise AudioError(f"datamodule.audio_dir is {data.audio_dir}, which is not a folder.")
    if data.audio_dir is None and data.base_dir is None:
        if data.groundtruth is not None or any(labels.values()):
            raise ConfigError(
                "There are labels but no tracks: give datamodule.base_dir (a store) or datamodule.audio_dir (audio)."
            )
        store, table = demo_data(data.demo_tracks, waveform)
        return Tracks(
            store, None, read_truths(LabelFiles(str(table), labels, split_seed=data.split_seed), splits, out_dir), "demo"
        )
    if data.base_dir is not None and data.audio_dir is None and not _is_there(Path(data.base_dir)):
        raise StoreError(
            f"datamodule.base_dir is {data.base_dir}, and there is nothing: prepare audio into it (python -m datasets.prepare AUDIO {data.base_dir})."
        )
    bare = unlabelled is not None and data.groundtruth is None and not any(labels.values())
    files = LabelFiles(
        data.groundtruth, labels, data.label_column, data.group_column, data.split_seed, separator=data.label_separator
    )
    truths = read_truths(files, () if bare else splits, out_dir)  # before hours of preparation
    store = prepared(data.audio_dir, data.base_dir, waveform) if data.audio_dir is not None else Path(str(data.base_dir))
    if bare and set(splits) != {"predict"}:  # a single recording can be extracted
        truths = _without_labels(store, unlabelled, data.split_seed, splits)
    name = Path(str(data.audio_dir or data.base_dir)).resolve().name
    return Tracks(store, Path(data.base_dir_val) if data.base_dir_val else None, truths, name)


def _without_labels(store: Path, share: float | None, seed: int, splits: Sequence[str]) -> dict[str, Groundtruth]:
    names = TrackStore.open(store).names
    found = Groundtruth.unlabelled(names, hash_split(names, share or 0.0, seed)).splits
    if absent := [s for s in splits if s not in (*found, "predict")]:
        raise GroundtruthError(f"There are no labels, and so no {' and no '.join(absent)} tracks: give datamodule.groundtruth.")
    return {s: found[s] for s in splits if s in found}


@dataclass(frozen=True)
class LabelFiles:
    """Where labels stand.

    Attributes:
        groundtruth: one file for all splits.
        by_split: split ("predict" too) -> its own file.
        label_column, group_column: of the tables; None: found by their names.
        split_seed: of a split that the one file does not give.
        separator: what parts labels in a cell; None: as Groundtruth.read finds.
        label_names: a file of the labels in their order, a line each, for a file per split; None: those of the training file, sorted.
    """

    groundtruth: str | None
    by_split: Mapping[str, str | None]
    label_column: str | None = None
    group_column: str | None = None
    split_seed: int = 0
    label_names: Path | None = None
    separator: str | None = None


def read_truths(files: LabelFiles, splits: Sequence[str], out_dir: Path | None = None) -> dict[str, Groundtruth]:
    """Return groundtruth by split, all with the same labels in the same order; splits ("all",): the one file whole.

    Raises ConfigError for files that do not go together, GroundtruthError for splits that cannot be had.
    """
    if tuple(splits) == ("all",) and files.groundtruth is None:
        raise ConfigError("Cross-validation makes its own splits of one label file: give one label file as groundtruth.")
    wanted = [split for split in splits if split != "predict"]
    truths: dict[str, Groundtruth] = {}
    if files.groundtruth is not None:
        if any(files.by_split.get(split) for split in SPLITS):
            raise ConfigError("Give one groundtruth with its splits, or a file per split (groundtruth_train, ...), not both.")
        truths = _of_one_file(files, wanted, out_dir)
    elif wanted:
        truths = _of_several_files(files, wanted)
    if "predict" in splits and files.by_split.get("predict"):
        truths["predict"] = Groundtruth.read(
            str(files.by_split["predict"]), label_column=files.label_column, separator=files.separator
        )
    return truths


def _of_one_file(files: LabelFiles, wanted: Sequence[str], out_dir: Path | None) -> dict[str, Groundtruth]:
    path = str(files.groundtruth)
    whole = _read(files, path)
    if list(wanted) == ["all"]:
        return {"all": whole}
    if not wanted:
        return {}
    split = ensure_split(whole, None if out_dir is None else out_dir / "split.csv", files.split_seed)
    warn_of_torn_groups(split, path)
    found = split.splits
    if absent := [one for one in wanted if one not in found]:
        raise GroundtruthError(f"{path} has no {' and no '.join(absent)} tracks; its splits are {', '.join(found)}.")
    return {one: found[one] for one in wanted}


def _read(files: LabelFiles, path: str, names: Sequence[str] | Path | None = None) -> Groundtruth:
    return Groundtruth.read(
        path, label_column=files.label_column, group_column=files.group_column, labels=names, separator=files.separator
    )


def _of_several_files(files: LabelFiles, wanted: Sequence[str]) -> dict[str, Groundtruth]:
    truths: dict[str, Groundtruth] = {}
    names: Sequence[str] | Path | None = files.label_names
    for split in (one for one in SPLITS if one in wanted or files.by_split.get(one)):
        path = files.by_split.get(split)
        if path is None:
            raise GroundtruthError(
                f"There are no labels for {split}: give datamodule.groundtruth_{split}, or one datamodule.groundtruth for all."
            )
        truth = _read(files, path, names)
        names = names or truth.labels
        truths[split] = truth
    warn_of_torn_groups(_joined(truths), str(files.by_split.get("train") or path))
    return {split: truths[split] for split in wanted}


def _joined(truths: Mapping[str, Groundtruth]) -> Groundtruth:
    """Keys, splits and groups of several files as one table; without groups where a file has none."""
    parts = truths.values()
    grouped = all(truth.group is not None for truth in parts)
    keys = [key for truth in parts for key in truth.keys]
    return Groundtruth(
        keys,
        [],
        np.zeros((len(keys), 0), dtype=np.uint8),
        [split for split, truth in truths.items() for _ in truth.keys],
        [name for truth in parts for name in truth.group or ()] if grouped else None,
        faulty=True,  # a key may stand in several files: whoever trains on them refuses it
    )


def warn_of_torn_groups(truth: Groundtruth | Values, path: str | Path) -> None:
    """Say it when tracks of one group (artist, album) stand in several splits: scores then reward knowing the artist."""
    torn = torn_groups(truth)
    if torn:
        n = len(set(truth.group or []))
        log.warning(
            "%s: %d of %d groups stand in several splits (%s): test scores may be too good. The command check_data lists them.",
            path, len(torn), n, listed(list(torn), 3),
        )  # fmt: skip


def audio_and_table(
    audio_dir: str | None, base_dir: str | None, groundtruth: str | None, demo_tracks: int | None
) -> tuple[Path, Path]:
    """What check_data looks at: a folder of audio (or a store), and the table. Only demo_tracks named: that many of the demo data.

    Raises ConfigError when one of the two is not named, AudioError when the folder is none.
    """
    if audio_dir is None and base_dir is None and groundtruth is None:
        if demo_tracks is None:
            raise ConfigError(
                "check_data looks at a collection: give datamodule.audio_dir=AUDIO (or datamodule.base_dir=STORE) and "
                "datamodule.groundtruth=labels.csv. To see it at work on demo music: datamodule.demo_tracks=200."
            )
        from datasets.demo import make

        return make(DEMO.with_name(f"{DEMO.name}-{demo_tracks}"), demo_tracks)
    if groundtruth is None:
        raise ConfigError("check_data compares audio with a table of labels: give datamodule.groundtruth.")
    if audio_dir is None and base_dir is None:
        raise ConfigError(
            "There are labels but no tracks: give datamodule.audio_dir (audio), or datamodule.base_dir (a store of it)."
        )
    if audio_dir is not None and not Path(audio_dir).is_dir():
        raise AudioError(f"datamodule.audio_dir is {audio_dir}, which is not a folder.")
    return Path(str(audio_dir or base_dir)), Path(groundtruth)


def label_files(folder: str | Path) -> dict[str, str]:
    """groundtruth-train, -val and -test files (any kind of groundtruth) of a folder, by split. Raises GroundtruthError naming what is not there."""
    found: dict[str, str] = {}
    for split in SPLITS:
        there = sorted(
            p for p in Path(folder).glob(f"groundtruth-{split}.*") if p.suffix in (".csv", ".tsv", ".json", ".pk", ".pkl")
        )
        if len(there) != 1:
            what = f"{len(there)} files" if there else "no file"
            raise GroundtruthError(
                f"There is {what} groundtruth-{split}.csv (tsv, json, pk) in {folder}; wanted one for each of train, val and test."
            )
        found[split] = str(there[0])
    return found


def _is_there(path: Path) -> bool:
    return path.exists() or any(path.parent.glob(f"{path.name}.*"))  # the parts of a store that is not sealed yet


def prepared(audio_dir: str, base_dir: str | None, waveform: int | None = None) -> Path:
    """The store of a folder of audio, mels or (with a rate) samples, made now where it is not yet.

    Raises AudioError when no file of it can be used.
    """
    from datasets.prepare import prepare

    folder = Path(audio_dir).resolve()
    kind = f"-{waveform}" if waveform else ""
    out = Path(base_dir) if base_dir else PREPARED / f"{folder.name}-{_short_hash(str(folder))}{kind}"
    done = prepare(audio_dir, out, waveform)
    if done.made:
        log.info("Prepared %d files of %s into %s.", done.made, audio_dir, out)
    if done.failed:
        log.warning(
            "%d files of %s cannot be used and are left out; %s lists them.", len(done.failed), audio_dir, out / "failed.csv"
        )
    return done.store


def demo_data(n_tracks: int | None = None, waveform: int | None = None) -> tuple[Path, Path]:
    """The demo data's store (mels, or samples at a rate) and label file, made now where they are not yet. Waits while another process makes them."""
    from datasets.demo import make

    folder = DEMO if n_tracks is None else DEMO.with_name(f"{DEMO.name}-{n_tracks}")
    said = lambda: log.info("Another process makes the demo music in %s: waiting for it.", folder)  # noqa: E731
    with wait_for_lock(folder / "lock", said):
        audio, table = make(folder, n_tracks)
        return prepared(str(audio), str(folder / (f"samples-{waveform}" if waveform else "mels")), waveform), table


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
