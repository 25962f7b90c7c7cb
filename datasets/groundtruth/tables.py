"""Tables of labels: csv and tsv, read line by line into compact form, so that millions of lines take little memory beside the result."""

from __future__ import annotations

import functools
import itertools
import logging
import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from models.audio.folders import AUDIO_SUFFIXES
from models.errors import GroundtruthError, LabelColumnError, listed

from ..utils.names import NamesBuilder, repeats
from . import arrow as groundtruth_arrow
from .columns import PATH_COLUMNS, Columns, some
from .groundtruth import Groundtruth, check_size
from .label_cells import Parting, Survey
from .lines import delimiter_of, records, refuse_break, tells_delimiter

log = logging.getLogger(__name__)
ARROW_FROM = 16 << 20  # bytes of a table from which it is worth it
LINES = 16384  # handled at a time, and fewer of a wide table:
CELLS = 4 << 20
DENSE = 64 << 20  # truth values that are spread out at a time
ODD_SHARE = 0.1  # of a column's cells: with more that are no mark it is none of marks


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
    large = label is not None and table.large
    parting = Parting(separator or "")
    if label is not None and separator is None:
        parting = _survey(table, label, labels, large)
    places = {name: number for number, name in enumerate(header)}
    place = places[key]
    texts = [name for name in (key, split, group, label) if name is not None]

    def begin() -> tuple[NamesBuilder, _Repeated, _Repeated, _Listed | _Marked]:
        values: _Listed | _Marked
        if label is None:
            values = _Marked([places[o] for o in others], others)
        else:
            values = _Listed(header.index(label), len(header), label == header[-1], parting, labels)
        return NamesBuilder(), _Repeated(header, split), _Repeated(header, group), values

    names, splits, groups, values = begin()
    found = groundtruth_arrow.batches(table.path, table.delimiter, header, texts) if large and not parting.lists else None
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
        if isinstance(values, _Listed) and not parting.lists:
            for row, line in zip(rows, table.lines):
                refuse_break(row[values.column], line, "the label")
        paths = [row[place].strip() for row in rows]
        if not (all(paths) or faulty):
            raise GroundtruthError(f"line {table.lines[paths.index('')]}: the path is empty.")
        names.extend(paths)
        splits.add(rows)
        groups.add(rows)
        values.add(rows, table.lines)
    if not len(names):
        raise GroundtruthError(f"there is a header ({some(header)}) but no track.")
    if isinstance(values, _Listed) and values.running_on is not None:
        line, extra = values.running_on
        log.info(
            "%s: rows with more cells than the header have several labels, as line %d shows: %s.", table.path, line, listed(extra)
        )
    found_labels, packed = values.finish(labels)
    return Groundtruth(names.names(), found_labels, packed, splits.values, groups.values, faulty=faulty)


def _survey(table: Table, label: str, labels: list[str] | None, large: bool) -> Parting:
    """How the cells of the label column are parted."""
    column = table.header.index(label)
    if large and (found := groundtruth_arrow.batches(table.path, table.delimiter, table.header, [label])) is not None:
        survey = Survey(labels)
        try:
            for batch in found:
                survey.add(groundtruth_arrow.distinct(batch[label])[0], itertools.repeat("-"))
            return survey.parting(table.path)
        except (groundtruth_arrow.Uneven, GroundtruthError):  # line by line, to say where
            pass
    survey = Survey(labels)
    for rows in table.chunks():
        survey.add((row[column] for row in rows), table.lines)
    return survey.parting(table.path)


class Table:
    """The lines of a csv or tsv file, without the empty ones."""

    def __init__(self, path: Path):
        self.path = path
        self.delimiter = delimiter_of(path)
        self.lines: list[int] = []  # on which the rows of the last chunk begin
        header = next(records(path, self.delimiter), None)
        if header is None:
            raise GroundtruthError("the file is empty; a header line and a line per track are wanted.")
        self.header = [cell.strip() for cell in header[1]]
        if len(set(self.header)) != len(self.header):
            raise GroundtruthError(f"a column's name stands twice in the header: {listed(sorted(repeats(self.header)))}.")

    @property
    def large(self) -> bool:
        """Whether one more reading of it takes a while."""
        return self.path.stat().st_size >= ARROW_FROM and not tells_delimiter(self.path)

    def columns(self, chosen: Mapping[str, str | None]) -> Columns:
        """Return which column holds what. Of a large table the first lines tell which column holds splits. Raises GroundtruthError as
        `Columns.of`.
        """
        return Columns.of(self.header, chosen, itertools.islice(self.chunks(), 1 if self.large else None))

    def chunks(self) -> Iterator[list[list[str]]]:
        """Yield all rows but the header, many at a time. Raises GroundtruthError for a line with too few cells."""
        rows, n = records(self.path, self.delimiter), len(self.header)
        most = max(min(LINES, CELLS // n), 1)
        next(rows)
        chunk: list[list[str]] = []
        lines: list[int] = []
        for number, row in rows:
            if len(row) < n:
                raise GroundtruthError(f"line {number} has {len(row)} cells, the header has {n}.")
            chunk.append(row)
            lines.append(number)
            if len(chunk) == most:
                self.lines = lines
                yield chunk
                chunk, lines = [], []
        if chunk:
            self.lines = lines
            yield chunk


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

    def __init__(self, column: int, width: int, last: bool, parting: Parting, labels: list[str] | None):
        self.column, self._width, self._last, self._parting = column, width, last, parting
        self._numbers = {name: i for i, name in enumerate(labels or ())}  # by the order in which they come
        self._counts, self._set = array("H"), array("I")
        self.running_on: tuple[int, list[str]] | None = None  # the first row that does, and its labels

    def _of(self, text: str) -> list[int]:
        if self._parting.lists:
            return [self._numbers.setdefault(name, len(self._numbers)) for name in self._parting.labels(text)]
        parts = text.split(self._parting.mark) if self._parting.mark else [text]
        try:
            return [self._numbers[name] for name in parts]  # nearly always: all seen before
        except KeyError:
            return [self._numbers.setdefault(name, len(self._numbers)) for name in self._parting.labels(text)]

    def add(self, rows: list[list[str]], lines: list[int]) -> None:
        """Add the cells of rows. lines: on which they stand."""
        column, width = self.column, self._width
        for row, line in zip(rows, lines):
            found = self._of(row[column])
            if len(row) > width:
                extra = [cell.strip() for cell in row[width:] if cell.strip()]
                if extra and not self._last:
                    raise GroundtruthError(
                        f"line {line} has more cells than the header; only labels in the last column may run on (as MTG-Jamendo's do)."
                    )
                if extra and os.path.splitext(row[column].strip(" \"'"))[1].lower() in AUDIO_SUFFIXES:
                    raise GroundtruthError(
                        f"line {line} has more cells than the header, and its label would be {row[column].strip()!r}: put the path in "
                        "quotes if it holds a comma."
                    )
                self.running_on = self.running_on or (line, [row[column].strip(), *extra])
                found += [self._numbers.setdefault(name, len(self._numbers)) for name in extra]
            self._counts.append(len(found))
            self._set.extend(found)

    def add_column(self, column: object) -> None:
        """Add the same of pyarrow's column."""
        counts, texts, which = groundtruth_arrow.parted(column, self._parting.mark)
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


@functools.lru_cache(1 << 16)
def mark_of(cell: str) -> int:
    """Return 1 or 0 for a cell that says so (1, 1.0, TRUE, yes and their opposites), -1 for any other."""
    text = cell.strip().lower()
    if text in ("true", "yes"):
        return 1
    if text in ("false", "no"):
        return 0
    try:
        number = float(text)
    except ValueError:
        return -1
    return int(number) if number in (0, 1) else -1


class _Marks:
    """The cells of one column, as marks."""

    def __init__(self, column: int):
        self.column = column
        self.bits: list[np.ndarray] = []
        self.counts = [0, 0]  # of zeros and ones
        self.n_odd = 0
        self.numbering = True  # whether all odd cells are whole numbers above 1
        self.first_odd: tuple[int, str] | None = None

    def add(self, rows: list[list[str]], lines: list[int]) -> None:
        """Add the cells of rows."""
        marks = np.fromiter((mark_of(row[self.column]) for row in rows), dtype=np.int8, count=len(rows))
        for value in (0, 1):
            self.counts[value] += int((marks == value).sum())
        for i in np.flatnonzero(marks < 0).tolist():
            cell = rows[i][self.column].strip()
            self.n_odd += 1
            self.numbering &= cell.isdigit()
            self.first_odd = self.first_odd or (lines[i], cell)
        self.bits.append(np.packbits(marks == 1))

    @property
    def given_up(self) -> bool:
        """Whether so much of it is no mark that it need not be looked at further."""
        return self.n_odd > 1000 and self.n_odd > sum(self.counts)

    def are_marks(self, name: str) -> bool:
        """Return whether the column is one of marks. Raises GroundtruthError for one with a damaged cell."""
        if self.first_odd is None:
            return True
        n = sum(self.counts)
        numbers = self.numbering and not self.counts[0]  # 1, 2, 3, ...
        if not n or numbers or self.n_odd > max(1, ODD_SHARE * (n + self.n_odd)):
            return False
        line, cell = self.first_odd
        more = f" (and {self.n_odd - 1} more of its cells)" if self.n_odd > 1 else ""
        what = f"holds {cell!r}" if cell else "is empty"
        raise GroundtruthError(
            f"line {line}, column {name}: the cell {what}{more}, the others of the column 0 or 1 (FALSE or TRUE, no or yes). Mend it, or take the "
            "column out if it is no label."
        )


class _Marked:
    """A column of 0 and 1 per label; columns that hold anything else are left aside."""

    def __init__(self, columns: list[int], names: list[str]):
        self._names = names
        self._columns = {name: _Marks(column) for name, column in zip(names, columns)}
        self._lengths: list[int] = []

    def add(self, rows: list[list[str]], lines: list[int]) -> None:
        """Add the cells of rows. lines: on which they stand."""
        self._lengths.append(len(rows))
        for name, marks in list(self._columns.items()):
            marks.add(rows, lines)
            if marks.given_up:
                del self._columns[name]

    def finish(self, labels: list[str] | None) -> tuple[list[str], np.ndarray]:
        """Return names and the packed matrix [N, ceil(L / 8)]."""
        usable = [name for name, marks in self._columns.items() if marks.are_marks(name)]
        if labels is not None:
            absent = [name for name in labels if name not in usable]
            if absent:
                raise GroundtruthError(f"{len(absent)} of {len(labels)} labels are not columns of 0 and 1: {listed(absent)}.")
            usable = labels
        if not usable:
            raise LabelColumnError(
                f"no column is known to hold labels, and none holds 0 and 1 only; choose label_column from {some(self._names)}."
            )
        parts = []
        for i, n in enumerate(self._lengths):
            dense = np.stack([np.unpackbits(self._columns[name].bits[i], count=n) for name in usable], axis=1)
            parts.append(np.packbits(dense, axis=1))
        return usable, np.concatenate(parts) if parts else np.zeros((0, 1), np.uint8)
