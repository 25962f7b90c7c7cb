"""Is a collection fit to train on? Its table against its audio: what is missing, unreadable or there twice, and what leaks between splits."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .files import write_whole
from .groundtruth import SPLITS, Groundtruth, find, listed
from .sounds import Heard, Sound

EXIT_OK, EXIT_PROBLEMS = 0, 3
PREFERRED = ("test", "val", "train")  # of copies in several splits the one that stays: a test must not shrink
SEPARATORS = "|;,"


@dataclass
class Findings:
    """What was found out about a collection. Rows are those of `table`; files those of `files` [N] (-1: none).

    missing, unusable (several files fit, or another row has it), unreadable: rows and why. copies: lists of rows with the same samples, the
    one that stays first. torn: group -> its splits and their numbers of tracks. unlisted: files without a row. remarks: rows and what is
    odd about their sound. sounds: of the rows that are heard.
    """

    table: Groundtruth
    names: Sequence[str]
    files: np.ndarray
    missing: list[int] = field(default_factory=list)
    unusable: dict[int, str] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)
    copies: list[list[int]] = field(default_factory=list)
    torn: dict[str, dict[str, int]] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    remarks: dict[int, list[str]] = field(default_factory=dict)
    sounds: dict[int, Sound] = field(default_factory=dict)

    @property
    def leaking_copies(self) -> list[list[int]]:
        """Copies that stand in more than one split."""
        split = self.table.split
        return [] if split is None else [rows for rows in self.copies if len({split[i] for i in rows}) > 1]

    @property
    def conflicting_copies(self) -> list[list[int]]:
        """Copies that do not have the same labels."""
        packed = self.table.packed
        return [rows for rows in self.copies if any((packed[i] != packed[rows[0]]).any() for i in rows)]

    @property
    def kept(self) -> list[int]:
        """Rows of the cleaned table: heard, and one of each copies."""
        dropped = {i for rows in self.copies for i in rows[1:]}
        return [i for i in range(len(self.table)) if i in self.sounds and i not in dropped]

    @property
    def exit_code(self) -> int:
        """0 when there is nothing to mend; remarks and files without a row are no faults."""
        faults = self.missing or self.unusable or self.unreadable or self.copies or self.torn
        return EXIT_PROBLEMS if faults else EXIT_OK

    def cleaned(self) -> Groundtruth | None:
        """The kept rows under their files' names; None when none is left."""
        rows, t = self.kept, self.table
        if not rows:
            return None
        keys = [self.names[self.files[i]] for i in rows]
        split = None if t.split is None else [t.split[i] for i in rows]
        group = None if t.group is None else [t.group[i] for i in rows]
        return Groundtruth(keys, t.labels, t.packed[rows], split, group)

    def problems(self) -> list[tuple[str, str, str]]:
        """All of it as lines (path, problem, detail), faults first."""
        key, split = self.table.keys, self.table.split
        lines = [(key[i], "missing", "there is no such file") for i in self.missing]
        lines += [(key[i], "unusable", why) for i, why in self.unusable.items()]
        lines += [(key[i], "unreadable", why) for i, why in self.unreadable.items()]
        leaking = {rows[0] for rows in self.leaking_copies}
        conflicting = {rows[0] for rows in self.conflicting_copies}
        for rows in self.copies:
            for i in rows[1:]:
                where = f" ({split[i]}) of a track in {split[rows[0]]}" if split is not None else ""
                words = f"the same samples as {key[rows[0]]}" + (", other labels" if rows[0] in conflicting else "")
                lines.append((key[i], "leaking copy" if rows[0] in leaking else "copy", words + where))
        for group, parts in self.torn.items():
            words = ", ".join(f"{n} in {name}" for name, n in parts.items())
            lines.append((group, "group in several splits", words))
        lines += [(key[i], "remark", "; ".join(words)) for i, words in self.remarks.items()]
        return lines + [(name, "no row", "the table does not name this file") for name in self.unlisted]


def examine(table: Groundtruth, heard: Mapping[str, Heard]) -> Findings:
    """Compare a table with what was heard of the audio files (all that there are, by name)."""
    names = list(heard)
    numbers, several = find(table.keys, names)
    found = Findings(table, names, numbers)
    first_row: dict[int, int] = {}
    by_digest: defaultdict[str, list[int]] = defaultdict(list)
    for row, number in enumerate(numbers.tolist()):
        if row in several:
            found.unusable[row] = f"it may mean {listed([names[i] for i in several[row]], 3)}"
        elif number < 0:
            found.missing.append(row)
        elif first_row.setdefault(number, row) != row:
            found.unusable[row] = f"{table.keys[first_row[number]]} means the same file, {names[number]}"
        elif (sound := heard[names[number]].sound) is None:
            found.unreadable[row] = str(heard[names[number]].error)
        else:
            found.sounds[row] = sound
            if sound.digest:
                by_digest[sound.digest].append(row)
            if sound.remarks:
                found.remarks[row] = sound.remarks
    found.copies = [_preferred_first(rows, table.split) for rows in by_digest.values() if len(rows) > 1]
    meant = set(numbers.tolist()) | {i for rows in several.values() for i in rows}
    found.unlisted = [name for i, name in enumerate(names) if i not in meant]
    found.torn = torn_groups(table)
    return found


def _preferred_first(rows: list[int], split: Sequence[str] | None) -> list[int]:
    return rows if split is None else sorted(rows, key=lambda i: (PREFERRED.index(split[i]), i))


def torn_groups(table: Groundtruth) -> dict[str, dict[str, int]]:
    """Groups (artists, albums) whose tracks stand in more than one split: {group: {split: tracks}}. {} without groups or splits."""
    if table.group is None or table.split is None:
        return {}
    parts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for group, split in zip(table.group, table.split):
        if group:
            parts[group][split] += 1
    return {group: {name: n[name] for name in SPLITS if n[name]} for group, n in sorted(parts.items()) if len(n) > 1}


def write_table(path: Path, table: Groundtruth) -> None:
    """A csv that `Groundtruth.read` reads back as it is: path, labels (or a column for each where their names hold separators), split, group.

    Raises StoreError when it cannot be written; nothing half-written is left.
    """
    rows = [np.flatnonzero(np.unpackbits(bits, count=table.n_labels)) for bits in table.packed]
    joined = "|" if any(len(row) > 1 for row in rows) else ""
    apart = any(mark in label for label in table.labels for mark in ("|" if joined else SEPARATORS))
    apart = apart or any(label != label.strip() for label in table.labels)
    extra = [(name, values) for name, values in (("split", table.split), ("group", table.group)) if values is not None]
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["path", *(table.labels if apart else ["labels"]), *(name for name, _ in extra)])
    for i, (key, row) in enumerate(zip(table.keys, rows)):
        cells = (
            np.isin(np.arange(table.n_labels), row).astype(int).tolist() if apart else ["|".join(table.labels[c] for c in row)]
        )
        out.writerow([key, *cells, *(values[i] for _, values in extra)])
    write_whole(path, text.getvalue().encode("utf-8", "surrogateescape"))
