"""What stands in a cell of labels: one label, several with a mark between them, or a list as Python, JSON, numpy or pandas print it.

Labels are never altered. What parts them is said by the user, or is "|". Where only ";" or "," occurs it is taken for the mark only if that can
hardly cut a label: every part stands alone in another cell, or no white space stands beside the mark ("rock;loud", not "Folk, World, & Country").
"""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.bounded_files import parsed
from models.errors import GroundtruthError

log = logging.getLogger(__name__)
MARKS = ("|", ";", ",")
SAY = (
    "Say what parts labels: datamodule.label_separator (data.label_separator in ex_tl.py, separator= in Python); "
    "it is '' where each cell is one label"
)
_MOST = 200_000  # different cells that are looked at; a table has few
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_ITEM = re.compile(
    r"""\s*(?:[uU]?(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)|(?P<more>\.\.\.))(?P<after>\s*,\s*|\s+|$)""",
    re.DOTALL,
)
_ABSENT = frozenset({"", "nan", "none", "null", "<na>", "set()"})


@dataclass(frozen=True)
class Parting:
    """How the cells of a column are parted. mark: between labels, "" where each cell is one. lists: each cell is a list."""

    mark: str = ""
    lists: bool = False

    def labels(self, cell: str) -> list[str]:
        """Return a cell's labels: of a list as they stand, otherwise without white space around them."""
        if self.lists:
            return parsed_list(cell) or []
        parts = cell.split(self.mark) if self.mark else [cell]
        return [name for part in parts if (name := part.strip())]


def parsed_list(cell: str) -> list[str] | None:
    """Return the labels of a cell that is a list (or tuple, or set) of texts and whole numbers; None for one that is none.

    Raises GroundtruthError for a list that numpy printed with "..." in place of some items.
    """
    text = cell.strip()
    if text.startswith("array("):
        text = text[6:].rsplit("]", 1)[0] + "]"
    if len(text) < 2 or _BRACKETS.get(text[0]) != text[-1]:
        return None
    if text[0] == "[":
        try:
            found = parsed(text)
            if all(isinstance(item, str | int) and not isinstance(item, bool) for item in found):
                return [
                    item if isinstance(item, str) else str(item) for item in found if not isinstance(item, str) or item.strip()
                ]
        except ValueError:
            pass
    inside, at, items = text[1:-1].strip(), 0, []
    while at < len(inside):
        match = _ITEM.match(inside, at)
        if match is None:
            return None
        if match["more"]:
            raise GroundtruthError(
                f"the list {cell[:80]!r} is not whole: it was printed with '...' in place of some of its labels."
            )
        if match["number"]:
            number = float(match["number"])
            items.append(str(int(number)) if number.is_integer() else match["number"])
        else:
            try:
                items.append(ast.literal_eval(match["text"]))
            except (SyntaxError, ValueError):
                return None
        at = match.end()
    return [item for item in items if item.strip()]


class Survey:
    """What occurs in the cells of a label column, told as they are gone through.

    Args:
        labels: the names that labels have, where they are known.
        where: what a cell's place is called, before its number.
    """

    def __init__(self, labels: Sequence[str] | None = None, where: str = "line"):
        self._known = None if labels is None else frozenset(labels)
        self._where = where
        self._seen: set[str] = set()
        self._list: tuple[object, str] | None = None  # the first of each kind, with its place
        self._text: tuple[object, str] | None = None
        self._marked: dict[str, list[tuple[object, str]]] = {}
        self._plain: set[str] = set()

    def add(self, cells: Iterable[str], places: Iterable[object]) -> None:
        """Take cells and their places (lines)."""
        seen = self._seen
        for cell, place in zip(cells, places):
            if cell not in seen:
                if len(seen) < _MOST:
                    seen.add(cell)
                self._look(cell.strip(), place)

    def _look(self, cell: str, place: object) -> None:
        if not cell:
            return
        try:
            is_list = cell[0] in "[({a" and parsed_list(cell) is not None
        except GroundtruthError as error:
            raise GroundtruthError(f"{self._where} {place}: {error}") from None
        if is_list:
            self._list = self._list or (place, cell)
            return
        if cell.lower() not in _ABSENT:
            self._text = self._text or (place, cell)
        marks = [mark for mark in MARKS if mark in cell]
        for mark in marks:
            cells = self._marked.setdefault(mark, [])
            if len(cells) < _MOST:
                cells.append((place, cell))
        if not marks and len(self._plain) < _MOST:
            self._plain.add(cell)

    def parting(self, source: object) -> Parting:
        """Return how the cells are parted. source: the table, for the log.

        Raises GroundtruthError where that cannot be known: lists beside other cells, or two marks.
        """
        if self._list is not None:
            if self._text is not None:
                raise GroundtruthError(
                    f"{self._where} {self._list[0]} holds a list of labels, {self._list[1]!r}, {self._where} {self._text[0]} none: "
                    f"{self._text[1]!r}. Write all cells alike. {SAY}."
                )
            return Parting(lists=True)
        if not self._marked:
            return Parting()
        if self._known is not None and (mark := self._by_names()) is not None:
            return Parting(mark)
        if len(self._marked) > 1:
            raise GroundtruthError(self._both_readings())
        (mark,) = self._marked
        (place, example), *_ = self._marked[mark]
        if mark == "|":
            return Parting("|")
        parts = Parting(mark).labels(example)
        if self._guess(mark):
            log.info(
                "%s: labels are parted at %r, as %s %s shows: %r is %s. label_separator says another.",
                source, mark, self._where, place, example, " and ".join(map(repr, parts)),
            )  # fmt: skip
            return Parting(mark)
        log.warning(
            "%s: the labels hold %r and are taken whole, such as %r (%s %s). If it parts labels (%s), say label_separator=%r.",
            source, mark, example, self._where, place, " and ".join(map(repr, parts)), mark,
        )  # fmt: skip
        return Parting()

    def _by_names(self) -> str | None:
        """The mark (or "") at which all cells come out as names that are known; None where none or several do."""
        cells = {cell for marked in self._marked.values() for _, cell in marked}
        assert self._known is not None
        fit = [mark for mark in ("", *MARKS) if all(set(Parting(mark).labels(cell)) <= self._known for cell in cells)]
        fit = [mark for mark in fit if not mark or mark in self._marked]
        return fit[0] if len(fit) == 1 else None

    def _guess(self, mark: str) -> bool:
        cells = [cell for _, cell in self._marked[mark]]
        parts = [part.strip() for cell in cells for part in cell.split(mark)]
        if all(parts) and self._plain.issuperset(parts):
            return True
        beside = re.compile(rf"\s{re.escape(mark)}|{re.escape(mark)}\s|\d{re.escape(mark)}\d")
        return not any(beside.search(cell) for cell in cells)

    def _both_readings(self) -> str:
        first, second = list(self._marked)[:2]
        both = next(((place, cell) for place, cell in self._marked[first] if second in cell), None)
        shown = [both, both] if both else [self._marked[first][0], self._marked[second][0]]
        readings = [
            f"parted at {mark!r}, {cell!r} ({self._where} {place}) is {' and '.join(map(repr, Parting(mark).labels(cell)))}"
            for mark, (place, cell) in zip((first, second), [one for one in shown if one])
        ]
        return f"the labels hold {first!r} and {second!r}: {'; '.join(readings)}. {SAY}."


def joined(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a cell for the labels of each row, so that they are read back as they are: parted at "|", or as JSON lists where names hold marks."""
    names = {name for row in rows for name in row}
    odd = any(
        any(mark in name for mark in (*MARKS, '"', "\n", "\r", "\t"))
        or name != name.strip()
        or name[:1] in "[({"
        or name.lower() in _ABSENT
        for name in names
    )
    if odd or any(name.startswith("array(") for name in names):
        return [json.dumps(list(row), ensure_ascii=False) for row in rows]
    return ["|".join(row) for row in rows]
