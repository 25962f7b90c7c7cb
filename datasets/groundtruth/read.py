"""Reading label files: csv and tsv, json, pickles (through a list of what is admitted), and a folder per class."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

from models.audio import find_audio
from models.audio.folders import is_system
from models.bounded_files import MOST_TABLE, check_regular, parsed, read_bytes, read_text
from models.errors import GroundtruthError, LabelColumnError, listed

from ..utils.names import repeats
from .cache import cached
from .columns import Columns
from .groundtruth import Groundtruth
from .groups import group_noun, warn_of_blanks
from .label_cells import Parting, Survey
from .safe_pickle import load as load_pickle
from .tables import Table, read_table

log = logging.getLogger(__name__)
TABLES = (".csv", ".tsv", ".txt")
MOST_OTHER, MOST_NAMES = 8 << 30, 64 << 20  # bytes of json and pickles, of a list of labels


def read(
    path: str | Path,
    *,
    labels: Sequence[str] | str | Path | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    separator: str | None = None,
    faulty: bool = False,
) -> Groundtruth:
    """Read a groundtruth from a file or folder; the kind is told by the suffix.

    csv, tsv: a header line; a column with the path and one with the labels, or a column of 0/1 per label; columns are recognised
    by their names where these are usual, and chosen by `..._column`. `separator` parts the labels in a cell, "" when each cell is one
    label; None: "|", or what label_cells.py finds out without altering a label; cells that are lists are read as such. json: {path:
    labels}, or a list of objects with the same names as the columns, or {"labels": [...], "tracks": {path: labels}}. pk, pkl, pickle: a
    dict path -> labels; only plain data and numpy arrays are admitted. A folder: one sub-folder per class.

    faulty: rows that stand twice, and splits that are none, are left as they are (datasets/collection finds them); of a json dict and a pickle, whose
    names are unique, they are errors still.

    `labels`: the columns' names and order, as a list or a text file with one per line; by default the names found, sorted.

    Raises GroundtruthError saying which file, what is wrong with it, and what to choose.
    """
    path = Path(path)
    if "\0" in str(path) or not path.exists():
        raise GroundtruthError(f"There is no groundtruth at {path!s}.")
    if not path.is_dir():
        check_regular(path, GroundtruthError, MOST_TABLE if path.suffix.lower() in TABLES else MOST_OTHER)
    columns = {"path": path_column, "label": label_column, "split": split_column, "group": group_column}
    try:
        names = _label_names(labels)
        if path.is_dir():
            found = _read_folder(path, names)
        elif path.suffix.lower() in TABLES:
            options = [names, columns, separator, *(["faulty"] if faulty else [])]
            table = Table(path)
            roles = table.columns(columns)
            found = cached(path, options, lambda: read_table(table, roles, names, separator, faulty))
            name_groups(found, roles.group)
            roles.say(path, found.labels)
        elif path.suffix.lower() == ".json":
            found = _read_json(path, names, columns, separator, faulty)
        elif path.suffix.lower() in (".pk", ".pkl", ".pickle"):
            found = _from_mapping(load_pickle(path), names)
        else:
            raise GroundtruthError(f"'{path.suffix}' is not a kind of groundtruth; csv, tsv, json, pk or a folder per class is.")
    except GroundtruthError as error:
        raise type(error)(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        where = next(
            (
                n
                for n, line in enumerate(read_bytes(path, GroundtruthError, MOST_TABLE).splitlines(), start=1)
                if not _is_utf8(line)
            ),
            None,
        )
        of_line = "" if where is None else f" (line {where})"
        raise GroundtruthError(f"{path} is not UTF-8{of_line}: {error.reason}. Save it as UTF-8.") from None
    except (OSError, csv.Error) as error:
        raise GroundtruthError(f"{path} cannot be read: {error}.") from None
    if halves := [label for label in found.labels if any("\ud800" <= letter <= "\udfff" for letter in label)]:
        raise GroundtruthError(
            f"{path}: the label {halves[0]!a} holds half a character, which no file of results can hold: rename it."
        )
    if found.group is not None:
        warn_of_blanks(path, found.group, found.split)
    if found.n_unlabelled:
        log.info("%s: %d of %d tracks have no label.", path, found.n_unlabelled, len(found))
    unused = [label for label, n in zip(found.labels, found.counts.tolist()) if n == 0]
    if unused:
        log.info("%s: %d of %d labels have no track: %s.", path, len(unused), found.n_labels, listed(unused))
    return found


def name_groups(found: Groundtruth, column: str | None) -> None:
    """Say what the groups are of, by their column."""
    if found.group is not None:
        found.group.of = group_noun(column)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _label_names(labels: Sequence[str] | str | Path | None) -> list[str] | None:
    if labels is None:
        return None
    if isinstance(labels, str | Path):
        try:
            return [line.strip() for line in read_text(labels, MOST_NAMES, error=GroundtruthError).splitlines() if line.strip()]
        except UnicodeDecodeError as error:
            raise GroundtruthError(f"its labels' names, {labels}, are not UTF-8: {error.reason}. Save them as UTF-8.") from None
    return [str(label) for label in labels]


# -- json


def _no_twins(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = repeats(name for name, _ in pairs)
        raise GroundtruthError(f"{len(twice)} names stand more than once: {listed(twice)}.")
    return found


def _read_json(
    path: Path, labels: list[str] | None, columns: dict[str, str | None], separator: str | None, faulty: bool
) -> Groundtruth:
    try:
        found = parsed(read_text(path, MOST_OTHER, error=GroundtruthError), object_pairs_hook=_no_twins)
    except (UnicodeDecodeError, GroundtruthError):
        raise
    except ValueError as error:  # a JSONDecodeError, or a whole number of too many digits
        raise GroundtruthError(f"this is not json ({error}).") from None
    if isinstance(found, dict) and set(found) == {"labels", "tracks"}:
        named = found["labels"]  # content, never the name of another file
        if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
            raise GroundtruthError(f'its "labels" are a {type(named).__name__}; a list of the labels\' names is wanted.')
        labels = labels if labels is not None else named
        found = found["tracks"]
    if isinstance(found, dict):
        return _from_mapping(dict(zip(found, _parted(list(found.values()), separator, labels))), labels)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise GroundtruthError("a dict path -> labels, or a list of objects, is wanted.")
    if not found:
        raise GroundtruthError("the list is empty.")
    header = list(found[0])
    cells = [[row.get(name, "") for name in header] for row in found]
    roles = Columns.of(header, columns, [cells])
    key, label, split, group = roles.path, roles.label, roles.split, roles.group
    if key is None or label is None:
        raise LabelColumnError(f"choose path_column and label_column from {', '.join(header)}.")
    wanted = [name for name in (key, label, split, group) if name is not None]
    for number, row in enumerate(found):
        if any(name not in row for name in wanted):
            raise GroundtruthError(f"object {number} lacks one of {', '.join(wanted)}.")
    values = _parted([row[label] for row in found], separator, labels)

    def cells_of(name: str | None) -> list[str] | None:
        return None if name is None else [str(row[name]) for row in found]

    keys = [str(row[key]) for row in found]
    truth = Groundtruth.from_rows(keys, values, labels, cells_of(split), cells_of(group), faulty=faulty)
    name_groups(truth, roles.group)
    roles.say(path, truth.labels)
    return truth


def _parted(values: list[object], separator: str | None, names: list[str] | None) -> list[object]:
    """Texts parted as a table's cells are, and no empty names in lists; anything else as it is."""
    parting = Parting(separator or "")
    if separator is None:
        survey = Survey(names, "entry")
        texts = [(value, i) for i, value in enumerate(values, start=1) if isinstance(value, str)]
        survey.add((text for text, _ in texts), (i for _, i in texts))
        parting = survey.parting("json")
    return [
        parting.labels(value)
        if isinstance(value, str)
        else [x for x in value if not isinstance(x, str) or x.strip()]
        if isinstance(value, list)
        else value
        for value in values
    ]


def _from_mapping(mapping: object, labels: list[str] | None) -> Groundtruth:
    if not isinstance(mapping, dict):
        raise GroundtruthError(f"a dict path -> labels is wanted, this is a {type(mapping).__name__}.")
    odd = [key for key in mapping if not isinstance(key, str)]
    if odd:
        raise GroundtruthError(f"paths are texts; {len(odd)} are not: {listed(odd)}.")
    return Groundtruth.from_mapping(mapping, labels)


# -- folders


def _read_folder(path: Path, labels: list[str] | None) -> Groundtruth:
    found = find_audio(path)
    files = [name for name in found if not name.endswith("/")]
    if len(files) < len(found):
        log.warning("%s: folders that cannot be read are left aside: %s.", path, listed([n for n in found if n.endswith("/")]))
    inside = [name for name in files if "/" in name]
    if not inside:
        raise GroundtruthError(
            "there is no audio in sub-folders; a folder is a groundtruth when each class has a sub-folder of its own."
        )
    if len(inside) < len(files):
        log.warning("%s: %d audio files stand in no class folder and are left aside.", path, len(files) - len(inside))
    classes = {name.split("/", 1)[0] for name in inside}
    if empty := sorted(p.name for p in path.iterdir() if p.is_dir() and p.name not in classes and not is_system(p.name)):
        log.warning("%s: %d folders hold no audio and are no classes: %s.", path, len(empty), listed(empty))
    return Groundtruth.from_rows(inside, [[name.split("/", 1)[0]] for name in inside], labels)
