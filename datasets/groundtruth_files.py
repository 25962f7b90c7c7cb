"""Reading label files: csv and tsv, json, pickles (through a list of what is admitted), and a folder per class."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from models.errors import GroundtruthError, nearest

from . import safe_pickle
from .groundtruth import Groundtruth, listed

log = logging.getLogger(__name__)
PATH_COLUMNS = (
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "key",
    "audio",
    "audio_path",
    "mp3_path",
    "track",
    "name",
)
LABEL_COLUMNS = ("labels", "label", "tags", "tag", "classes", "class", "genres", "genre", "styles", "style", "category", "target")
SPLIT_COLUMNS = ("split", "subset", "partition")
GROUP_COLUMNS = ("group", "artist", "artist_id", "album", "album_id")
SEPARATORS = ("|", ";", ",")


def read(
    path: str | Path,
    *,
    labels: Sequence[str] | str | Path | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    separator: str | None = None,
) -> Groundtruth:
    """Read a groundtruth from a file or folder; the kind is told by the suffix.

    csv, tsv: a header line; a column with the path and one with the labels, or a column of 0/1 per label; columns are recognised
    by their names where these are usual, and chosen by `..._column`. `separator` parts the labels in a cell ("|", ";" or ","; ""
    when each cell is one label); by default the first of these that occurs. json: {path: labels}, or a list of objects with the
    same names as the columns, or {"labels": [...], "tracks": {path: labels}}. pk, pkl, pickle: a dict path -> labels; only plain
    data and numpy arrays are admitted. A folder: one sub-folder per class.

    `labels`: the columns' names and order, as a list or a text file with one per line; by default the names found, sorted.

    Raises GroundtruthError saying which file, what is wrong with it, and what to choose.
    """
    path = Path(path)
    if not path.exists():
        raise GroundtruthError(f"There is no groundtruth at {path}.")
    columns = {"path": path_column, "label": label_column, "split": split_column, "group": group_column}
    try:
        names = _label_names(labels)
        if path.is_dir():
            found = _read_folder(path, names)
        elif path.suffix.lower() in (".csv", ".tsv", ".txt"):
            found = _read_table(path, names, columns, separator)
        elif path.suffix.lower() == ".json":
            found = _read_json(path, names, columns, separator)
        elif path.suffix.lower() in (".pk", ".pkl", ".pickle"):
            found = _from_mapping(safe_pickle.load(path), names)
        else:
            raise GroundtruthError(f"'{path.suffix}' is not a kind of groundtruth; csv, tsv, json, pk or a folder per class is.")
    except GroundtruthError as error:
        raise GroundtruthError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GroundtruthError(f"{path} cannot be read: {error}.") from None
    if found.n_unlabelled:
        log.info("%s: %d of %d tracks have no label.", path, found.n_unlabelled, len(found))
    unused = [label for label, n in zip(found.labels, found.counts.tolist()) if n == 0]
    if unused:
        log.info("%s: %d of %d labels have no track: %s.", path, len(unused), found.n_labels, listed(unused))
    return found


def _label_names(labels: Sequence[str] | str | Path | None) -> list[str] | None:
    if labels is None:
        return None
    if isinstance(labels, str | Path):
        return [line.strip() for line in Path(labels).read_text(encoding="utf-8").splitlines() if line.strip()]
    return [str(label) for label in labels]


# -- tables


def _read_table(path: Path, labels: list[str] | None, columns: dict[str, str | None], separator: str | None) -> Groundtruth:
    with open(path, newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max((",", "\t", ";"), key=first.count)
        rows = [row for row in csv.reader(file, delimiter=delimiter) if any(cell.strip() for cell in row)]
    if not rows:
        raise GroundtruthError("the file is empty; a header line and a line per track are wanted.")
    header = [cell.strip() for cell in rows.pop(0)]
    if len(set(header)) != len(header):
        raise GroundtruthError(f"a column's name stands twice in the header: {', '.join(header)}.")
    if not rows:
        raise GroundtruthError(f"there is a header ({', '.join(header)}) but no track.")
    for number, row in enumerate(rows, start=2):
        if len(row) < len(header):
            raise GroundtruthError(f"line {number} has {len(row)} cells, the header has {len(header)}.")
    key = _choose(header, columns["path"], PATH_COLUMNS, "path", "the track's path")
    if key is None:
        raise GroundtruthError(
            f"no column is known to hold the track's path: rename it to {' or '.join(PATH_COLUMNS[:4])} (in Python: path_column=). "
            f"The columns are {', '.join(header)}."
        )
    split = _choose(header, columns["split"], SPLIT_COLUMNS, "split", "the split")
    group = _choose(header, columns["group"], GROUP_COLUMNS, "group", "the group", ambiguous=False)
    label = _choose(header, columns["label"], LABEL_COLUMNS, "label", "the labels")
    if group is not None:
        log.info("Tracks that share their %s are a group: a split keeps them together.", group)
    cells = {name: [row[i].strip() for row in rows] for i, name in enumerate(header)}
    keys = cells[key]
    if label is None:
        return _one_column_per_label(
            cells, [c for c in header if c not in (key, split, group)], keys, labels, cells.get(split), cells.get(group)
        )
    texts = cells[label]
    extra: list[list[str]] = [[cell.strip() for cell in row[len(header) :] if cell.strip()] for row in rows]
    if any(extra) and label != header[-1]:
        raise GroundtruthError(
            "lines have more cells than the header; only labels in the last column may run on (as MTG-Jamendo's do)."
        )
    parted = _part(texts, separator)
    return Groundtruth.from_rows(keys, [a + b for a, b in zip(parted, extra)], labels, cells.get(split), cells.get(group))


def _choose(
    header: list[str], chosen: str | None, usual: Sequence[str], kind: str, what: str, ambiguous: bool = True
) -> str | None:
    if chosen is not None:
        if chosen not in header:
            raise GroundtruthError(
                f"there is no column {chosen!r} for {what}; there are {', '.join(header)}.{nearest(chosen, header)}"
            )
        return chosen
    found = [name for name in header if name.lower() in usual]
    if len(found) > 1 and ambiguous and kind != "path":
        raise GroundtruthError(
            f"several columns may hold {what}: {', '.join(found)}. Choose one with {kind}_column"
            f"{' (datamodule.label_column=... of ex_maest.py, data.label_column=... of ex_tl.py)' if kind == 'label' else ''}."
        )
    return min(found, key=lambda name: usual.index(name.lower())) if found else None


def _part(texts: Sequence[str], separator: str | None) -> list[list[str]]:
    if separator is None:
        separator = next((mark for mark in SEPARATORS if any(mark in text for text in texts)), "")
        if separator:
            log.debug("Labels are parted at %r; choose another with separator.", separator)
    return [[part for part in (p.strip() for p in (text.split(separator) if separator else [text])) if part] for text in texts]


def _one_column_per_label(
    cells: dict[str, list[str]],
    columns: list[str],
    keys: list[str],
    labels: list[str] | None,
    split: list[str] | None,
    group: list[str] | None,
) -> Groundtruth:
    binary = {"0", "1", "0.0", "1.0", "True", "False", "true", "false"}
    usable = [name for name in columns if set(cells[name]) <= binary]
    if labels is not None:
        absent = [name for name in labels if name not in usable]
        if absent:
            raise GroundtruthError(f"{len(absent)} of {len(labels)} labels are not columns of 0 and 1: {listed(absent)}.")
        usable = labels
    if not usable:
        raise GroundtruthError(
            f"no column is known to hold labels, and none holds 0 and 1 only; choose label_column from {', '.join(columns) or 'nothing'}."
        )
    ignored = [name for name in columns if name not in usable]
    if ignored:
        log.info("%d columns are labels; %d are not and are left aside: %s.", len(usable), len(ignored), listed(ignored))
    table = [cells[name] for name in usable]
    values = [
        [name for name, column in zip(usable, table) if column[i] in ("1", "1.0", "True", "true")] for i in range(len(keys))
    ]
    return Groundtruth.from_rows(keys, values, usable, split, group)


# -- json


def _no_twins(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = [name for name, _ in pairs if name in seen or seen.add(name)]
        raise GroundtruthError(f"{len(twice)} names stand more than once: {listed(twice)}.")
    return found


def _read_json(path: Path, labels: list[str] | None, columns: dict[str, str | None], separator: str | None) -> Groundtruth:
    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_twins)
    except json.JSONDecodeError as error:
        raise GroundtruthError(f"this is not json ({error}).") from None
    if isinstance(found, dict) and set(found) == {"labels", "tracks"}:
        labels = labels if labels is not None else _label_names(found["labels"])
        found = found["tracks"]
    if isinstance(found, dict):
        return _from_mapping(found, labels)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise GroundtruthError("a dict path -> labels, or a list of objects, is wanted.")
    if not found:
        raise GroundtruthError("the list is empty.")
    header = list(found[0])
    key = _choose(header, columns["path"], PATH_COLUMNS, "path", "the track's path")
    label = _choose(header, columns["label"], LABEL_COLUMNS, "label", "the labels")
    split = _choose(header, columns["split"], SPLIT_COLUMNS, "split", "the split")
    group = _choose(header, columns["group"], GROUP_COLUMNS, "group", "the group", ambiguous=False)
    if key is None or label is None:
        raise GroundtruthError(f"choose path_column and label_column from {', '.join(header)}.")
    wanted = [name for name in (key, label, split, group) if name is not None]
    for number, row in enumerate(found):
        if any(name not in row for name in wanted):
            raise GroundtruthError(f"object {number} lacks one of {', '.join(wanted)}.")
    values = [row[label] for row in found]
    if any(isinstance(value, str) for value in values):
        values = _part([str(value) for value in values], separator)
    parts = [None if name is None else [str(row[name]) for row in found] for name in (split, group)]
    return Groundtruth.from_rows([str(row[key]) for row in found], values, labels, *parts)


def _from_mapping(mapping: object, labels: list[str] | None) -> Groundtruth:
    if not isinstance(mapping, dict):
        raise GroundtruthError(f"a dict path -> labels is wanted, this is a {type(mapping).__name__}.")
    odd = [key for key in mapping if not isinstance(key, str)]
    if odd:
        raise GroundtruthError(f"paths are texts; {len(odd)} are not: {listed(odd)}.")
    return Groundtruth.from_mapping(mapping, labels)


# -- folders


def _read_folder(path: Path, labels: list[str] | None) -> Groundtruth:
    from models.audio import find_audio

    files = find_audio(path)
    inside = [name for name in files if "/" in name]
    if not inside:
        raise GroundtruthError(
            "there is no audio in sub-folders; a folder is a groundtruth when each class has a sub-folder of its own."
        )
    if len(inside) < len(files):
        log.warning("%s: %d audio files stand in no class folder and are left aside.", path, len(files) - len(inside))
    return Groundtruth.from_rows(inside, [[name.split("/", 1)[0]] for name in inside], labels)
