"""What a network hears in files of any length: every second covered, the same whatever the batches, memory that does not grow."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import models
from models import tagging
from models.clmr import SampleCNN
from models.errors import AudioError
from models.maest import MAEST
from models.overview import OVERVIEW_COLUMNS, _Columns
from models.prefetch import ahead
from tests.sound import tune, write

LABELS = ["Rock---Punk", "Rock---Indie", "Jazz---Bop", "Jazz---Cool", "Folk---Celtic", "Noise"]


@pytest.fixture(scope="module")
def model() -> MAEST:
    torch.manual_seed(0)
    net = MAEST(input_t=125, n_classes=6, embed_dim=32, depth=2, num_heads=4, labels=LABELS, init_std=0.2)
    return net.eval()


def wave(seconds, seed=0):
    return tune(seconds, 16000, 1, seed)[:, 0]


# ---- one recording
@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.99, 2.0, 2.01, 2.1, 7.0, 9.999])
def test_every_second_is_heard(model, seconds):
    found = model.tag(wave(seconds), 16000)
    assert found.duration == pytest.approx(seconds, abs=1 / 16000)
    assert found.times[0, 0] == 0
    assert found.times[-1, 1] == pytest.approx(found.duration, abs=0.033)
    assert (found.times[1:, 0] <= found.times[:-1, 1] + 1e-6).all()
    bounds = found.bounds()
    assert bounds[0] == 0
    assert bounds[-1] == pytest.approx(seconds, abs=0.01)
    assert (np.diff(bounds) > 0).all()


@pytest.mark.parametrize(("seconds", "windows"), [(1.9, 1), (2.0, 1), (2.01, 1), (2.1, 2), (8.0, 4), (8.01, 4), (8.1, 5)])
def test_a_clip_of_whole_windows_makes_no_more_of_them(model, seconds, windows):
    assert len(model.tag(wave(seconds), 16000).windows) == windows


def test_probabilities_are_the_networks_own(model):
    samples = wave(4.5)
    found = model.tag(samples, 16000)
    with torch.no_grad():
        mel = model.melspectrogram(torch.from_numpy(samples[None]))
        want = [model.probabilities(mel[..., s : s + 125])[0] for s in (0, 125, mel.shape[-1] - 125)]
    np.testing.assert_allclose(found.windows, torch.stack(want).numpy(), atol=1e-5)
    seconds = found.times[:, 1] - found.times[:, 0]
    np.testing.assert_allclose(found.probabilities, (found.windows * seconds[:, None]).sum(0) / seconds.sum(), atol=1e-6)


def test_a_finer_hop_hears_more_often(model):
    found = model.tag(wave(6.0), 16000, hop_seconds=0.5)
    np.testing.assert_allclose(np.diff(found.times[:-1, 0]), 31 / 62.5, atol=1e-5)
    coarse = model.tag(wave(6.0), 16000)
    np.testing.assert_allclose(found.windows[0], coarse.windows[0], atol=1e-5)


def test_top_and_genres():
    windows = np.array([[0.1, 0.5, 0.2, 0.1, 0.0, 0.9], [0.1, 0.7, 0.4, 0.1, 0.0, 0.9]], np.float32)
    found = tagging.Tagged(LABELS, windows, np.array([[0, 2], [2, 3]], np.float32), 3.0, np.zeros((2, 96)))
    assert [name for name, _ in found.top(3)] == ["Noise", "Rock---Indie", "Jazz---Bop"]
    assert dict(found.top(2))["Rock---Indie"] == pytest.approx((0.5 * 2 + 0.7) / 3)
    assert [name for name, _ in found.genres()] == ["Rock", "Jazz", "Folk"]
    assert dict(found.genres())["Jazz"] == pytest.approx((0.2 * 2 + 0.4) / 3)
    assert len(found.top(100)) == 6


def test_overlapping_windows_share_their_overlap():
    times = np.array([[0, 4], [4, 8], [5, 9]], np.float32)
    found = tagging.Tagged(["a"], np.zeros((3, 1)), times, 9.0, np.zeros((1, 96)))
    assert found.bounds().tolist() == [0, 4, 6.5, 9]


def test_own_weights_have_no_card_and_published_ones_do(model):
    from dataclasses import replace

    assert model.tag(wave(1), 16000).licence is None
    model.card = replace(models.get_card("discogs-maest-10s-pw-129e"))
    try:
        found = model.tag(wave(1), 16000)
    finally:
        del model.card
    assert found.model == "discogs-maest-10s-pw-129e"
    assert "NC" in found.licence


# ---- many
def test_many_files_of_any_kind_are_as_each_alone(model, tmp_path):
    paths = [
        write(tmp_path / "a b" / "48k stereo.wav", tune(5.3, 48000, 2, 1), 48000),
        write(tmp_path / "8k.flac", tune(3.0, 8000, 1, 2), 8000),
        tmp_path / "absent.wav",
        write(tmp_path / "192k.wav", tune(2.5, 192000, 2, 3), 192000),
        write(tmp_path / "ünï\ncode.ogg", tune(1.0, 44100, 2, 4), 44100),
        write(tmp_path / "silence.wav", np.zeros((16000 * 3, 1), np.float32), 16000),
    ]
    (tmp_path / "broken.mp3").write_bytes(b"not audio" * 100)
    paths.insert(1, tmp_path / "broken.mp3")
    found = list(tagging.tag_many(model, paths, batch_size=3))
    assert [isinstance(f, AudioError) for f in found] == [False, True, False, True, False, False, False]
    assert "broken.mp3" in str(found[1])
    for path, one in zip(paths, found):
        if not isinstance(one, AudioError):
            alone = model.tag(path)
            np.testing.assert_allclose(one.windows, alone.windows, atol=1e-5)
            np.testing.assert_array_equal(one.times, alone.times)
            np.testing.assert_array_equal(one.overview, alone.overview)
    assert np.isfinite(found[-1].windows).all()
    assert found[-1].overview.max() == pytest.approx(0, abs=1e-5)


def test_a_file_that_breaks_in_the_middle_takes_nothing_of_the_others(model, tmp_path):
    def breaking(seconds):
        yield wave(seconds)
        raise AudioError("cut off")

    good = wave(5)
    plain, model.audio_blocks = (
        model.audio_blocks,
        lambda source, rate: breaking(5) if isinstance(source, str) else plain(source, rate),
    )
    try:
        found = list(tagging.tag_many(model, ["bad", good, "bad"], 16000, batch_size=4))
    finally:
        del model.audio_blocks
    assert [isinstance(f, AudioError) for f in found] == [True, False, True]
    np.testing.assert_allclose(found[1].windows, model.tag(good, 16000).windows, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=12))
def test_an_overview_is_bounded_and_keeps_the_mean(sizes):
    overview, rng = _Columns(3), np.random.default_rng(0)
    pieces = [rng.random((3, n)).astype(np.float32) for n in sizes]
    assert all(a is b for a, b in zip(overview.watch(pieces), pieces))
    columns = overview.columns()
    n = sum(sizes)
    assert columns.shape == (min(-(-n // overview._per_column), columns.shape[0]), 3)
    assert columns.shape[0] <= 2 * OVERVIEW_COLUMNS
    whole = np.concatenate(pieces, axis=1)
    per = overview._per_column
    want = np.stack([whole[:, i : i + per].mean(axis=1) for i in range(0, n, per)])
    np.testing.assert_allclose(columns, want, atol=1e-5)


@pytest.mark.parametrize(("kind", "short", "long"), [("model", 2, 8), ("reader", 1, 4)])
def test_memory_does_not_grow_with_length(kind, short, long, request, monkeypatch):
    network = request.getfixturevalue(kind)

    second = wave(1.0)

    def peak(minutes):
        monkeypatch.setattr(
            network, "audio_blocks", lambda source, rate: (second.copy() for _ in range(60 * minutes)), raising=False
        )
        nothing = torch.zeros(8, len(network.label_names))
        monkeypatch.setattr(network, "window_probabilities", lambda windows: nothing[: len(windows)], raising=False)
        gc.collect()
        tracemalloc.start()
        network.tag("any", hop_seconds=2)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(1)
    assert peak(long) < peak(short) + 2e6


@pytest.mark.parametrize(("kwargs", "words"), [({"hop_seconds": 0.001}, "one mel frame"), ({"batch_size": 0}, "1 or more")])
def test_refusals(model, kwargs, words):
    with pytest.raises(ValueError, match=words):
        model.tag(wave(1), 16000, **kwargs)


def test_load_model_in_one_line(model, tmp_path):
    models.export_model(model, tmp_path / "own")
    found = models.load_model(tmp_path / "own").tag(write(tmp_path / "song.wav", tune(3), 44100)).top(2)
    assert {name for name, _ in found} <= set(LABELS)
    with pytest.raises(ValueError, match="Did you mean"):
        models.load_model("maest_3s")


# ---- networks that read samples
@pytest.fixture(scope="module")
def reader() -> SampleCNN:
    """A window of 6561 samples, 0.41 s at 16 kHz."""
    torch.manual_seed(0)
    net = SampleCNN([4, 6, 6, 6, 6, 6, 6, 8, 8], [3] * 7, out_dim=3, labels=["a", "b", "c"], sample_rate=16000)
    net.fc.weight.data.mul_(20)
    return net.eval()


@pytest.mark.parametrize(
    ("samples", "windows"), [(100, 1), (6561, 1), (6561 + 65, 1), (6561 + 66, 2), (3 * 6561, 3), (3 * 6561 + 6000, 4)]
)
def test_a_network_that_reads_samples_hears_every_second(reader, samples, windows):
    found = reader.tag(wave(samples / 16000)[:samples], 16000)
    assert found.windows.shape == (windows, 3)
    assert (found.labels, found.duration) == (["a", "b", "c"], samples / 16000)
    assert found.times[0, 0] == 0
    assert found.times[-1, 1] == pytest.approx(samples / 16000, abs=0.01 * 6561 / 16000)


def test_its_probabilities_are_the_sigmoids_of_its_logits(reader, tmp_path):
    samples = wave(1.0)
    want = torch.stack([torch.from_numpy(samples[k : k + 6561]) for k in (0, 6561, len(samples) - 6561)])
    with torch.no_grad():
        np.testing.assert_allclose(reader.tag(samples, 16000).windows, reader(want).sigmoid().numpy(), atol=1e-6)
    paths = [write(tmp_path / f"{k}.wav", tune(0.7 + k, 16000, 1, k), 16000) for k in range(3)]
    for path, one in zip(paths, tagging.tag_many(reader, paths, batch_size=2)):
        np.testing.assert_allclose(one.windows, reader.tag(path).windows, atol=1e-6)


def test_its_picture_is_a_mel_of_the_samples(reader, monkeypatch):
    """The same whatever the blocks, silent where there is silence, as long as the recording."""
    samples = np.concatenate([np.zeros(32000, np.float32), wave(65.0)])
    overview = reader.tag(samples, 16000).overview
    assert overview.shape[1] == 96
    assert 1000 <= len(overview) <= 2000
    silent = int(len(overview) * 32000 / len(samples))
    assert np.abs(overview[: silent - 1]).max() == 0
    assert overview[silent + 1 :].max(axis=1).min() > 0
    monkeypatch.setattr(reader, "audio_blocks", lambda source, rate: iter(np.array_split(samples, 7)), raising=False)
    pieces = reader.tag("any").overview
    assert len(pieces) == len(overview)
    assert np.abs(pieces - overview).mean() < 0.01


def test_a_network_without_classes_has_nothing_to_tell(reader):
    bare = SampleCNN([4, 6, 8], [3], out_dim=None)
    with pytest.raises(ValueError, match="no head"):
        bare.tag(wave(1), 16000)
    with pytest.raises(ValueError, match="one sample"):
        reader.tag(wave(1), 16000, hop_seconds=1e-6)


# ---- working ahead
def test_ahead_keeps_order_and_works_ahead():
    made, go = [], threading.Event()

    def items():
        for i in range(5):
            made.append(i)
            if i == 2:
                go.set()
            yield i

    stream = ahead(items(), depth=2)
    assert next(stream) == 0
    assert go.wait(5)  # the third is made though only one was asked for
    assert [0, *stream] == [0, 1, 2, 3, 4]


def test_ahead_raises_in_place_and_ends_when_left():
    def items():
        yield 1
        raise AudioError("here")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(AudioError, match="here"):
        next(stream)
    endless = ahead(iter(int, 1))
    next(endless)
    endless.close()
    assert not [t for t in threading.enumerate() if t.name == "ahead"]
