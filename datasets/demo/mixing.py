"""From layers to a track: balance, level curve, breaks, and what must not matter (equaliser, noise, loudness)."""

from __future__ import annotations

import numpy as np

LOUDNESS = -24.0  # dB RMS of the whole track, full scale
LOUDNESS_JITTER = 3.0  # +- dB


def decibels(value: float) -> float:
    """Return gain of `value` dB."""
    return 10.0 ** (value / 20.0)


def rms(wave: np.ndarray) -> float:
    """Return root mean square of [N]."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def level_curve(kind: str, samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return gain over time [samples] float32. crescendo and decrescendo run through the whole track, swells come every 1.6 to 2.6 s."""
    part = np.arange(samples, dtype=np.float32) / samples
    span = np.float32(rng.uniform(18, 26))  # dB
    if kind == "crescendo":
        curve = span * (part - 1)
    elif kind == "decrescendo":
        curve = -span * part
    elif kind == "swells":
        period = rng.uniform(1.6, 2.6) * sample_rate
        curve = -0.9 * span * (0.5 + 0.5 * np.cos(2 * np.pi * (part * (samples / period) + rng.uniform())))
    else:
        curve = np.zeros(samples, dtype=np.float32)
    return np.exp(curve * np.float32(np.log(10) / 20)).astype(np.float32)


def cut_break(wave: np.ndarray, sample_rate: int, rng: np.random.Generator) -> tuple[float, float]:
    """Put a silence of 1.0 to 1.4 s around the middle of [N], in place; return its start and end in seconds."""
    length = int(rng.uniform(1.0, 1.4) * sample_rate)
    start = int(rng.uniform(0.42, 0.58) * len(wave)) - length // 2
    fade = int(0.01 * sample_rate)
    wave[start : start + fade] *= np.linspace(1, 0, fade, dtype=np.float32)
    wave[start + fade : start + length] = 0.0
    return start / sample_rate, (start + length) / sample_rate


def equalise(wave: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Apply two random bells of up to +-6 dB (the audio EQ cookbook's peaking filter), [N] -> [N]."""
    from scipy.signal import lfilter  # late: a second of start-up, of commands that ask for labels alone too

    for low, high in ((150.0, 900.0), (900.0, 5000.0)):
        gain, centre, q = 10 ** (rng.uniform(-6, 6) / 40), np.exp(rng.uniform(np.log(low), np.log(high))), rng.uniform(0.5, 1.5)
        w = 2 * np.pi * centre / sample_rate
        alpha = np.sin(w) / (2 * q)
        b = np.array([1 + alpha * gain, -2 * np.cos(w), 1 - alpha * gain])
        a = np.array([1 + alpha / gain, -2 * np.cos(w), 1 - alpha / gain])
        wave = lfilter(b / a[0], a / a[0], wave)
    return wave


def background(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise of a random colour between white and brown, unit RMS, [samples]."""
    from scipy.signal import lfilter

    colour = rng.uniform(0.0, 0.95)
    noise = lfilter([1.0], [1.0, -colour], rng.standard_normal(samples, dtype=np.float32))
    return noise / rms(noise)


def master(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Set the loudness, free of everything else, and bend rare peaks below full scale; [N] -> [N] float32 in (-1, 1)."""
    wave = wave * (decibels(LOUDNESS + rng.uniform(-LOUDNESS_JITTER, LOUDNESS_JITTER)) / rms(wave))
    over = np.abs(wave) > 0.8
    if over.any():
        wave[over] = np.sign(wave[over]) * (0.8 + 0.19 * np.tanh((np.abs(wave[over]) - 0.8) / 0.19))
    return wave.astype(np.float32)
