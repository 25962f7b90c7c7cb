"""Files of annotations: times of beats, chords, sections, as the field's data sets and tools write them.

* beats: .beats, .txt, .csv: a time per line, perhaps followed by the beat's number in its bar
* chords: .lab, .txt, .csv: start, end and chord per line
* sections: .lab, .txt, .csv: start, end and name per line; or time and name, up to the next line's time (the last is `end`, as in Harmonix)
* all: .jams (JSON; Humphrey et al., ISMIR 2014), of which the first annotation of the kind is taken

Columns are apart by blanks, tabs, commas or semicolons; lines that begin with # and empty ones count for nothing. Times are seconds.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

from models.bounded_files import parsed, read_text
from models.errors import GroundtruthError, listed
from models.settings import shown

from .chords import chord_class

log = logging.getLogger(__name__)
Kind = Literal["beats", "chords", "sections"]
_TABLES = (".txt", ".csv", ".tsv")
SUFFIXES: dict[str, tuple[str, ...]] = {
    "beats": (".beats", *_TABLES, ".jams"),
    "chords": (".lab", ".chords", *_TABLES, ".jams"),
    "sections": (".lab", ".sections", *_TABLES, ".jams"),
}
_NAMESPACES = {"beats": ("beat",), "chords": ("chord",), "sections": ("segment",)}
OVERLAP = 0.05  # seconds by which spans may overlap, as rounding leaves it
END = "end"  # closes the last section of a list of boundaries
OUTSIDE_CHORD = "X"
MOST_LINES = 200_000  # the beats of a day of music
MOST_LETTERS = 10_000  # of a line
MOST_BYTES = 256 << 20  # of one track's annotation


class Span(NamedTuple):
    """Start and end in seconds, and what is there: a chord, a section, of a beat its number in the bar ("": not known)."""

    start: float
    end: float
    label: str


def read_annotation(path: str | Path, kind: Kind) -> list[Span]:
    """Read the annotation of one track, in the order of time. Gaps between chords become X.

    Raises GroundtruthError, naming file and line, for what cannot be read, times that are negative, not finite or not ascending, spans that overlap
    or have no length, and labels that are no chords.
    """
    path = Path(path)
    try:
        text = read_text(path, MOST_BYTES, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise GroundtruthError(f"{path} cannot be read: {error}.") from error
    rows = _jams(path, text, kind) if path.suffix.lower() == ".jams" else _lines(path, text, kind)
    spans = [span for _, span in rows]
    _check(path, rows, kind)
    return spans if kind == "beats" else _touching(spans, fill=kind == "chords")


Numbered = tuple[str, Span]  # where it stands ("line 3"), and what


def _lines(path: Path, text: str, kind: Kind) -> list[Numbered]:
    cells: list[tuple[str, list[str]]] = []
    for number, line in enumerate(_few(path, text.splitlines(), "lines"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if len(line) > MOST_LETTERS:
            raise GroundtruthError(f"{path}, line {number} has {len(line):,} letters: it is no annotation of a track.")
        parts = re.split(r"[,;\t]", line, maxsplit=2) if re.search(r"[,;\t]", line) else line.split(maxsplit=2)
        cells.append((f"line {number}", [cell.strip().strip('"') for cell in parts]))
    if kind == "beats":
        _refuse_decimal_commas(path, [(where, ",".join(row)) for where, row in cells] if "," in text else [])
        return [_beat(path, where, row) for where, row in cells]
    listed_times = kind == "sections" and bool(cells) and not any(_is_number(row[1]) for _, row in cells if len(row) > 1)
    if listed_times:
        return _from_boundaries(path, [(where, [row[0], " ".join(row[1:])]) for where, row in cells])
    found = []
    for where, row in cells:
        if len(row) < 3:
            raise GroundtruthError(f"{path}, {where}: start, end and a label are wanted; it has {len(row)} columns.")
        start, end = (_time(path, where, cell) for cell in row[:2])
        found.append((where, Span(start, end, row[2])))
    return found


def _refuse_decimal_commas(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Raise GroundtruthError where times such as 12,5 would be read as second 12 and the fifth beat of a bar.

    rows: where they stand, and their cells with commas between. Whole seconds with numbers that count through bars are beats.
    """
    if any(not re.fullmatch(r"\d+(,\d+)?", row) for _, row in rows):
        return  # a decimal point, or more than two columns
    last: int | None = None
    for where, row in rows:
        second, _, number = row.partition(",")
        counts = number in ("0", "1") or (number == str(int(number or 0)) and (last is None or int(number) == last + 1))
        if not counts:
            raise GroundtruthError(
                f"{path}, {where}: {shown(row)}: times with decimal commas are not read; write {second}.{number or 0}. (A whole second and the "
                "beat's number in its bar? Numbers count up, from 1.)"
            )
        last = int(number)


def _beat(path: Path, where: str, row: Sequence[str]) -> Numbered:
    time = _time(path, where, row[0])
    number = row[1] if len(row) > 1 else ""
    if number and not (_is_number(number) and math.isfinite(float(number)) and float(number) >= 0):
        raise GroundtruthError(f"{path}, {where}: behind its time a beat has its number in the bar, not {shown(number)}.")
    return where, Span(time, time, number)


def _from_boundaries(path: Path, cells: Sequence[tuple[str, list[str]]]) -> list[Numbered]:
    """Sections from the times at which they begin."""
    if cells[-1][1][1].lower() != END:
        raise GroundtruthError(
            f"{path} lists the times at which sections begin, and does not say when the last one ends: wanted is a last line 'TIME {END}', or start, "
            "end and name per line."
        )
    times = [_time(path, where, row[0]) for where, row in cells]
    return [(where, Span(a, b, row[1])) for (where, row), (a, b) in zip(cells, pairwise(times))]


def _time(path: Path, where: str, cell: Any) -> float:
    try:
        time = float(cell)
    except (TypeError, ValueError):
        raise GroundtruthError(f"{path}, {where}: a time in seconds is wanted, not {shown(cell)}.") from None
    if not math.isfinite(time) or time < 0:
        raise GroundtruthError(f"{path}, {where}: a time is a finite number of seconds, 0 or more, not {shown(cell)}.")
    return time


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


# ---- JAMS
def _jams(path: Path, text: str, kind: Kind) -> list[Numbered]:
    try:
        content = parsed(text)
        annotations = content["annotations"]
        named = [(str(one["namespace"]), one["data"]) for one in annotations]
    except (ValueError, KeyError, TypeError) as error:
        raise GroundtruthError(f"{path} is no JAMS file: {type(error).__name__} {error}.") from error
    fitting = [(name, data) for name, data in named if name.split("_")[0] in _NAMESPACES[kind]]
    if not fitting:
        there = listed(sorted({name[:60] for name, _ in named})) or "none"
        raise GroundtruthError(f"{path} has no annotation of {kind}; those that are there: {there}.")
    if len(fitting) > 1:
        log.info("%s has %d annotations of %s: the first is taken.", path, len(fitting), kind)
    found = []
    for number, one in enumerate(_few(path, _observations(path, fitting[0][1]), "observations"), 1):
        where = f"observation {number}"
        try:
            time, duration, value = one["time"], one.get("duration") or 0.0, one.get("value")
        except (KeyError, AttributeError, TypeError):
            raise GroundtruthError(f"{path}, {where}: time, duration and value are wanted, not {shown(one)}.") from None
        start, length = _time(path, where, time), _time(path, where, duration)
        if kind == "beats":
            found.append(_beat(path, where, [str(start), "" if value is None else str(value)]))
        else:
            label = value.get("label") if isinstance(value, dict) else value
            if not isinstance(label, str) or not label.strip() or len(label) > MOST_LETTERS:
                raise GroundtruthError(f"{path}, {where}: a label is wanted, not {shown(value)}.")
            found.append((where, Span(start, start + length, label.strip())))
    return sorted(found, key=lambda row: row[1].start)  # JAMS does not promise an order


def _few(path: Path, rows: list[Any], what: str) -> list[Any]:
    if len(rows) > MOST_LINES:
        raise GroundtruthError(f"{path} has {len(rows):,} {what}, more than {MOST_LINES:,}: it is no annotation of a track.")
    return rows


def _observations(path: Path, data: Any) -> list[Any]:
    """The observations of an annotation, which older files hold column by column."""
    if isinstance(data, list):
        return data
    try:
        columns = {name: list(data[name]) for name in ("time", "duration", "value")}
    except (KeyError, TypeError):
        raise GroundtruthError(f"{path} is no JAMS file: its data are neither a list nor columns.") from None
    if len({len(column) for column in columns.values()}) != 1:
        raise GroundtruthError(f"{path} is no JAMS file: its columns are of unlike length.")
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


# ---- checks
def _check(path: Path, rows: Sequence[Numbered], kind: Kind) -> None:
    if not rows and kind != "beats":
        raise GroundtruthError(f"{path} holds no {kind}: it is empty.")
    if not rows:
        log.warning("%s holds no beats: its track counts as one without any.", path)
    for where, span in rows:
        if kind != "beats" and span.end <= span.start:
            raise GroundtruthError(f"{path}, {where}: it ends at {span.end:g} s, not behind its start at {span.start:g} s.")
        if kind == "chords":
            try:
                chord_class(span.label)
            except GroundtruthError as error:
                raise GroundtruthError(f"{path}, {where}: {error}") from None
        if kind == "sections" and not span.label:
            raise GroundtruthError(f"{path}, {where}: a section has a name.")
    for (_, before), (where, span) in pairwise(rows):
        if kind == "beats" and span.start <= before.start:
            raise GroundtruthError(f"{path}, {where}: times ascend; {span.start:g} s comes behind {before.start:g} s.")
        if kind != "beats" and (span.start < before.end - OVERLAP or span.start <= before.start):
            raise GroundtruthError(
                f"{path}, {where}: it starts at {span.start:g} s, before the one before it ends ({before.end:g} s): spans do not overlap."
            )


def _touching(spans: Sequence[Span], fill: bool) -> list[Span]:
    """Spans without the overlaps that rounding leaves; fill: a gap becomes a chord that is not known."""
    found = list(spans[:1])
    for span in spans[1:]:
        end = found[-1].end
        if span.start < end:
            found[-1] = found[-1]._replace(end=span.start)
        elif fill and span.start > end:
            found.append(Span(end, span.start, OUTSIDE_CHORD))
        found.append(span)
    return found
