"""The sound of a page: whatever the file, a small mono MP3."""

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


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.mp3"])
def test_every_kind_is_made_small(tmp_path, name):
    assert is_small_mono(sound_of(write(tmp_path / name)), 20)


def test_joined_files_sound_to_their_end(tmp_path):
    """Which players of an MP3 as it is do not show: each header tells of its own part."""
    first, second = (write(tmp_path / f"{n}.mp3", seconds=n) for n in (4.0, 3.0))
    path = tmp_path / "joined.mp3"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    assert is_small_mono(sound_of(path), 7)
