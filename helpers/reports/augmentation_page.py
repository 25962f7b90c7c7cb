"""Augmentations to be heard: each effect at the ends of its range, and views as training draws them, as wav files and a page of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from markupsafe import Markup

from datasets.utils.files import atomic
from models.audio import load
from models.clmr.augment import STEPS, Augmentation, Plan, apply, draw, in_words, unchanged
from models.errors import AudioError
from models.randomness import Randomness, stream

from .images import spectrogram
from .pages import Captioned, write_page

log = logging.getLogger(__name__)
_FFT, _HOP = 512, 256


def hear_augmentations(
    audio: str | Path,
    out: str | Path,
    settings: Augmentation,
    *,
    sample_rate: int,
    crop: int,
    examples: int = 4,
    seed: int = 0,
    config: str = "",
) -> list[Path]:
    """Write the folder `out`: original.wav, one file per effect at the ends of its range, view_1.wav ... as training makes them, index.html.

    audio: a file of any format. crop: samples at `sample_rate`; single effects are of one random crop, views of crops of their own, all drawn
    from `seed`. config: name of what crop and settings come from, for the page and the log. The files are 16-bit and as loud as training hears
    them; what lies beyond [-1, 1] is clipped in them, and counted on the page.

    Returns the files written, the page last. Raises AudioError for audio that is unreadable or shorter than a crop.
    """
    wave, folder = load(audio, sample_rate), Path(out)
    if len(wave) < crop:
        raise AudioError(
            f"{audio} lasts {len(wave) / sample_rate:.2f} s; a crop{f' of {config}' if config else ''} is {crop / sample_rate:.2f} s long. Choose a "
            "longer recording (hear.audio), or shorter crops (clmr.strides)."
        )
    settings_line = f"Crops and chain of {config or 'these settings'}: {crop / sample_rate:.2f} s at {sample_rate} Hz; {_probabilities(settings)}."
    log.info("%s", settings_line)
    silent = not wave.any()
    if silent:
        log.warning("%s is silent: nothing will be heard but the noise step.", audio)
    starts = stream(seed, "hear").integers(len(wave) - crop + 1, size=examples + 1)
    crops = torch.from_numpy(np.stack([wave[start : start + crop] for start in starts.tolist()]))
    single = _singles(settings)
    views = draw(settings, Randomness(seed).items(range(examples), "augment 0")) if examples else unchanged(0)
    sounds = [("original", "The crop that the single effects are heard on.", crops[:1])]
    sounds += [(name, f"Only this: {in_words(plan, 0)}.", apply(crops[:1], plan, sample_rate)) for name, plan in single.items()]
    chained = apply(crops[1:], views, sample_rate)
    for k in range(examples):
        at = starts[k + 1] / sample_rate
        sounds.append((f"view_{k + 1}", f"Whole chain, crop at {at:.2f} s: {in_words(views, k)}.", chained[k : k + 1]))
    folder.mkdir(parents=True, exist_ok=True)
    written, figures = [], []
    for name, words, sound in sounds:
        samples = sound[0].numpy()
        with atomic(folder / f"{name}.wav") as part:
            soundfile.write(part, np.clip(samples, -1, 1), sample_rate, subtype="PCM_16", format="WAV")
        written.append(folder / f"{name}.wav")
        figures.append(_figure(name, words, samples))
    write_page(
        folder / "index.html",
        "augmentations.html.j2",
        title="Augmentations",
        lead=f"{Path(audio).name}, before and after augmentation. {settings_line}"
        + (" This recording is silent." if silent else ""),
        single=figures[: 1 + len(single)],
        views=figures[1 + len(single) :],
        settings=asdict(settings),
    )
    return [*written, folder / "index.html"]


def _probabilities(s: Augmentation) -> str:
    return ", ".join(f"{name} {getattr(s, name):g}" for name in STEPS)


def _singles(s: Augmentation) -> Mapping[str, Plan]:
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


def _figure(name: str, words: str, samples: np.ndarray) -> Captioned:
    window = torch.hann_window(_FFT)
    frames = torch.stft(torch.from_numpy(samples), _FFT, _HOP, window=window, pad_mode="constant", return_complex=True)
    power = frames.abs().square()
    picture = spectrogram((power + 1e-6).log10().T.numpy(), f"Spectrogram of {name}: {words}")
    level = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(samples)))), 1e-6))
    clipped = int((np.abs(samples) > 1).sum())
    about = f"{name.replace('_', ' ')}. {words} {level:.1f} dB RMS" + (
        f", {clipped} samples clipped in the file." if clipped else "."
    )
    player = Markup('<audio controls preload="none" src="{}.wav"></audio>').format(name)
    return Captioned(picture + player, about)
