"""CLMR's augmentation chain on batches of mono crops, on their own device: polarity, noise, gain, filters, delay, pitch, reverb.

In that order, each with its own probability (arXiv 2103.09410, section 3; values of the published configuration). The crop comes before
it (datasets/tracks.py). Conventions: x [B, N] float32 in [-1, 1] at `sample_rate` Hz; nothing here changes its input.

What is drawn for an item comes from its own stream (models/randomness.py) and always in the same order, whether a step is applied or not:
the same item gets the same augmentation in any batch on any number of devices, and another probability of one step leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from . import effects
from .pitch import MAX_CENTS, pitch_shift

DELAYS_MS = (200, 250, 300, 350, 400, 450)
HIGH_PASS_HZ, LOW_PASS_HZ = (200.0, 1200.0), (2200.0, 4000.0)
REVERB_STEPS = 100  # reverberance, damping and room scale are whole numbers below it
STEPS = ("polarity", "noise", "gain", "filters", "delay", "pitch", "reverb")


@dataclass(frozen=True)
class Augmentation:
    """Probabilities of the steps, 0 to 1, and their ranges. The defaults are the published configuration's.

    polarity: the sign is turned.
    noise: white, its standard deviation u times the crop's, u uniform in noise_min..noise_max (1e-4..1e-2: 80 to 40 dB below the crop).
    gain: dB uniform in gain_min..gain_max, then clamped to [-1, 1].
    filters: with equal chance a high-pass with its cutoff uniform in 200..1200 Hz, or a low-pass in 2200..4000 Hz.
    delay: 200, 250 ... or 450 ms; (x + x delayed / 2) / 2.
    pitch: whole cents uniform in -pitch_cents..pitch_cents, length and tempo kept.
    reverb: reverberance, damping and room scale whole numbers uniform in 0..99, the wet sound added to the dry.

    Raises ConfigError for what is no probability, or a range that ends before it begins.
    """

    polarity: float = 0.8
    noise: float = 0.01
    noise_min: float = 1e-4
    noise_max: float = 1e-2
    gain: float = 0.3
    gain_min: float = -20.0
    gain_max: float = -1.0
    filters: float = 0.8
    delay: float = 0.3
    pitch: float = 0.6
    pitch_cents: int = 700
    reverb: float = 0.6

    def __post_init__(self) -> None:
        for name in STEPS:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"augment.{name} is {getattr(self, name)}; it is a probability, 0 to 1.")
        for low, high in (("noise_min", "noise_max"), ("gain_min", "gain_max")):
            if getattr(self, low) > getattr(self, high):
                raise ConfigError(f"augment.{low} is {getattr(self, low)}, above augment.{high}, {getattr(self, high)}.")
        if self.noise_min < 0 or not 0 <= self.pitch_cents <= MAX_CENTS:
            raise ConfigError(f"augment.noise_min is 0 or more and augment.pitch_cents 0 to {MAX_CENTS} (an octave).")


@dataclass(frozen=True)
class Plan:
    """What happens to each item of a batch, arrays [B]; a value that says "nothing" leaves the item as it is.

    sign: 1 or -1. noise: standard deviation over the crop's (0). noise_seed. gain: dB (nan). high_pass, low_pass: Hz (nan).
    delay: ms (0). cents: (0). reverb: whether; reverberance, damping, room: 0..99.
    """

    sign: np.ndarray
    noise: np.ndarray
    noise_seed: np.ndarray
    gain: np.ndarray
    high_pass: np.ndarray
    low_pass: np.ndarray
    delay: np.ndarray
    cents: np.ndarray
    reverb: np.ndarray
    reverberance: np.ndarray
    damping: np.ndarray
    room: np.ndarray


def draw(settings: Augmentation, streams: Sequence[np.random.Generator]) -> Plan:
    """The plan of one batch: a row per stream, from that stream alone."""
    rows = [_draw_one(settings, g) for g in streams]
    columns = zip(*rows) if rows else ([] for _ in fields(Plan))
    return Plan(*(np.asarray(column) for column in columns))


def _draw_one(s: Augmentation, g: np.random.Generator) -> tuple[Any, ...]:
    polarity, noise, gain, filters, delay, pitch, reverb = g.random(7) < [getattr(s, name) for name in STEPS]
    sigma, db, which, cutoff = g.random(4)
    late, cents = g.integers(len(DELAYS_MS)), g.integers(-s.pitch_cents, s.pitch_cents + 1)
    reverberance, damping, room = g.integers(REVERB_STEPS, size=3)
    seed = g.integers(2**63)
    high, (low_hz, high_hz) = which < 0.5, HIGH_PASS_HZ if which < 0.5 else LOW_PASS_HZ
    hz = low_hz + cutoff * (high_hz - low_hz)
    return (
        -1.0 if polarity else 1.0,
        s.noise_min + sigma * (s.noise_max - s.noise_min) if noise else 0.0,
        seed,
        s.gain_min + db * (s.gain_max - s.gain_min) if gain else np.nan,
        hz if filters and high else np.nan,
        hz if filters and not high else np.nan,
        DELAYS_MS[late] if delay else 0,
        cents if pitch else 0,
        bool(reverb),
        reverberance,
        damping,
        room,
    )


def unchanged(items: int) -> Plan:
    """The plan that leaves every item as it is; `dataclasses.replace` puts single effects into it."""
    off = Augmentation(polarity=0, noise=0, gain=0, filters=0, delay=0, pitch=0, reverb=0)
    return draw(off, [np.random.default_rng(0) for _ in range(items)])


def in_words(plan: Plan, row: int) -> str:
    """What happens to an item, such as "turned, -7.1 dB, low-pass 3012 Hz"."""
    p = {f.name: getattr(plan, f.name)[row] for f in fields(Plan)}
    said = [
        (p["sign"] < 0, "turned"),
        (p["noise"] > 0, f"noise {20 * np.log10(max(p['noise'], 1e-12)):.0f} dB"),
        (not np.isnan(p["gain"]), f"{p['gain']:+.1f} dB"),
        (not np.isnan(p["high_pass"]), f"high-pass {p['high_pass']:.0f} Hz"),
        (not np.isnan(p["low_pass"]), f"low-pass {p['low_pass']:.0f} Hz"),
        (p["delay"] > 0, f"delay {p['delay']} ms"),
        (p["cents"] != 0, f"pitch {p['cents']:+d} cents"),
        (bool(p["reverb"]), f"reverb {p['reverberance']}, damping {p['damping']}, room {p['room']}"),
    ]
    return ", ".join(text for is_so, text in said if is_so) or "nothing"


def apply(x: Tensor, plan: Plan, sample_rate: int, timed: Callable[[str], None] | None = None) -> Tensor:
    """Crops [B, N] float32 augmented as planned, a new tensor of the same shape. timed(step) is told when a step is done."""
    out = x.clone()
    for name, step in _APPLY.items():
        step(out, plan, sample_rate)
        if timed is not None:
            timed(name)
    return out


# ---- one function per step: `out` is the chain's own copy and is changed in place, in the rows that the plan names
def _rows(chosen: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.flatnonzero(chosen)).to(like.device)


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32)).to(like.device)[:, None]


def _polarity(out: Tensor, plan: Plan, rate: int) -> None:
    out.mul_(_column(plan.sign, out))


def _noise(out: Tensor, plan: Plan, rate: int) -> None:
    for row in np.flatnonzero(plan.noise).tolist():
        generator = np.random.Generator(np.random.Philox(int(plan.noise_seed[row])))
        noise = torch.from_numpy(generator.standard_normal(out.shape[1], dtype=np.float32)).to(out.device)
        out[row] += noise * (out[row].std() * float(plan.noise[row]))


def _gain(out: Tensor, plan: Plan, rate: int) -> None:
    rows = _rows(~np.isnan(plan.gain), out)
    if len(rows):
        out[rows] = effects.gain(out[rows], _column(plan.gain[~np.isnan(plan.gain)], out))


def _filters(out: Tensor, plan: Plan, rate: int) -> None:
    for cutoffs, filtered in ((plan.high_pass, effects.high_pass), (plan.low_pass, effects.low_pass)):
        for row in np.flatnonzero(~np.isnan(cutoffs)).tolist():
            out[row] = filtered(out[row], float(cutoffs[row]), rate)


def _delay(out: Tensor, plan: Plan, rate: int) -> None:
    for ms in np.unique(plan.delay[plan.delay > 0]).tolist():
        rows = _rows(plan.delay == ms, out)
        out[rows] = effects.delay(out[rows], ms, rate)


def _pitch(out: Tensor, plan: Plan, rate: int) -> None:
    rows = _rows(plan.cents != 0, out)
    if len(rows):
        out[rows] = pitch_shift(out[rows], plan.cents[plan.cents != 0])


def _reverb(out: Tensor, plan: Plan, rate: int) -> None:
    chosen = plan.reverb.astype(bool)
    rows = _rows(chosen, out)
    if len(rows):
        out[rows] = effects.reverb(out[rows], plan.reverberance[chosen], plan.damping[chosen], plan.room[chosen], rate)


_APPLY: dict[str, Callable[[Tensor, Plan, int], None]] = dict(
    zip(STEPS, (_polarity, _noise, _gain, _filters, _delay, _pitch, _reverb))
)
