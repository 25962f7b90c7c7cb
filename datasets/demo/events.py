"""What happens when in a demo track, as its generator did it: beats with their place in the bar, chords, sections; and the files of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from ..groundtruth.chords import NO_CHORD

KINDS = ("beats", "chords", "sections")
PLAYING, SILENCE = "inst", "silence"  # of the section names of Harmonix those that the generator has


@dataclass(frozen=True)
class Events:
    """A track's events. first_beat: seconds, where a bar begins, perhaps before the track. beat: seconds. beats_per_bar: of the drums, else 4.
    seconds: the track's length. changes: when each chord begins, and its name. pause: start and end of a silence.
    """

    first_beat: float
    beat: float
    beats_per_bar: int
    seconds: float
    changes: list[tuple[float, str]] = field(default_factory=list)
    pause: tuple[float, float] | None = None

    @property
    def beats(self) -> list[tuple[float, int]]:
        """Every beat's time, and its number in the bar from 1; the beat goes on through a silence."""
        numbers = np.arange(np.ceil(-self.first_beat / self.beat - 1e-9), (self.seconds - self.first_beat) / self.beat).astype(
            int
        )
        return [(max(self.first_beat + n * self.beat, 0.0), int(n % self.beats_per_bar) + 1) for n in numbers]

    @property
    def chords(self) -> list[tuple[float, float, str]]:
        """Start, end and name of each; none where no chord layer plays, and in a silence."""
        changes = self.changes or [(0.0, NO_CHORD)]
        ends = [start for start, _ in changes[1:]] + [self.seconds]
        spans = [(start, end, name) for (start, name), end in zip(changes, ends)]
        if self.pause is None or not self.changes:
            return spans
        first, last = self.pause
        kept = [(s, min(e, first), name) for s, e, name in spans if s < first]
        kept += [(first, last, NO_CHORD), *((max(s, last), e, name) for s, e, name in spans if e > last)]
        return [span for span in kept if span[1] - span[0] > 1e-3]

    @property
    def sections(self) -> list[tuple[float, float, str]]:
        """Start, end and name of each: playing, and a silence."""
        if self.pause is None:
            return [(0.0, self.seconds, PLAYING)]
        first, last = self.pause
        return [(0.0, first, PLAYING), (first, last, SILENCE), (last, self.seconds, PLAYING)]

    def files(self, name: str) -> dict[str, str]:
        """Return the files of a track's annotations below their folder, with their content."""
        stem = PurePosixPath(name).with_suffix("")
        beats = "".join(f"{time:.4f}\t{number}\n" for time, number in self.beats)
        spans = {kind: "".join(f"{s:.4f}\t{e:.4f}\t{label}\n" for s, e, label in getattr(self, kind)) for kind in KINDS[1:]}
        return {f"beats/{stem}.beats": beats, **{f"{kind}/{stem}.lab": text for kind, text in spans.items()}}
