"""The lines of csv and tsv files as people's programs write them: no cell is lost or altered, no row swallowed by a stray quote.

csv: a cell in quotes may hold delimiters and line breaks; a quote that opens no cell properly (`"Heroes" - Bowie.mp3`) is part of the text. tsv: a
line is a row; cells in quotes are taken for such where the table quotes its cells, or where quotes are needed (Excel, pandas).
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from models.bounded_files import MOST_TABLE, open_regular
from models.errors import GroundtruthError

_SEPARATOR = re.compile(r'"?sep=([,;\t])"?\r?\n?', re.IGNORECASE)
MOST_LINE = 64 << 20  # letters of the header
_COMPARED = 8  # lines behind the header that must agree with it on a delimiter that is not the most frequent
_LOOK_AHEAD = 2000  # lines in which the end of a cell in quotes is looked for


def delimiter_of(path: Path) -> str:
    """Return what parts the cells: what a first line such as `sep=;` says (Excel's), a tab of .tsv files, else what the first line has most of.

    Where it has several of comma, tab and semicolon ("path;Rock;Folk, World, & Country"), one that parts the next lines into as many cells wins.
    """
    with open_regular(path, GroundtruthError, MOST_TABLE, "r", newline="", encoding="utf-8-sig") as file:
        first = file.readline(MOST_LINE)
        if len(first) == MOST_LINE:
            raise GroundtruthError(f"its first line has no end within {MOST_LINE >> 20} MB: it is no table.")
        if told := _SEPARATOR.fullmatch(first):
            return told[1]
        if path.suffix.lower() == ".tsv":
            return "\t"
        marks = sorted((",", "\t", ";"), key=first.count, reverse=True)
        if first.count(marks[1]):
            lines = [first, *itertools.islice(file, _COMPARED)]
            return next((mark for mark in marks if _parts_alike(lines, mark)), marks[0])
        return marks[0]


def _parts_alike(lines: Sequence[str], delimiter: str) -> bool:
    """Whether a delimiter parts all lines into as many cells, more than one."""
    try:
        widths = {len(row) for row in csv.reader(lines, delimiter=delimiter) if row}
    except csv.Error:  # a cell of more than its limit
        return False
    return len(widths) == 1 and widths.pop() > 1


def records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with something in it: the line on which it begins, from 1, and its cells. The header is the first.

    Raises GroundtruthError for a cell in quotes that holds whole rows.
    """
    with open_regular(path, GroundtruthError, MOST_TABLE, "r", newline="", encoding="utf-8-sig") as file:
        skipped = int(_SEPARATOR.fullmatch(file.readline()) is not None)
        if not skipped:
            file.seek(0)
        rows = _tab_rows(file) if delimiter == "\t" else _quoted_rows(file, delimiter)
        for number, row in ((n + skipped, row) for n, row in rows):
            if row and (row[0] or any(cell.strip() for cell in row)):
                yield number, row


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as csv with line feeds. Cells with a carriage return are quoted, which Python's writer leaves out with these line ends."""
    text = io.StringIO()
    plain, quoted = (csv.writer(text, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in rows:
        (quoted if any("\r" in cell for cell in row if isinstance(cell, str)) else plain).writerow(row)
    return text.getvalue()


def tells_delimiter(path: Path) -> bool:
    """Return whether the first line of a table says what parts its cells (sep=;)."""
    with open_regular(path, GroundtruthError, MOST_TABLE, "r", newline="", encoding="utf-8-sig") as file:
        return _SEPARATOR.fullmatch(file.readline()) is not None


def line_numbers(path: Path) -> list[int]:
    """Return the line of a csv or tsv file, from 1, on which each track's row begins."""
    return [number for number, _ in records(path, delimiter_of(path))][1:]


def refuse_break(cell: str, line: int, what: str) -> None:
    """Raise GroundtruthError for a text with a line break: what a quote that is not closed makes of two rows."""
    if "\n" in cell or "\r" in cell:
        raise GroundtruthError(f"line {line}: {what} {cell!r} holds a line break. Close the quote, or take the break out.")


def _bare(line: str) -> str:
    return line.rstrip("\r\n")


def _tab_rows(file: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    first = [_bare(line) for line in itertools.islice(file, 2)]
    quoting = any(_is_quoted(cell) for line in first for cell in line.split("\t"))
    width = None
    for number, line in enumerate(itertools.chain(first, file), start=1):
        cells = _bare(line).split("\t")
        if '"' in line:
            if width is not None and len(cells) != width:
                _refuse_torn(cells, number, width)
            cells = [_unquoted(cell, quoting) for cell in cells]
        width = len(cells) if width is None else width
        yield number, cells


def _refuse_torn(cells: list[str], number: int, width: int) -> None:
    """Raise GroundtruthError where a cell in quotes goes on behind a tab, or over the end of the line."""
    opened = [i for i, cell in enumerate(cells) if cell.startswith('"') and not _is_quoted(cell)]
    closed = opened and any(cell.endswith('"') for cell in cells[opened[0] + 1 :])
    if opened and (len(cells) < width or closed):
        what = "tab" if len(cells) > width else "line break (or a quote too many)"
        raise GroundtruthError(
            f"line {number}: the cell {cells[opened[0]]!r} holds a {what}, which no path or label can have. Mend the line."
        )


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")


def _unquoted(cell: str, quoting: bool) -> str:
    if not _is_quoted(cell):
        return cell
    inside = cell[1:-1]
    needed = any(mark in inside for mark in '",;') or inside != inside.strip()
    return inside.replace('""', '"') if quoting or needed else cell


def _quoted_rows(file: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    ahead: list[str] = []  # lines that were looked at for the end of a cell
    number, width = 0, None
    while True:
        line = ahead.pop(0) if ahead else next(file, None)
        if line is None:
            return
        number += 1
        if '"' not in line:
            cells, used = _bare(line).split(delimiter), 0
        else:
            cells, used = _quoted_row(line, delimiter, ahead, file)
        width = len(cells) if width is None else width
        for i, inner in enumerate(_inside_quotes(cells, used), start=number + 1):
            if width > 1 and inner.count(delimiter) == width - 1:
                raise GroundtruthError(
                    f"line {number}: a cell in quotes goes on over line {i}, which is a row. Close the quote in line {number}."
                )
        yield number, cells
        number += used
        del ahead[:used]


def _inside_quotes(cells: list[str], used: int) -> list[str]:
    """Of the lines that a row goes on over, what stands within its cells in quotes."""
    if not used:
        return []
    return [inner for cell in cells for inner in cell.replace("\r\n", "\n").replace("\r", "\n").split("\n")[1:]]


def _quoted_row(line: str, delimiter: str, ahead: list[str], file: Iterator[str]) -> tuple[list[str], int]:
    """The cells of a row that begins with `line`, and how many lines of `ahead` (filled as it is needed) are part of it."""
    cells: list[str] = []
    text, at, used = _bare(line), 0, 0
    ending = line[len(text) :]
    while True:
        cell, end = None, -1
        if text.startswith('"', at):
            joined, tail, more = text, ending, used
            look = at + 1
            while True:
                quote = joined.find('"', look)
                if quote >= 0 and joined[quote + 1 : quote + 2] == '"':
                    look = quote + 2
                    continue
                if quote >= 0:
                    break
                if more == len(ahead):
                    following = next(file, None) if more < _LOOK_AHEAD else None
                    if following is None:
                        break
                    ahead.append(following)
                look = len(joined) + len(tail)
                joined += tail + _bare(ahead[more])
                tail = ahead[more][len(_bare(ahead[more])) :]
                more += 1
            if quote >= 0 and joined[quote + 1 : quote + 2] in ("", delimiter):
                cell, end = joined[at + 1 : quote].replace('""', '"'), quote + 1
                text, ending, used = joined, tail, more
        if cell is None:  # a quote that is part of the text, or none
            end = text.find(delimiter, at)
            end = len(text) if end < 0 else end
            cell = text[at:end]
        cells.append(cell)
        if end >= len(text):
            return cells, used
        at = end + len(delimiter)
