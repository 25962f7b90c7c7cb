"""Which tracks and labels a run is about: audio that is prepared first, a store and its label files, or the embedded demo data."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets.collection.findings import torn_groups
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.splits import ensure_split, hash_split
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


def find_tracks(
    *,
    audio_dir: str | None,
    base_dir: str | None,
    base_dir_val: str | None,
    groundtruth: str | None,
    labels: Mapping[str, str | None],
    label_column: str | None,
    group_column: str | None,
    demo_tracks: int | None,
    split_seed: int,
    splits: Sequence[str],
    out_dir: Path,
    waveform: int | None = None,
    unlabelled: float | None = None,
) -> Tracks:
    """The tracks of `splits` (of "train", "val", "test", "predict").

    audio_dir: audio that is prepared into base_dir (default: a folder of exp_out/prepared) first; what was prepared before is not done again.
    groundtruth: one file for all splits; labels: a file per split instead. Nothing named at all: the demo data, demo_tracks of them.
    split_seed: of a split that the one file does not give; it is written to out_dir/split.csv. group_column: what it keeps together.
    waveform: rate in Hz of the stores' samples; none: mels. unlabelled: a share in 0..1; where no labels are named, that much of the store is
    "val" and the rest "train", by a hash of the names (a training that needs no labels); labels that are named give their splits.

    Raises ConfigError, GroundtruthError or StoreError before any work for what is missing or does not fit.
    """
    if audio_dir is not None and not Path(audio_dir).is_dir():
        raise AudioError(f"datamodule.audio_dir is {audio_dir}, which is not a folder.")
    if audio_dir is None and base_dir is None:
        if groundtruth is not None or any(labels.values()):
            raise ConfigError(
                "There are labels but no tracks: give datamodule.base_dir (a mel store) or datamodule.audio_dir (audio)."
            )
        store, groundtruth = demo_data(demo_tracks, waveform)
    else:
        if base_dir is not None and audio_dir is None and not _is_there(Path(base_dir)):
            raise StoreError(
                f"datamodule.base_dir is {base_dir}, and there is nothing: prepare audio into it (python -m datasets.prepare AUDIO {base_dir})."
            )
        bare = unlabelled is not None and groundtruth is None and not any(labels.values())
        wanted = () if bare else splits
        truths = read_truths(
            groundtruth, labels, label_column, split_seed, wanted, out_dir, group_column
        )  # before hours of preparation
        store = prepared(audio_dir, base_dir, waveform) if audio_dir is not None else Path(str(base_dir))
        if bare:
            truths = _without_labels(store, unlabelled, split_seed, splits)
        return Tracks(
            store, Path(base_dir_val) if base_dir_val else None, truths, Path(str(audio_dir or base_dir)).resolve().name
        )
    return Tracks(store, None, read_truths(str(groundtruth), labels, None, split_seed, splits, out_dir), "demo")


def _without_labels(store: Path, share: float | None, seed: int, splits: Sequence[str]) -> dict[str, Groundtruth]:
    names = TrackStore.open(store).names
    found = Groundtruth.unlabelled(names, hash_split(names, share or 0.0, seed)).splits
    if absent := [s for s in splits if s not in (*found, "predict")]:
        raise GroundtruthError(f"There are no labels, and so no {' and no '.join(absent)} tracks: give datamodule.groundtruth.")
    return {s: found[s] for s in splits if s in found}


def read_truths(
    groundtruth: str | None,
    labels: Mapping[str, str | None],
    label_column: str | None,
    split_seed: int,
    splits: Sequence[str],
    out_dir: Path | None = None,
    group_column: str | None = None,
    label_names: Path | None = None,
) -> dict[str, Groundtruth]:
    """Groundtruth by split, all with the same labels in the same order; splits ("all",): the one file whole.

    label_names: a file of the labels in their order, a line each, for a file per split; else those of the training file, sorted.

    Raises GroundtruthError for splits that cannot be had.
    """
    if splits == ("all",) and groundtruth is None:
        raise ConfigError(
            "Cross-validation makes its own splits of one label file: give datamodule.groundtruth (data.groundtruth in ex_tl.py)."
        )
    wanted = [s for s in splits if s != "predict"]
    truths: dict[str, Groundtruth] = {}
    if groundtruth is not None:
        if any(labels.get(s) for s in SPLITS):
            raise ConfigError("Give one groundtruth with its splits, or a file per split (groundtruth_train, ...), not both.")
        whole = Groundtruth.read(groundtruth, label_column=label_column, group_column=group_column)
        if splits == ("all",):
            return {"all": whole}
        if wanted:
            split = ensure_split(whole, None if out_dir is None else out_dir / "split.csv", split_seed)
            warn_of_torn_groups(split, groundtruth)
            found = split.splits
            if absent := [s for s in wanted if s not in found]:
                raise GroundtruthError(
                    f"{groundtruth} has no {' and no '.join(absent)} tracks; its splits are {', '.join(found)}."
                )
            truths = {s: found[s] for s in wanted}
    elif wanted:
        names: Sequence[str] | Path | None = label_names
        for split in (s for s in SPLITS if s in wanted or labels.get(s)):
            path = labels.get(split)
            if path is None:
                raise GroundtruthError(
                    f"There are no labels for {split}: give datamodule.groundtruth_{split}, or one datamodule.groundtruth for all."
                )
            truth = Groundtruth.read(path, label_column=label_column, group_column=group_column, labels=names)
            names = names or truth.labels
            truths[split] = truth
        warn_of_torn_groups(_joined(truths), str(labels["train"] or path))
        truths = {s: truths[s] for s in wanted}
    if "predict" in splits and labels.get("predict"):
        truths["predict"] = Groundtruth.read(str(labels["predict"]), label_column=label_column)
    return truths


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


def warn_of_torn_groups(truth: Groundtruth, path: str | Path) -> None:
    """Say it when tracks of one group (artist, album) stand in several splits: scores then reward knowing the artist."""
    torn = torn_groups(truth)
    if torn:
        n = len(set(truth.group or []))
        log.warning(
            "%s: %d of %d groups stand in several splits (%s): test scores may be too good. `python ex_maest.py check_data` lists them.",
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
