"""What tracks belong to (artists, songs, singers): a name per track, and what such names are of."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

log = logging.getLogger(__name__)
GROUP = "group"  # where a table says no more


class Groups(list[str]):
    """The name of each track's group, "" where it has none. of: what a group is ("artist"), for those who read scores."""

    def __init__(self, names: Iterable[str], of: str = ""):
        super().__init__(names)
        self.of = of or getattr(names, "of", GROUP)

    def pick(self, rows: Iterable[int]) -> Groups:
        """Return those of these tracks, in this order."""
        return Groups([self[i] for i in rows], self.of)

    @staticmethod
    def joined(parts: Iterable[Groups | None]) -> Groups | None:
        """Return the groups of several tables one after the other; None where one of them has none."""
        found = list(parts)
        whole = [one for one in found if one is not None]
        if len(whole) < len(found) or not whole:
            return None
        return Groups([name for one in whole for name in one], whole[0].of)


def group_noun(column: str | None) -> str:
    """Return what the groups of a column are: "artist" of artist_id."""
    return (column or GROUP).lower().removesuffix("_id")


def warn_of_blanks(source: object, groups: Groups, split: Sequence[str] | None) -> None:
    """Log the tracks of a table that have no group, though it has a column of them. source: the table. split: of each track, where it says it."""
    blank = [i for i, name in enumerate(groups) if not name]
    if not blank:
        return
    counts = Counter(split[i] or "no split" for i in blank) if split is not None else {}
    where = f" ({', '.join(f'{n} in {name}' for name, n in counts.items())})" if counts else ""
    log.warning(
        "%s: %d of %d rows have no %s%s: each counts as one of its own, and splits and intervals do not see what it shares with others.",
        source, len(blank), len(groups), groups.of, where,
    )  # fmt: skip
