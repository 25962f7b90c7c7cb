"""Decoders behind one face: libsndfile for what it reads faithfully, FFmpeg (PyAV) for the rest.

FFmpeg takes m4a, AAC, WebM and video files' sound, and what libsndfile would read at another length than was counted (containers.py). Content
decides, not the file's suffix.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from ..bounded_files import open_regular
from ..errors import AudioError
from .containers import CutOff, layout_of
from .segments import Joined, Link, Piece
from .sources import Chain, Source, mix, scale

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

TOLERANCE = 0.25  # s by which what FFmpeg decodes may be shorter than an MP4's header says: codecs' delay and padding
ROUNDING = 0.002  # s, the same of lossless codecs: an edit list counts in milliseconds
_NOT_KNOWN = 1 << 62  # libsndfile's number of frames from here on is none
# Formats in which seeking gives the very same samples.
_SEEKABLE = frozenset(["WAV", "WAVEX", "FLAC", "AIFF", "AU", "W64", "RF64", "CAF"])
_SEEKABLE_CODINGS = frozenset(["PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
# What FFmpeg may take a file for: sound and video files, no playlists, which could name other files.
_DEMUXERS = "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
# Whose lengths are looked at (containers.py) or told by the format; of others a file that was cut off looks like a whole one.
_TELL_LENGTHS = frozenset(["WAV", "WAVEX", "FLAC", "AIFF", "AU", "W64", "RF64", "CAF", "OGG", "MP3", "NIST", "SVX"])
_TELL_NONE = frozenset(["mpegts", "mpeg"])
_NO_LENGTH = "files of its kind ({}) do not tell their length: whether it was cut off cannot be seen"
_LOSSLESS = ("alac", "flac", "pcm_")
# Codecs whose frames need not end where an MP4's header says that the sound does.
_INEXACT_IN_MP4 = frozenset(["ac3", "eac3"])


def open_source(path: str | os.PathLike[str]) -> Source:
    """The file as a Source.

    Raises AudioError: no such file, empty, no audio in it, cut off, or in a format that neither decoder knows.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        try:
            os.scandir(name).close()
        except OSError as error:
            raise AudioError(f"The folder {name} cannot be read: {error.strerror or error}.") from error
    if not os.path.isfile(name):
        what = "a folder, not a file" if os.path.isdir(name) else "no regular file" if os.path.exists(name) else "not there"
        raise AudioError(f"{name} is {what}.")
    try:
        if os.path.getsize(name) == 0:
            raise AudioError(f"{name} is empty (0 bytes).")
        layout = layout_of(name)
        found = tuple(_open_link(name, link) for link in layout.links or (Link(known=False),))
    except CutOff as error:
        raise AudioError(f"{name} is cut off: {error}.") from None
    except OSError as error:
        raise AudioError(f"{name} cannot be read: {error.strerror or error}.") from error
    remarks = (*layout.remarks, *(remark for source in found for remark in source.remarks))
    return replace(found[0] if len(found) == 1 else Chain.of(found), remarks=tuple(dict.fromkeys(remarks)))


def _open_link(path: str, link: Link) -> Source:
    return _SndfileSource.open(path, link) or _FFmpegSource.open(path, link)


class _Forward(soundfile.SoundFile):
    """A sound file read from front to back without the seek that soundfile makes after every read.

    In an MP3 that seek restarts the decoder without its bit reservoir: other samples, and complaints on stderr.
    """

    def seekable(self) -> bool:
        return False


@dataclass(frozen=True)
class _SndfileSource(Source):
    seekable: bool
    pieces: tuple[Piece, ...]

    @classmethod
    def open(cls, path: str, link: Link) -> _SndfileSource | None:
        """None when libsndfile cannot read the file, or would read it at another length than was counted."""
        try:
            with _Forward(_input(path, link.pieces)) as file:
                rate, channels, frames, form = file.samplerate, file.channels, file.frames, file.format
                coding = file.subtype
        except (soundfile.SoundFileError, TypeError, UnicodeError):  # TypeError: it takes a suffix .raw for headerless samples
            return None
        if form == "MP3" and link.frames is None:  # frames of no size that is told: its length is a guess
            return None
        if form in ("MP3", "FLAC") and link.frames is not None and frames != link.frames:
            return None
        if frames >= _NOT_KNOWN or (form.startswith("WAV") and coding.startswith("MPEG")):  # it guesses the length of MP3 in WAV
            return None
        seekable = form in _SEEKABLE and coding in _SEEKABLE_CODINGS
        remarks = () if form in _TELL_LENGTHS else (_NO_LENGTH.format(form),)
        return cls(path, rate, channels, frames, f"{form} {coding}", seekable, link.pieces, remarks=remarks)

    def _mono(self, start: int, stop: int | None, size: int) -> Iterator[np.ndarray]:
        try:
            with _Forward(_input(self.path, self.pieces)) as file:
                at = 0
                end = file.frames if stop is None else min(stop, file.frames)
                if self.seekable and start:
                    at = file.seek(min(start, file.frames))
                buffer = np.empty((size, self.channels), dtype=np.float32)
                while at < end:  # never more than the frames that there are: behind the last one may stand something else
                    frames = file.read(out=buffer[: min(size, end - at)])
                    if len(frames) == 0:
                        self._ended(at)
                        return
                    if at + len(frames) > start:
                        yield mix(frames[max(0, start - at) :]) if self.channels > 1 else frames[max(0, start - at) :, 0].copy()
                    at += len(frames)
        except soundfile.SoundFileError as error:
            raise AudioError(f"{self.path} is damaged or cut off: libsndfile stopped with '{error}'.") from error


def _input(path: str, pieces: tuple[Piece, ...]) -> str | Joined:
    return Joined(path, pieces) if pieces else os.path.abspath(path)


@contextlib.contextmanager
def _av_open(path: str, pieces: tuple[Piece, ...]) -> Iterator[InputContainer]:
    """FFmpeg's view of a file. From a file object, so that no name is taken for a URL; tags in odd encodings are no concern here."""
    import av  # late: most files never need it

    with (
        contextlib.closing(Joined(path, pieces)) if pieces else open_regular(path, AudioError) as file,
        av.open(file, "r", metadata_errors="ignore", options={"format_whitelist": _DEMUXERS}) as container,
    ):
        yield container


@dataclass(frozen=True)
class _FFmpegSource(Source):
    """end: samples that an MP4's header promises, at which its sound ends. exact: they are all there, of a lossless codec, or the file is cut off."""

    pieces: tuple[Piece, ...] = ()
    end: int | None = None
    exact: bool = False

    @property
    def _tolerance(self) -> float:
        return ROUNDING if self.exact else TOLERANCE

    @classmethod
    def open(cls, path: str, link: Link) -> _FFmpegSource:
        try:
            import av
        except ImportError as error:
            raise AudioError(
                f"{path} cannot be decoded by libsndfile, and PyAV, which may know it (m4a, AAC, WebM, odd MP3s), is not installed: "
                "pip install av."
            ) from error

        try:
            with _av_open(path, link.pieces) as container:
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
                form = container.format.name.split(",")[0]
                if form == "mp3" and not link.known:
                    raise AudioError(f"{path} is not audio that can be decoded: no MPEG frames follow each other in it.")
                frames = end = link.frames if form == "mp3" else None
                if form == "mov" and stream.duration and stream.time_base:
                    # The edit list's length: encoder delay and padding are taken off.
                    end = round(stream.duration * stream.time_base * rate)
                    frames = None if codec.name in _INEXACT_IN_MP4 else end
                remarks = [_NO_LENGTH.format(form)] if form in _TELL_NONE else []
                if (n := len(container.streams.audio)) > 1:
                    remarks.append(f"it holds {n} audio streams, of which the first is read")
                words = f"{form} {codec.name}"
        except av.error.ArgumentError as error:  # among them kinds that are not in the list
            raise AudioError(
                f"{path} is not audio that can be decoded: FFmpeg refuses it, a kind that is not read here or a header that makes no sense."
            ) from error
        except av.error.FFmpegError as error:
            raise AudioError(f"{path} is not audio that can be decoded, or is damaged: {error.strerror or error}.") from error
        exact = form == "mov" and codec.name.startswith(_LOSSLESS)
        return cls(path, rate, channels, frames, words, link.pieces, end, exact, remarks=tuple(remarks))

    def _mono(self, start: int, stop: int | None, size: int) -> Iterator[np.ndarray]:
        at = 0
        end = self.end if stop is None else stop if self.end is None else min(stop, self.end)
        for mono in self._decoded():
            lower, upper = max(0, start - at), len(mono) if end is None else min(len(mono), end - at)
            at += len(mono)
            if lower < upper:
                yield mono[lower:upper]
            if end is not None and at >= end:
                return
        self._ended(at)

    @property
    def _promised(self) -> int | None:
        return self.end

    def _decoded(self) -> Iterator[np.ndarray]:
        """Mono pieces, one per codec frame. Packets that do not decode are an error unless nothing decodable follows (tags behind
        the sound).
        """
        import av

        damaged, begun, surplus = "", False, 0
        try:
            with _av_open(self.path, self.pieces) as container:
                stream = container.streams.audio[0]
                for packet in container.demux(stream):
                    if not begun and container.format.name.startswith("matroska"):
                        surplus = _opus_surplus(stream, packet)
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
                        samples = self._samples(frame)
                        channels = frame.layout.nb_channels
                        mono = mix(scale(samples.T if frame.format.is_planar else samples.reshape(-1, channels)))
                        yield mono[surplus:]
                        surplus = max(0, surplus - len(mono))
        except av.error.FFmpegError as error:
            raise AudioError(f"{self.path} is damaged: {error.strerror or error}.") from error
        except OSError as error:
            raise AudioError(f"{self.path} cannot be read: {error.strerror or error}.") from error

    def _samples(self, frame: AudioFrame) -> np.ndarray:
        try:
            found: np.ndarray = frame.to_ndarray()
        except ValueError as error:
            raise AudioError(
                f"{self.path} holds samples of {frame.format.name}: 8 to 32 bits and floating point are read."
            ) from error
        return found


def _opus_surplus(stream: AudioStream, packet: Packet) -> int:
    """Samples of Opus' lead-in that FFmpeg leaves in the first frame of a WebM: it counts them at the rate that the file names, not at 48 kHz."""
    head = stream.codec_context.extradata or b""
    if stream.codec_context.name not in ("opus", "libopus") or head[:8] != b"OpusHead":
        return 0
    skipped = [bytes(side) for side in packet.iter_sidedata() if side.data_type == "skip_samples"]
    return max(0, int.from_bytes(head[10:12], "little") - sum(int.from_bytes(side[:4], "little") for side in skipped))
