"""Clips that do not fill a window, of families that take any length: their vectors are of their own samples, whichever way they are asked for."""

from __future__ import annotations

import copy
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datasets.store.track_store import TrackStore
from helpers.extraction.extract import ExtractionSettings, extract_embeddings, extract_logits
from models import hear, onnx_windows, registry
from models.backends import with_backend
from models.encoder import AudioEncoder
from models.errors import ConfigError
from models.finetune import fine_tuned
from tests.models.small_networks import SMALL

FAMILIES = ("mert", "music2vec", "musicfm", "omar_rq")


@pytest.fixture(scope="module", params=FAMILIES)
def net(request) -> AudioEncoder:
    name, settings = SMALL[request.param]
    torch.manual_seed(3)
    return registry.family_package(request.param).build(name, pretrained=False, **settings).eval()


def clip(samples: int, sounds: int = 1) -> torch.Tensor:
    x = np.random.default_rng(samples).uniform(-0.5, 0.5, (sounds, samples)).astype(np.float32)
    return torch.from_numpy(x + 0.2)  # an offset, which silence around it would not have


def test_these_families_and_no_others_take_any_length():
    said = {
        name
        for name in registry.FAMILIES
        if registry.family_package(name).build(SMALL[name][0], pretrained=False, **SMALL[name][1]).own_lengths
    }
    assert said == set(FAMILIES)


def own(net: AudioEncoder, x: torch.Tensor) -> np.ndarray:
    """Means of the last layer over a clip's own vectors, [sounds, C]."""
    return net.extract_embeddings(x, [-1])[0].mean(dim=1).numpy()


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_recordings_vector_is_of_its_own_samples(net, share):
    n = round(share * net.window_length)
    x = clip(n)
    found = net.embed(x[0].numpy(), net.sample_rate)
    np.testing.assert_allclose(found.vectors[:, 0], own(net, x), atol=1e-5)
    np.testing.assert_allclose(found.times, [[0, n / net.sample_rate]], rtol=1e-5)
    padded = torch.nn.functional.pad(x, ((net.window_length - n) // 2, net.window_length - n - (net.window_length - n) // 2))
    assert np.abs(own(net, padded) - own(net, x)).max() > 1e-3  # what it was


def test_so_is_the_end_of_a_longer_one(net):
    n = round(2.4 * net.window_length)
    x = clip(n)
    for batch in (1, 8):
        found = net.embed(x[0].numpy(), net.sample_rate, batch_size=batch).vectors[:, 0]
        whole = own(net, x[:, : 2 * net.window_length].reshape(2, -1))
        np.testing.assert_allclose(found, [*whole, *own(net, x[:, 2 * net.window_length :])], atol=1e-5)


def test_hear_hears_no_silence_around_a_sound(net):
    model, n = hear.HearModel(net, -1), round(0.4 * net.window_length)
    model.sample_rate = net.sample_rate
    x = clip(n, 3)
    np.testing.assert_allclose(hear.get_scene_embeddings(x, model), own(net, x), atol=1e-5)
    vectors, times = hear.get_timestamp_embeddings(x, model)
    torch.testing.assert_close(vectors, net.extract_embeddings(x, [-1])[0], atol=1e-5, rtol=0)
    assert (times >= 0).all()
    assert (times <= 1000 * n / net.sample_rate).all()
    for i in range(3):
        np.testing.assert_allclose(hear.get_scene_embeddings(x[i : i + 1], model)[0], own(net, x)[i], atol=1e-5)


def test_a_clip_shorter_than_what_one_vector_sees_stands_in_that_much(net):
    least = net.window_range[0]
    x = clip(least - 101)
    around = torch.nn.functional.pad(x, (50, 51))
    np.testing.assert_allclose(net.embed(x[0].numpy(), net.sample_rate).vectors[:, 0], own(net, around), atol=1e-5)


@pytest.fixture(scope="module")
def stored(net, tmp_path_factory):
    """Tracks of unlike length, and the samples of each."""
    path = tmp_path_factory.mktemp("short") / "w.h5"
    length = net.window_length
    lengths = {
        "a": length // 3,
        "b": 2 * length + length // 2,
        "c": length,
        "d": length // 3,
        "e": length // 2,
        "f": net.window_range[0] - 7,
    }
    samples = {name: clip(n)[0].numpy() for name, n in lengths.items()}
    with TrackStore.create(path, (), "float32", dict(net.stored)) as writer:
        for name, x in samples.items():
            writer.append(name, x)
        writer.seal()
    return path, samples


@pytest.mark.parametrize("batch", [1, 4])
def test_extraction_stores_what_embed_gives(net, stored, tmp_path, batch):
    path, samples = stored
    last = net.depth - 1
    settings = ExtractionSettings(batch_size=batch, precision="32", tail="pad")
    found = TrackStore.open(extract_embeddings(net, path, tmp_path / "out", [last], settings).paths[last])
    assert found.attrs["short_windows"] == "own length"
    for name, x in samples.items():
        np.testing.assert_allclose(found.read(name), net.embed(x, net.sample_rate).vectors[:, 0], atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
def test_classes_are_judged_in_whole_windows_as_tag_does(net, stored, tmp_path, batch):
    path, samples = stored
    tuned = fine_tuned(copy.deepcopy(net), ["a", "b"], 1, "bce", "tags", hidden=6).eval()
    with torch.no_grad():
        for weight in tuned.task_head.parameters():  # a fresh head gives no logits
            weight += 0.01
    settings = ExtractionSettings(batch_size=batch, precision="32", tail="shift")
    found = TrackStore.open(extract_logits(tuned, path, tmp_path / "out", settings).paths["logits"])
    assert "short_windows" not in found.attrs
    for name, x in samples.items():
        heard = tuned.tag(x, net.sample_rate).windows
        np.testing.assert_allclose(1 / (1 + np.exp(-found.read(name))), heard, atol=1e-5)
    short = tuned.window_logits(torch.from_numpy(samples["a"])[None]).detach().numpy()
    assert np.abs(found.read("a") - short).max() > 1e-3  # what it was


class Graph:
    """A session of a graph of one length, as torch computes it."""

    def __init__(self, network, sha256, layers, int8, kept):
        self.network, self.layers = network, layers

    def get_inputs(self):
        return [SimpleNamespace(shape=["batch", self.network.window_length])]

    def run(self, names, given):
        with torch.autocast("cpu", enabled=False):
            return [x.numpy() for x in self.network.summaries(torch.from_numpy(given["windows"]), self.layers)]


def check_on_onnx(net, backend, stored, out, caplog):
    """Extract with a backend: vectors are `embed`'s, though the precision of torch is another, and torch's part is said once. Returns the network."""
    path, samples = stored
    last, backed = net.depth - 1, with_backend(net, backend)
    settings = ExtractionSettings(batch_size=4, precision="bf16-mixed", tail="pad")
    with caplog.at_level(logging.INFO, "models.onnx_windows"):
        found = TrackStore.open(extract_embeddings(backed, path, out, [last], settings).paths[last])
    assert caplog.text.count("shorter than a window is computed by torch, in float32") == 1
    assert found.attrs["short_windows"] == "own length"
    for name, x in samples.items():
        np.testing.assert_allclose(found.read(name), net.embed(x, net.sample_rate).vectors[:, 0], atol=1e-5)
    return backed


@pytest.mark.parametrize("backend", ["onnx", "onnx-int8"])
def test_so_it_does_where_onnx_runtime_computes_whole_windows(net, stored, tmp_path, monkeypatch, caplog, backend):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnx_windows, "_session", Graph)
    backed = check_on_onnx(net, backend, stored, tmp_path / "out", caplog)
    assert ("computes in 8 bits" in caplog.text) == (
        backend == "onnx-int8"
    )  # beside a whole window, though a short one came first
    settings = ExtractionSettings(clip_frames=net.window_length - 1)
    with pytest.raises(ConfigError, match=f"takes windows of {net.window_length}, and these are {net.window_length - 1}"):
        extract_embeddings(backed, stored[0], tmp_path / "other", [0], settings)
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.parametrize("net", ["mert"], indirect=True)
def test_so_it_does_by_a_graph_of_torchs_exporter(net, stored, tmp_path, monkeypatch, caplog):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("MAEST_CACHE", str(tmp_path / "cache"))
    check_on_onnx(net, "onnx", stored, tmp_path / "out", caplog)


@pytest.mark.parametrize("batch", [1, 4])
def test_vectors_in_time_of_a_short_track_are_its_own_at_their_times(net, stored, tmp_path, batch):
    path, samples = stored
    last = net.depth - 1
    settings = ExtractionSettings(batch_size=batch, precision="32", tail="shift", frames=True)
    made = extract_embeddings(net, path, tmp_path / "out", [last], settings).paths[last]
    vectors, times = TrackStore.open(made), TrackStore.open(made.parent / "times")
    for name in "ae":
        want = net.extract_embeddings(torch.from_numpy(samples[name])[None], [last])[0, 0].numpy()
        centres = net.moment_times(len(want), len(samples[name]), last)
        kept = (centres >= 0) & (centres < len(samples[name]) / net.sample_rate)
        np.testing.assert_allclose(vectors.read(name), want[kept], atol=1e-5)
        np.testing.assert_allclose(times.read(name).mean(axis=1), centres[kept], atol=1e-6)
    assert vectors.lengths[vectors.index("f")] == 1
