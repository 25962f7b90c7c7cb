"""Decoders behind one face: libsndfile for what it reads faithfully, FFmpeg (PyAV) for the rest.

A Source yields mono float32 blocks at the file's own rate, forwards only, and raises AudioError for damage. FFmpeg takes m4a,
AAC, WebM and video files' sound, and MP3s whose length libsndfile would get wrong (models/containers.py). Content decides, not
the file's suffix.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import soundfile

from ..errors import AudioError
from .containers import cut_off, mpeg_length

if TYPE_CHECKING:
    from av.container import InputContainer

# s that a file may be shorter than its header says: codecs' delay and padding, a clip's partial last frame.
TOLERANCE = 0.25
MISMATCH = 0.1  # s by which an MP3's frames may disagree with what libsndfile would read
# Formats in which seeking gives the very same samples.
_SEEKABLE = frozenset(["WAV", "WAVEX", "FLAC", "AIFF", "AU", "W64", "RF64", "CAF"])
_SEEKABLE_CODINGS = frozenset(["PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
# What FFmpeg may take a file for: sound and video files, no playlists, which could name other files.
_DEMUXERS = "aac,ac3,aiff,ape,asf,au,caf,eac3,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,avi,ogg,w64,wav,wv,tta"


@dataclass(frozen=True)
class Source(abc.ABC):
    """One file's sound: Hz, channels, frames (None: only decoding tells) and the format in words."""

    path: str
    sample_rate: int
    channels: int
    frames: int | None
    format: str

    def blocks(self, start: int, stop: int | None, size: int) -> Iterator[np.ndarray]:
        """Frames start..stop (or as far as there are) as mono float32 pieces of at most about `size` frames.

        Raises AudioError where the file is damaged, ends before its header says, or holds samples that are not finite.
        """
        at = start
        for block in self._mono(start, stop, size):
            with np.errstate(invalid="ignore", over="ignore"):
                suspect = not np.isfinite(block.sum())  # one pass without a temporary
            if suspect and not np.isfinite(block).all():
                bad = at + int(np.flatnonzero(~np.isfinite(block))[0])
                raise AudioError(f"{self.path} holds NaN or infinite samples, the first at {bad / self.sample_rate:.3f} s.")
            at += len(block)
            yield block

    @abc.abstractmethod
    def _mono(self, start: int, stop: int | None, size: int) -> Iterator[np.ndarray]:
        """Frames start..stop as mono float32 pieces, as the decoder gives them."""

    def _ended(self, at: int) -> None:
        """Called at the end of the sound, `at` frames in."""
        if self.frames is not None and self.frames - at > TOLERANCE * self.sample_rate:
            raise _cut(self.path, self.frames / self.sample_rate, at / self.sample_rate)


def _cut(path: str, promised: float, there: float) -> AudioError:
    return AudioError(f"{path} is cut off: its header promises {promised:.2f} s, {there:.2f} s are there.")


def open_source(path: str | os.PathLike[str]) -> Source:
    """The file as a Source.

    Raises AudioError: no such file, empty, no audio in it, cut off, or in a format that neither decoder knows.
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        what = "a folder, not a file" if os.path.isdir(name) else "no regular file" if os.path.exists(name) else "not there"
        raise AudioError(f"{name} is {what}.")
    try:
        if os.path.getsize(name) == 0:
            raise AudioError(f"{name} is empty (0 bytes).")
        reason = cut_off(name)
        if reason is not None:
            raise AudioError(f"{name} is cut off: {reason}.")
        source = _SndfileSource.open(name)
        return source if source is not None else _FFmpegSource.open(name)
    except OSError as error:
        raise AudioError(f"{name} cannot be read: {error.strerror or error}.") from error


def scale(samples: np.ndarray) -> np.ndarray:
    """Samples of any PCM or floating point type as float32 of the same shape; integers by their type's range, uint8 around 128."""
    kind = samples.dtype
    if kind.kind == "f":
        return samples.astype(np.float32, copy=False)
    if kind == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if kind in (np.int8, np.int16, np.int32):
        return (samples / 2.0 ** (8 * kind.itemsize - 1)).astype(np.float32)
    raise AudioError(f"Audio is floating point or 8, 16 or 32-bit PCM samples (uint8, int8, int16, int32); got {kind}.")


def mix(frames: np.ndarray) -> np.ndarray:
    """Mono [N] of float32 frames [N, channels]: their mean. For two channels the sum is halved, which gives the same bits and is
    faster.
    """
    if frames.shape[1] == 1:
        return np.ascontiguousarray(frames[:, 0])
    if frames.shape[1] == 2:
        with np.errstate(invalid="ignore", over="ignore"):  # not finite samples are found, and named, behind this
            mono = frames[:, 0] + frames[:, 1]
        mono *= np.float32(0.5)
        return mono
    with np.errstate(invalid="ignore", over="ignore"):
        return frames.mean(axis=1)


class _Forward(soundfile.SoundFile):
    """A sound file read from front to back without the seek that soundfile makes after every read.

    In an MP3 that seek restarts the decoder without its bit reservoir: other samples, and complaints on stderr.
    """

    def seekable(self) -> bool:
        return False


@dataclass(frozen=True)
class _SndfileSource(Source):
    seekable: bool

    @classmethod
    def open(cls, path: str) -> _SndfileSource | None:
        """None when libsndfile cannot read the file, or would read an MP3 at a wrong length."""
        try:
            with _Forward(os.path.abspath(path)) as file:
                rate, channels, frames, form = file.samplerate, file.channels, file.frames, file.format
                coding = file.subtype
        except (soundfile.SoundFileError, TypeError, UnicodeError):  # TypeError: it takes a suffix .raw for headerless samples
            return None
        if form == "MP3":
            length = mpeg_length(path)
            if length is None:
                return None
            if length.counted is not None:
                expected = frames if length.promised is None else length.promised
                if length.promised is not None and expected - length.counted > TOLERANCE * rate:
                    raise _cut(path, expected / rate, length.counted / rate)
                if (length.promised is None and length.vbr) or abs(length.counted - expected) > MISMATCH * rate:
                    return None
        seekable = form in _SEEKABLE and coding in _SEEKABLE_CODINGS
        return cls(path, rate, channels, frames, f"{form} {coding}", seekable)

    def _mono(self, start: int, stop: int | None, size: int) -> Iterator[np.ndarray]:
        try:
            with _Forward(os.path.abspath(self.path)) as file:
                at = 0
                if self.seekable and start:
                    at = file.seek(min(start, file.frames))
                buffer = np.empty((size, self.channels), dtype=np.float32)
                while stop is None or at < stop:
                    frames = file.read(out=buffer[: size if stop is None else min(size, stop - at)])
                    if len(frames) == 0:
                        self._ended(at)
                        return
                    if at + len(frames) > start:
                        yield mix(frames[max(0, start - at) :]) if self.channels > 1 else frames[max(0, start - at) :, 0].copy()
                    at += len(frames)
        except soundfile.SoundFileError as error:
            raise AudioError(f"{self.path} is damaged or cut off: libsndfile stopped with '{error}'.") from error


def _av_open(file: BinaryIO) -> InputContainer:
    """FFmpeg's view of an open file. From a file object, so that no name is taken for a URL; tags in odd encodings are no concern
    here.
    """
    import av  # late: most files never need it

    return av.open(file, "r", metadata_errors="ignore", options={"format_whitelist": _DEMUXERS})


@dataclass(frozen=True)
class _FFmpegSource(Source):
    @classmethod
    def open(cls, path: str) -> _FFmpegSource:
        try:
            import av
        except ImportError as error:
            raise AudioError(
                f"{path} cannot be decoded by libsndfile, and PyAV, which may know it (m4a, AAC, WebM, odd MP3s), is not installed: "
                "pip install av."
            ) from error

        try:
            with open(path, "rb") as file, _av_open(file) as container:
                if not container.streams.audio:
                    raise AudioError(f"{path} has no audio stream ({container.format.name}).")
                stream = container.streams.audio[0]
                codec = stream.codec_context
                first = next((frame for frame in container.decode(stream)), None)
                if first is None:
                    raise AudioError(
                        f"{path} is not audio that can be decoded: no samples came out of it ({container.format.name})."
                    )
                rate, channels = first.sample_rate, first.layout.nb_channels
                frames = None
                if container.format.name.startswith("mov") and stream.duration and stream.time_base:
                    # The edit list's length: encoder delay and padding are taken off.
                    frames = round(stream.duration * stream.time_base * rate)
                words = f"{container.format.name.split(',')[0]} {codec.name}"
        except av.error.FFmpegError as error:
            raise AudioError(f"{path} is not audio that can be decoded, or is damaged: {error.strerror or error}.") from error
        if words.startswith("mp3 "):
            length = mpeg_length(path)
            # With a header frame the decoder takes encoder delay and padding off, which the count does not know of.
            frames = length.counted if length is not None and length.promised is None else None
        return cls(path, rate, channels, frames, words)

    def _mono(self, start: int, stop: int | None, size: int) -> Iterator[np.ndarray]:
        at = 0
        end = self.frames if stop is None else stop if self.frames is None else min(stop, self.frames)
        for mono in self._decoded():
            lower, upper = max(0, start - at), len(mono) if end is None else min(len(mono), end - at)
            at += len(mono)
            if lower < upper:
                yield mono[lower:upper]
            if end is not None and at >= end:
                return
        self._ended(at)

    def _decoded(self) -> Iterator[np.ndarray]:
        """Mono pieces, one per codec frame. Packets that do not decode are an error unless nothing decodable follows (tags behind
        the sound).
        """
        import av

        damaged, begun = "", False
        try:
            with open(self.path, "rb") as file, _av_open(file) as container:
                stream = container.streams.audio[0]
                for packet in container.demux(stream):
                    try:
                        frames = packet.decode()
                    except av.error.InvalidDataError as error:
                        damaged = error.strerror or str(error)
                        continue
                    for frame in frames:
                        if damaged and begun:
                            raise AudioError(f"{self.path} is damaged in its middle: {damaged}.")
                        if frame.sample_rate != self.sample_rate:
                            raise AudioError(
                                f"{self.path} changes its rate from {self.sample_rate} to {frame.sample_rate} Hz on the way."
                            )
                        begun, damaged = True, ""
                        samples = frame.to_ndarray()
                        channels = frame.layout.nb_channels
                        yield mix(scale(samples.T if frame.format.is_planar else samples.reshape(-1, channels)))
        except av.error.FFmpegError as error:
            raise AudioError(f"{self.path} is damaged: {error.strerror or error}.") from error
        except OSError as error:
            raise AudioError(f"{self.path} cannot be read: {error.strerror or error}.") from error
