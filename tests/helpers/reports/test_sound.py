"""The sound of a page: small MP3 files as they are, all else made small."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile

from helpers.reports.sound import EMBEDDED_RATE, embedded_sound


def write(path, seconds=20.0, rate=44100, channels=2, **how):
    t = np.arange(round(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * 440 * t) + 0.01 * np.random.default_rng(0).standard_normal(len(t))
    soundfile.write(path, np.repeat(tone[:, None], channels, axis=1), rate, **how)
    return path


def sound_of(path) -> bytes:
    head, _, content = embedded_sound(path).partition(",")
    assert head == "data:audio/mpeg;base64"
    return base64.b64decode(content)


def is_small_mono(content: bytes, seconds: float) -> bool:
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        return (file.samplerate, file.channels) == (EMBEDDED_RATE, 1) and abs(len(file) / EMBEDDED_RATE - seconds) < 0.1


def test_a_small_mp3_is_taken_as_it_is(tmp_path):
    path = write(tmp_path / "small.mp3", compression_level=0.7)
    assert sound_of(path) == path.read_bytes()


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg"])
def test_other_kinds_are_made_small(tmp_path, name):
    assert is_small_mono(sound_of(write(tmp_path / name)), 20)


def test_a_large_mp3_is_made_small(tmp_path):
    path = write(tmp_path / "large.mp3", bitrate_mode="CONSTANT", compression_level=0.0)
    assert path.stat().st_size > 20 / 60 * (1 << 20)
    assert is_small_mono(sound_of(path), 20)


def test_an_mp3_with_a_large_picture_is_made_small(tmp_path):
    path = write(tmp_path / "picture.mp3", compression_level=0.7)
    n = 1 << 20
    size = bytes((n + 10) >> shift & 0x7F for shift in (21, 14, 7, 0))  # one frame in a tag of 2^20 + 10 bytes
    frame = b"APIC" + n.to_bytes(4, "big") + b"\0\0"
    path.write_bytes(b"ID3\x03\0\0" + size + frame + bytes(n) + path.read_bytes())
    assert is_small_mono(sound_of(path), 20)


def test_an_mp3_whose_header_does_not_tell_its_length_is_made_anew(tmp_path):
    """Browsers would guess its seconds, and show the wrong window."""
    path = write(tmp_path / "untold.mp3", compression_level=0.7)
    content = bytearray(path.read_bytes())
    at = max(content.find(b"Xing"), content.find(b"Info"))
    content[at + 8 : at + 12] = bytes(4)  # its number of frames
    path.write_bytes(content)
    assert is_small_mono(sound_of(path), 20)
