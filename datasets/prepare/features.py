"""One audio file to what a store keeps of it: log-mel frames or samples. What the workers of a preparation run.

torch is imported on first use: a worker that only resamples never loads it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models import audio
from models.errors import AudioError
from models.frontend.mel_settings import MAEST

if TYPE_CHECKING:
    from models.frontend import MaestMel

MAX_SECONDS = 300.0  # longer tracks are cut unless said otherwise
MIN_SECONDS = 0.016  # one hop at 16 kHz: less does not fill a frame
BLOCK_SECONDS = 10.0  # decoded at a time


@dataclass(frozen=True)
class Kind:
    """What is stored of a file: the store's name, the worker's function, the shape and type of one item, and the store's attributes."""

    file: str
    function: Callable[[Path], np.ndarray]
    item_shape: tuple[int, ...]
    dtype: str
    attrs: dict


def kind_of(waveform: int | None, max_seconds: float | None) -> Kind:
    """Return log-mels (None) or samples at `waveform` Hz, of at most `max_seconds` (0 or None: all). Raises AudioError for impossible values."""
    if max_seconds is not None and not (max_seconds == 0 or max_seconds >= MIN_SECONDS):
        raise AudioError(f"max_seconds is {max_seconds}; give the seconds to keep of a long track, or 0 to keep all.")
    cut = float(max_seconds) if max_seconds else None
    if waveform is None:
        attrs = {"kind": "mel", "front_end": MAEST.name, "sample_rate": MAEST.sample_rate, "hop": MAEST.hop, "max_seconds": cut}
        return Kind("mel.h5", functools.partial(mel_of_file, max_seconds=cut), (MAEST.n_mels,), "float16", attrs)
    if waveform != int(waveform) or not 1000 <= waveform <= 384000:
        raise AudioError(f"waveform is {waveform}; it is the rate of the stored samples, 1000 to 384000 Hz.")
    attrs = {"kind": "waveform", "front_end": "waveform", "sample_rate": int(waveform), "full_scale": 32768, "max_seconds": cut}
    function = functools.partial(waveform_of_file, sample_rate=int(waveform), max_seconds=cut)
    return Kind("waveform.h5", function, (), "int16", attrs)


def mel_of_file(path: str | Path, max_seconds: float | None = None) -> np.ndarray:
    """Return MAEST's raw log-mel (not normalised) [T, 96] float16 of a file, or of the `max_seconds` in its middle.

    Raises AudioError for a file that cannot be decoded or is shorter than 16 ms.
    """
    import torch  # late: 3 s, and a worker that only resamples never needs it

    from models.frontend import mel_blocks

    front_end = _front_end()
    start, seconds = middle(path, max_seconds)
    waves = (
        torch.from_numpy(block) for block in audio.iterate(path, front_end.settings.sample_rate, BLOCK_SECONDS, start, seconds)
    )
    with torch.inference_mode():
        return np.concatenate([mel.T.half().numpy() for mel in mel_blocks(front_end, waves)])


def waveform_of_file(path: str | Path, sample_rate: int, max_seconds: float | None = None) -> np.ndarray:
    """Return mono samples [N] int16 of a file at `sample_rate` Hz, or of the `max_seconds` in its middle: round(32768 * x), clipped to
    the type.

    16-bit integers because their rounding lies at -98 dB whatever the level; float16 is as small but rounds loud passages at -66
    dB of them.

    Raises AudioError for a file that cannot be decoded or is shorter than 16 ms.
    """
    start, seconds = middle(path, max_seconds)
    blocks = audio.iterate(path, sample_rate, BLOCK_SECONDS, start, seconds)
    return np.concatenate([np.clip(np.rint(block * np.float32(32768)), -32768, 32767).astype(np.int16) for block in blocks])


def middle(path: str | os.PathLike[str], max_seconds: float | None) -> tuple[float, float | None]:
    """Return start and seconds of the part of a file that is kept: all of it (0, None), or `max_seconds` around its middle.

    Raises AudioError when it is unreadable or shorter than 16 ms.
    """
    duration = audio.info(path).duration
    check_length(path, duration)
    if not max_seconds or duration <= max_seconds:
        return 0.0, None
    return (duration - max_seconds) / 2, float(max_seconds)


def check_length(path: str | os.PathLike[str], seconds: float) -> None:
    """Raise AudioError for a file too short for any front end."""
    if seconds < MIN_SECONDS:
        raise AudioError(f"{path} is too short: {1000 * seconds:.1f} ms; at least {1000 * MIN_SECONDS:.0f} ms are wanted.")


@functools.cache
def _front_end() -> MaestMel:
    from models.frontend import MaestMel  # late: it imports torch

    return MaestMel(edges="essentia", normalize=False)
