"""Silent tracks are found and said: a quiet middle, or a quiet beginning, is not silence."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from datasets.store.track_store import TrackStore
from helpers.data.silence import silent_tracks, warn_of_silence
from helpers.extraction.extract import ExtractionSettings, extract_embeddings
from models.clmr import SampleCNN

RATE = 22050


@pytest.fixture
def store(tmp_path):
    noise = np.random.default_rng(0).integers(-900, 900, 2000).astype(np.int16)
    middle, end, brief = noise.copy(), np.zeros(2000, np.int16), np.zeros(7, np.int16)
    middle[500:1500] = 0
    end[1950:] = 1
    with TrackStore.create(
        tmp_path / "w.h5", (), "int16", {"kind": "waveform", "sample_rate": RATE, "full_scale": 32768}
    ) as writer:
        for name, wave in {
            "noise": noise,
            "middle": middle,
            "end": end,
            "zeros": np.zeros(3000, np.int16),
            "brief": brief,
        }.items():
            writer.append(name, wave)
        writer.seal()
    return TrackStore.open(tmp_path / "w.h5")


def test_only_tracks_of_zeros_are_silent(store, caplog):
    assert silent_tracks(store, range(5)) == [name for name in store.names if name in ("zeros", "brief")]
    assert silent_tracks(store, [store.index("noise")]) == []
    warn_of_silence(store, [store.index("zeros"), store.index("end")], "training")
    assert "1 of 2 training tracks are silent: 'zeros'" in caplog.text
    caplog.clear()
    warn_of_silence(store, [store.index("end")], "training")
    assert not caplog.text


def test_an_extraction_says_which_tracks_are_silent(store, tmp_path, caplog):
    net = SampleCNN(channels=[4, 4, 8, 8], strides=[3, 3], out_dim=None).eval()
    with caplog.at_level(logging.WARNING):
        extract_embeddings(net, store, tmp_path / "out", [3], settings=ExtractionSettings(batch_size=7))
    assert "2 of 5 tracks are silent in every window: 'zeros', 'brief'" in caplog.text
    caplog.clear()
    extract_embeddings(net, store, tmp_path / "out", [3], settings=ExtractionSettings(batch_size=7))
    assert "silent" not in caplog.text
