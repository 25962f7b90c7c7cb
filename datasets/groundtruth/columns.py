"""Which column of a label table holds what: as chosen, by its usual name, or (splits only) by its cells. What was understood is said in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import GroundtruthError, nearest

from .split_names import are_splits

log = logging.getLogger(__name__)
PATH_COLUMNS = (
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "key",
    "audio",
    "audio_path",
    "mp3_path",
    "track",
    "name",
)
LABEL_COLUMNS = ("labels", "label", "tags", "tag", "classes", "class", "genres", "genre", "styles", "style", "category", "target")
SPLIT_COLUMNS = ("split", "subset", "partition")
GROUP_COLUMNS = ("group", "artist", "artist_id", "album", "album_id")
MANY = 1000  # columns among which a similar name is looked for
_CELLS = 12  # different ones beyond which a column holds no splits, whatever follows


@dataclass(frozen=True)
class Columns:
    """The columns of a table: which one holds the path, the labels (None: each label may have a column of its own), the split, the group.

    by_cells: the split is known by what its cells hold, not by its name. unused_splits: further columns that hold names of splits.
    """

    header: list[str]
    path: str | None
    label: str | None
    split: str | None = None
    group: str | None = None
    by_cells: bool = False
    unused_splits: tuple[str, ...] = ()

    @classmethod
    def of(cls, header: list[str], chosen: Mapping[str, str | None], rows: Iterable[Sequence[Sequence[object]]]) -> Columns:
        """Find the columns of a header. chosen: "path", "label", "split", "group" -> a column, or None. rows: the table's lines, some at a
        time, cells in the header's order.

        Raises GroundtruthError for a chosen column that is not there, and where several may be meant.
        """
        path = choose(header, chosen["path"], PATH_COLUMNS, "path", "the track's path")
        label = choose(header, chosen["label"], LABEL_COLUMNS, "label", "the labels")
        split = choose(header, chosen["split"], SPLIT_COLUMNS, "split", "the split")
        group = choose(header, chosen["group"], GROUP_COLUMNS, "group", "the group", ambiguous=False)
        alike = _split_columns(header, [name for name in header if name not in (path, label, split, group)], rows)
        if split is not None or not alike:
            return cls(header, path, label, split, group, unused_splits=tuple(alike))
        if len(alike) > 1:
            raise GroundtruthError(
                f"the columns {', '.join(alike)} hold names of splits, and none is called split: give that name to the one that is meant."
            )
        return cls(header, path, label, alike[0], group, by_cells=True)

    @property
    def others(self) -> list[str]:
        """Columns with none of the four roles."""
        return [name for name in self.header if name not in (self.path, self.label, self.split, self.group)]

    def say(self, table: Path, labels: Sequence[str]) -> None:
        """Log what was taken as what, and what is not used. labels: those that were read."""
        own = set() if self.label is not None else set(labels) & set(self.others)
        unused = [name for name in self.others if name not in own]
        of_labels = self.label if self.label is not None else f"{len(own)} columns of 0 and 1"
        log.info(
            "%s: path: %s; labels: %s; group: %s; split: %s; not used: %s.",
            table, self.path, of_labels, self.group or "none", self.split or "none", some(unused),
        )  # fmt: skip
        if self.by_cells:
            log.warning(
                "%s: the cells of the column %s are names of splits: it is taken as the split. Take it out of the table if it is none.",
                table, self.split,
            )  # fmt: skip
        if self.unused_splits:
            log.warning(
                "%s: %s holds names of splits too and is not used; the split is %s.",
                table, ", ".join(self.unused_splits), self.split,
            )  # fmt: skip


def some(names: Sequence[str], shown: int = 20) -> str:
    """Return names for a message, the first of them where there are many."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more or "none"


def _split_columns(header: list[str], names: list[str], rows: Iterable[Sequence[Sequence[object]]]) -> list[str]:
    """Those of `names` whose cells, empty ones aside, are all names of splits, training among several."""
    seen: dict[str, set[str]] = {name: set() for name in names}
    places = {name: place for place, name in enumerate(header)}
    for some in rows if names else ():
        for name in list(seen):
            place = places[name]
            seen[name].update(str(row[place]).strip() for row in some)
            if len(seen[name]) > _CELLS or not are_splits(seen[name], whole=False):
                del seen[name]
        if not seen:
            break
    return [name for name, cells in seen.items() if are_splits(cells)]


def choose(
    header: list[str], chosen: str | None, usual: Sequence[str], kind: str, what: str, ambiguous: bool = True
) -> str | None:
    """Return the column that was chosen, or the one whose name says `what`; None when none does. Raises GroundtruthError."""
    if chosen is not None:
        if chosen not in header:
            raise GroundtruthError(
                f"there is no column {chosen!r} for {what}; there are {some(header)}.{nearest(chosen, header[:MANY])}"
            )
        return chosen
    found = [name for name in header if name.lower() in usual]
    if len(found) > 1 and ambiguous and kind != "path":
        raise GroundtruthError(
            f"several columns may hold {what}: {', '.join(found)}. Choose one with {kind}_column"
            f"{' (label_column=..., in the section of the data)' if kind == 'label' else ''}."
        )
    return min(found, key=lambda name: usual.index(name.lower())) if found else None
