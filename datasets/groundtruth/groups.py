"""What tracks belong to (artists, songs, singers): a name per track, and what such names are of."""

from __future__ import annotations

from collections.abc import Iterable

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
