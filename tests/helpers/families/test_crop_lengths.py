"""Recordings that are shorter than CLMR's crop: a crop that fits is named, by headers alone; and that keys named so build such a network."""

from __future__ import annotations

import json
import re
import wave

import pytest

from helpers.families.crop_lengths import check_crops
from models.clmr import SampleCNN
from models.errors import ConfigError


def folder_of(path, seconds, rate=8000):
    path.mkdir()
    for i, length in enumerate(seconds):
        with wave.open(str(path / f"{i}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(b"\1\0" * int(length * rate))
    return path, [f"{i}.wav" for i in range(len(seconds))]


def network():
    return SampleCNN(channels=[4] * 11, strides=[3] * 9, out_dim=None, sample_rate=22050)  # crops of 2.68 s


def test_a_crop_that_fits_is_named(tmp_path):
    folder, names = folder_of(tmp_path / "a", [1.2] * 9 + [0.95])
    with pytest.raises(
        ConfigError, match=r"10 of 10 files of .* shorter than a crop \(2.68 s\), and 4 that fill one are wanted"
    ) as error:
        check_crops(network(), folder, names, 4)
    strides, channels = (json.loads(text) for text in re.findall(r"=(\[[0-9,]+\])", str(error.value)))
    made = SampleCNN(channels=channels, strides=strides, out_dim=None, sample_rate=22050)
    assert made.window_length == 3**9
    assert "A crop of 0.89 s, which 10 of 10 fill" in str(error.value)
    check_crops(made, folder, names, 4)


def test_some_that_are_too_short_are_told_and_left(tmp_path, caplog):
    folder, names = folder_of(tmp_path / "a", [3.0] * 6 + [1.0] * 2)
    check_crops(network(), folder, names, 4)
    assert "2 of 8 files" in caplog.text
    assert "will be left out. A crop of 0.89 s" in caplog.text
    caplog.clear()
    check_crops(network(), folder, names[:6], 4)
    assert not caplog.text


def test_sounds_that_fit_no_crop(tmp_path):
    folder, names = folder_of(tmp_path / "a", [0.0002] * 5)
    with pytest.raises(ConfigError, match="too short for any crop"):
        check_crops(network(), folder, names, 4)
