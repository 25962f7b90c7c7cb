"""Drums: three sounds drawn anew for each track, and patterns of them.

A pattern says at which beats of its bar kick, snare and hat strike. Tempo and sounds vary more than the number of strokes does: the patterns are
told apart by their order.
"""

from __future__ import annotations

import numpy as np

# name -> (beats per bar, kicks, snares, hats), in beats from the bar's start
PATTERNS: dict[str, tuple[int, tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "four on the floor": (4, (0, 1, 2, 3), (), (0.5, 1.5, 2.5, 3.5)),
    "backbeat": (4, (0, 2), (1, 3), (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5)),
    "breakbeat": (4, (0, 0.5, 2.5), (1, 1.75, 2.25, 3), (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5)),
    "shuffle": (2, (0, 5 / 3), (1,), (0, 2 / 3, 1, 5 / 3)),
    "waltz": (3, (0,), (1, 2), ()),
}


def kick(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Return a falling sine, [N] float32."""
    t = np.arange(int(0.22 * sample_rate)) / sample_rate
    low, high = rng.uniform(45, 70), rng.uniform(120, 260)
    phase = low * t + (high - low) * 0.03 * (1 - np.exp(-t / 0.03))
    click = rng.uniform(0, 0.25) * np.exp(-t / 0.003) * rng.standard_normal(len(t))
    return (np.sin(2 * np.pi * phase) * np.exp(-t / rng.uniform(0.06, 0.11)) + click).astype(np.float32)


def snare(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Return noise over a short tone, [N] float32."""
    t = np.arange(int(0.18 * sample_rate)) / sample_rate
    noise = rng.standard_normal(len(t)) * np.exp(-t / rng.uniform(0.03, 0.06))
    tone = np.sin(2 * np.pi * rng.uniform(160, 240) * t) * np.exp(-t / 0.04)
    return (0.45 * noise + rng.uniform(0.2, 0.6) * tone).astype(np.float32)


def hat(rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Return high noise, [N] float32."""
    from scipy.signal import lfilter  # late: a second of start-up, of commands that ask for labels alone too

    t = np.arange(int(0.08 * sample_rate)) / sample_rate
    noise = lfilter([1.0, -0.95], [1.0], rng.standard_normal(len(t)))
    return (0.3 * noise * np.exp(-t / rng.uniform(0.012, 0.03))).astype(np.float32)


def strike(out: np.ndarray, sound: np.ndarray, at: float, sample_rate: int, gain: float) -> None:
    """Add `sound` to `out` [N] at `at` seconds, in place; what hangs over the end is cut."""
    start = round(at * sample_rate)
    if 0 <= start < len(out):
        stop = min(start + len(sound), len(out))
        out[start:stop] += gain * sound[: stop - start]


def play(pattern: str, first_beat: float, beat: float, samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return the pattern from `first_beat` (seconds, may be negative) on with `beat` seconds per beat, [samples] float32."""
    beats, *strokes = PATTERNS[pattern]
    sounds = (kick(rng, sample_rate), snare(rng, sample_rate), hat(rng, sample_rate))
    gains = (rng.uniform(0.8, 1.1), rng.uniform(0.7, 1.1), rng.uniform(0.3, 0.6))
    out = np.zeros(samples, dtype=np.float32)
    bars = int(np.ceil((samples / sample_rate - first_beat) / (beats * beat)))
    for bar in range(bars):
        for places, sound, gain in zip(strokes, sounds, gains):
            for place in places:
                at = first_beat + (bar * beats + place) * beat
                strike(out, sound, at, sample_rate, gain * rng.uniform(0.85, 1.0))
    return out
