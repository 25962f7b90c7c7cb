"""Tables of labels: csv and tsv, read line by line into compact form, so that millions of lines take little memory beside the result."""

from __future__ import annotations

import csv
import itertools
import logging
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from models.errors import GroundtruthError, LabelColumnError, listed

from ..utils.names import NamesBuilder, repeats
from . import arrow as groundtruth_arrow
from .columns import PATH_COLUMNS, Columns, some
from .groundtruth import Groundtruth, check_size

log = logging.getLogger(__name__)
SEPARATORS = ("|", ";", ",")


ARROW_FROM = 16 << 20  # bytes of a table from which it is worth it
LINES = 16384  # handled at a time, and fewer of a wide table:
CELLS = 4 << 20
DENSE = 64 << 20  # truth values that are spread out at a time
ONES, ZEROS = frozenset({"1", "1.0", "True", "true"}), frozenset({"0", "0.0", "False", "false"})


def read_table(
    table: Table, columns: Columns, labels: list[str] | None, separator: str | None, faulty: bool = False
) -> Groundtruth:
    """See read.read."""
    header, key, label, split, group = table.header, columns.path, columns.label, columns.split, columns.group
    if key is None:
        raise GroundtruthError(
            f"no column is known to hold the track's path: rename it to {' or '.join(PATH_COLUMNS[:4])} (in Python: path_column=). "
            f"The columns are {some(header)}."
        )
    others = columns.others
    if label is None and not others:
        raise GroundtruthError(
            f"there is no column of labels: the columns are {some(header)}. A column named labels (or tags, genre; cells as rock|guitar), or a "
            "column of 0 and 1 for each label, is wanted."
        )
    if label is not None and separator is None:
        separator = table.separator(header.index(label))
    places = {name: number for number, name in enumerate(header)}
    place = places[key]
    texts = [name for name in (key, split, group, label) if name is not None]

    def begin() -> tuple[NamesBuilder, _Repeated, _Repeated, _Listed | _Marked]:
        values: _Listed | _Marked
        if label is None:
            values = _Marked([places[o] for o in others], others)
        else:
            values = _Listed(header.index(label), len(header), label == header[-1], str(separator), labels)
        return NamesBuilder(), _Repeated(header, split), _Repeated(header, group), values

    names, splits, groups, values = begin()
    large = label is not None and table.large
    found = groundtruth_arrow.batches(table.path, table.delimiter, header, texts) if large else None
    try:
        for batch in found or ():
            groundtruth_arrow.add_names(names, batch[key])
            for name, column in ((split, splits), (group, groups), (label, values)):
                if name is not None and not isinstance(column, _Marked):
                    column.add_column(batch[name])
    except groundtruth_arrow.Uneven as error:
        log.debug("%s is read line by line: %s", table.path, error)
        found = None
        names, splits, groups, values = begin()
    for rows in table.chunks() if found is None else ():
        names.extend([row[place].strip() for row in rows])
        splits.add(rows)
        groups.add(rows)
        values.add(rows)
    if not len(names):
        raise GroundtruthError(f"there is a header ({some(header)}) but no track.")
    found_labels, packed = values.finish(labels)
    return Groundtruth(names.names(), found_labels, packed, splits.values, groups.values, faulty=faulty)


class Table:
    """The lines of a csv or tsv file, without the empty ones."""

    def __init__(self, path: Path):
        self.path = path
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
        self.delimiter = "\t" if path.suffix.lower() == ".tsv" else max((",", "\t", ";"), key=first.count)
        header = next(self._rows(), None)
        if header is None:
            raise GroundtruthError("the file is empty; a header line and a line per track are wanted.")
        self.header = [cell.strip() for cell in header]
        if len(set(self.header)) != len(self.header):
            raise GroundtruthError(f"a column's name stands twice in the header: {listed(sorted(repeats(self.header)))}.")

    @property
    def large(self) -> bool:
        """Whether one more reading of it takes a while."""
        return self.path.stat().st_size >= ARROW_FROM

    def columns(self, chosen: Mapping[str, str | None]) -> Columns:
        """Return which column holds what. Of a large table the first lines tell which column holds splits. Raises GroundtruthError as
        `Columns.of`.
        """
        return Columns.of(self.header, chosen, itertools.islice(self.chunks(), 1 if self.large else None))

    def _rows(self) -> Iterator[list[str]]:
        with open(self.path, newline="", encoding="utf-8-sig") as file:
            for row in csv.reader(file, delimiter=self.delimiter):
                if row and (row[0] or any(cell.strip() for cell in row)):
                    yield row

    def chunks(self) -> Iterator[list[list[str]]]:
        """Yield all lines but the header, many at a time. Raises GroundtruthError for a line with too few cells."""
        rows, n = self._rows(), len(self.header)
        most = max(min(LINES, CELLS // n), 1)
        next(rows)
        chunk: list[list[str]] = []
        for number, row in enumerate(rows, start=2):
            if len(row) < n:
                raise GroundtruthError(f"line {number} has {len(row)} cells, the header has {n}.")
            chunk.append(row)
            if len(chunk) == most:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def separator(self, column: int) -> str:
        """Return what parts the labels in a column's cells: the first of SEPARATORS that occurs in any, "" when none does."""
        occurring: set[str] = set()
        for rows in self.chunks():
            for mark in SEPARATORS:
                if mark not in occurring and any(mark in row[column] for row in rows):
                    occurring.add(mark)
            if SEPARATORS[0] in occurring:
                break
        mark = next((mark for mark in SEPARATORS if mark in occurring), "")
        if mark:
            log.debug("Labels are parted at %r; choose another with separator.", mark)
        return mark


class _Repeated:
    """A column of values of which there are few: each is kept once."""

    def __init__(self, header: list[str], name: str | None):
        self._column = None if name is None else header.index(name)
        self._known: dict[str, str] = {}
        self.values: list[str] | None = None if name is None else []

    def add(self, rows: list[list[str]]) -> None:
        if self.values is not None and self._column is not None:
            known, place = self._known, self._column
            self.values += [known.setdefault(cell, cell) for cell in (row[place].strip() for row in rows)]

    def add_column(self, column: object) -> None:
        """Add the same of pyarrow's column."""
        if self.values is None:
            return
        texts, which = groundtruth_arrow.distinct(column)
        texts = [self._known.setdefault(text, text) for text in texts]
        self.values += [texts[i] for i in which.tolist()]


class _Listed:
    """One column of label names; in the last one they may run on over further cells."""

    def __init__(self, column: int, width: int, last: bool, separator: str, labels: list[str] | None):
        self._column, self._width, self._last, self._separator = column, width, last, separator
        self._numbers = {name: i for i, name in enumerate(labels or ())}  # by the order in which they come
        self._counts, self._set = array("H"), array("I")

    def _of(self, text: str) -> list[int]:
        parts = text.split(self._separator) if self._separator else [text]
        try:
            return [self._numbers[name] for name in parts]  # nearly always: all seen before
        except KeyError:
            stripped = [name for part in parts if (name := part.strip())]
            return [self._numbers.setdefault(name, len(self._numbers)) for name in stripped]

    def add(self, rows: list[list[str]]) -> None:
        column, width = self._column, self._width
        for row in rows:
            found = self._of(row[column])
            if len(row) > width:
                extra = [cell.strip() for cell in row[width:] if cell.strip()]
                if extra and not self._last:
                    raise GroundtruthError(
                        "lines have more cells than the header; only labels in the last column may run on (as MTG-Jamendo's do)."
                    )
                found += [self._numbers.setdefault(name, len(self._numbers)) for name in extra]
            self._counts.append(len(found))
            self._set.extend(found)

    def add_column(self, column: object) -> None:
        """Add the same of pyarrow's column."""
        counts, texts, which = groundtruth_arrow.parted(column, self._separator)
        numbers = [self._numbers.setdefault(text, len(self._numbers)) for text in texts]
        self._counts.frombytes(counts.astype(np.uint16).tobytes())
        self._set.frombytes(np.array(numbers, dtype=np.uint32)[which].tobytes())

    def finish(self, labels: list[str] | None) -> tuple[list[str], np.ndarray]:
        """Return names and the packed matrix [N, ceil(L / 8)]."""
        seen = list(self._numbers)
        if labels is not None and len(seen) > len(set(labels)):
            unknown = sorted(seen[len(set(labels)) :])
            raise GroundtruthError(
                f"{len(unknown)} labels of the tracks are not among the {len(labels)} that are named: {listed(unknown)}."
            )
        names = sorted(seen) if labels is None else labels
        column = {name: i for i, name in enumerate(names)}
        place = np.array([column[name] for name in seen], dtype=np.int64)
        counts = np.frombuffer(self._counts, dtype=np.uint16)
        numbers = np.frombuffer(self._set, dtype=np.uint32) if self._set else np.zeros(0, np.uint32)
        check_size(len(counts), len(names))
        packed = np.zeros((len(counts), (len(names) + 7) // 8), dtype=np.uint8)
        at, step = 0, max(min(LINES, DENSE // max(len(names), 1)), 1)
        for begin in range(0, len(counts), step):
            part = counts[begin : begin + step].astype(np.int64)
            dense = np.zeros((len(part), len(names)), dtype=bool)
            end = at + int(part.sum())
            dense[np.repeat(np.arange(len(part)), part), place[numbers[at:end]]] = True
            packed[begin : begin + step] = np.packbits(dense, axis=1)
            at = end
        return names, packed


class _Marked:
    """A column of 0 and 1 per label; columns that hold anything else are left aside."""

    def __init__(self, columns: list[int], names: list[str]):
        self._names = names
        self._columns = dict(zip(names, columns))
        self._bits: dict[str, list[np.ndarray]] = {name: [] for name in names}
        self._lengths: list[int] = []

    def add(self, rows: list[list[str]]) -> None:
        self._lengths.append(len(rows))
        for name in list(self._bits):
            place = self._columns[name]
            cells = [row[place].strip() for row in rows]
            if not set(cells) <= ONES | ZEROS:
                del self._bits[name]
                continue
            self._bits[name].append(np.packbits(np.fromiter((cell in ONES for cell in cells), dtype=bool, count=len(cells))))

    def finish(self, labels: list[str] | None) -> tuple[list[str], np.ndarray]:
        """Return names and the packed matrix [N, ceil(L / 8)]."""
        usable = list(self._bits)
        if labels is not None:
            absent = [name for name in labels if name not in self._bits]
            if absent:
                raise GroundtruthError(f"{len(absent)} of {len(labels)} labels are not columns of 0 and 1: {listed(absent)}.")
            usable = labels
        if not usable:
            raise LabelColumnError(
                f"no column is known to hold labels, and none holds 0 and 1 only; choose label_column from {some(self._names)}."
            )
        parts = []
        for i, n in enumerate(self._lengths):
            dense = np.stack([np.unpackbits(self._bits[name][i], count=n) for name in usable], axis=1)
            parts.append(np.packbits(dense, axis=1))
        return usable, np.concatenate(parts) if parts else np.zeros((0, 1), np.uint8)


def line_numbers(path: Path) -> list[int]:
    """Return the line of a csv or tsv file, from 1, on which each track's row begins."""
    table = Table(path)
    numbers, before = [], 0
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=table.delimiter)
        for row in reader:
            if row and (row[0] or any(cell.strip() for cell in row)):
                numbers.append(before + 1)
            before = reader.line_num
    return numbers[1:]


def part(texts: Sequence[str], separator: str | None) -> list[list[str]]:
    """Return the labels of each cell; None: parted at the first of SEPARATORS that occurs in any."""
    if separator is None:
        separator = next((mark for mark in SEPARATORS if any(mark in text for text in texts)), "")
        if separator:
            log.debug("Labels are parted at %r; choose another with separator.", separator)
    return [[part for part in (p.strip() for p in (text.split(separator) if separator else [text])) if part] for text in texts]
