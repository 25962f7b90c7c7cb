"""Tracks that stand more than once in a table: which, and whether their rows agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from ..utils.names import Names
from .split_names import split_names


def twice(names: Sequence[str]) -> list[str]:
    """Return the names that stand more than once."""
    if isinstance(names, Names):
        return names.twice()
    return [] if len(set(names)) == len(names) else [name for name, n in Counter(names).items() if n > 1]


def kinds(
    keys: Sequence[str],
    repeated: Sequence[str],
    same: Callable[[int, int], bool],
    split: Sequence[str] | None,
    what: str = "labels",
) -> str:
    """Return how many of the repeated tracks have rows that agree, that contradict one another, and that stand in several splits: "1 with the same
    labels, 2 with labels that differ; 1 of them in several splits".

    same: whether two rows say the same. split: of each row [N]. what: rows say.
    """
    rows: defaultdict[str, list[int]] = defaultdict(list)
    wanted = set(repeated)
    for i, key in enumerate(keys):
        if key in wanted:
            rows[key].append(i)
    differ = sum(any(not same(found[0], i) for i in found[1:]) for found in rows.values())
    of = None if split is None else split_names(split, faulty=True)
    torn = 0 if of is None else sum(len({of[i] for i in found}) > 1 for found in rows.values())
    parts = [f"{n} with {words}" for n, words in ((len(rows) - differ, f"the same {what}"), (differ, f"{what} that differ")) if n]
    return ", ".join(parts) + (f"; {torn} of them in several splits" if torn else "")
