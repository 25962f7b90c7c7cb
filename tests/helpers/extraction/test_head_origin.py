"""A head says which encoder's which layer it was trained on, and is refused behind any other."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.store.track_store import TrackStore
from helpers.evaluation.comparison import compare_systems
from helpers.extraction.extract import ExtractionSettings, extract_embeddings
from helpers.extraction.origin import origin_of, random_notes
from helpers.probe.protocol import Protocol
from helpers.probe.run import ProbeSettings
from models.clmr import SampleCNN
from models.errors import ConfigError
from models.weights.head_origin import LAYER, SHA, check_origin, weights_sha256


@pytest.fixture
def encoder():
    torch.manual_seed(3)
    return SampleCNN(channels=[4, 4, 8, 8], strides=[3, 3], out_dim=None).eval()


@pytest.fixture
def waves(tmp_path):
    rng = np.random.default_rng(0)
    with TrackStore.create(
        tmp_path / "w.h5", (), "int16", {"kind": "waveform", "sample_rate": 22050, "full_scale": 32768}
    ) as writer:
        for i in range(12):
            writer.append(f"{i}.wav", rng.integers(-9000, 9000, 60).astype(np.int16))
        writer.seal()
    return tmp_path / "w.h5"


@pytest.mark.parametrize("format", ["store", "npy"])
def test_embeddings_say_where_they_come_from(encoder, waves, tmp_path, format):
    done = extract_embeddings(encoder, waves, tmp_path / "out", [2, 3], settings=ExtractionSettings(format=format))
    assert origin_of(tmp_path / "out" / "3") == {SHA: weights_sha256(encoder), LAYER: "3"}
    assert origin_of(tmp_path / "out", [2, 3]) == {SHA: weights_sha256(encoder), LAYER: "2,3"}
    assert len(done.paths) == 2
    assert origin_of(tmp_path) == {}
    assert random_notes(tmp_path / "out" / "3") == random_notes(None) == random_notes(tmp_path) == []
    random = ExtractionSettings(format=format, model="RANDOM weights")
    extract_embeddings(encoder, waves, tmp_path / "random", [3], settings=random)
    assert random_notes(tmp_path / "random" / "3") == random_notes(tmp_path / "random", [3]) != []


def saved(path, **about):
    save_file({"layers.0.weight": torch.zeros(2, 8), "layers.0.bias": torch.zeros(2)}, path, metadata=about)
    return path


def test_a_head_is_refused_behind_another_encoder_or_layer(encoder, tmp_path, caplog):
    own = {SHA: weights_sha256(encoder)}
    for layer in ("3", "-1"):
        check_origin(saved(tmp_path / "head.safetensors", **own, **{LAYER: layer}), lambda: encoder, "ENC")
    with pytest.raises(ConfigError, match=r"trained on layer 2; .*layer, 3.*transformer_block=3"):
        check_origin(saved(tmp_path / "head.safetensors", **own, **{LAYER: "2"}), lambda: encoder, "ENC")
    with pytest.raises(ConfigError, match=r"trained on layer 2,3"):
        check_origin(saved(tmp_path / "head.safetensors", **own, **{LAYER: "2,3"}), lambda: encoder, "ENC")
    with pytest.raises(ConfigError, match=r"other weights \(sha256 ffff.*ENC"):
        check_origin(saved(tmp_path / "head.safetensors", **{SHA: "f" * 64, LAYER: "3"}), lambda: encoder, "ENC")
    with caplog.at_level(logging.INFO):
        check_origin(saved(tmp_path / "old.safetensors", labels="a\nb"), lambda: encoder, "ENC")
    assert "old.safetensors does not say which encoder" in caplog.text


def test_the_file_of_a_probe_carries_it(encoder, waves, tmp_path):
    extract_embeddings(encoder, waves, tmp_path / "out", [3])
    names = [f"{i}.wav" for i in range(12)]
    packed = np.packbits(np.tile([[True, False], [False, True]], (2, 1)), axis=1)
    truths = {part: Groundtruth(names[k : k + 4], ["a", "b"], packed) for part, k in (("train", 0), ("val", 4), ("test", 8))}
    _, results = compare_systems(
        {"probe": tmp_path / "out" / "3"}, truths, Protocol(ProbeSettings(max_epochs=1, num_layers=1), seeds=(0,))
    )
    results["probe"].save(tmp_path / "run")
    with safe_open(tmp_path / "run" / "head.safetensors", "pt") as file:
        about = file.metadata()
    assert (about[SHA], about[LAYER]) == (weights_sha256(encoder), "3")
    settings = json.loads((tmp_path / "run" / "scores.json").read_text())["settings"]
    assert settings[SHA] == about[SHA]
