"""Seconds to decide by, from shots that scatter: what was seen twice, from tensors made anew and at another time, is believed.

A burst only ever makes a shot slower: the first touch of memory that a virtual machine was not given yet made single shots ten times as long as the
next, in processor time too. So a way's figure is its least. But a way that met a burst whenever it was tried looks slow for good; so the ways take
turns in passes, each pass makes its tensors anew, and passes go on until the least of two agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Pair = tuple[float, float]  # seconds of a forward pass, and of it with the backward pass
Shot = Callable[[], Pair]
Shots = Callable[[float], Mapping[str, Shot]]  # the ways to compute a share of the work

SHARE = 0.125  # of the work, at a pass's first look
HOPELESS = 3.0  # times the seconds of the fastest way at that look: this pass does not look closer
LOOKS, ROUNDS = 2, (2, 6)  # shots of a way in a pass: at the first look; at the work, at least and at most
SCATTER = 0.08  # share by which two passes may differ that agree: what is wrong by less costs no more than that
FAR = 0.25  # of a way's distance from the fastest one: what scatters by less changes no order
IMPLAUSIBLE = 2.0  # times the fastest way's seconds: true of some machines, so it is believed, but of three passes
PASSES = 6  # at most
SECONDS = 4.0  # of the processor for a kind; no pass begins after


@dataclass
class _Seen:
    """What the passes so far found of one kind: the least of each, by way; those of first looks apart."""

    shots: Shots
    full: dict[str, list[Pair]] = field(default_factory=dict)
    looks: dict[str, list[Pair]] = field(default_factory=dict)
    passes: int = 0
    spent: float = 0.0

    def of(self, way: str) -> list[Pair]:
        """Least of each pass; first looks count where nothing else is there."""
        return self.full.get(way) or self.looks[way]

    def least(self) -> dict[str, Pair]:
        return {way: _least(self.of(way)) for way in self.looks}

    def settled(self) -> bool:
        return self.passes > 1 and _all_agree({way: self.of(way) for way in self.looks}, doubted=3)

    def done(self) -> bool:
        return self.settled() or self.passes >= PASSES or (self.passes > 1 and self.spent > SECONDS)


def settle(
    kinds: Mapping[str, Shots], clock: Callable[[], float] = time.process_time
) -> tuple[dict[str, dict[str, Pair]], set[str]]:
    """Return the seconds of each kind's ways, and the kinds whose figures did not settle: nothing can be decided by those.

    Args:
        kinds: what is measured. A way whose first shot raises RuntimeError or NotImplementedError is not there.
        clock: in seconds, the processor's own.

    One pass goes over all kinds before the next begins, so that two of one kind lie apart in time. A kind takes SECONDS, and the pass it is in.
    """
    seen = {kind: _Seen(shots) for kind, shots in kinds.items()}
    while waiting := [one for one in seen.values() if not one.done()]:
        for one in waiting:
            begun = clock()
            _pass(one)
            one.spent += clock() - begun
    return {kind: one.least() for kind, one in seen.items()}, {kind for kind, one in seen.items() if not one.settled()}


def _pass(seen: _Seen) -> None:
    """Time all ways once more, with tensors made anew."""
    seen.passes += 1
    looks: dict[str, list[Pair]] = {}
    small = seen.shots(SHARE)
    for _ in range(LOOKS):
        for way, shot in small.items():
            try:
                looks.setdefault(way, []).append(shot())
            except (RuntimeError, NotImplementedError):  # torch has no such kernel here
                continue
    found = {way: _least(pairs) for way, pairs in looks.items() if pairs}
    for way, (forward, both) in found.items():
        seen.looks.setdefault(way, []).append((forward / SHARE, both / SHARE))
    fastest = min((both for _, both in found.values()), default=0.0)
    able = {way: shot for way, shot in seen.shots(1.0).items() if way in found and found[way][1] <= HOPELESS * fastest}
    rounds: dict[str, list[Pair]] = {way: [] for way in able}
    for n in range(ROUNDS[1]):
        if n >= ROUNDS[0] and _all_agree(rounds, doubted=2):
            break
        for way, shot in able.items():
            rounds[way].append(shot())
    for way, pairs in rounds.items():
        seen.full.setdefault(way, []).append(_least(pairs))


def _least(pairs: list[Pair]) -> Pair:
    return min(a for a, _ in pairs), min(b for _, b in pairs)


def _all_agree(ways: Mapping[str, list[Pair]], doubted: int) -> bool:
    """Whether each way's two least seconds differ by no more than could change a choice; doubted: so many of a way that is implausibly slow."""
    for use in (0, 1):
        seconds = {way: sorted(pair[use] for pair in pairs) for way, pairs in ways.items()}
        fastest = min((found[0] for found in seconds.values()), default=0.0)
        for found in seconds.values():
            ratio = found[0] / fastest
            wanted = doubted if ratio > IMPLAUSIBLE else 2
            if len(found) < wanted or found[wanted - 1] > (1 + max(SCATTER, FAR * (ratio - 1))) * found[0]:
                return False
    return True
