"""One sentence on several systems of a table: which one won, and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..metrics.differences import compare
from ..metrics.scores import SystemScores

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
    if math.isnan(found.mean):
        return f"No system won: {main.title} has no value on these tracks."
    where = f"by {main.short_title} on {best.split}"
    if abs(found.mean) < SHOWN:
        return f"No system won: {best.name} and {other.name} score the same {where}."
    name, ahead = best.name[:1].upper() + best.name[1:], f"{abs(found.mean):.3f}"
    if found.known is None:
        return f"{name} is ahead of {other.name} by {ahead}, {where}: {found.why} to tell whether that is more than chance."
    low, high = sorted(main.sign * bound for bound in found.interval)  # of how much better, whatever the metric's direction
    interval = f"95 % interval {low:+.3f} to {high:+.3f}"
    if low < SHOWN:
        return f"{name} is ahead of {other.name} by {ahead}, {where}, which may be chance ({interval})."
    return f"{name} won: {ahead} better than {other.name}, {where} ({interval})."


def _known(value: float) -> float:
    return -math.inf if math.isnan(value) else value
