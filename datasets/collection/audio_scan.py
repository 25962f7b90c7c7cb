"""What each file of a collection holds, found out by decoding all of it: length, level, faults of recording, and a hash of the samples.

The hash finds copies: files whose samples are the same, whatever the container (WAV, FLAC, AIFF, ...), a mono file and its stereo twin with two
equal channels, silence of zeros before and behind. Copies of another bit depth, rounded, truncated or dithered, are found by samples at the same
places (`same_sound`). Copies that went through a lossy codec, another rate, another gain or a cut are not found: their samples differ.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models import audio
from models.bounded_files import never_through_a_link, parsed, read_text
from models.errors import StoreError

from ..jobs.parallel import parallel_map
from ..prepare.features import BLOCK_SECONDS, check_length
from ..store.track_store import TrackStore
from ..utils.progress import JobProgress

VERSION = 3  # of what is found out; older caches are made again
FULL = 0.999  # from here on a sample counts as clipped
POINTS = 64
MOST_CACHE = 4 << 30  # bytes
_NOTE = re.compile(r"\[|warning|error|note|illegal|missing|junk|frankenstein|dequantization|big_values", re.IGNORECASE)
_DEPTHS = {
    "PCM_U8": 8,
    "PCM_S8": 8,
    "PCM_16": 16,
    "PCM_24": 24,
    "PCM_32": 24,
    "FLOAT": 24,
    "DOUBLE": 24,
    "ALAC_16": 16,
    "ALAC_24": 24,
}
QUIET = 10 ** (-70 / 20)  # peak, re full scale, below which a file is silent


@dataclass(frozen=True)
class Sound:
    """One file's sound. Levels are those of the mono mix, full scale 1, and None where only a spectrogram is known.

    seconds, sample_rate in Hz, channels, format (words); peak; clipped: share of samples at full scale; offset: their mean;
    digest: hash of the samples, "" for silence. points: samples at POINTS places at even distances, as 16-bit integers. notes: what is to be said of
    the file (AudioInfo.remarks), and what the decoding libraries said while it was read.
    """

    seconds: float
    sample_rate: int
    channels: int
    format: str
    peak: float | None
    clipped: float | None
    offset: float | None
    digest: str
    points: Sequence[int] = ()
    notes: Sequence[str] = ()

    @property
    def remarks(self) -> list[str]:
        """What is odd about it, in words."""
        found = []
        if self.seconds < 1:
            found.append(f"only {self.seconds:.2f} s long")
        if self.peak is not None and self.peak < QUIET:
            found.append("silent")
        if self.clipped is not None and self.clipped > 0.01:
            found.append(f"clipped: {100 * self.clipped:.0f} % of its samples are at full scale")
        if self.offset is not None and abs(self.offset) > 0.05:
            found.append(f"its mean is {self.offset:+.2f}, not 0")
        return [*found, *self.notes]


def bit_depth(sound: Sound) -> int | None:
    """Return the bits of a sample of a file's coding, 24 for all above; None for lossy codings."""
    last = sound.format.rsplit(" ", 1)[-1].upper()
    return next((bits for name, bits in _DEPTHS.items() if last.startswith(name)), None)


def same_sound(one: Sound, other: Sound) -> bool:
    """Return whether one file is the other at another bit depth: as long, at the same rate, and no sample further away than rounding and dither
    can take it. Of sound that hardly rises above that nothing is said.
    """
    depths = bit_depth(one), bit_depth(other)
    if None in depths or depths[0] == depths[1] or not one.points or not other.points:
        return False
    away = 2.5 * 2.0 ** (
        16 - min(depth for depth in depths if depth is not None)
    )  # in steps of 16 bits; +-1 for the rounding of the points
    a, b = np.asarray(one.points, dtype=np.int64), np.asarray(other.points, dtype=np.int64)
    return bool(np.abs(a - b).max() <= away + 1 and max(np.abs(a).max(), np.abs(b).max()) > 8 * away)


class _Digest:
    """A hash over samples rounded to 16 bits, without the zeros at both ends; blocks may be cut anywhere."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._zeros = 0  # seen, and only counted when something follows them
        self.begun = False

    def update(self, block: np.ndarray) -> None:
        samples = np.clip(np.rint(block * np.float32(32768)), -32768, 32767).astype("<i2")
        there = np.flatnonzero(samples)
        if not len(there):
            self._zeros += len(samples)
            return
        first, last = int(there[0]), int(there[-1])
        if self.begun:
            left = self._zeros + first
            while left:
                n = min(left, 1 << 20)
                self._hash.update(bytes(2 * n))
                left -= n
        self._hash.update(samples[first : last + 1].tobytes())
        self._zeros = len(samples) - 1 - last
        self.begun = True

    def text(self, rate: int) -> str:
        if not self.begun:
            return ""
        self._hash.update(str(rate).encode())
        return self._hash.hexdigest()


def scan_file(path: str | os.PathLike[str]) -> Sound:
    """Decode a file whole. Raises AudioError when it cannot be, or is too short to be prepared."""
    with library_notes() as notes:
        about = audio.info(path)
        check_length(path, about.duration)
        digest = _Digest()
        places = np.minimum((np.arange(POINTS) + 0.5) * about.frames / POINTS, about.frames - 1).astype(np.int64)
        points: list[int] = []
        peak, full, total, n = 0.0, 0, 0.0, 0
        for block in _without_log(audio.iterate(path, None, BLOCK_SECONDS)):
            digest.update(block)
            level = np.abs(block)
            peak = max(peak, float(level.max()))
            full += int((level >= FULL).sum())
            total += float(block.sum(dtype=np.float64))
            here = places[(places >= n) & (places < n + len(block))] - n
            points += np.clip(np.rint(block[here] * 32768), -32768, 32767).astype(int).tolist()
            n += len(block)
    rate = about.sample_rate
    said = [*about.remarks, *notes]
    return Sound(n / rate, rate, about.channels, about.format, peak, full / n, total / n, digest.text(rate), points, said)


def _without_log(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The blocks, without the log's lines on the file: they are remarks here."""
    log = logging.getLogger("models.audio")
    before, log.disabled = log.disabled, True
    try:
        yield from blocks
    finally:
        log.disabled = before


@contextlib.contextmanager
def library_notes() -> Iterator[list[str]]:
    """Keep what C libraries write to standard error (mpg123's and FFmpeg's notes name no file); the list is filled when the block ends."""
    notes: list[str] = []
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no standard error
        yield notes
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield notes
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines = file.read(1 << 16).decode("utf-8", "replace").splitlines()
            said = dict.fromkeys(line.strip() for line in lines if line.strip() and "\x1b" not in line and "\r" not in line)
            notes += [f"the decoder says: {line}" for line in said if _NOTE.match(line)]


@dataclass(frozen=True)
class ScanResult:
    """What became of listening to a file: its sound, or why not."""

    sound: Sound | None = None
    error: str | None = None


def scan_files(
    audio_dir: str | os.PathLike[str], names: Sequence[str], cache: Path | None = None, jobs: int | None = None
) -> dict[str, ScanResult]:
    """Return every file of `names` (relative to audio_dir), in worker processes.

    cache: a file of what was found out before; a file of the same size and time of change is not listened to again. Grows as files are done,
    so that an interrupted call goes on where it stopped.
    """
    root = Path(audio_dir)
    known = {} if cache is None else _read_cache(cache)
    state = {name: _state(root / name) for name in names}
    heard = {name: known[name][1] for name in names if name in known and state[name] and known[name][0] == state[name]}
    todo = [name for name in names if name not in heard]
    if not todo:
        return {name: heard[name] for name in names}
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(cache or os.devnull, "a", encoding="utf-8", errors="surrogateescape", opener=never_through_a_link) as file,
        JobProgress("Scanning", len(names), "files", done=len(heard)) as progress,
    ):
        file.write("\n")  # ends a torn line
        for outcome in parallel_map(scan_file, (root / name for name in todo), jobs, ordered=False):
            name = todo[outcome.index]
            heard[name] = ScanResult(outcome.value, outcome.error)
            if outcome.error is None or outcome.lasting:
                sound = None if outcome.value is None else asdict(outcome.value)
                line = {"v": VERSION, "file": name, "state": state[name], "sound": sound, "error": outcome.error}
                file.write(json.dumps(line) + "\n")
                file.flush()
            progress.advance()
    return {name: heard[name] for name in names}


def _state(path: Path) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _read_cache(cache: Path) -> dict[str, tuple[list[int], ScanResult]]:
    found: dict[str, tuple[list[int], ScanResult]] = {}
    if not cache.is_file():
        return found
    for line in read_text(cache, MOST_CACHE, errors="surrogateescape").splitlines():
        try:
            entry = parsed(line)
            if entry["v"] == VERSION:
                sound = None if entry["sound"] is None else Sound(**entry["sound"])
                found[entry["file"]] = entry["state"], ScanResult(sound, entry["error"])
        except (ValueError, TypeError, KeyError):  # torn, or of another version
            continue
    return found


def scan_store(store: TrackStore) -> Iterator[tuple[str, ScanResult]]:
    """Yield the same of a store of mels or waveforms, as far as it tells: lengths, and copies by their stored values.

    Raises StoreError for a store of something else.
    """
    about = store.attrs
    if about.get("kind") not in ("mel", "waveform") or not about.get("sample_rate"):
        raise StoreError(f"{store.paths[0]} holds {about.get('kind') or 'something unknown'}; mels or waveforms are wanted.")
    rate = int(about["sample_rate"])
    step = int(about.get("hop", 1)) / rate
    with JobProgress("Reading", len(store), "tracks") as progress:
        for i, name in enumerate(store.names):
            items = store.read(i)
            digest = hashlib.blake2b(items.tobytes(), digest_size=16).hexdigest() if items.any() else ""
            progress.advance()
            yield name, ScanResult(Sound(len(items) * step, rate, 1, str(about["kind"]), None, None, None, digest))
