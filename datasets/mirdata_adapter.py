"""Data sets as mirdata (https://github.com/mir-dataset-loaders/mirdata) loads them, as a groundtruth and paths of audio.

    python -m datasets.mirdata_adapter gtzan_genre --data-home DIR --label genre --out labels.csv

writes a table for every command that takes one (datamodule.groundtruth=labels.csv datamodule.audio_dir=DIR). mirdata itself is not among the
requirements: `pip install mirdata` where it is wanted.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.errors import GroundtruthError, StoreError, listed, nearest

from .collection.findings import write_table
from .groundtruth.groundtruth import Groundtruth
from .groundtruth.groups import Groups, group_noun
from .utils.terminal import begin_in_utf8, print_any_text

log = logging.getLogger(__name__)
Labels = str | Callable[[Any], object]


def dataset(name: str, data_home: str | None = None) -> Any:
    """Return the data set that mirdata has under this name. Raises GroundtruthError when mirdata is not installed or has none such."""
    try:
        import mirdata  # late: not among the requirements
    except ImportError:
        raise GroundtruthError("mirdata is not installed: `pip install mirdata`, or give a table of labels instead.") from None
    known = mirdata.list_datasets()
    if name not in known:
        raise GroundtruthError(f"mirdata has no data set {name!r}.{nearest(name, known)}")
    return mirdata.initialize(name, data_home=data_home)


def from_mirdata(
    source: Any, labels: Labels, audio: str = "audio_path", group: str | None = None
) -> tuple[Groundtruth, dict[str, Path]]:
    """Return the groundtruth of a mirdata Dataset, and where the audio of each key stands.

    source: the Dataset. labels: an attribute of its tracks, or a function of a track; it gives a label, a list of labels, or None (no
    label). audio: the attribute that is the audio's path. group: an attribute whose equal values a split keeps together.
    Keys are paths relative to the data set's data_home. Its own splits (get_track_splits) are taken where they are train, validation and test.
    Tracks without a path are left out and counted.

    Raises GroundtruthError for attributes that the tracks do not have, and audio outside of data_home.
    """
    home = Path(source.data_home)
    splits = _splits(source)
    keys: list[str] = []
    paths: dict[str, Path] = {}
    values: list[list[str]] = []
    split: list[str] = []
    groups: list[str] = []
    without = 0
    for track_id, track in source.load_tracks().items():
        path = _attribute(track, audio)
        if path is None:
            without += 1
            continue
        key = os.path.relpath(os.fspath(path), home).replace(os.sep, "/")
        if key.startswith("../"):
            raise GroundtruthError(f"The audio of track {track_id!r}, {path}, is not under the data set's folder {home}.")
        keys.append(key)
        paths[key] = Path(path)
        values.append(_names(labels(track) if callable(labels) else _attribute(track, labels)))
        split.append(splits.get(track_id, ""))
        groups.append("" if group is None else str(_attribute(track, group) or ""))
    if without:
        log.warning("%d tracks of %s have no %s and are left out.", without, type(source).__name__, audio)
    whole = bool(split) and all(split)
    if any(split) and not whole:
        log.warning(
            "%d of %d tracks are in none of the data set's splits; the splits are left aside.", split.count(""), len(split)
        )
    truth = Groundtruth.from_rows(
        keys, values, split=split if whole else None, group=Groups(groups, group_noun(group)) if group else None
    )
    return truth, paths


def _attribute(track: Any, name: str) -> Any:
    if not hasattr(track, name):
        known = [word for word in dir(track) if not word.startswith("_") and word not in ("to_jams",)]
        raise GroundtruthError(f"The tracks have no {name!r}; they have {listed(known, 30)}.")
    return getattr(track, name)


def _names(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str | int | float):
        return [str(value)]
    if isinstance(value, Sequence) and all(isinstance(one, str | int) for one in value):
        return [str(one) for one in value]
    raise GroundtruthError(
        f"A track's labels are a name or a list of names; got a {type(value).__name__}. Give a function that makes names of it."
    )


def _parted(value: object, separator: str) -> object:
    return [part.strip() for part in value.split(separator) if part.strip()] if isinstance(value, str) else value


def _splits(source: Any) -> dict[str, str]:
    """{track id: split} where the data set has splits."""
    try:
        found: Mapping[str, Sequence[str]] = source.get_track_splits()
    except (AttributeError, NotImplementedError):
        return {}
    return {track_id: name for name, ids in found.items() for track_id in ids}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    if argv is None:
        begin_in_utf8()
    parser = argparse.ArgumentParser(
        prog="python -m datasets.mirdata_adapter", description="A mirdata data set as a table of labels."
    )
    parser.add_argument("name", help="mirdata's name of the data set")
    parser.add_argument("--data-home", help="its folder (default: mirdata's)")
    parser.add_argument("--label", required=True, help="attribute of its tracks that is the label, or a list of labels")
    parser.add_argument(
        "--label-separator", metavar="MARK", help="what parts the labels in a text, such as ',' (default: a text is one label)"
    )
    parser.add_argument("--group", help="attribute whose equal values a split keeps together, such as artist")
    parser.add_argument("--out", default="labels.csv", help="the table (default: %(default)s)")
    print_any_text()
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        source = dataset(args.name, args.data_home)
        labels: Labels = args.label
        if args.label_separator:
            labels = lambda track: _parted(_attribute(track, args.label), args.label_separator)  # noqa: E731
        truth, _ = from_mirdata(source, labels, group=args.group)
        write_table(Path(args.out), truth)
    except (GroundtruthError, StoreError) as error:
        log.error("%s", error)
        return 2
    log.info("%s: %d tracks, %d labels. Audio: datamodule.audio_dir=%s", args.out, len(truth), truth.n_labels, source.data_home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
