"""Audio files to mono float32, whole, in part, or in pieces.

Conventions: mono is the mean of the channels (two: 0.5 * (L + R)); integer PCM is scaled to [-1, 1), floating point kept as it
is, values beyond [-1, 1] included. Resampling is soxr's HQ. A whole file equals `librosa.load` bit for bit (for what libsndfile
reads), its trailing length rule included. Times are seconds, rates Hz. What cannot be used is an AudioError that names the file
and the reason.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr

from ..errors import AudioError
from .decoding import Source, mix, open_source, scale
from .folders import AUDIO_SUFFIXES, find_audio

__all__ = ["AUDIO_SUFFIXES", "AudioInfo", "find_audio", "info", "iterate", "load", "resample", "to_mono_float"]
log = logging.getLogger(__name__)
CONTEXT = 0.1  # s of signal resampled on either side of a part: beyond it soxr HQ's filter has died away
_BLOCK = 1 << 16  # frames read at once: half a megabyte in stereo, which a core's cache holds
_MAX_CHANNELS = 64


@dataclass(frozen=True)
class AudioInfo:
    """What a file holds: Hz, channels, frames (samples per channel), seconds, the format in words, and what is to be said of it (its header does not
    tell its length, its end is missing, ...).
    """

    sample_rate: int
    channels: int
    frames: int
    duration: float
    format: str
    remarks: tuple[str, ...] = ()


def info(path: str | os.PathLike[str]) -> AudioInfo:
    """A file's properties, from its header where that can be trusted, by counting its frames (MP3, FLAC without a length), else by decoding it (raw
    AAC, WebM).

    Raises AudioError.
    """
    source = open_source(path)
    frames = source.frames
    if frames is None:
        frames = sum(len(block) for block in source.blocks(0, None, _BLOCK))
    if frames == 0:
        raise AudioError(f"{path} holds no samples.")
    return AudioInfo(source.sample_rate, source.channels, frames, frames / source.sample_rate, source.format, source.remarks)


def load(
    path: str | os.PathLike[str], sample_rate: int | None = 16000, start: float = 0.0, seconds: float | None = None
) -> np.ndarray:
    """A file, or `seconds` of it from `start`, as mono float32 [N] at `sample_rate` (None: the file's own).

    A part is the samples round(start * sample_rate) and on, round(seconds * sample_rate) of them or as many as there are. Without
    resampling it equals that slice of the whole exactly; with resampling within 1e-6, because only the part and 0.1 s around it
    are resampled. WAV, FLAC and their like are sought, every other codec is decoded from its beginning (seeking in MP3 and Vorbis
    gives other samples).

    What is odd about the file (AudioInfo.remarks) is logged.

    Raises AudioError: unreadable, damaged, cut off, empty or not finite audio, no audio stream, or a start behind the end.
    """
    blocks = list(_resampled(_opened(path), sample_rate, start, seconds))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def iterate(
    path: str | os.PathLike[str],
    sample_rate: int | None = 16000,
    block_seconds: float = 10.0,
    start: float = 0.0,
    seconds: float | None = None,
) -> Iterator[np.ndarray]:
    """`load` in pieces of `block_seconds` (the last one shorter), in memory that does not grow with the file. Joined they equal
    `load`'s answer.

    Raises AudioError like `load`, some of it only when the damage is reached.
    """
    source = _opened(path)
    size = max(1, round(block_seconds * (sample_rate or source.sample_rate)))
    held: list[np.ndarray] = []
    n_held = 0
    for block in _resampled(source, sample_rate, start, seconds):
        held.append(block)
        n_held += len(block)
        if n_held < size:
            continue
        joined = np.concatenate(held)
        whole = n_held - n_held % size
        for at in range(0, whole, size):
            yield joined[at : at + size]
        held, n_held = [joined[whole:]], n_held - whole
    if n_held:
        yield np.concatenate(held)


def _opened(path: str | os.PathLike[str]) -> Source:
    source = open_source(path)
    for remark in source.remarks:
        log.warning("%s: %s.", source.path, remark)
    return source


def resample(wave: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """Mono float32 [N] at another rate, [ceil(N * rate_out / rate_in)]: what `load` does with a whole file."""
    if rate_in == rate_out:
        return wave
    out = soxr.resample(np.ascontiguousarray(wave, dtype=np.float32), rate_in, rate_out, quality="HQ")
    return _fit(out, _length(len(wave), rate_in, rate_out))


def to_mono_float(audio: np.ndarray) -> np.ndarray:
    """PCM or floating point samples, [N], [N, channels] or [channels, N], as mono float32 [N].

    The shorter axis is the channels' (at most 64). Integers (uint8 around 128, int8, int16, int32) are scaled by their type's
    range; 24-bit samples are expected in the upper bytes of int32, as decoders give them. Floating point is kept as it is.

    Raises AudioError for empty or not finite arrays, other types and other ranks.
    """
    array = np.asarray(audio)
    if array.ndim not in (1, 2):
        raise AudioError(f"Audio is [N] or [N, channels]; got shape {list(array.shape)}.")
    if array.size == 0:
        raise AudioError(f"The audio is empty: shape {list(array.shape)}.")
    if array.ndim == 2:
        array = array if array.shape[1] <= array.shape[0] else array.T
        if array.shape[1] > _MAX_CHANNELS:
            raise AudioError(f"Neither axis of {list(np.shape(audio))} can be the channels: at most {_MAX_CHANNELS} are taken.")
    mono = scale(array) if array.ndim == 1 else mix(scale(array))
    if not np.isfinite(mono).all():
        raise AudioError(f"The audio holds {int((~np.isfinite(mono)).sum())} NaN or infinite samples of {len(mono)}.")
    return np.ascontiguousarray(mono, dtype=np.float32)


def _length(n: int, rate_in: int, rate_out: int) -> int:
    """Samples that librosa gives for `n`: its expression, floating point rounding included, so that lengths agree too."""
    return math.ceil(n * (float(rate_out) / rate_in))


def _fit(wave: np.ndarray, length: int) -> np.ndarray:
    return wave[:length] if len(wave) >= length else np.pad(wave, (0, length - len(wave)))


def _resampled(source: Source, rate: int | None, start: float, seconds: float | None) -> Iterator[np.ndarray]:
    """The asked part as blocks of any size, at least one sample in all."""
    rate = source.sample_rate if rate is None else rate
    if rate != int(rate) or rate < 1:
        raise AudioError(f"sample_rate is {rate}; it is a whole number of Hz.")
    if not math.isfinite(start) or start < 0 or (seconds is not None and not (math.isfinite(seconds) and seconds > 0)):
        raise AudioError(f"A part starts at 0 s or later and is longer than 0 s; got start {start}, seconds {seconds}.")
    first = round(start * rate)
    last = None if seconds is None else first + max(1, round(seconds * rate))
    given = 0
    for block in _same_rate(source, first, last) if rate == source.sample_rate else _other_rate(source, int(rate), first, last):
        given += len(block)
        if len(block):
            yield block
    if not given:
        where = f"nothing behind {start} s, where the part begins" if start > 0 else "no samples"
        raise AudioError(f"{source.path} holds {where}.")


def _same_rate(source: Source, first: int, last: int | None) -> Iterator[np.ndarray]:
    yield from source.blocks(first, last, _BLOCK)


def _other_rate(source: Source, rate: int, first: int, last: int | None) -> Iterator[np.ndarray]:
    """Samples first..last at `rate`, on the grid that the whole file's resampling has."""
    common = math.gcd(source.sample_rate, rate)
    unit_in, unit_out = source.sample_rate // common, rate // common  # the grids meet every unit_in frames
    margin = math.ceil(CONTEXT * max(source.sample_rate, source.sample_rate**2 / rate))
    begin = max(0, (first * unit_in // unit_out - margin) // unit_in * unit_in)
    end = None if last is None else -(-last * unit_in // unit_out) + margin
    stream = soxr.ResampleStream(source.sample_rate, rate, 1, dtype="float32", quality="HQ")
    skip = first - begin // unit_in * unit_out
    wanted = None if last is None else last - first
    n_in, n_out, given = begin, begin // unit_in * unit_out, 0

    def cut(out: np.ndarray) -> np.ndarray:
        nonlocal skip, given
        dropped = min(skip, len(out))
        out = out[dropped:] if wanted is None else out[dropped : dropped + max(0, wanted - given)]
        skip, given = skip - dropped, given + len(out)
        return out

    for block in source.blocks(begin, end, _BLOCK):
        n_in += len(block)
        out = stream.resample_chunk(block, last=False)
        n_out += len(out)
        yield cut(out)
    out = stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
    # A part's end lies well before the end of what was resampled; only a part that reaches the file's end sees this length.
    yield cut(_fit(out, max(0, _length(n_in, source.sample_rate, rate) - n_out)))
