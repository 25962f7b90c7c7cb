"""A file's sound as a stream of mono float32 pieces, whatever decodes it; several one behind the other."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import soxr

from ..errors import AudioError


@dataclass(frozen=True)
class Source(abc.ABC):
    """One file's sound: Hz, channels, frames (None: only decoding tells), the format in words, and remarks on the file in words."""

    path: str
    sample_rate: int
    channels: int
    frames: int | None
    format: str
    remarks: tuple[str, ...] = field(default=(), kw_only=True)

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
        promised = self._promised
        if promised is not None and promised - at > self._tolerance * self.sample_rate:
            raise AudioError(
                f"{self.path} is cut off or damaged: its header promises {promised / self.sample_rate:.2f} s, "
                f"{at / self.sample_rate:.2f} s are there."
            )

    @property
    def _promised(self) -> int | None:
        """Frames that the header promises."""
        return self.frames

    @property
    def _tolerance(self) -> float:
        """Seconds by which they may be too many."""
        return 0.0


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


@dataclass(frozen=True)
class Chain(Source):
    """Streams one behind the other (chained Ogg, joined files), at the rate of the first."""

    links: tuple[Source, ...]

    @classmethod
    def of(cls, links: Sequence[Source]) -> Chain:
        """Return the chain of these."""
        first = links[0]
        lengths = [None if one.frames is None else _frames_at(one.frames, one.sample_rate, first.sample_rate) for one in links]
        frames = None if None in lengths else sum(length or 0 for length in lengths)
        return cls(first.path, first.sample_rate, first.channels, frames, first.format, tuple(links))

    def _mono(self, start: int, stop: int | None, size: int) -> Iterator[np.ndarray]:
        at = 0
        for link in self.links:
            if stop is not None and at >= stop:
                return
            for block in self._at_rate(link, size):
                lower, upper = max(0, start - at), len(block) if stop is None else min(len(block), stop - at)
                at += len(block)
                if lower < upper:
                    yield block[lower:upper]
                if stop is not None and at >= stop:
                    break

    def _at_rate(self, link: Source, size: int) -> Iterator[np.ndarray]:
        if link.sample_rate == self.sample_rate:
            yield from link.blocks(0, None, size)
            return
        stream = soxr.ResampleStream(link.sample_rate, self.sample_rate, 1, dtype="float32", quality="HQ")
        n_in = n_out = 0
        for block in link.blocks(0, None, size):
            n_in += len(block)
            out = stream.resample_chunk(block, last=False)
            n_out += len(out)
            yield out
        out = stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        rest = max(0, _frames_at(n_in, link.sample_rate, self.sample_rate) - n_out)
        yield np.pad(out, (0, max(0, rest - len(out))))[:rest]


def _frames_at(n: int, rate: int, other: int) -> int:
    return -(-n * other // rate)
