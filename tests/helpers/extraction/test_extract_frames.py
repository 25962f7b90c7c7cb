"""Extraction of every vector in time: its times, its rate, tracks of any length, kills within a track."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.store.track_store import TrackStore
from helpers.extraction.extract import ExtractionSettings, extract_embeddings
from helpers.extraction.outputs import StoreOutput
from models.clmr import SampleCNN
from models.errors import ConfigError, StoreError
from models.frontend import normalise
from tests.helpers.extraction.small_extraction import FRAMES, LENGTH, network

RATE = 62.5  # mel frames per second
FRAME_SETTINGS = ExtractionSettings(frames=True, batch_size=3)


def opened(path):
    return TrackStore.open(path), TrackStore.open(path.parent / "times")


def test_vectors_are_the_network_s_own_with_the_times_of_their_centres(mels, tmp_path):
    net = network()
    done = extract_embeddings(net, mels, tmp_path / "out", [2, 0], ExtractionSettings(frames=True, batch_size=3, tail="drop"))
    store = TrackStore.open(mels)
    for block, path in done.paths.items():
        got, times = opened(path)
        assert got.names == times.names == store.names
        assert got.attrs["embedding_rate"] == pytest.approx(net.embedding_rate)
        for name in store.names:
            mel, spans = store.read(name).astype(np.float32), times.read(name)
            centres = spans.mean(axis=1)
            assert (np.diff(centres) > 0).all()
            assert 0 <= centres[0] <= centres[-1] < len(mel) / RATE
            for vector, centre in list(zip(got.read(name), centres))[:: max(len(centres) // 5, 1)]:
                start = int(centre * RATE // LENGTH) * LENGTH
                if len(mel) - start < LENGTH:
                    continue  # padded windows: below
                window = normalise(torch.from_numpy(mel[start : start + LENGTH].T.copy()), net.mel_settings)[None]
                column = round((centre * RATE - start - 7.5) / net.stride[1])
                with torch.no_grad():
                    want = net.encode_mel(window, [block])[0, 0, column]
                np.testing.assert_allclose(vector, want, atol=2e-5)


@pytest.mark.parametrize(("half_overlap", "tail"), [(False, "pad"), (True, "pad"), (True, "shift"), (False, "drop")])
def test_moments_ascend_and_none_is_there_twice(mels, tmp_path, half_overlap, tail):
    net = network()
    settings = ExtractionSettings(frames=True, half_overlap=half_overlap, tail=tail)
    got, times = opened(extract_embeddings(net, mels, tmp_path / "out", [1], settings).paths[1])
    for name, n in zip(got.names, FRAMES):
        centres = times.read(name).mean(axis=1)
        assert len(centres) == len(got.read(name))
        gaps = np.diff(centres) * RATE
        assert (gaps > 0).all()
        if tail != "drop" and n >= LENGTH:
            assert centres[-1] * RATE > n - 16 - net.stride[1]  # to the end, however short the tail
        if half_overlap and tail == "pad" and n >= 2 * LENGTH:
            # overlapping windows leave no holes: no gap is larger than two columns
            assert gaps[: -(LENGTH // net.stride[1])].max(initial=0) <= 2 * net.stride[1]


def test_a_family_of_waveforms_and_layers_of_other_rates(tmp_path):
    net, rng = SampleCNN(channels=(4, 4, 6, 8), strides=(3, 3)).eval(), np.random.default_rng(0)
    with TrackStore.create(
        tmp_path / "w.h5", (), "int16", {"kind": "waveform", "sample_rate": net.sample_rate, "full_scale": 32768}
    ) as writer:
        writer.append("a", rng.integers(-9000, 9000, 100).astype(np.int16))
        writer.seal()
    done = extract_embeddings(net, tmp_path / "w.h5", tmp_path / "out", [0, 2], FRAME_SETTINGS)
    for layer, per_window in ((0, 9), (2, 1)):
        got, times = opened(done.paths[layer])
        assert got.attrs["embedding_rate"] == pytest.approx(per_window * net.sample_rate / net.window_length)
        assert got.lengths[0] >= 100 // net.window_length * per_window
        assert (np.diff(times.read("a").mean(axis=1)) > 0).all()


def test_a_track_is_never_held(mels, tmp_path, monkeypatch):
    sizes = []
    extend = StoreOutput.extend
    monkeypatch.setattr(
        StoreOutput, "extend", lambda self, name, array, last: (sizes.append(len(array)), extend(self, name, array, last))
    )
    net = network()
    extract_embeddings(net, mels, tmp_path / "out", [0], FRAME_SETTINGS)
    assert max(sizes) <= (LENGTH - 16) // net.stride[1] + 1


def test_a_kill_within_a_track_leaves_whole_tracks_and_the_rest_is_the_same(mels, tmp_path, monkeypatch):
    net = network()
    whole, whole_times = opened(extract_embeddings(net, mels, tmp_path / "whole", [0], FRAME_SETTINGS).paths[0])
    extend, calls = StoreOutput.extend, []

    def failing(self, name, array, last):
        calls.append(name)
        if len(calls) == 6:
            raise KeyboardInterrupt
        extend(self, name, array, last)

    monkeypatch.setattr(StoreOutput, "extend", failing)
    with pytest.raises(KeyboardInterrupt):
        extract_embeddings(net, mels, tmp_path / "out", [0], FRAME_SETTINGS)
    monkeypatch.setattr(StoreOutput, "extend", extend)
    done = extract_embeddings(net, mels, tmp_path / "out", [0], FRAME_SETTINGS)
    got, times = opened(done.paths[0])
    assert got.names == whole.names
    for name in whole.names:
        np.testing.assert_array_equal(got.read(name), whole.read(name))
        np.testing.assert_array_equal(times.read(name), whole_times.read(name))
    assert extract_embeddings(net, mels, tmp_path / "out", [0], FRAME_SETTINGS).n_new == 0


def test_what_is_refused(mels, tmp_path):
    with pytest.raises(ConfigError, match="track stores"):
        ExtractionSettings(frames=True, format="npy")
    with pytest.raises(ConfigError, match="one vector per window"):
        extract_embeddings(network(), mels, tmp_path / "out", [-1], FRAME_SETTINGS)
    extract_embeddings(network(), mels, tmp_path / "out", [0])
    with pytest.raises(StoreError, match="frames"):
        extract_embeddings(network(), mels, tmp_path / "out", [0], FRAME_SETTINGS)
