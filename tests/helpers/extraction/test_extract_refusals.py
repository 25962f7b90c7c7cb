"""What an extraction refuses: stores, outputs and settings that do not fit, and values that are not finite."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from datasets.store.track_store import TrackStore
from helpers.extraction.extract import ExtractionSettings, extract_embeddings, extract_logits
from helpers.extraction.job import Job
from models.errors import ConfigError, StoreError
from tests.helpers.extraction.small_extraction import ATTRS, FRAMES, mel_store, network


def test_names_that_would_leave_the_folder_are_refused(tmp_path):
    with TrackStore.create(tmp_path / "mels.h5", (96,), "float16", ATTRS) as writer:
        writer.append("../../evil.flac", np.ones((48, 96), np.float16))
        writer.seal()
    with pytest.raises(StoreError, match="cannot be file names"):
        extract_embeddings(network(), tmp_path / "mels.h5", tmp_path / "out", [1], settings=ExtractionSettings(format="npy"))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["mels.h5"]


def test_other_data_under_the_same_names_are_refused(mels, tmp_path):
    net, other = network(), tmp_path / "other"
    other.mkdir()
    longer = mel_store(other, frames=(*FRAMES[:6], 200, *FRAMES[7:]))
    for kind in (extract_logits, lambda *arguments: extract_embeddings(*arguments, [0])):
        kind(net, mels, tmp_path / "out")
        with pytest.raises(
            StoreError, match=r"has 2 windows of 'a/6.flac', .*gives 5, and so of 1 of 8 tracks: it was made of other data"
        ):
            kind(net, longer, tmp_path / "out")


@pytest.mark.parametrize("format", ["store", "npy"])
def test_other_sound_of_the_same_names_and_lengths_is_refused(mels, tmp_path, format):
    """A collection whose files have the same names, or a file that was replaced: vectors of the old sound are not passed off as the new one's."""
    net, other, settings = network(), tmp_path / "other", ExtractionSettings(format=format)
    other.mkdir()
    store = TrackStore.open(mels)
    with TrackStore.create(other / "mels.h5", (96,), "float16", store.attrs) as writer:
        for k, name in enumerate(store.names):
            writer.append(name, store.read(name)[::-1] if k == 2 else store.read(name))
        writer.seal()
    extract_embeddings(net, mels, tmp_path / "out", [0], settings=settings)
    assert extract_embeddings(net, mels, tmp_path / "out", [0], settings=settings).n_new == 0
    with pytest.raises(StoreError, match=rf"other vectors of '{re.escape(store.names[2])}' .*made of other sound"):
        extract_embeddings(net, other / "mels.h5", tmp_path / "out", [0], settings=settings)


class TestRefusals:
    @pytest.mark.parametrize(
        ("attrs", "match"),
        [
            ({"front_end": "maest-torch"}, "front_end"),
            ({"sample_rate": 24000}, "sample_rate"),
            ({"kind": "embeddings"}, "kind"),
            ({"hop": 160}, "hop"),
        ],
    )
    def test_a_store_of_another_front_end(self, tmp_path, attrs, match):
        path = mel_store(tmp_path, attrs={**ATTRS, **attrs})
        with pytest.raises(StoreError, match=match):
            extract_embeddings(network(), path, tmp_path / "out", [1])
        assert not (tmp_path / "out").exists()

    def test_output_of_other_settings_or_weights(self, mels, tmp_path):
        extract_embeddings(network(), mels, tmp_path / "out", [1], settings=ExtractionSettings(batch_size=4))
        for change, match in (({"tail": "shift"}, "tail"), ({"half_overlap": True}, "hop_frames"), ({"model": "other"}, "model")):
            with pytest.raises(StoreError, match=match):
                extract_embeddings(network(), mels, tmp_path / "out", [1], ExtractionSettings(**change))
        with pytest.raises(StoreError, match="weights_sha256"):
            extract_embeddings(network(seed=1), mels, tmp_path / "out", [1])
        with pytest.raises(StoreError, match="float16"):
            extract_embeddings(network(), mels, tmp_path / "out", [1], settings=ExtractionSettings(dtype="float16"))
        extract_embeddings(
            network(), mels, tmp_path / "out", [1], settings=ExtractionSettings(batch_size=7)
        )  # not a setting of the result
        extract_embeddings(network(), mels, tmp_path / "few", [1], names=["a/1.flac"])
        with pytest.raises(
            StoreError, match="lacks 7 of the 8 tracks asked for: it was made of other data. Give each collection"
        ):
            extract_embeddings(network(), mels, tmp_path / "few", [1])

    def test_unsealed_output_of_other_weights(self, mels, tmp_path, monkeypatch):
        with monkeypatch.context() as patched:
            patched.setattr(Job, "_forward", lambda *a: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                extract_embeddings(network(), mels, tmp_path / "out", [1])
        with pytest.raises(StoreError, match="weights_sha256"):
            extract_embeddings(network(seed=1), mels, tmp_path / "out", [1])
        assert extract_embeddings(network(), mels, tmp_path / "out", [1]).n_new == len(FRAMES)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"blocks": [3]}, "Blocks \\[3\\] .* 0 to 2"),
            ({"blocks": []}, "Blocks none"),
            ({"clip_frames": 500}, "Windows of 500 frames"),
            ({"tail": "cut"}, "tail is 'cut'"),
            ({"batch_size": 0}, "batch_size is 0"),
            ({"precision": "16-true"}, "16-true' is not known"),
            ({"dtype": "int8"}, "dtype is 'int8'"),
            ({"format": "csv"}, "format is 'csv'"),
            ({"pool": "mean"}, "pool is for format npy"),
            ({"format": "npy", "pool": "max"}, "pool is 'max'"),
        ],
    )
    def test_settings(self, mels, tmp_path, change, match):
        change = dict(change)
        blocks = change.pop("blocks", [1])
        with pytest.raises(ConfigError, match=match):
            extract_embeddings(network(), mels, tmp_path / "out", blocks, ExtractionSettings(**change))
        assert not (tmp_path / "out").exists()

    def test_values_that_are_not_finite_name_the_track(self, mels, tmp_path):
        net = network()
        with torch.no_grad():
            net.blocks[0].mlp.fc1.bias[0] = float("nan")
        with pytest.raises(StoreError, match=r"NaN or infinite values for 'a/0\.flac'"):
            extract_embeddings(net, mels, tmp_path / "out", [1])

    def test_float16_does_not_overflow_silently(self, mels, tmp_path):
        net = network()
        with torch.no_grad():
            net.cls_token.fill_(1e5)
        with pytest.raises(StoreError, match="more than float16 holds"):
            extract_embeddings(net, mels, tmp_path / "out", [0], settings=ExtractionSettings(dtype="float16"))
