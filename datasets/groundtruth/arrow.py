"""Large plain tables column by column, through pyarrow: the same result as tables.py's reading line by line, several times sooner.

Taken for tables without quotes whose lines all have the header's number of cells; for everything else, and without pyarrow, None is the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.bounded_files import MOST_TABLE, open_regular
from models.errors import GroundtruthError

from ..utils.names import NamesBuilder

if TYPE_CHECKING:
    import pyarrow

BLOCK = 16 << 20  # bytes of the table in memory at a time


def batches(path: Path, delimiter: str, header: list[str], columns: list[str]) -> Iterator[dict[str, pyarrow.Array]] | None:
    """Yield the columns of a table as text without white space around it, part after part; None when this reader is not to be used."""
    try:
        import pyarrow.csv  # noqa: F401  late: most tables are small, and it may not be installed
    except ImportError:
        return None
    if not _is_plain(path):
        return None
    return _batches(path, delimiter, header, columns)


def _is_plain(path: Path) -> bool:
    """No quotes, no odd line ends, no byte order mark, no NUL: nothing on which two readers might not agree."""
    with open_regular(path, GroundtruthError, MOST_TABLE) as file:
        if file.read(3) == b"\xef\xbb\xbf":
            return False
        file.seek(0)
        while block := file.read(1 << 22):
            if any(mark in block for mark in (b'"', b"\r", b"\0")):
                return False
    return True


class Uneven(Exception):
    """A line that does not have as many cells as the header: the other reader says what is wrong, or takes it."""


def _batches(path: Path, delimiter: str, header: list[str], columns: list[str]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa  # late: most tables are small
    import pyarrow.compute as pc
    from pyarrow import csv

    wanted = list(dict.fromkeys(columns))
    try:
        reader = csv.open_csv(
            path,
            read_options=csv.ReadOptions(column_names=header, skip_rows=1, block_size=BLOCK, use_threads=False),
            parse_options=csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted, strings_can_be_null=False
            ),
        )
        for batch in reader:
            yield {name: pc.utf8_trim_whitespace(batch.column(name)) for name in wanted}
    except pa.ArrowInvalid as error:
        raise Uneven(str(error)) from None


def add_names(builder: NamesBuilder, column: Any) -> None:
    """Append a column's texts, as the bytes that they are."""
    lengths = np.diff(_offsets(column))
    if not lengths.all():
        raise Uneven("a track without a path: an empty line, or a fault")
    first, last = _offsets(column)[[0, -1]]
    builder.extend_bytes(column.buffers()[2].slice(int(first), int(last - first)).to_pybytes() if last > first else b"", lengths)


def _offsets(column: Any) -> np.ndarray:
    return np.frombuffer(column.buffers()[1], dtype=np.int32)[column.offset : column.offset + len(column) + 1].astype(np.int64)


def distinct(column: Any) -> tuple[list[str], np.ndarray]:
    """Return the different texts of a column, and which of them each cell is."""
    coded = column.dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def parted(column: Any, separator: str) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return the labels of cells: how many each has, the different labels, and which of them stands at each place of all in a row."""
    import pyarrow.compute as pc

    counts = np.ones(len(column), dtype=np.int64)
    if separator:
        lists = pc.split_pattern(column, separator)
        counts, column = (
            pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64),
            pc.utf8_trim_whitespace(lists.flatten()),
        )
    texts, which = distinct(column)
    if "" in texts:  # empty cells, and nothing between two separators
        empty = texts.index("")
        there = which != empty
        counts = np.bincount(np.repeat(np.arange(len(counts)), counts)[there], minlength=len(counts))
        which = which[there]
        which -= which > empty
        texts.pop(empty)
    return counts, texts, which
