"""Audio files as people have them: streamed, tagged, joined, cut off, with headers that are wrong, each with what is right.

Made from a few good files by bytes; with FFmpeg's command where it is installed (`with_ffmpeg`).
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import audio
from models.audio.containers import mpeg_frame
from models.audio.ogg import ogg_crc
from tests.sound import tune, write, write_av

RATE = 22050
SECONDS = 1.5


@dataclass(frozen=True)
class Odd:
    """A file and what is right.

    want: names of the good files whose samples, joined, it holds; or a text that says why it is refused. remark: a part of what is said of it.
    first: only so much (0..1) of the samples, at least.
    """

    name: str
    data: bytes
    want: tuple[str, ...] | str
    remark: str = ""
    first: float = 1.0


@functools.cache
def good_files(folder: Path) -> dict[str, bytes]:
    """Good files by name, written into `folder`."""
    sound, other = tune(SECONDS, RATE, 1), tune(0.8, RATE, 1, seed=1)
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.caf", "a.w64"):
        write(folder / name, sound, RATE)
    write(folder / "a.opus", tune(SECONDS, 48000, 1), 48000)
    write(folder / "stereo.opus", tune(0.8, 48000, 2), 48000)
    write(folder / "rf64.wav", sound, RATE, format="RF64")
    write(folder / "deep.flac", tune(SECONDS, 96000, 2), 96000, subtype="PCM_24")
    write(folder / "other.ogg", other, RATE)
    write(folder / "other.mp3", other, RATE)
    write(folder / "other.flac", other, RATE)
    write(folder / "fast.ogg", tune(0.8, 44100, 2, seed=2), 44100)
    write(folder / "fast.mp3", tune(0.8, 44100, 2, seed=2), 44100)
    write_av(folder / "a.m4a", sound, RATE, "aac", container="ipod", movflags="faststart")
    write_av(folder / "a.webm", tune(SECONDS, 48000, 1), 48000, "libopus")
    write_av(folder / "a.mka", sound, RATE, "pcm_s16le", container="matroska")
    write_av(folder / "a.tta", sound, RATE, "tta")
    write_av(folder / "a.avi", sound, RATE, "pcm_s16le")
    write_av(folder / "a.wma", sound, RATE, "libmp3lame", container="asf")
    write_av(folder / "a.wv", sound, RATE, "wavpack")
    write_av(folder / "a.aac", sound, RATE, "aac", container="adts")
    write_av(folder / "slow.aac", tune(0.8, 16000, 1, seed=3), 16000, "aac", container="adts")
    write_av(folder / "a.ac3", tune(SECONDS, 48000, 2), 48000, "ac3")
    write_av(folder / "alac.caf", sound, RATE, "alac")
    write_av(folder / "alac.m4a", sound, RATE, "alac", container="ipod", movflags="faststart")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def frames_of(data: bytes) -> list[bytes]:
    """The MPEG frames of a file, its header frame first."""
    at, found = 0, []
    while (frame := mpeg_frame(data, at)) is not None:
        found.append(data[at : at + frame.size])
        at += frame.size
    return found


def with_header(data: bytes, n_frames: int | None = None, n_bytes: int | None = None) -> bytes:
    """An MP3 whose Info header says other numbers."""
    at = max(data.find(b"Info"), data.find(b"Xing")) + 8
    out = bytearray(data)
    if n_frames is not None:
        out[at : at + 4] = n_frames.to_bytes(4, "big")
    if n_bytes is not None:
        out[at + 4 : at + 8] = n_bytes.to_bytes(4, "big")
    return bytes(out)


def vbri(data: bytes, n_frames: int) -> bytes:
    """An MP3 with a VBRI header in place of its Info header."""
    first, *rest = frames_of(data)
    head = bytearray(first[:4].ljust(len(first), b"\0"))
    head[36:62] = b"VBRI" + bytes([0, 1, 0, 0, 0, 75]) + len(data).to_bytes(4, "big") + n_frames.to_bytes(4, "big") + bytes(8)
    return bytes(head) + b"".join(rest)


def id3v2(n: int, plain: bool = False, content: int = 0x20) -> bytes:
    """An ID3v2.3 tag with n bytes inside; plain: its size is not synchsafe."""
    size = n.to_bytes(4, "big") if plain else bytes(n >> 7 * i & 127 for i in (3, 2, 1, 0))
    return b"ID3\x03\0\0" + size + bytes([content]) * n


ID3V1 = b"TAG" + b"title".ljust(125, b"\0")
APEV2 = b"APETAGEX" + (2000).to_bytes(4, "little") + (32).to_bytes(4, "little") + bytes(16)


def with_bytes(data: bytes, at: int, new: bytes) -> bytes:
    """The same with some bytes replaced."""
    return data[:at] + new + data[at + len(new) :]


def without_total(flac: bytes) -> bytes:
    """A FLAC whose header does not know the number of samples."""
    return with_bytes(flac, 21, bytes([flac[21] & 0xF0, 0, 0, 0, 0]))


def page_starts(ogg: bytes) -> list[int]:
    """Where the pages of an Ogg file begin."""
    found, at = [], 0
    while at < len(ogg):
        found.append(at)
        at += 27 + ogg[at + 26] + sum(ogg[at + 27 : at + 27 + ogg[at + 26]])
    return found


def without_last_mark(ogg: bytes) -> bytes:
    """An Ogg file whose last page is not marked as the last one."""
    at = page_starts(ogg)[-1]
    page = bytearray(ogg[at:])
    page[5] &= ~4
    page[22:26] = bytes(4)
    page[22:26] = ogg_crc(bytes(page)).to_bytes(4, "little")
    return ogg[:at] + bytes(page)


def odd_files(folder: Path) -> list[Odd]:
    """Return them all; the good ones are written into `folder`."""
    g = good_files(folder)
    wav, flac, ogg, mp3, rng = g["a.wav"], g["a.flac"], g["a.ogg"], g["a.mp3"], np.random.default_rng(0)
    data_at = wav.index(b"data") + 4
    frames = frames_of(mp3)
    n = len(frames) - 1
    vbr_tail = b"".join(frames[1:])
    junk = rng.bytes(5000).replace(b"\xff", b"\xfe")
    caf_at = g["a.caf"].index(b"data") + 4
    aiff_at = g["a.aiff"].index(b"SSND") + 4
    w64_at = g["a.w64"].index(b"data\xf3\xac") + 16
    rf_at = g["rf64.wav"].index(b"ds64") + 16
    open_, counted = "does not tell its length", "were counted"
    found = [
        # ---- FLAC
        Odd("streamed.flac", without_total(flac), ("a.flac",), counted),
        Odd("streamed 24 bit.flac", without_total(g["deep.flac"]), ("deep.flac",), counted),
        Odd("id3v1 behind.flac", flac + ID3V1, ("a.flac",)),
        Odd("apev2 behind.flac", flac + APEV2, ("a.flac",)),
        Odd("ape and id3v1 behind, streamed.flac", without_total(flac) + APEV2 + ID3V1, ("a.flac",), counted),
        Odd("zeros behind.flac", flac + bytes(70000), ("a.flac",)),
        Odd("junk behind.flac", flac + junk, ("a.flac",)),
        Odd("id3v2 in front.flac", id3v2(300) + flac, ("a.flac",)),
        Odd("id3v2 not synchsafe.flac", id3v2(300, plain=True) + flac, ("a.flac",)),
        Odd("zeros in front.flac", bytes(4096) + flac, ("a.flac",)),
        Odd("two.flac", flac + g["other.flac"], ("a.flac", "other.flac")),
        Odd("cut.flac", flac[: len(flac) // 2], "cut off"),
        Odd("last byte gone.flac", flac[:-1], "cut off"),
        Odd("streamed and cut.flac", without_total(flac)[:-700], "cut off"),
        # ---- Ogg
        Odd("chained.ogg", ogg + g["other.ogg"], ("a.ogg", "other.ogg")),
        Odd("three links.ogg", ogg * 2 + g["other.ogg"], ("a.ogg", "a.ogg", "other.ogg")),
        Odd("chained, other rate and channels.ogg", ogg + g["fast.ogg"], ("a.ogg", "fast.ogg")),
        Odd("chained, other rate first.ogg", g["fast.ogg"] + ogg, ("fast.ogg", "a.ogg")),
        Odd("chained.opus", g["a.opus"] * 2, ("a.opus", "a.opus")),
        Odd("chained, other channels.opus", g["a.opus"] + g["stereo.opus"], ("a.opus", "stereo.opus")),
        Odd("zeros in front.ogg", bytes(999) + ogg, ("a.ogg",)),
        Odd("junk in front.ogg", junk + ogg, ("a.ogg",)),
        Odd("junk behind.ogg", ogg + junk, ("a.ogg",)),
        Odd("id3v1 behind.ogg", ogg + ID3V1, ("a.ogg",)),
        Odd("not marked as ended.ogg", without_last_mark(ogg), ("a.ogg",), "not marked as the last"),
        Odd("cut inside a page.ogg", ogg[:-99], "cut off: it ends 99 bytes before the end of an Ogg page"),
        Odd("second link cut.ogg", ogg + g["other.ogg"][:-50], "cut off"),
        # ---- MP3
        Odd("xing frames 0.mp3", with_header(mp3, 0), ("a.mp3",), counted),
        Odd("xing too few.mp3", with_header(mp3, n // 2), ("a.mp3",), f"says {n // 2} MPEG frames, {n} are there"),
        Odd("xing too many.mp3", with_header(mp3, 9 * n, len(mp3)), ("a.mp3",), f"{n} are there"),
        Odd("cut.mp3", b"".join(frames[: n // 2]), "cut off: its header promises"),
        Odd("cut inside a frame.mp3", mp3[: len(mp3) // 2], "cut off: its header promises"),
        Odd("last frame gone.mp3", b"".join(frames[:-1]), ("a.mp3",), "MPEG frames", first=0.8),
        Odd("last frame torn.mp3", vbr_tail[:-20], ("headless.mp3",), "last MPEG frame is cut off", first=0.9),
        Odd("several id3v2.mp3", id3v2(200) + id3v2(1000, content=0xFF) + mp3, ("a.mp3",)),
        Odd("id3v2 not synchsafe.mp3", id3v2(300, plain=True, content=0xFF) + mp3, ("a.mp3",)),
        Odd("id3v2 not synchsafe, long.mp3", id3v2(90000, plain=True, content=0xFF) + mp3, ("a.mp3",)),
        Odd("id3v2 with zeros behind it.mp3", id3v2(200) + bytes(3000) + mp3, ("a.mp3",)),
        Odd("zeros in front.mp3", bytes(200000) + mp3, ("a.mp3",)),
        Odd("junk in front.mp3", junk + mp3, ("a.mp3",)),
        Odd("tags behind.mp3", mp3 + APEV2 + ID3V1, ("a.mp3",)),
        Odd("zeros behind.mp3", mp3 + bytes(100000), ("a.mp3",)),
        Odd("joined.mp3", mp3 + g["other.mp3"], ("a.mp3", "other.mp3")),
        Odd("joined with tags between.mp3", mp3 + ID3V1 + id3v2(500) + g["other.mp3"], ("a.mp3", "other.mp3")),
        Odd("joined, other rate.mp3", mp3 + g["fast.mp3"], ("a.mp3", "fast.mp3")),
        Odd("vbri.mp3", vbri(mp3, n), ("vbri.mp3",)),
        Odd("vbri frames 0.mp3", vbri(mp3, 0), ("vbri.mp3",), counted),
        Odd(
            "junk in the middle.mp3",
            b"".join([*frames[: n // 2], junk, *frames[n // 2 :]]),
            ("a.mp3",),
            "gaps between its MPEG frames",
        ),
        # ---- WAV and its kin
        Odd("size 0.wav", with_bytes(wav, data_at, bytes(4)), ("a.wav",), open_),
        Odd("sizes 0.wav", with_bytes(with_bytes(wav, data_at, bytes(4)), 4, bytes(4)), ("a.wav",), open_),
        Odd("size ffffffff.wav", with_bytes(wav, data_at, b"\xff" * 4), ("a.wav",), open_),
        Odd("zeros in front.wav", bytes(512) + wav, ("a.wav",)),
        Odd("junk behind.wav", wav + junk, ("a.wav",)),
        Odd(
            "cut.wav",
            wav[:-1000],
            "cut off: its header promises 66150 bytes \\(1.50 s\\) of sound, 65150 bytes \\(1.48 s\\) are there",
        ),
        Odd("cut rf64.wav", g["rf64.wav"][:-1000], "cut off: its header promises 66150 bytes \\(1.50 s\\)"),
        Odd("open rf64.wav", with_bytes(g["rf64.wav"], rf_at, bytes(8)), ("rf64.wav",), open_),
        Odd("cut.w64", g["a.w64"][:-1000], "cut off: its header promises 66150 bytes \\(1.50 s\\)"),
        Odd("open.w64", with_bytes(g["a.w64"], w64_at, bytes(8)), ("a.w64",), open_),
        Odd("junk behind.w64", g["a.w64"] + junk, ("a.w64",)),
        Odd("cut.aiff", g["a.aiff"][:-1000], "cut off: its header promises 66150 bytes \\(1.50 s\\)"),
        Odd("open.aiff", with_bytes(g["a.aiff"], aiff_at, bytes(4)), ("a.aiff",), open_),
        Odd("cut.au", g["a.au"][:-1000], "cut off: its header promises 66150 bytes \\(1.50 s\\)"),
        Odd("open.au", with_bytes(g["a.au"], 8, b"\xff" * 4), ("a.au",), open_),
        Odd("size 0.au", with_bytes(g["a.au"], 8, bytes(4)), ("a.au",), open_),
        Odd("cut.caf", g["a.caf"][:-1000], "cut off: its header promises 66150 bytes \\(1.50 s\\)"),
        Odd("open.caf", with_bytes(g["a.caf"], caf_at, b"\xff" * 8), ("a.caf",), open_),
    ]
    aac, ac3, half = g["a.aac"], g["a.ac3"], len(wav[data_at + 4 :]) // 4 * 2
    two_chunks = wav[:data_at] + half.to_bytes(4, "little") + wav[data_at + 4 :][:half]
    two_chunks += b"data" + (len(wav) - data_at - 4 - half).to_bytes(4, "little") + wav[data_at + 4 + half :]
    open_m4a = with_bytes(g["alac.m4a"], g["alac.m4a"].index(b"mdat") - 4, bytes(4))
    wide = with_bytes(with_bytes(wav, 28, (RATE * 8).to_bytes(4, "little")), 32, bytes([8, 0, 64]))
    last_ac3 = ac3.rindex(b"\x0b\x77")
    found += [
        # ---- frames without a container, and what stands around others
        Odd("zeros behind.aac", aac + bytes(5000), ("a.aac",)),
        Odd("id3v2 in front, id3v1 behind.aac", id3v2(300) + aac + ID3V1, ("a.aac",)),
        Odd("junk in front.aac", junk + aac, ("a.aac",)),
        Odd("joined, other rate.aac", aac + g["slow.aac"], ("a.aac", "slow.aac")),
        Odd("last frame torn.aac", aac[:-20], ("a.aac",), "last AAC frame is cut off", first=0.9),
        Odd("junk behind.ac3", ac3 + junk, ("a.ac3",)),
        Odd("last frame torn.ac3", ac3[:-20], ("whole frames.ac3",), "last AC-3 frame is cut off (20 bytes are missing)"),
        Odd("apev2 behind.wv", g["a.wv"] + APEV2, ("a.wv",)),
        Odd("id3v2 in front.wv", id3v2(300) + g["a.wv"], ("a.wv",)),
        Odd("id3v2 in front.m4a", id3v2(300) + g["a.m4a"], ("a.m4a",)),
        Odd("zeros in front.m4a", bytes(512) + g["a.m4a"], ("a.m4a",)),
        Odd("sound that reaches to the end.m4a", open_m4a, ("alac.m4a",)),
        Odd("sound that reaches to the end, cut.m4a", open_m4a[:-500], "cut off: its index promises"),
        Odd("64 bit.wav", wide, "holds samples of s64: 8 to 32 bits and floating point are read"),
        Odd("junk behind.caf", g["alac.caf"] + junk, ("alac.caf",)),
        Odd("size of a pipe.aiff", with_bytes(g["a.aiff"], aiff_at, (0x7F000008).to_bytes(4, "big")), ("a.aiff",), open_),
        Odd("sound in two chunks.wav", two_chunks, ("a.wav",), "its sound stands in 2 chunks"),
        Odd("second chunk cut.wav", two_chunks[:-1000], "cut off: its header promises 66150 bytes"),
        Odd("one frame of another kind.mp3", mp3 + frames_of(g["fast.mp3"])[1], ("a.mp3",), "1 MPEG frames that stand alone"),
        Odd("text.mp3", b"#EXTM3U\nother.mp3\n" * 9, "is not audio that can be decoded"),
        Odd("noise.mp3", np.random.default_rng(1).bytes(300000), "is not audio that can be decoded"),
    ]  # fmt: skip
    (folder / "whole frames.ac3").write_bytes(ac3[:last_ac3])
    others = ("a.m4a", "a.webm", "a.mka", "a.tta", "a.avi", "a.wma", "a.wv")
    return found + [
        Odd(f"cut{name[1:]}", g[name][: len(g[name]) * 6 // 10], r"cut off: .* promises \d.* are there") for name in others
    ]


FFMPEG = shutil.which("ffmpeg")


def with_ffmpeg(folder: Path) -> list[Odd]:
    """Return files that FFmpeg's command made; only where it is installed."""
    good_files(folder)

    def made(*options: str, source: str = "a.wav") -> bytes:
        command = [str(FFMPEG), "-v", "error", "-i", str(folder / source), *options, "-"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def written(name: str, *options: str) -> bytes:
        subprocess.run([str(FFMPEG), "-v", "error", "-y", "-i", str(folder / "a.wav"), *options, str(folder / name)], check=True)
        return (folder / name).read_bytes()

    vbr = written("ffmpeg vbr.mp3", "-q:a", "5")
    written("ffmpeg.m4a", "-movflags", "+faststart")
    written("ffmpeg.mka", "-c:a", "libvorbis")
    return [
        Odd("pipe.flac", made("-f", "flac"), ("a.wav",), "were counted"),
        Odd("pipe.wav", made("-f", "wav"), ("a.wav",), "does not tell its length"),
        Odd("pipe.au", made("-f", "au"), ("a.wav",), "does not tell its length"),
        Odd("pipe.mka", made("-c:a", "pcm_s16le", "-f", "matroska"), ("a.wav",)),
        Odd("pipe cut.mka", made("-c:a", "pcm_s16le", "-f", "matroska")[:-300], "cut off"),
        Odd("vbr frames 0.mp3", with_header(vbr, 0), ("ffmpeg vbr.mp3",), "were counted"),
        Odd("vbr frames wrong.mp3", with_header(vbr, 7), ("ffmpeg vbr.mp3",), "says 7 MPEG frames"),
        Odd("cut index in front.m4a", (folder / "ffmpeg.m4a").read_bytes()[:-2000], "cut off: its box 'mdat' promises"),
        Odd("cut.mka", (folder / "ffmpeg.mka").read_bytes()[:-2000], "cut off: its segment promises"),
    ]


def wanted(folder: Path, odd: Odd, read: Callable[[Path], np.ndarray]) -> np.ndarray:
    """The samples that an odd file holds, of the good files' own; other rates at that of the first."""
    parts = [read(folder / name) for name in odd.want]
    rates = [audio.info(folder / name).sample_rate for name in odd.want]
    return np.concatenate([audio.resample(part, rate, rates[0]) for part, rate in zip(parts, rates)])
