"""Pitch shift by its tone, tempo, level and spectrum; pitch shift and reverb beside SoX's where sox is installed."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.bench_effects import RATE, N, crops, heard, ours, sox, theirs
from datasets.demo.labels import plan_track
from datasets.demo.render import render
from models.clmr.effects import reverb
from models.clmr.pitch import _sizes, pitch_shift
from models.errors import ConfigError
from tests.models.clmr.test_clmr_augment import noise, peak_hz, tone


@pytest.mark.parametrize("cents", [-700, -333, 100, 700, 1200, -1200])
def test_pitch_moves_the_tone_keeps_level_and_length(cents):
    y = pitch_shift(tone(440)[None], [cents])
    assert y.shape == (1, N)
    assert 1200 * np.log2(peak_hz(y[0]) / 440) == pytest.approx(cents, abs=2)
    middle = slice(N // 4, 3 * N // 4)
    assert float(y[0, middle].std() / tone(440)[middle].std()) == pytest.approx(1, abs=0.06)


def test_pitch_keeps_the_tempo():
    x = torch.zeros(1, N)
    x[0, 20000:21000] = tone(900, 1000)
    for cents in (-700, 700):
        energy = pitch_shift(x, [cents])[0].square()
        centre = float((energy * torch.arange(N)).sum() / energy.sum())
        assert centre == pytest.approx(20500, abs=300)


def test_pitch_of_hopeless_sounds():
    x = torch.stack([torch.zeros(3000), torch.full((3000,), float("nan"))])
    y = pitch_shift(x, [300, 300])
    assert torch.equal(y[0], x[0])
    assert torch.isnan(y[1]).all()  # as it came: training says which tracks hold NaN
    assert pitch_shift(noise(1, 500), [300]).shape == (1, 500)
    with pytest.raises(ConfigError, match="1200 cents"):
        pitch_shift(x, [1300, 0])


@pytest.mark.parametrize("n", [300, 3000, N])
def test_the_sizes_of_the_transforms_have_the_ratio_and_small_factors(n):
    for cents in range(-1200, 1201, 37):
        longer, size = _sizes(n + 256, cents)
        assert size >= n + 256
        assert abs(1200 * np.log2(longer / size) - cents) < (0.5 if n == N else 12)


def test_music_keeps_its_level_in_every_part_and_its_spectrum_moves_as_asked():
    """The demo's music, up and down: level within 0.5 dB, no tenth of a crop 1.5 dB lower, the spectrum's centroid within 1 % in the middle."""
    found = []
    for index, cents in enumerate((-700, -420, -90, 60, 310, 640)):
        wave = render(replace(plan_track(0, "train", index), sample_rate=RATE))
        x = (wave if wave.ndim == 1 else wave.mean(1))[RATE : RATE + N].astype(np.float32)
        found.append(heard(x, ours(x, cents), cents))
    levels, centroids, tenths = np.array(found).T
    assert np.abs(levels).max() < 0.5
    assert tenths.min() > -1.5
    assert abs(np.median(centroids) - 1) < 0.01


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sox") is None, reason="wants sox")
def test_recordings_shifted_as_by_sox(shared):
    sounds = crops(shared / "audio" / "music", 1)
    cents = np.random.default_rng(1).integers(20, 701, len(sounds)) * np.resize([1, -1], len(sounds))
    mine, his = (np.array([heard(x, shift(x, int(c)), int(c)) for x, c in zip(sounds, cents)]) for shift in (ours, theirs))
    assert np.abs(mine[:, 0]).max() < 0.5
    assert abs(np.median(mine[:, 1]) - 1) < 0.01
    assert mine[:, 2].min() > -1.5
    assert np.abs(mine[:, 1] - 1).mean() <= np.abs(his[:, 1] - 1).mean() + 0.005
    assert (mine[:, 2] >= his[:, 2] - 0.5).all()


@pytest.mark.skipif(shutil.which("sox") is None, reason="wants sox")
def test_reverb_is_sox_s():
    x = np.zeros(N, np.float32)
    x[:4000] = np.random.default_rng(2).normal(0, 0.1, 4000)
    for settings in ((0, 0, 0), (99, 0, 99), (20, 80, 30), (77, 13, 61)):
        got = reverb(torch.from_numpy(x)[None], *([s] for s in settings), RATE)[0].numpy()
        np.testing.assert_allclose(got, sox(x, "reverb", *settings, length=N), atol=2e-4)
