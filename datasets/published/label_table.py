"""What a published data set says of its tracks, one row each: path, split, labels or values, group. In one canonical form, so that it has a hash.

Conventions: keys are paths of the audio files relative to the audio folder; splits are train, validation and test; a group is what must not stand
in two splits (artist, singer, instrument), several names parted by '|'. On disk a table is a folder of

* groundtruth-all.csv: path, split, the group under its own name (artist), further groups, and `labels` (parted by '|', JSON lists where names hold
  marks) or a column per value (regression),
* groundtruth-train.csv, -val.csv, -test.csv: the same rows by split (what ex_tl.py reads as data.metadata_dir),
* labels.txt: the labels in the data set's order, which is the order of a network's outputs.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from models.bounded_files import MOST_TABLE, open_regular
from models.errors import DataSetError, listed

from ..groundtruth.groundtruth import Groundtruth
from ..groundtruth.groups import Groups
from ..groundtruth.label_cells import joined
from ..utils.files import remove_parts, write_whole

SPLITS = ("train", "validation", "test")
FILES = {"all": SPLITS, "train": SPLITS[:1], "val": SPLITS[1:2], "test": SPLITS[2:]}  # groundtruth-<name>.csv -> splits in it


@dataclass(frozen=True)
class Overlap:
    """Groups (artists, ...) of one split that stand in another too: how many, and how many tracks of the second split are theirs."""

    first: str
    second: str
    groups: int
    tracks: int


@dataclass(frozen=True)
class LabelTable:
    """names: labels or values in their order. labels: each track's; values: each track's numbers, one per name (regression). One of the two.

    ids: the publisher's own numbers of the tracks, where it gives them. group_name: what a group is, and the name of its column. others: further
    columns by name, such as a song beside its artist, by which intervals may be taken (data.group_column).

    Raises DataSetError for no rows, keys that stand twice, unknown splits and labels, and lengths that do not fit.
    """

    keys: list[str]
    split: list[str]
    names: list[str]
    labels: Sequence[tuple[str, ...]] | None = None
    values: Sequence[tuple[float, ...]] | None = None
    group: list[str] | None = None
    ids: list[str] | None = None
    group_name: str = "artist"
    others: Mapping[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.labels is None) == (self.values is None):
            raise DataSetError("A table has labels or values, one of the two.")
        rows: Sequence[tuple] = self.labels if self.labels is not None else self.values or []
        if not self.keys:
            raise DataSetError("The table is empty: it names no track.")
        for what, column in (
            ("splits", self.split),
            ("label rows", rows),
            ("groups", self.group),
            ("ids", self.ids),
            *self.others.items(),
        ):
            if column is not None and len(column) != len(self.keys):
                raise DataSetError(f"{len(self.keys)} tracks, but {len(column)} {what}.")
        if twice := [key for key, n in Counter(self.keys).items() if n > 1]:
            raise DataSetError(f"{len(twice)} tracks stand more than once: {listed(twice)}.")
        if odd := set(self.split) - set(SPLITS):
            raise DataSetError(f"Splits are {', '.join(SPLITS)}; got {listed(sorted(odd))}.")
        if self.labels is not None:
            known = set(self.names)
            if odd := {label for row in self.labels for label in row} - known:
                raise DataSetError(f"{len(odd)} labels are not among the {len(known)} of this data set: {listed(sorted(odd))}.")
        elif any(len(row) != len(self.names) or not np.isfinite(row).all() for row in rows):
            raise DataSetError(f"Each track needs {len(self.names)} finite values ({', '.join(self.names)}).")

    def __len__(self) -> int:
        return len(self.keys)

    def sorted(self) -> LabelTable:
        """Return the same rows in the order of their keys."""
        order = sorted(range(len(self)), key=self.keys.__getitem__)
        return self.rows(order)

    def rows(self, which: Sequence[int]) -> LabelTable:
        """Return these rows, in this order."""

        def pick(column: Sequence | None) -> list | None:
            return None if column is None else [column[i] for i in which]

        keys, split = [self.keys[i] for i in which], [self.split[i] for i in which]
        others = {name: [column[i] for i in which] for name, column in self.others.items()}
        columns = (pick(self.labels), pick(self.values), pick(self.group), pick(self.ids))
        return LabelTable(keys, split, self.names, *columns, self.group_name, others)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Tracks in train, validation, test."""
        found = Counter(self.split)
        return found["train"], found["validation"], found["test"]

    def canonical(self) -> str:
        """Return lines of key TAB split TAB labels (parted by '|', in the order of `names`) or values; sorted by key."""
        order = {name: i for i, name in enumerate(self.names)}
        table = self.sorted()
        if table.labels is not None:
            cells = ["|".join(sorted(row, key=order.__getitem__)) for row in table.labels]
        else:
            cells = ["|".join(map(repr, row)) for row in table.values or []]
        return "".join(f"{key}\t{split}\t{cell}\n" for key, split, cell in zip(table.keys, table.split, cells))

    @property
    def sha256(self) -> str:
        """Of the canonical text."""
        return hashlib.sha256(self.canonical().encode("utf-8", errors="surrogateescape")).hexdigest()

    def groundtruth(self) -> Groundtruth:
        """Return it as the data modules take it, labels in the order of `names`. Raises DataSetError for values."""
        if self.labels is None:
            raise DataSetError("These are values (regression); a groundtruth holds labels.")
        return Groundtruth.from_rows(
            self.keys, self.labels, self.names, self.split, self.group and Groups(self.group, self.group_name)
        )

    def overlaps(self) -> list[Overlap]:
        """Return, for each two splits, the groups that stand in both. Splits whose groups are not known are left aside."""
        if self.group is None:
            return []
        of = {split: Counter[str]() for split in SPLITS}
        rows: dict[str, list[set[str]]] = {split: [] for split in SPLITS}
        for split, group in zip(self.split, self.group):
            names = set(filter(None, group.split("|")))
            rows[split].append(names)
            of[split].update(names)
        found = []
        for first, second in combinations([split for split in SPLITS if of[split]], 2):
            shared = set(of[first]) & set(of[second])
            found.append(Overlap(first, second, len(shared), sum(bool(names & shared) for names in rows[second])))
        return found

    def write(self, folder: str | Path) -> bool:
        """Write the files of this module's head into `folder`; False when all stand there already as they should be."""
        remove_parts(folder)  # of a run that was killed
        changed = write_whole(Path(folder) / "labels.txt", "".join(f"{name}\n" for name in self.names))
        for name, splits in FILES.items():
            path = Path(folder) / f"groundtruth-{name}.csv"
            text = self._csv(splits)
            if text is not None:
                changed |= write_whole(path, text)
            elif path.exists():  # of an earlier table that had this split
                path.unlink()
                changed = True
        return changed

    def _csv(self, splits: Sequence[str]) -> str | None:
        """The rows of these splits as csv; None when there are none."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head = ["path", "split", *([self.group_name] if self.group is not None else []), *self.others]
        writer.writerow([*head, *(["labels"] if self.labels is not None else self.names)])
        rows = [i for i in range(len(self)) if self.split[i] in splits]
        writer.writerows(self._cells(rows))
        return text.getvalue() if rows else None

    def _cells(self, rows: Sequence[int]) -> Iterator[list[str]]:
        cells = None if self.labels is None else joined(self.labels)
        for i in rows:
            group = [*([] if self.group is None else [self.group[i]]), *(column[i] for column in self.others.values())]
            what = [cells[i]] if cells is not None else [repr(x) for x in (self.values or [])[i]]
            yield [self.keys[i], self.split[i], *group, *what]


def read_rows(path: str | Path, delimiter: str, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the columns of a publisher's table with a header, cells stripped. Raises DataSetError naming the file, the line and the
    columns wanted.
    """
    path = Path(path)
    if not path.is_file():
        raise DataSetError(f"There is no {path}.")
    try:
        with open_regular(path, DataSetError, MOST_TABLE, "r", newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter)
            head = [cell.strip() for cell in next(reader, [])]
            if absent := [name for name in columns if name not in head]:
                raise DataSetError(f"{path} lacks the columns {listed(absent)}; it has {listed(head)}. Is it the original file?")
            places = [(name, head.index(name)) for name in columns]
            for row in reader:
                if not any(row):
                    continue
                if len(row) < len(head):
                    raise DataSetError(f"{path}, line {reader.line_num}: {len(row)} cells, the header has {len(head)}.")
                yield {name: row[i].strip() for name, i in places}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataSetError(f"{path} cannot be read: {error}.") from None
