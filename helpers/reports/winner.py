"""One sentence on several systems of a table: which one won, and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..metrics.scores import SystemScores, compare
from .wording import difference_interval

SHOWN = 5e-4  # a smaller difference is none in three digits


def winner(systems: Sequence[SystemScores]) -> str:
    """Return which system is best by the task's main metric, and by how much: over the first one, or where that is best over the next one.

    "" for one system. The interval is that of the paired difference on the same tracks; where it holds 0, that is said.
    """
    if len(systems) < 2:
        return ""
    main = systems[0].spec.main
    order = sorted(systems, key=lambda one: -_known(main.sign * one.mean(main)))  # stable: of equal ones the first listed
    best = order[0]
    other = systems[0] if best is not systems[0] else order[1]
    found = compare(best, other, main)
    low, high = found.interval
    where = f"by {main.short_title} on {best.split}"
    if math.isnan(found.mean):
        return f"{main.title} has no value on these tracks: no system won."
    if abs(found.mean) < SHOWN:
        return f"No system won: {best.name} and {other.name} score the same {where}."
    ahead = f"{abs(found.mean):.3f}"
    if math.isnan(low):
        return f"{best.name} is ahead of {other.name} by {ahead}, {where}: few tracks, which cannot tell whether that is more than chance."
    if low <= 0 <= high:
        interval = difference_interval(low, high)
        return f"{best.name} is ahead of {other.name} by {ahead}, {where}, which may be chance (95 % interval {interval})."
    return f"{best.name} won: {ahead} better than {other.name}, {where} (95 % interval {difference_interval(low, high)})."


def _known(value: float) -> float:
    return -math.inf if math.isnan(value) else value
