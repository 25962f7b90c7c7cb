"""Who plays which note when: chords of a mode, their textures, a bass, and a melody."""

from __future__ import annotations

import numpy as np

from ..groundtruth.chords import PITCHES
from .synth import Notes

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
THIRD = {"major": 4, "minor": 3}
ROOTS = (0, 5, 7)  # tonic, subdominant and dominant have the mode's own triad: all major or all minor
CHORD_BEATS = 4
NOTE_SECONDS = (0.36, 0.76)  # melody notes last as long in slow music as in fast
MELODY_DEGREES = 10


def beat_times(first_beat: float, beat: float, seconds: float, step: float) -> np.ndarray:
    """Return times in [0, seconds) on the grid of `step` beats, seconds."""
    steps = np.arange(np.ceil(-first_beat / (beat * step) - 1e-9), (seconds - first_beat) / (beat * step))
    return np.maximum(first_beat + steps * beat * step, 0.0)


def chord_roots(times: np.ndarray, first_beat: float, beat: float, rng: np.random.Generator) -> np.ndarray:
    """Return root (semitones above the tonic) at each time [n]: one chord per four beats, beginning with the tonic, never twice the same."""
    bars = np.floor((times - first_beat) / (beat * CHORD_BEATS) + 1e-6).astype(int)
    bars -= bars.min()
    roots = [0]
    for _ in range(bars.max()):
        roots.append(int(rng.choice([root for root in ROOTS if root != roots[-1]])))
    return np.asarray(roots)[bars]


def melody(
    mode: str, tonic: float, first_beat: float, beat: float, seconds: float, gate: float, rng: np.random.Generator
) -> Notes:
    """Return the leading voice: from each note to any other within a tenth of the scale."""
    fitting = [step for step in (0.5, 1.0, 2.0) if NOTE_SECONDS[0] <= step * beat <= NOTE_SECONDS[1]]
    times = beat_times(first_beat, beat, seconds, float(rng.choice(fitting)))
    degrees = np.cumsum(rng.integers(1, MELODY_DEGREES, len(times))) % MELODY_DEGREES
    pitches = tonic + np.asarray(SCALES[mode])[degrees % 7] + 12 * (degrees // 7)
    return Notes(times, pitches, gate, accents=rng.uniform(0.8, 1.0, len(times)))


def chord_changes(mode: str, times: np.ndarray, pitches: np.ndarray) -> list[tuple[float, str]]:
    """Return when each chord begins, and its name (Harte's: "Bb:min"), from the root's pitch [n] at times [n]; the first from the beginning on."""
    first = np.flatnonzero(np.diff(pitches, prepend=np.nan) != 0)
    names = [f"{PITCHES[int(pitches[i]) % 12]}:{mode[:3]}" for i in first]
    return list(zip([0.0, *times[first[1:]].tolist()], names))


def accompaniment(
    texture: str, mode: str, tonic: float, first_beat: float, beat: float, seconds: float, rng: np.random.Generator
) -> tuple[list[Notes], list[tuple[float, str]]]:
    """Return voices of the chords: sounding on (block chords), short on the beats (stabs), or one note after the other (arpeggio).

    Also when each chord begins, with its name.
    """
    triad = np.array([0, THIRD[mode], 7])
    if texture == "_no chords":
        return [], []
    if texture == "arpeggio":
        step = 0.25 if beat > 0.5 else 0.5
        times = beat_times(first_beat, beat, seconds, step)
        order = rng.permutation(3)
        roots = chord_roots(times, first_beat, beat, rng)
        changes = chord_changes(mode, times, tonic + roots)
        return [Notes(times, tonic + roots + triad[order[np.arange(len(times)) % 3]], gate=0.9)], changes
    step = CHORD_BEATS if texture == "block chords" else 1.0
    times = beat_times(first_beat, beat, seconds, step)
    if texture == "block chords" and times[0] > 0:
        times = np.append(0.0, times)
    roots = chord_roots(times, first_beat, beat, rng)
    gate = 1.0 if texture == "block chords" else rng.uniform(0.25, 0.4)
    return [Notes(times, tonic + roots + interval, gate) for interval in triad], chord_changes(mode, times, tonic + roots)


def bass(tonic: float, first_beat: float, beat: float, seconds: float, rng: np.random.Generator) -> Notes:
    """Return the chords' roots, one note on each beat, the first of four accented."""
    times = beat_times(first_beat, beat, seconds, 1.0)
    place = np.round((times - first_beat) / beat).astype(int) % CHORD_BEATS
    return Notes(times, tonic + chord_roots(times, first_beat, beat, rng), gate=0.7, accents=np.where(place == 0, 1.0, 0.7))
