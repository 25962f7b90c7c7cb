"""A plan made sound: the layers of a track, each from its own module, mixed."""

from __future__ import annotations

import numpy as np

from ..groundtruth.chords import PITCHES
from . import drums, harmony, mixing
from .events import Events
from .labels import TrackPlan
from .synth import Notes, Ornament, play, sweeps

GATES = {"staccato": (0.33, 0.43), "legato": (0.94, 0.98)}
RATES = {"vibrato": (5.0, 7.0), "tremolo": (7.0, 10.0), "trill": (5.5, 7.5)}  # Hz
DEPTHS = {"vibrato": (0.9, 1.2), "tremolo": (0.85, 0.95), "glide": (0.8, 1.2)}


def _ornament(kind: str, rng: np.random.Generator) -> Ornament:
    """The melody's ornament with its rate and depth drawn."""
    return Ornament(kind, float(rng.uniform(*RATES.get(kind, (6.0, 6.0)))), float(rng.uniform(*DEPTHS.get(kind, (1.0, 1.0)))))


def _voices(voices: list[Notes], timbre: str, samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Sum of voices of one timbre, [samples]."""
    return np.sum([play(notes, timbre, samples, sample_rate, rng, Ornament()) for notes in voices], axis=0)


def _first_draws(plan: TrackPlan, rng: np.random.Generator) -> tuple[float, float]:
    """Return when the first beat is, seconds, and the key, semitones from C."""
    first_beat = -float(rng.uniform(0, 4)) * (60.0 / plan.beats_per_minute)
    return first_beat, float(rng.integers(-2, 3))


def tonic(plan: TrackPlan) -> str:
    """Return the note that a track's melody is built on: one of A# to D."""
    return PITCHES[int(_first_draws(plan, plan.rng())[1]) % 12]


def render(plan: TrackPlan) -> np.ndarray:
    """Return the track's audio, [samples] or [samples, 2] float32 in (-1, 1) at plan.sample_rate."""
    return perform(plan)[0]


def perform(plan: TrackPlan) -> tuple[np.ndarray, Events]:
    """Return the track's audio as `render` does, and what happens in it when.

    The melody is always there; chords where the plan has them; a bass with even odds, and always where drums are missing, since something
    must tell the beat. Levels of the layers, key, registers, equaliser and noise are drawn for each track.
    """
    rng, values, rate = plan.rng(), plan.values, plan.sample_rate
    samples = round(plan.seconds * rate)
    beat = 60.0 / plan.beats_per_minute
    first_beat, key = _first_draws(plan, rng)
    lead_notes = harmony.melody(
        values["mode"],
        72 + key,
        first_beat,
        beat,
        plan.seconds,
        rng.uniform(*GATES[values["articulation"]]),
        rng,
    )
    layers = [play(lead_notes, values["timbre"], samples, rate, rng, _ornament(values["ornament"], rng)) * 1.3]
    chords, changes = harmony.accompaniment(values["texture"], values["mode"], 57 + key, first_beat, beat, plan.seconds, rng)
    if chords:
        layers.append(_voices(chords, "mellow", samples, rate, rng) * 0.5)
    if values["rhythm"] == "no drums" or rng.uniform() < 0.5:
        low = harmony.bass(33 + key, first_beat, beat, plan.seconds, rng)
        layers.append(_voices([low], "mellow", samples, rate, rng) * 0.8)
    if values["rhythm"] != "no drums":
        layers.append(drums.play(values["rhythm"], first_beat, beat, samples, rate, rng) * 3.0)
    if values["sweep"] != "_no sweep":
        layers.append(sweeps(values["sweep"], samples, rate, rng) * 0.5)
    mix = np.asarray(sum(layer * np.float32(mixing.decibels(rng.uniform(-2, 2))) for layer in layers))
    mix = mixing.equalise(mix, rate, rng).astype(np.float32)
    mix *= mixing.level_curve(values["dynamics"], samples, rate, rng)
    pause = mixing.cut_break(mix, rate, rng) if values["form"] == "break" else None
    noise = mixing.background(samples, rng) * (mixing.rms(mix) * mixing.decibels(rng.uniform(-46, -30)))
    wave = mixing.master(mix + noise, rng)
    events = Events(first_beat, beat, drums.PATTERNS.get(values["rhythm"], (4,))[0], samples / rate, changes, pause)
    if plan.channels == 1:
        return wave, events
    pan = np.float32(rng.uniform(0.35, 0.65))
    return np.stack([wave * 2 * pan * np.float32(0.8), wave * 2 * (1 - pan) * np.float32(0.8)], axis=1), events
