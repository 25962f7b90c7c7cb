"""Sounds as wav files and a page of players and spectrograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
import torch
from markupsafe import Markup

from datasets.utils.files import atomic

from .images import spectrogram
from .pages import Captioned, write_page

_FFT, _HOP = 512, 256
_RANGE = 8.0  # from dark to bright: 80 dB


class Sound(Protocol):
    """A sound with a name, which its file gets, and what was done to it. samples: [N] float32, in [-1, 1] but for what is clipped in the file."""

    @property
    def name(self) -> str:
        """See above."""

    @property
    def words(self) -> str:
        """See above."""

    @property
    def samples(self) -> np.ndarray:
        """See above."""


@dataclass(frozen=True)
class SoundsPage:
    """What the page shows. groups: heading -> its sounds. lead: under the title. settings: listed at its end."""

    title: str
    lead: str
    groups: Mapping[str, Sequence[Sound]]
    settings: Mapping[str, Any] = field(default_factory=dict)


def write_sounds(folder: Path, sample_rate: int, page: SoundsPage) -> list[Path]:
    """Write a 16-bit <name>.wav of each sound, as loud as it is, and index.html; return the files, the page last.

    What lies beyond [-1, 1] is clipped in the files, and counted on the page. All spectrograms have one scale, up to the first sound's loudest parts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for sound in (sound for sounds in page.groups.values() for sound in sounds):
        with atomic(folder / f"{sound.name}.wav") as part:
            soundfile.write(part, np.clip(sound.samples, -1, 1), sample_rate, subtype="PCM_16", format="WAV")
        written.append(folder / f"{sound.name}.wav")
    brightest = next((float(np.quantile(_log_power(sound), 0.995)) for sounds in page.groups.values() for sound in sounds), 0.0)
    groups = [(heading, [_figure(sound, brightest) for sound in sounds]) for heading, sounds in page.groups.items() if sounds]
    index = folder / "index.html"
    write_page(index, "sounds.html.j2", title=page.title, lead=page.lead, groups=groups, settings=page.settings)
    return [*written, index]


def _log_power(sound: Sound) -> np.ndarray:
    """Of its short-time spectra, [frames, bins]."""
    wave = torch.from_numpy(sound.samples)
    frames = torch.stft(wave, _FFT, _HOP, window=torch.hann_window(_FFT), pad_mode="constant", return_complex=True)
    return np.asarray((frames.abs().square() + 1e-6).log10().T.numpy())


def _figure(sound: Sound, brightest: float) -> Captioned:
    summary = f"Spectrogram of {sound.name}: {sound.words}"
    picture = spectrogram(_log_power(sound), summary, span=(brightest - _RANGE, brightest))
    level = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(sound.samples)))), 1e-6))
    clipped = int((np.abs(sound.samples) > 1).sum())
    ending = f", {clipped} samples clipped in the file." if clipped else "."
    player = Markup('<audio controls preload="none" src="{}.wav"></audio>').format(sound.name)
    return Captioned(picture + player, f"{sound.name.replace('_', ' ')}. {sound.words} {level:.1f} dB RMS{ending}")
