"""Augmentations to be heard: each effect alone at the ends of its range, and views as training draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..randomness import Randomness, stream
from .augment import STEPS, Augmentation, Plan, apply, draw, in_words, unchanged


@dataclass(frozen=True)
class Sound:
    """A sound with a name and what was done to it. samples: [N] float32."""

    name: str
    words: str
    samples: np.ndarray


def examples(
    wave: np.ndarray, settings: Augmentation, sample_rate: int, crop: int, count: int, seed: int
) -> tuple[Sequence[Sound], Sequence[Sound]]:
    """Return the sounds of single effects, the untouched crop first, and `count` views by the whole chain.

    Args:
        wave: samples [N] of a recording, N >= crop.
        settings: of the chain.
        sample_rate: Hz.
        crop: samples. Single effects are of one random crop, views of crops of their own.
        count: of views.
        seed: of all draws.
    """
    starts = stream(seed, "hear").integers(len(wave) - crop + 1, size=count + 1)
    crops = torch.from_numpy(np.stack([wave[start : start + crop] for start in starts.tolist()]))
    single = [Sound("original", "The crop that the single effects are heard on.", crops[0].numpy())]
    for name, plan in _single_effects(settings).items():
        single.append(Sound(name, f"Only this: {in_words(plan, 0)}.", apply(crops[:1], plan, sample_rate)[0].numpy()))
    plans = draw(settings, Randomness(seed).items(range(count), "augment 0")) if count else unchanged(0)
    chained = apply(crops[1:], plans, sample_rate)
    views = [
        Sound(
            f"view_{k + 1}",
            f"Whole chain, crop at {starts[k + 1] / sample_rate:.2f} s: {in_words(plans, k)}.",
            chained[k].numpy(),
        )
        for k in range(count)
    ]
    return single, views


def probabilities(settings: Augmentation) -> str:
    """Return the probability of each step in words."""
    return ", ".join(f"{name} {getattr(settings, name):g}" for name in STEPS)


def _single_effects(s: Augmentation) -> Mapping[str, Plan]:
    """Name -> a plan of one item with one effect, at the ends of its range."""

    def only(**change: float | bool) -> Plan:
        return replace(unchanged(1), **{name: np.array([value]) for name, value in change.items()})

    def room(reverberance: int, damping: int, scale: int) -> Plan:
        return only(reverb=True, reverberance=reverberance, damping=damping, room=scale)

    return {
        "polarity": only(sign=-1.0),
        "noise": only(noise=s.noise_max, noise_seed=1),
        "gain_least": only(gain=s.gain_max),
        "gain_most": only(gain=s.gain_min),
        "high_pass_200": only(high_pass=200.0),
        "high_pass_1200": only(high_pass=1200.0),
        "low_pass_2200": only(low_pass=2200.0),
        "low_pass_4000": only(low_pass=4000.0),
        "delay_200": only(delay=200),
        "delay_450": only(delay=450),
        "pitch_down": only(cents=-s.pitch_cents),
        "pitch_up": only(cents=s.pitch_cents),
        "reverb_small": room(0, 99, 0),
        "reverb_large": room(99, 0, 99),
    }
