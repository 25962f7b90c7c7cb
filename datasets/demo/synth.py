"""Instruments: a phase that follows the notes, a wave table read by it, an envelope over each note.

A voice plays one note at a time. Its frequency is a piecewise constant curve with ornaments on top; the phase is its running sum, so pitch
bends never click. Timbres differ in how a note begins and dies away as much as in their spectrum, and each track draws its own spectrum.
Units: times in seconds, pitches as MIDI numbers (69 = 440 Hz), gains as factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TABLE = 2048  # samples of one cycle
TIMBRES = ("organ", "pluck", "bell", "strings", "mellow")


@dataclass(frozen=True)
class Notes:
    """Notes of one voice in order; a note's place lasts until the next onset, its sound for `gate` of that."""

    onsets: np.ndarray  # [n] seconds, increasing
    pitches: np.ndarray  # [n] MIDI numbers
    gate: float = 1.0  # sounding share of each note's place, (0, 1]
    accents: np.ndarray | None = None  # [n] gains


@dataclass(frozen=True)
class Ornament:
    """What is done to the pitch or level inside the notes."""

    kind: str = "_plain"
    rate: float = 6.0  # Hz
    depth: float = 0.6  # semitones (vibrato, trill, glide) or share of the level (tremolo)


def hertz(pitch: np.ndarray) -> np.ndarray:
    """Return frequency of MIDI pitches, same shape."""
    return 440.0 * np.exp2((np.asarray(pitch) - 69.0) / 12.0)


def wave_table(partials: dict[int, float]) -> np.ndarray:
    """Return one cycle [TABLE] float32 of the sum of `partials` (number -> amplitude), unit RMS."""
    spectrum = np.zeros(TABLE // 2 + 1, dtype=np.complex128)
    for number, amplitude in partials.items():
        spectrum[number] = -1j * amplitude
    cycle = np.fft.irfft(spectrum)
    return (cycle / np.sqrt(np.mean(cycle**2))).astype(np.float32)


def read_table(table: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Return the table at `phase` (cycles, any value) [N] -> [N] float32; nearest sample, error below -55 dB."""
    return table[(phase * TABLE).astype(np.int64) & (TABLE - 1)]


def _harmonics(rng: np.random.Generator, numbers: tuple[int, ...], slope: float) -> dict[int, float]:
    """Amplitudes falling as number**-slope with a free +-4 dB on each."""
    return {k: k**-slope * 10 ** (rng.uniform(-4, 4) / 20) for k in numbers}


def _bent(pitch: np.ndarray, t: np.ndarray, place: np.ndarray, ornament: Ornament, clock: np.ndarray) -> np.ndarray:
    """Pitch curve with its ornament. t: seconds since the onset, place: seconds until the next, clock: since the start; all [N]."""
    if ornament.kind == "vibrato":
        return pitch + ornament.depth * np.sin(2 * np.pi * ornament.rate * clock)
    if ornament.kind == "trill":
        return pitch + 3.0 * (np.floor(2 * ornament.rate * t) % 2)
    if ornament.kind == "glide":
        return pitch - 7.0 * ornament.depth * np.clip(1 - t / (0.75 * np.minimum(place, 0.5)), 0, 1)
    return pitch


def play(notes: Notes, timbre: str, samples: int, sample_rate: int, rng: np.random.Generator, ornament: Ornament) -> np.ndarray:
    """Return one voice, [samples] float32, about unit RMS where it sounds.

    timbre: organ (level at once and steady), pluck (struck, darkens and dies), bell (struck, inharmonic, rings), strings (swells in, two
    detuned); mellow (as organ, few partials: what chords and bass sound like).
    """
    starts = np.clip(np.round(notes.onsets * sample_rate).astype(np.int64), 0, samples)
    places = np.diff(np.append(starts, samples))
    lead_in = int(starts[0])
    which = np.repeat(np.arange(len(starts)), places)
    clock = np.arange(lead_in, samples, dtype=np.float32) / np.float32(sample_rate)
    t = clock - (starts / sample_rate).astype(np.float32)[which]
    place = (places / sample_rate).astype(np.float32)[which]
    pitch = _bent(np.asarray(notes.pitches, dtype=np.float32)[which], t, place, ornament, clock)
    phase = np.cumsum(440.0 / sample_rate * np.exp2((pitch - 69.0) / 12.0), dtype=np.float64)
    sound = notes.gate * place
    release = np.clip((sound - t) / np.minimum(0.02, 0.2 * sound), 0, 1)

    top = max(3, int(0.47 * sample_rate / hertz(np.max(pitch))))  # no partial folds back at half the sample rate

    def spectrum(numbers: tuple[int, ...], slope: float) -> np.ndarray:
        return wave_table({k: v for k, v in _harmonics(rng, numbers, slope).items() if k <= top})

    dark = spectrum((1, 2, 3), 1.6)
    bright = spectrum(tuple(range(1, 11)), 0.2)
    if timbre == "organ":
        tone = read_table(spectrum((1, 2, 4, 8), 0.3), phase)
        level = np.minimum(t / 0.008, 1)
    elif timbre == "mellow":
        tone = read_table(dark, phase)
        level = np.minimum(t / 0.012, 1)
    elif timbre == "pluck":
        glow = np.exp(-t / np.float32(rng.uniform(0.05, 0.10)))
        tone = read_table(bright, phase) * glow + read_table(dark, phase) * (1 - glow)
        level = np.minimum(t / 0.002, 1) * np.exp(-t / np.float32(rng.uniform(0.07, 0.12))) * 2.6
    elif timbre == "bell":
        index = 4.0 * np.exp(-t / np.float32(rng.uniform(0.10, 0.25))) + 1.0
        ratio = rng.choice([1.41, 2.41, 2.76, 3.46])
        turn = np.float32(2 * np.pi)
        inner = np.sin(turn * (ratio * phase % 1.0).astype(np.float32))
        tone = 1.4 * np.sin(turn * (phase % 1.0).astype(np.float32) + index * inner)
        level = np.minimum(t / 0.002, 1) * np.exp(-t / np.float32(rng.uniform(0.35, 0.55))) * 1.5
    elif timbre == "strings":
        saw = spectrum(tuple(range(1, 11)), 1.0)
        tone = 0.7 * (read_table(saw, phase) + read_table(saw, phase * rng.uniform(1.005, 1.009)))
        level = np.clip(t / (0.8 * sound), 0, 1)
    else:
        raise ValueError(f"No timbre '{timbre}'; there are {', '.join(TIMBRES)}.")
    if ornament.kind == "tremolo":
        level = level * (1 - ornament.depth * (0.5 + 0.5 * np.cos(2 * np.pi * ornament.rate * clock)))
    if notes.accents is not None:
        level = level * np.asarray(notes.accents, dtype=np.float32)[which]
    out = np.zeros(samples, dtype=np.float32)
    out[lead_in:] = tone * level * release
    return out


def sweeps(kind: str, samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return tones that slide up ("rising") or down ("falling") over two octaves in 0.7 to 1.2 s, again and again with pauses, [samples] float32."""
    seconds, pause = rng.uniform(0.7, 1.2), rng.uniform(0.2, 0.6)
    clock = np.arange(samples, dtype=np.float32) / np.float32(sample_rate) + np.float32(rng.uniform(0, seconds + pause))
    part = (clock % np.float32(seconds + pause)) / np.float32(seconds)  # 0 to 1 within a sweep, above 1 in the pause
    way = np.minimum(part, 1) if kind == "rising" else 1 - np.minimum(part, 1)
    low = np.float32(hertz(np.array(rng.uniform(76, 84))))
    phase = np.cumsum(low / sample_rate * np.exp2(2 * way), dtype=np.float64)
    level = np.clip(part / 0.05, 0, 1) * np.clip((1 - part) / 0.05, 0, 1)
    return (np.float32(1.4) * np.sin(np.float32(2 * np.pi) * (phase % 1.0).astype(np.float32)) * level).astype(np.float32)
