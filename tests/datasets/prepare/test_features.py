"""One file to what is stored of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.prepare.features import mel_of_file, middle, waveform_of_file
from models import audio
from models.errors import AudioError
from models.frontend import MaestMel
from tests.sound import tune, write

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "a.flac", tune(40.0, 16000, 1), 16000)


def test_mel_is_the_front_ends_in_float16(path):
    mel = mel_of_file(path)
    want = MaestMel(normalize=False)(torch.from_numpy(audio.load(path))[None])[0].T.half().numpy()
    assert mel.dtype == np.float16
    assert np.array_equal(mel, want)


def test_waveform_is_the_samples_in_16_bits(path):
    wave = waveform_of_file(path, 16000)
    assert wave.dtype == np.int16
    assert np.array_equal(audio.to_mono_float(wave), audio.load(path, 16000))  # the file has 16 bits itself
    assert len(waveform_of_file(path, 8000)) == 40 * 8000


def test_waveform_clips_what_lies_beyond_full_scale(tmp_path):
    path = write(tmp_path / "a.wav", np.array([[1.5], [-1.5], [1.0], [0.0]] * 100, dtype=np.float32), 16000, subtype="FLOAT")
    assert waveform_of_file(path, 16000)[:4].tolist() == [32767, -32768, 32767, 0]


@pytest.mark.parametrize("rate", [16000, 44100])
def test_long_tracks_are_cut_around_their_middle(tmp_path, rate):
    path = write(tmp_path / "a.wav", tune(10.0, rate, 1), rate)
    assert middle(path, 4.0) == (3.0, 4.0)
    assert np.abs(waveform_of_file(path, 16000, 4.0).astype(int) - waveform_of_file(path, 16000)[48000:112000]).max() <= 1
    assert len(mel_of_file(path, 4.0)) == 251
    for keeps_all in (None, 10.0, 11.0):
        assert middle(path, keeps_all) == (0.0, None)


def test_short_files_and_too_short_ones(tmp_path):
    ok = write(tmp_path / "ok.wav", tune(0.02, 44100, 1))
    assert mel_of_file(ok).shape == (3, 96)
    with pytest.raises(AudioError, match=r"short\.wav is too short: 15\.0 ms; at least 16 ms"):
        mel_of_file(write(tmp_path / "short.wav", tune(0.015, 44100, 1)))


def test_a_worker_that_only_resamples_loads_no_torch(tmp_path):
    path = write(tmp_path / "a.wav", tune(1.0, 16000, 1), 16000)
    code = (
        "import sys; from datasets.prepare.features import waveform_of_file; "
        f"assert len(waveform_of_file({str(path)!r}, 8000)) == 8000; assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
