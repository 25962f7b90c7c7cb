"""Sound files as collections have them at their worst: a hundred that cannot be used, each with words of the reason that is to be given, and
odd ones that can.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from tests.sound import tune, write, write_av

UNREADABLE = ("unreadable/disk error 0.wav", "unreadable/disk error 1.flac")  # whole files; the test lets reading them fail
SECONDS = 3.0  # of the whole files: what a cut takes off must be more than the codecs' own delays
FORMATS = ("wav", "flac", "ogg", "opus", "mp3", "aiff", "m4a")
CUT = r"cut off|damaged|not audio"


def sample(folder: Path, suffix: str) -> Path:
    """A whole file of a format, 48 kHz stereo."""
    path = folder / f"whole.{suffix}"
    if not path.exists():
        sound = tune(SECONDS, 48000)
        write_av(path, sound, 48000, "aac") if suffix == "m4a" else write(path, sound, 48000)
    return path


def wav(data: bytes, channels: int = 1, rate: int = 16000, bits: int = 16, code: int = 1, promised: int | None = None) -> bytes:
    """A WAV file by hand: the header says what it is told."""
    size = len(data) if promised is None else promised
    align = channels * bits // 8
    head = struct.pack("<HHIIHH", code, channels, rate, (rate * align) & 0xFFFFFFFF, align & 0xFFFF, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size & 0xFFFFFFFF) + data
    return b"RIFF" + struct.pack("<I", (len(body)) & 0xFFFFFFFF) + body


def bad_files(root: Path, spare: Path) -> dict[str, str]:
    """100 files that cannot be used, under `root`: name -> pattern of the reason. `spare`: a folder for what they are made of."""
    made: dict[str, str] = {}
    for name, content, reason in _bad(spare):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, Path):
            os.link(content, path)
        else:
            content(path)
        made[name] = reason
    return made


def _bad(spare: Path) -> Iterator[tuple[str, object, str]]:
    spare.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    pcm = (8000 * tune(0.5, 16000, 1)[:, 0]).astype("<i2").tobytes()
    for suffix in (*FORMATS, "aac", "webm", "wma"):
        yield f"zero/{suffix} of no bytes.{suffix}", b"", "0 bytes"
    for suffix in FORMATS:
        data = sample(spare, suffix).read_bytes()
        for share in (0.3, 0.6, 0.9):
            yield f"cut/{suffix} at {share}.{suffix}", data[: int(share * len(data))], CUT
        yield f"cut/{suffix} head only.{suffix}", data[: 40 if suffix != "wav" else 30], CUT
    texts = {
        "text": b"hello world\n" * 300,
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "noise": rng.bytes(9000),
        "zeros": bytes(9000),
        "png": b"\x89PNG\r\n\x1a\n" + rng.bytes(3000),
        "zip": b"PK\x03\x04" + rng.bytes(3000),
        "playlist": b"#EXTM3U\n#EXTINF:9,\n/etc/passwd\n",
        "concat": b"ffconcat version 1.0\nfile 'a.wav'\n",
        "pickle": b"cos\nsystem\n(S'touch ran'\ntR.",
    }
    for (what, data), suffix in zip(texts.items(), ("mp3", "m4a", "flac", "mp3", "wav", "ogg", "m4a", "mp3", "aac")):
        yield f"no audio/{what} called {suffix}.{suffix}", data, "not audio"
    yield "no audio/one byte.wav", b"R", "not audio"
    yield "no audio/a page's mark.ogg", b"OggS", CUT
    yield "no audio/a tag and nothing else.mp3", b"ID3\x04\0\0\0\0\x08\0" + bytes(1024), "not audio"
    yield "no audio/a picture film.mp4", _silent_film, "no audio stream"
    lies = {
        "more than there is": wav(pcm, promised=len(pcm) * 3),
        "twice": wav(pcm, promised=len(pcm) + 2000),
        "no channels": wav(pcm, channels=0),
        "rate 0": wav(pcm, rate=0),
        "no bits": wav(pcm, bits=0),
        "1000 bits": wav(pcm, bits=1000),
        "60000 channels": wav(pcm, channels=60000),
        "unknown code": wav(pcm, code=0x7A7A),
        "negative rate": wav(pcm, rate=0xFFFFFFFF),
        "no samples": wav(b""),
    }
    for what, data in lies.items():
        yield f"lies/{what}.wav", data, r"cut off|not audio|no samples|too short|damaged|cannot be"
    mp3 = bytearray(sample(spare, "mp3").read_bytes())
    at = mp3.find(b"Xing") if b"Xing" in mp3 else mp3.find(b"Info")
    mp3[at + 8 : at + 12] = (50_000).to_bytes(4, "big")
    mp3[at + 12 : at + 16] = (100 * len(mp3)).to_bytes(
        4, "big"
    )  # of bytes: with the file's own the frames would be counted and read
    yield "lies/50 000 frames.mp3", bytes(mp3), CUT
    flac = bytearray(sample(spare, "flac").read_bytes())
    flac[22:26] = (0x7FFFFFFF).to_bytes(4, "big")  # samples in all
    yield "lies/twelve hours.flac", bytes(flac), CUT
    for k, place in enumerate((0.4, 0.5, 0.7)):
        flac = bytearray(sample(spare, "flac").read_bytes())
        middle = int(place * len(flac))
        flac[middle : middle + 1500] = bytes(1500)
        yield f"damaged/flac {k}.flac", bytes(flac), "damaged"
    for what, value in {"nan": np.nan, "inf": np.inf, "minus inf": -np.inf}.items():
        for where, position in {"first": 0, "middle": 4000, "last": -1}.items():
            for subtype in ("FLOAT", "DOUBLE"):
                sound = tune(0.5, 16000, 1).astype(np.float64)
                sound[position] = value
                path = write(spare / f"{what}{where}{subtype}.wav", sound, 16000, subtype=subtype)
                yield f"not finite/{what} {where} {subtype}.wav", path, "NaN or infinite"
    for n in (0, 1, 100):
        for suffix in ("wav", "flac", "aiff"):
            path = write(spare / f"n{n}.{suffix}", tune(1.0, 16000, 1)[:n], 16000)
            yield f"short/{n} samples.{suffix}", path, "too short|no samples|not audio|damaged|empty"
    yield "links/to nothing.wav", lambda path: path.symlink_to("nowhere.wav"), "not there"
    yield "links/to itself.wav", lambda path: path.symlink_to(path.name), "not there|cannot be read"
    yield "links/one way.mp3", lambda path: path.symlink_to("and back.mp3"), "not there|cannot be read"
    yield "links/and back.mp3", lambda path: path.symlink_to("one way.mp3"), "not there|cannot be read"
    yield "links/a pipe.ogg", os.mkfifo, "no regular file"
    for name in UNREADABLE:
        yield name, sample(spare, name.rsplit(".", 1)[1]), "cannot be read: Input/output error"


def _silent_film(path: Path) -> None:
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for packet in [*stream.encode(av.VideoFrame(16, 16, "yuv420p")), *stream.encode(None)]:
            out.mux(packet)


def odd_files(root: Path, spare: Path) -> dict[str, float]:
    """Files that look bad and can be used, under `root`: name -> seconds."""
    made: dict[str, float] = {}

    def put(name: str, sound: np.ndarray, rate: int, **kind: str) -> None:
        write(root / name, sound, rate, **kind)
        made[name] = len(sound) / rate

    for rate in (8000, 11025, 12000, 22050, 32000, 44101, 48000, 88200, 96000, 176400, 192000):
        put(f"rates/{rate} Hz.wav", tune(0.4, rate, 1), rate)
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM"):
        put(f"bits/{subtype}.wav", tune(0.4, 16000, 1)[: 6060 if subtype == "IMA_ADPCM" else None], 16000, subtype=subtype)
    for subtype in ("PCM_S8", "PCM_16", "PCM_24"):
        put(f"bits/{subtype}.flac", tune(0.4, 16000, 1), 16000, subtype=subtype)
    for channels in (3, 6, 8):
        put(f"channels/{channels}.wav", tune(0.4, 16000, channels), 16000)
    put("levels/clipped.wav", np.clip(20 * tune(0.4, 16000, 1), -1, 1), 16000)
    put("levels/direct current.wav", tune(0.4, 16000, 1) + 0.9, 16000, subtype="FLOAT")
    put("levels/only direct current.wav", np.full((6400, 1), 0.5, np.float32), 16000)
    put("levels/silence.flac", np.zeros((6400, 1), np.float32), 16000)
    put("levels/far beyond one.wav", 1000 * tune(0.4, 16000, 1), 16000, subtype="FLOAT")
    put("levels/tiny numbers.wav", 1e-40 * tune(0.4, 16000, 1), 16000, subtype="FLOAT")
    put("same stem/a/song.wav", tune(0.4, 16000, 1, seed=1), 16000)
    put("same stem/b/song.wav", tune(0.4, 16000, 1, seed=2), 16000)
    put("same stem/b/song.flac", tune(0.4, 16000, 1, seed=3), 16000)
    put("same stem/b/song.WAV", tune(0.4, 16000, 1, seed=4), 16000)
    put("names/ü 漢字 'quo\"te, %s \n line.wav", tune(0.4, 16000, 1), 16000)
    for real, called in (("mp3", "wav"), ("wav", "mp3"), ("ogg", "flac"), ("m4a", "mp3"), ("flac", "ogg")):
        (root / "called otherwise").mkdir(parents=True, exist_ok=True)
        (root / f"called otherwise/{real}.{called}").write_bytes(sample(spare, real).read_bytes())
        made[f"called otherwise/{real}.{called}"] = SECONDS
    data = (8000 * tune(0.5, 16000, 1)[:, 0]).astype("<i2").tobytes()
    (root / "headers").mkdir(parents=True, exist_ok=True)
    (root / "headers/streamed.wav").write_bytes(wav(data, promised=0xFFFFFFFF))
    (root / "headers/tags before.mp3").write_bytes(b"ID3\x04\0\0\0\0\x08\0" + bytes(1024) + sample(spare, "mp3").read_bytes())
    (root / "headers/tags behind.mp3").write_bytes(sample(spare, "mp3").read_bytes() + b"TAG" + bytes(125))
    made |= {"headers/streamed.wav": 0.5, "headers/tags before.mp3": SECONDS, "headers/tags behind.mp3": SECONDS}
    made["headers/vbr without a header.mp3"] = headerless_vbr(root / "headers/vbr without a header.mp3")
    made["long/three hours.flac"] = three_hours(root / "long/three hours.flac")
    return made


def headerless_vbr(path: Path) -> float:
    """An MP3 of variable bitrate whose header frame is gone; quiet, then loud: its first frames say nothing about the rest. Seconds."""
    from models.audio.containers import mpeg_frame

    loud = np.random.default_rng(0).uniform(-0.8, 0.8, (44100 * 2, 2)).astype(np.float32)
    with soundfile.SoundFile(path, "w", 44100, 2, format="MP3", bitrate_mode="VARIABLE", compression_level=0.2) as file:
        file.write(np.concatenate([0.001 * tune(1.0), loud]))
    data = path.read_bytes()
    first = mpeg_frame(data, 0)
    assert first is not None
    path.write_bytes(data[first.size :])
    return 3.0


def three_hours(path: Path) -> float:
    """A small file of three hours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = np.zeros(8000 * 600, np.int16)
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(18):
            file.write(block)
    return 10800.0
