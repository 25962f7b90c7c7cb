"""Is a collection fit to train on? Its table against its audio: what is missing, unreadable or there twice, and what leaks between splits."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.audio import AUDIO_SUFFIXES
from models.audio.folders import is_system
from models.errors import listed

from ..groundtruth.groundtruth import SPLITS, Groundtruth, find, without_suffix
from ..groundtruth.label_cells import joined
from ..groundtruth.lines import csv_text
from ..groundtruth.values import Values
from ..utils.files import write_whole
from .audio_scan import ScanResult, Sound, bit_depth, same_sound

EXIT_OK, EXIT_PROBLEMS = 0, 3
PREFERRED = ("test", "val", "train")  # of copies in several splits the one that stays: a test must not shrink


@dataclass
class Findings:
    """What was found out about a collection. Rows are those of `table`; files those of `files` [N] (-1: none).

    missing: rows without a file, and what may be meant. unusable: rows that several files fit, or whose file's name is no text. unreadable: rows
    and why. unsplit: rows whose split is none. absolute: rows whose path is absolute, of a file that is there, and how to write it. copies: lists of
    rows with the same samples, rows of one and the same file among them; the one that stays first. torn: group -> its splits and their numbers of
    tracks, of the rows that are heard. unlisted: files without a row. remarks: rows and what is odd about their sound. sounds: of the rows that
    are heard.
    """

    table: Groundtruth
    names: Sequence[str]
    files: np.ndarray
    missing: dict[int, str] = field(default_factory=dict)
    unusable: dict[int, str] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)
    unsplit: dict[int, str] = field(default_factory=dict)
    absolute: dict[int, str] = field(default_factory=dict)
    copies: list[list[int]] = field(default_factory=list)
    torn: dict[str, dict[str, int]] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    remarks: dict[int, list[str]] = field(default_factory=dict)
    sounds: dict[int, Sound] = field(default_factory=dict)

    @property
    def repeated(self) -> list[list[int]]:
        """Rows of one file, of which it needs one; the first of each is the one that counts."""
        found = []
        for rows in self.copies:
            by_file: defaultdict[int, list[int]] = defaultdict(list)
            for i in rows:
                by_file[int(self.files[i])].append(i)
            found += [same for same in by_file.values() if len(same) > 1]
        return found

    @property
    def copied(self) -> list[list[int]]:
        """Rows with the same samples in several files, a row for each file."""
        found = []
        for rows in self.copies:
            of_file: dict[int, int] = {}
            for i in rows:
                of_file.setdefault(int(self.files[i]), i)
            found += [list(of_file.values())] if len(of_file) > 1 else []
        return found

    @property
    def leaking_copies(self) -> list[list[int]]:
        """Pairs of the row that stays and a copy that stands in another split; a row that has none cannot leak."""
        return [pair for pair in self._unlike(self.table.split) if self.unsplit.keys().isdisjoint(pair)]

    @property
    def copies_across_groups(self) -> list[list[int]]:
        """Pairs of the row that stays and a copy under another group (artist, album): one is wrong, or the recording belongs to both."""
        return self._unlike(self.table.group)

    def _unlike(self, values: Sequence[str] | None) -> list[list[int]]:
        pairs = [[rows[0], i] for rows in self.copies for i in rows[1:]]
        return (
            [] if values is None else [[kept, i] for kept, i in pairs if values[kept] and values[i] and values[kept] != values[i]]
        )

    @property
    def conflicting_copies(self) -> list[list[int]]:
        """Pairs of the row that stays and a copy that has other labels."""
        packed = self.table.packed
        return [[rows[0], i] for rows in self.copies for i in rows[1:] if (packed[i] != packed[rows[0]]).any()]

    @property
    def kept(self) -> list[int]:
        """Rows of the cleaned table: heard, with a split where the table has splits, and one of each copies."""
        return self._once(self.unsplit)

    def _once(self, without: Iterable[int] = ()) -> list[int]:
        """One row of every sound, of those that are not left out."""
        out = set(without)
        dropped = {i for rows in self.copies for i in [i for i in rows if i not in out][1:]}
        return [i for i in range(len(self.table)) if i in self.sounds and i not in dropped and i not in out]

    @property
    def exit_code(self) -> int:
        """0 when there is nothing to mend; remarks and files without a row are no faults."""
        faults = self.missing or self.unusable or self.unreadable or self.unsplit or self.absolute or self.copies or self.torn
        return EXIT_PROBLEMS if faults else EXIT_OK

    def cleaned(self, without_split: bool = False) -> Groundtruth | None:
        """Return the kept rows under their files' names; None when none is left. without_split: to be split anew, with those that have no split."""
        rows, t = self._once() if without_split else self.kept, self.table
        if not rows:
            return None
        keys = [self.names[self.files[i]] for i in rows]
        split = None if t.split is None or without_split else [t.split[i] for i in rows]
        group = None if t.group is None else [t.group[i] for i in rows]
        return Groundtruth(keys, t.labels, t.packed[rows], split, group)

    def problems(self) -> list[tuple[str, str, str]]:
        """Return all of it as lines (path, problem, detail), faults first."""
        return [line for _, line in self.located()]

    def located(self) -> list[tuple[int | None, tuple[str, str, str]]]:
        """Return the same, each with the row of the table that it is about (None: it is about no one row)."""
        key = self.table.keys
        kinds = (
            ("missing", self.missing),
            ("unusable", self.unusable),
            ("unreadable", self.unreadable),
            ("no split", self.unsplit),
            ("absolute path", self.absolute),
        )
        lines: list[tuple[int | None, tuple[str, str, str]]]
        lines = [(i, (key[i], problem, why)) for problem, rows in kinds for i, why in rows.items()]
        leaking = {i for _, i in self.leaking_copies}
        for rows in self.copies:
            seen = {int(self.files[rows[0]])}
            for i in rows[1:]:
                problem = "repeated row" if int(self.files[i]) in seen else "copy"
                seen.add(int(self.files[i]))
                problem = f"leaking {problem}" if i in leaking else problem
                lines.append((i, (key[i], problem, self._compared(i, rows[0]))))
        for group, parts in self.torn.items():
            words = ", ".join(f"{n} in {name}" for name, n in parts.items())
            lines.append((None, (group, "group in several splits", words)))
        lines += [(i, (key[i], "remark", "; ".join(words))) for i, words in self.remarks.items()]
        return lines + [(None, (name, "no row", "the table does not name this file")) for name in self.unlisted]

    def _compared(self, i: int, kept: int) -> str:
        """What a row has in common with the one that is kept in its place, and what not."""
        t = self.table
        same = "the same file" if self.files[i] == self.files[kept] else "the same samples"
        words = f"{same} as {t.keys[kept]}" if t.keys[i] != t.keys[kept] else "the table has this path before"
        if (t.packed[i] != t.packed[kept]).any():
            words += ", other labels" if t.packed[i].any() else ", without its labels"
        if t.split is not None:
            this, that = ("this row", "that one") if t.keys[i] == t.keys[kept] else (t.keys[i], t.keys[kept])
            mine, other = t.split[i] or "no split", t.split[kept] or "no split"
            words += f": both are in {mine}" if mine == other else f": {this} is in {mine}, {that} in {other}"
        if t.group is not None and t.group[i] != t.group[kept]:
            words += f"; group {t.group[i]!r}, there {t.group[kept]!r}"
        return words


def examine(
    table: Groundtruth, heard: Mapping[str, ScanResult], root: str | Path | None = None, new_split: bool = False
) -> Findings:
    """Compare a table (read as `faulty`) with what was heard of the audio files (all that there are, by name).

    root: the folder of the audio: an absolute path of a file in it is taken as the file that it means, and is a fault of the table.
    new_split: rows are to be split anew. Otherwise a row without a split is no use, and no copy of another.
    """
    names = list(heard)
    inside = {} if root is None else _below(table.keys, root)
    numbers, several = find([inside.get(i, key) for i, key in enumerate(table.keys)] if inside else table.keys, names)
    found = Findings(table, names, numbers)
    there = {i: name for i, name in inside.items() if numbers[i] >= 0}
    found.absolute = {i: f"paths are relative to the audio: write {name!r}" for i, name in there.items()}
    same: defaultdict[str | int, list[int]] = defaultdict(list)
    missing: list[int] = []
    for row, number in enumerate(numbers.tolist()):
        if row in several:
            found.unusable[row] = f"it may mean {listed([names[i] for i in several[row]], 3)}"
        elif number < 0:
            missing.append(row)
        elif not _is_text(names[number]):
            found.unusable[row] = "its name is not UTF-8, which no table can hold: rename the file"
        elif (sound := heard[names[number]].sound) is None:
            found.unreadable[row] = str(heard[names[number]].error)
        else:
            found.sounds[row] = sound
            same[sound.digest or number].append(row)  # silence is no copy of other silence
            if sound.remarks:
                found.remarks[row] = sound.remarks
            if table.split is not None and table.split[row] not in SPLITS:
                found.unsplit[row] = (
                    f"its split is {table.split[row]!r}; train, val or test is wanted"
                    if table.split[row]
                    else "its split is empty"
                )
    _join_depths(same, found.sounds)
    found.missing = _missing(table.keys, missing, names, root)
    if not new_split:
        same = defaultdict(list, {sound: [i for i in rows if i not in found.unsplit] for sound, rows in same.items()})
    found.copies = [sorted(rows, key=lambda row: _rank(table, row)) for rows in same.values() if len(rows) > 1]
    meant = set(numbers.tolist()) | {i for rows in several.values() for i in rows}
    found.unlisted = [name for i, name in enumerate(names) if i not in meant]
    found.torn = torn_groups(table, found.sounds)
    return found


def _join_depths(same: defaultdict[str | int, list[int]], sounds: Mapping[int, Sound]) -> None:
    """Put rows of sounds that are one at several bit depths together."""
    alike: defaultdict[tuple[int, int], list[str | int]] = defaultdict(list)
    for sound, rows in same.items():
        one = sounds[rows[0]]
        if one.digest and one.points:
            alike[one.sample_rate, round(one.seconds * one.sample_rate)].append(sound)
    for group in alike.values():
        if len({bit_depth(sounds[same[sound][0]]) for sound in group} - {None}) < 2:
            continue
        group.sort(key=lambda sound: sum(sounds[same[sound][0]].points))
        for i, first in enumerate(group):
            if first not in same:
                continue
            this = sounds[same[first][0]]
            for second in [sound for sound in group[i + 1 :] if sound in same]:
                other = sounds[same[second][0]]
                if sum(other.points) - sum(this.points) > len(this.points) * (
                    2.5 * 256 + 1
                ):  # further away than 8 bits can take it
                    break
                if same_sound(this, other):
                    same[first] = sorted(same[first] + same.pop(second))


def _below(keys: Sequence[str], root: str | Path) -> dict[int, str]:
    """The rows whose key is an absolute path below a folder, as given or with its links followed, and the path relative to it."""
    folders = [folder.rstrip("/") + "/" for folder in (os.path.abspath(root), os.path.realpath(root))]
    found = {}
    for i, key in enumerate(keys):
        if key.startswith(("/", "~")):
            path = os.path.normpath(os.path.expanduser(key))
            if folder := next((folder for folder in folders if path.startswith(folder)), None):
                found[i] = path.removeprefix(folder)
    return found


def _missing(keys: Sequence[str], rows: Sequence[int], names: Sequence[str], root: str | Path | None) -> dict[int, str]:
    """Why there is no file, and the file of that name elsewhere, where there is one (paths that begin elsewhere are the usual fault); or why one that
    is there is passed over.
    """
    where: defaultdict[str, list[str]] = defaultdict(list)
    for name in names if rows else ():
        where[_last(name)].append(name)
    found = {}
    for row in rows:
        if root is not None and (skipped := _skipped(Path(root), keys[row])):
            found[row] = f"the file is there and is skipped because {skipped}"
            continue
        there = where.get(_last(keys[row]), [])
        hint = f"; is {listed(there, 2)} meant?" if there else ""
        absolute = "an absolute path; " if keys[row].startswith(("/", "~")) or keys[row][1:3] in (":\\", ":/") else ""
        found[row] = f"{absolute}there is no such file{hint}"
    return found


def _skipped(root: Path, key: str) -> str:
    """Why a file that is there is not among the audio files; "" where it is not there."""
    name = key.replace("\\", "/")
    if not key or name.endswith("/") or key.startswith("~"):
        return ""
    try:
        path = Path(os.path.normpath(root / name))
        if not path.exists():
            return ""
    except (OSError, ValueError):  # a name that no file can have
        return ""
    if not path.is_relative_to(os.path.normpath(root)):
        return f"it lies outside {root}"
    if system := next((part for part in path.relative_to(os.path.normpath(root)).parts if is_system(part)), None):
        return f"{system!r} is an entry of the system"
    if path.is_dir():
        return "it is a folder"
    if not path.is_file():
        return "it is no regular file"
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        return f"its suffix {path.suffix!r} is not one of audio"
    return "a link leads to it, and it is taken under its own name"


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _last(path: str) -> str:
    """The file's name without its suffix, upper and lower case alike."""
    return without_suffix(path.replace("\\", "/").rsplit("/", 1)[-1]).casefold()


def _rank(table: Groundtruth, row: int) -> tuple[bool, int, int]:
    """Which of several copies stays: one with labels, then the test's (a test must not shrink), then the first."""
    split = "" if table.split is None else table.split[row]
    return not table.packed[row].any(), PREFERRED.index(split) if split in PREFERRED else len(PREFERRED), row


def torn_groups(table: Groundtruth | Values, rows: Iterable[int] | None = None) -> dict[str, dict[str, int]]:
    """Return groups (artists, albums) whose tracks stand in more than one split: {group: {split: tracks}}. {} without groups or splits.

    rows: those that count (all).
    """
    if table.group is None or table.split is None:
        return {}
    parts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for i in range(len(table)) if rows is None else rows:
        if table.group[i] and table.split[i] in SPLITS:
            parts[table.group[i]][table.split[i]] += 1
    return {group: {name: n[name] for name in SPLITS if n[name]} for group, n in sorted(parts.items()) if len(n) > 1}


def write_table(path: Path, table: Groundtruth) -> None:
    """Write a csv that `Groundtruth.read` reads back as it is: path, labels (parted at "|", or lists where their names hold marks), split, group.

    Raises StoreError when it cannot be written; nothing half-written is left.
    """
    rows = [np.flatnonzero(np.unpackbits(bits, count=table.n_labels)) for bits in table.packed]
    cells = joined([[table.labels[c] for c in row] for row in rows])
    extra = [(name, values) for name, values in (("split", table.split), ("group", table.group)) if values is not None]
    header = ["path", "labels", *(name for name, _ in extra)]
    lines = [[key, cell, *(values[i] for _, values in extra)] for i, (key, cell) in enumerate(zip(table.keys, cells))]
    write_whole(path, csv_text([header, *lines]).encode("utf-8", "surrogateescape"))
