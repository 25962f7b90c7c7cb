"""Extraction over a store: every window of every track and block, files per track, precision, progress."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.store.track_store import TrackStore
from helpers.extraction.extract import ExtractionSettings, extract_embeddings, extract_logits
from helpers.probe.run import load_embeddings
from models.errors import ConfigError, StoreError
from models.frontend import normalise
from models.maest import MAEST
from models.weights.head_origin import weights_sha256
from models.windows import left_padding, plan_windows
from tests.helpers.extraction.small_extraction import CLASSES, FRAMES, LENGTH, WIDTH, network


def plain(net: MAEST, mel: np.ndarray, hop: int, tail: str, block: int) -> np.ndarray:
    """One window after the other, one block a pass, through the published call."""
    rows = []
    for start, stop in plan_windows(len(mel), LENGTH, hop, tail):
        x = np.zeros((96, LENGTH), np.float32)
        left = left_padding(stop - start, LENGTH)
        x[:, left : left + stop - start] = mel[start:stop].T
        with torch.no_grad():
            a, b = net(normalise(torch.from_numpy(x))[None], transformer_block=block)
        rows.append((b if block == -1 else b.reshape(1, -1, WIDTH))[0].numpy() if block != -2 else a[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize(("half_overlap", "tail"), [(False, "pad"), (True, "pad"), (False, "shift"), (True, "drop")])
def test_every_window_of_every_track_and_block(mels, tmp_path, half_overlap, tail):
    net = network()
    done = extract_embeddings(
        net, mels, tmp_path / "out", [2, 0, -1], settings=ExtractionSettings(half_overlap=half_overlap, tail=tail, batch_size=4)
    )
    store, hop = TrackStore.open(mels), LENGTH // 2 if half_overlap else LENGTH
    assert set(done.paths) == {0, 2, -1}
    assert done.n_new == done.n_tracks == len(FRAMES)
    for block, path in done.paths.items():
        assert path == tmp_path / "out" / str(block) / "embeddings.h5"
        got = TrackStore.open(path)
        windows = TrackStore.open(path.parent / "windows")
        assert got.names == windows.names == store.names
        for name in store.names:
            want = plain(net, store.read(name).astype(np.float32), hop, tail, block)
            np.testing.assert_allclose(got.read(name), want, atol=2e-5)
            np.testing.assert_array_equal(windows.read(name), plan_windows(len(store.read(name)), LENGTH, hop, tail))
        assert got.dtype == np.float32
        wanted = {"kind": "embeddings", "block": block, "clip_frames": LENGTH, "hop_frames": hop, "tail": tail}
        wanted |= {"front_end": "maest-essentia", "weights_sha256": weights_sha256(net), "precision": "32-true"}
        assert wanted.items() <= got.attrs.items()


def test_logits(mels, tmp_path):
    net = network(labels=list("vwxyz"))
    path = extract_logits(net, mels, tmp_path / "out", settings=ExtractionSettings(batch_size=5)).paths["logits"]
    store, got = TrackStore.open(mels), TrackStore.open(path)
    for name in store.names:
        mel = store.read(name).astype(np.float32)
        rows = []
        for start, stop in plan_windows(len(mel), LENGTH):
            x = np.pad(mel[start:stop], ((left_padding(stop - start, LENGTH), 0), (0, 0)))
            x = np.pad(x, ((0, LENGTH - len(x)), (0, 0)))
            with torch.no_grad():
                rows.append(net(normalise(torch.from_numpy(x.T.copy()))[None])[0][0].numpy())
        np.testing.assert_allclose(got.read(name), np.stack(rows), atol=2e-5)
    assert got.attrs["labels"] == list("vwxyz")


def test_separated_heads_give_the_logits_of_their_mean_probability(mels, tmp_path):
    net = network(distilled_type="separated")
    got = TrackStore.open(extract_logits(net, mels, tmp_path / "out").paths["logits"]).read("a/0.flac")
    mel = TrackStore.open(mels).read("a/0.flac").astype(np.float32)
    with torch.no_grad():
        want = net.probabilities(normalise(torch.from_numpy(mel.T.copy()))[None])
    np.testing.assert_allclose(1 / (1 + np.exp(-got)), want, atol=1e-5)


def test_an_undistilled_network_has_two_tokens(mels, tmp_path):
    path = extract_embeddings(network(distilled=False), mels, tmp_path / "out", [1]).paths[1]
    assert TrackStore.open(path).item_shape == (2, WIDTH)
    keys = TrackStore.open(mels).names
    both = load_embeddings(path, keys, "ct", "stack")
    np.testing.assert_array_equal(load_embeddings(path, keys, "t", "stack"), both[:, WIDTH:])
    with pytest.raises(ConfigError, match="no distillation token"):
        load_embeddings(path, keys, "cd", "stack")


def test_only_the_asked_tracks_in_the_order_of_the_store(mels, tmp_path):
    path = extract_embeddings(network(), mels, tmp_path / "out", [1], names=["a/4.flac", "a/1.flac"]).paths[1]
    assert TrackStore.open(path).names == ["a/1.flac", "a/4.flac"]
    with pytest.raises(StoreError, match=r"1 of 2 tracks are not in .*'b\.flac'"):
        extract_embeddings(network(), mels, tmp_path / "other", [1], names=["a/1.flac", "b.flac"])
    assert not (tmp_path / "other").exists()


def test_memory_format_and_mode_are_left_alone(mels, tmp_path):
    net = network().train()
    before = weights_sha256(net)
    extract_embeddings(net, mels, tmp_path / "out", [1])
    assert net.training
    assert weights_sha256(net) == before


def test_files_per_track(mels, tmp_path):
    net, names = network(), TrackStore.open(mels).names
    stored = TrackStore.open(extract_embeddings(net, mels, tmp_path / "s", [1]).paths[1])
    windows = TrackStore.open(tmp_path / "s" / "1" / "windows")
    extract_embeddings(net, mels, tmp_path / "n", [1, -1], settings=ExtractionSettings(format="npy"))
    extract_embeddings(net, mels, tmp_path / "m", [1], settings=ExtractionSettings(format="npy", pool="mean"))
    extract_logits(net, mels, tmp_path / "l", settings=ExtractionSettings(format="npy"))
    for name in names:
        want = stored.read(name)
        got = np.load(tmp_path / "n" / "1" / f"{name}.embeddings.npy")
        np.testing.assert_array_equal(got, want.reshape(len(want), 3 * WIDTH))
        assert np.load(tmp_path / "n" / "-1" / f"{name}.embeddings.npy").shape == (len(want), WIDTH)
        weights = np.diff(windows.read(name))[:, 0]
        pooled = np.load(tmp_path / "m" / "1" / f"{name}.embeddings.npy")
        np.testing.assert_allclose(pooled, np.average(want, axis=0, weights=weights), atol=1e-6)
        assert np.load(tmp_path / "l" / f"{name}.logits.npy").shape == (len(want), CLASSES)
    for folder in ("s", "n"):
        vectors = load_embeddings(tmp_path / folder / "1", names, token_size=WIDTH)
        np.testing.assert_allclose(vectors, [stored.read(name).mean(0).reshape(-1) for name in names], atol=1e-6)
    again = extract_embeddings(net, mels, tmp_path / "n", [1, -1], settings=ExtractionSettings(format="npy"))
    assert (again.n_new, again.n_windows) == (0, 0)
    with pytest.raises(StoreError, match="pool is 'none', now 'mean'"):
        extract_embeddings(net, mels, tmp_path / "n", [1], settings=ExtractionSettings(format="npy", pool="mean"))
    (tmp_path / "n" / "1" / "settings.json").unlink()
    with pytest.raises(StoreError, match="files of unknown settings"):
        extract_embeddings(net, mels, tmp_path / "n", [1], settings=ExtractionSettings(format="npy"))


def test_float16_and_autocast_are_close(mels, tmp_path):
    net, names = network(), TrackStore.open(mels).names
    exact = load_embeddings(extract_embeddings(net, mels, tmp_path / "a", [1]).paths[1], names)
    half = TrackStore.open(
        extract_embeddings(net, mels, tmp_path / "b", [1], settings=ExtractionSettings(dtype="float16")).paths[1]
    )
    assert half.dtype == np.float16
    np.testing.assert_allclose(load_embeddings(half, names), exact, atol=2e-3)
    coarse = load_embeddings(
        extract_embeddings(net, mels, tmp_path / "c", [1], settings=ExtractionSettings(precision="bf16-mixed")).paths[1], names
    )
    np.testing.assert_allclose(coarse, exact, atol=5e-2)
    assert not np.array_equal(coarse, exact)


def test_the_hash_sees_every_change():
    net = network()
    first = weights_sha256(net)
    assert first == weights_sha256(network())
    with torch.no_grad():
        net.head[1].bias[2] += 1e-6
    assert weights_sha256(net) != first


def test_progress_tells_rate_and_time_left_without_a_terminal(mels, tmp_path, caplog, monkeypatch):
    from datasets.utils import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level("INFO", logger="datasets.utils.progress"):
        extract_embeddings(network(), mels, tmp_path / "out", [1], settings=ExtractionSettings(batch_size=4))
    n = sum(len(plan_windows(f, LENGTH)) for f in FRAMES)
    assert any(line.startswith("Extracting: ") and "windows/s" in line and "left" in line for line in caplog.messages)
    assert f"{n} of {n}" in caplog.messages[-1]
