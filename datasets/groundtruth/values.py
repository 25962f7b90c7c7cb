"""Numbers that tracks have (arousal, valence, ...), for regression: the counterpart of a groundtruth, which holds labels."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.errors import GroundtruthError, listed, nearest

from .columns import GROUP_COLUMNS, choose
from .groundtruth import SPLITS, Groundtruth
from .groups import Groups, group_noun, warn_of_blanks
from .lines import delimiter_of, records
from .repeats import kinds, twice
from .split_names import split_names

log = logging.getLogger(__name__)
PATHS = ("path", "file", "filename", "track")
OTHERS = ("split", "id")
POINTS = "Write points for decimal commas (1.5, not 1,5), and no mark between thousands."
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+(?:[eE][-+]?\d+)?\s*")
BINS = 4  # parts of a value's range, equally full, that a split has in proportion


@dataclass(frozen=True)
class Values:
    """keys: the N tracks. labels: names of the L values. numbers: float64 [N, L]. split: each track's, where the table says it. group:
    what each belongs to, where a column says it.

    Raises GroundtruthError for no tracks, tracks that stand twice, and numbers that are not finite.
    """

    keys: list[str]
    labels: list[str]
    numbers: np.ndarray
    split: list[str] | None = None
    group: Groups | None = None

    def __post_init__(self) -> None:
        if not self.keys or not self.labels:
            raise GroundtruthError("The table of values is empty.")
        if self.numbers.shape != (len(self.keys), len(self.labels)) or not np.isfinite(self.numbers).all():
            raise GroundtruthError(
                f"Each of {len(self.keys)} tracks needs {len(self.labels)} finite values ({listed(self.labels)})."
            )
        if len(set(self.keys)) != len(self.keys):
            again = twice(self.keys)
            found = kinds(self.keys, again, lambda i, j: bool((self.numbers[i] == self.numbers[j]).all()), self.split, "numbers")
            raise GroundtruthError(
                f"{len(again)} tracks stand more than once in the table of values: {listed(again)} ({found}). Keep one row of each."
            )

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def n_labels(self) -> int:
        """L."""
        return len(self.labels)

    def matrix(self) -> np.ndarray:
        """Return all numbers, float64 [N, L]."""
        return self.numbers

    def subset(self, which: Sequence[int] | np.ndarray) -> Values:
        """Return these rows, in this order."""
        rows = [int(i) for i in which]
        split = None if self.split is None else [self.split[i] for i in rows]
        return Values([self.keys[i] for i in rows], self.labels, self.numbers[rows], split, self.group and self.group.pick(rows))

    def binned(self) -> Groundtruth:
        """Return the tracks with labels for a split: in which of BINS equally full parts of its range each value lies. Values that take no more
        different numbers than that have a label for each.
        """
        found = []
        for column in self.numbers.T:
            known = np.unique(column)
            edges = known[1:] if len(known) <= BINS else np.unique(np.quantile(column, np.arange(1, BINS) / BINS))
            found.append(np.searchsorted(edges, column, side="right")[:, None] == np.arange(len(edges) + 1))
        matrix = np.concatenate(found, axis=1)
        names = [str(i) for i in range(matrix.shape[1])]
        return Groundtruth(self.keys, names, np.packbits(matrix, axis=1), None, self.group)

    @property
    def splits(self) -> dict[str, Values]:
        """{split: its tracks}; {} where the table does not say."""
        if self.split is None:
            return {}
        rows = {name: [i for i, split in enumerate(self.split) if split == name] for name in SPLITS}
        return {name: self.subset(chosen) for name, chosen in rows.items() if chosen}

    @staticmethod
    def read(path: str | Path, column: str | None = None, group_column: str | None = None) -> Values:
        """Read a csv or tsv: a path column (path, file, filename or track), perhaps split and group, and a column per value.

        column: the value that is taken. Without a choice all columns of numbers are taken: those with a number in most of their cells. The log says
        which, and which are not. group_column: of what a split keeps together; None: found by its name (group, artist, album).

        Raises GroundtruthError naming the file, and the line of a cell that is no finite number.
        """
        path = Path(path)
        if not path.is_file():
            raise GroundtruthError(f"There is no table of values at {path} (or it is no regular file).")
        found = records(path, delimiter_of(path))
        columns = [cell.strip() for cell in next(found, (0, []))[1]]
        place = next((name for name in PATHS if name in columns), None)
        try:
            grouped = choose(columns, group_column, GROUP_COLUMNS, "group", "the group", ambiguous=False)
        except GroundtruthError as error:
            raise GroundtruthError(f"{path}: {error}") from None
        usual = {name for name in columns if name.lower() in GROUP_COLUMNS}
        names = [name for name in columns if name not in (place, grouped, *OTHERS) and (name == column or name not in usual)]
        if place is None or not names:
            raise GroundtruthError(
                f"{path} has the columns {listed(columns)}; wanted one of {', '.join(PATHS)}, and a column per value."
            )
        if column is not None and column not in names:
            raise GroundtruthError(
                f"{path} has no column {column!r} of values; it has {listed(names)} (data.label_column=...).{nearest(column, names)}"
            )
        rows, lines = [], []
        for line, cells in found:
            if len(cells) < len(columns):
                raise GroundtruthError(f"{path}, line {line} has {len(cells)} cells, the header has {len(columns)}.")
            rows.append(dict(zip(columns, cells)))
            lines.append(line)
        names = [column] if column is not None else _of_numbers(names, rows, lines, path)
        numbers = np.empty((len(rows), len(names)))
        for i, row in enumerate(rows):
            for j, name in enumerate(names):
                try:
                    numbers[i, j] = float(row[name])
                except (TypeError, ValueError):
                    cure = POINTS if _DECIMAL_COMMA.fullmatch(row[name] or "") else "Give one, or take the line out."
                    raise GroundtruthError(
                        f"{path}, line {lines[i]}: {name} is {row[name]!r}, which is no number. {cure}"
                    ) from None
                if not np.isfinite(numbers[i, j]):
                    raise GroundtruthError(
                        f"{path}, line {lines[i]}: {name} is {row[name]!r}, which is not finite. Give a number, or take the line out."
                    )
        if grouped is not None:
            log.info("%s: group: %s.", path, grouped)
        split = split_names([row["split"] for row in rows]) if "split" in columns else None
        group = None if grouped is None else Groups([row[grouped].strip() for row in rows], group_noun(grouped))
        if group is not None:
            warn_of_blanks(path, group, split)
        return Values([row[place] for row in rows], names, numbers, split, group)


def _of_numbers(names: Sequence[str], rows: Sequence[dict[str, str]], lines: Sequence[int], path: Path) -> list[str]:
    """The columns that hold numbers, by most of their cells: a stray cell is a fault of its line.

    lines: of the rows. Raises GroundtruthError where there is none, and for a column of numbers with commas in them.
    """
    plain = {name: sum(_is_number(row[name]) for row in rows) for name in names}
    found = [name for name in names if 2 * plain[name] > len(rows)]
    for name in names:
        with_comma = [i for i, row in enumerate(rows) if _DECIMAL_COMMA.fullmatch(row[name] or "")]
        if name not in found and with_comma and 2 * (len(with_comma) + plain[name]) > len(rows):
            i = with_comma[0]
            raise GroundtruthError(
                f"{path}, line {lines[i]}: the column {name!r} holds numbers with commas, such as {rows[i][name]!r}. {POINTS} Or choose another "
                "column: data.label_column=..."
            )
    if rows and not found:
        raise GroundtruthError(
            f"{path} has no column of numbers: {listed(names)} {'holds' if len(names) == 1 else 'hold'} none. Values are wanted, a column each."
        )
    taken = set(found)
    left = [name for name in names if name not in taken] if found else []
    log.info("%s: values: %s%s.", path, listed(found or names), f"; not used: {listed(left)}" if left else "")
    return found or list(names)


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True


def z_scored(truths: dict[str, Values], by: Sequence[str] = ("train", "val")) -> dict[str, Values]:
    """Return all splits shifted and scaled by mean and sd of the development tracks (`by`); a constant value is left unscaled."""
    known = np.concatenate([truths[name].numbers for name in by if name in truths])
    mean, sd = known.mean(axis=0), known.std(axis=0)
    sd = np.where(sd > 1e-12 * np.abs(mean), sd, 1.0)  # a constant's sd is rounding, seldom 0
    return {name: replace(truth, numbers=(truth.numbers - mean) / sd) for name, truth in truths.items()}
