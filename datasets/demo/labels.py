"""What a demo track is: a value for each family of labels, drawn in balance, and everything else drawn free of them.

A family is a question that one listens for (which instrument leads? does it get louder?). Each track has one value per family; a value is a
label unless its name starts with "_" (nothing to hear: no ornament, an even level). Values go round in shuffled blocks, so that each is equally
frequent in every split, families are independent of one another, and any track can be planned alone from (seed, split, index).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FAMILIES: dict[str, tuple[str, ...]] = {
    "timbre": ("organ", "pluck", "bell", "strings"),
    "rhythm": ("four on the floor", "backbeat", "breakbeat", "shuffle", "waltz", "no drums", "no drums"),
    "tempo": ("slow", "medium", "fast"),
    "mode": ("major", "minor"),
    "texture": ("block chords", "stabs", "arpeggio", "_no chords", "_no chords"),
    "sweep": ("rising", "falling", "_no sweep", "_no sweep"),
    "articulation": ("staccato", "legato"),
    "ornament": ("vibrato", "tremolo", "trill", "glide", "_plain"),
    "dynamics": ("crescendo", "decrescendo", "swells", "_even"),
    "form": ("break", "_through"),
}
LABELS: tuple[str, ...] = tuple(dict.fromkeys(v for values in FAMILIES.values() for v in values if not v.startswith("_")))

SPLITS: tuple[str, ...] = ("train", "validation", "test")
SECONDS = (6.5, 9.0)  # range of the tracks' lengths
BEATS_PER_MINUTE = {"slow": (62.0, 78.0), "medium": (98.0, 118.0), "fast": (146.0, 176.0)}
FORMATS = ((16000, 1), (22050, 1), (44100, 2))  # sample rate in Hz, channels
FORMAT_SHARES = (0.86, 0.09, 0.05)


@dataclass(frozen=True)
class TrackPlan:
    """All that is settled before a sample is computed; the rest comes from `rng()`."""

    seed: int
    split: str
    index: int
    values: dict[str, str]  # family -> value
    seconds: float
    sample_rate: int  # Hz
    channels: int
    beats_per_minute: float

    @property
    def labels(self) -> list[str]:
        """The labels that are to be heard, in the order of LABELS."""
        return [value for value in LABELS if value in self.values.values() and self.hears(value)]

    def hears(self, value: str) -> bool:
        """Return whether `value` can be heard: without chords there is no telling major from minor."""
        return not (value in FAMILIES["mode"] and self.values["texture"] == "_no chords")

    @property
    def name(self) -> str:
        """Path inside the data set's folder, posix."""
        return f"{self.split}/{self.index:05d}.flac"

    def rng(self) -> np.random.Generator:
        """Yield the track's own stream of random numbers."""
        return _generator(self.seed, self.split, 1, self.index)


def _generator(seed: int, split: str, *key: int) -> np.random.Generator:
    """A stream of its own for each split and key: no two splits share one."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), *key))))


def plan_track(seed: int, split: str, index: int) -> TrackPlan:
    """Return the plan of track `index` (from 0) of `split`.

    Raises ValueError for an unknown split or a negative index or seed.
    """
    if split not in SPLITS:
        raise ValueError(f"No split '{split}'; the demo data set has {', '.join(SPLITS)}.")
    if index < 0 or seed < 0:
        raise ValueError(f"Seed and index of a demo track count from 0; got seed {seed}, index {index}.")
    values = {}
    for number, (family, names) in enumerate(FAMILIES.items()):
        block, place = divmod(index, len(names))
        values[family] = names[_generator(seed, split, 2, number, block).permutation(len(names))[place]]
    rng = _generator(seed, split, 3, index)  # apart from the labels: neither length nor format can give one away
    seconds = float(rng.uniform(*SECONDS))
    sample_rate, channels = FORMATS[rng.choice(len(FORMATS), p=FORMAT_SHARES)]
    beats_per_minute = float(rng.uniform(*BEATS_PER_MINUTE[values["tempo"]]))
    return TrackPlan(seed, split, index, values, seconds, sample_rate, channels, beats_per_minute)
