"""Chord labels as annotations write them (Harte et al., ISMIR 2005), reduced to major, minor and none: MIREX's majmin vocabulary."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from models.errors import GroundtruthError
from models.settings import shown

PITCHES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
NO_CHORD = "N"
CHORDS = (*(f"{pitch}:maj" for pitch in PITCHES), *(f"{pitch}:min" for pitch in PITCHES), NO_CHORD)
MAJOR, MINOR = (1, 0, 0, 0, 1, 0, 0, 1), (1, 0, 0, 1, 0, 0, 0, 1)  # semitones above the root up to the fifth
OUTSIDE = -1  # a chord that is neither, or an unknown one: X, sus4, dim, ...


@lru_cache(maxsize=4096)
def chord_class(label: str) -> int:
    """Return the number of a chord in CHORDS, OUTSIDE for one that majmin leaves out. Raises GroundtruthError for what is no chord label.

    As mir_eval's comparison: root, and the notes up to the fifth; sevenths and further notes, and the bass, make no difference.
    """
    from mir_eval.chord import InvalidChordException, encode  # here for start-up time

    try:
        root, semitones, _ = encode(label)
    except InvalidChordException:
        raise GroundtruthError(f"{shown(label)} is no chord label: wanted is one such as C:maj, A:min7, G:7/3, N or X.") from None
    lower = tuple(np.asarray(semitones)[:8].astype(int))
    if root < 0:
        return len(CHORDS) - 1 if not any(semitones) else OUTSIDE
    return int(root) + 12 * (lower == MINOR) if lower in (MAJOR, MINOR) else OUTSIDE
