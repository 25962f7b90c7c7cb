"""Which tracks a training heard: by name and length, kept beside the checkpoints, added up over trainings."""

from __future__ import annotations

import numpy as np

from datasets.store.track_store import TrackStore
from helpers.data.heard import FILE, Heard, heard_of, read_heard, track_marks


def store_of(path, lengths):
    with TrackStore.create(path, (4,), "float32", {"kind": "mel"}) as writer:
        for name, n in lengths.items():
            writer.append(name, np.zeros((n, 4), dtype=np.float32))
        writer.seal()
    return TrackStore.open(path)


def test_tracks_are_known_again_by_name_and_length(tmp_path):
    store = store_of(tmp_path / "a.h5", {"a/1.wav": 5, "a/2.wav": 6, "b/1.wav": 7, "b/2.wav": 5})
    heard = heard_of({"train": (store, np.array([0, 1])), "val": (store, np.array([2]))}, labelled=True)
    run = tmp_path / "1"
    (run / "checkpoints").mkdir(parents=True)
    heard.write(run)
    read = read_heard(run / "checkpoints" / "best.ckpt")
    assert read is not None
    assert read.labelled
    names = ["a/1.flac", "a/2.wav", "b/1.wav", "b/2.wav", "a/2.wav"]
    assert read.among(names, np.array([5, 6, 7, 5, 60])) == {"train": ["a/1.flac", "a/2.wav"], "val": ["b/1.wav"]}


def test_a_training_that_went_on_from_weights_heard_both(tmp_path):
    first = Heard(train=track_marks(["x"], [1]), labelled=True)
    second = Heard(train=track_marks(["y"], [1]), val=track_marks(["x"], [1])).joined(first)
    assert second.labelled
    assert second.among(["x", "y", "z"], np.ones(3)) == {"train": ["x", "y"], "val": []}
    assert second.joined(None) is second


def test_weights_without_a_record_say_nothing_and_a_damaged_one_is_told(tmp_path, caplog):
    assert read_heard(None) is None
    assert read_heard(tmp_path / "model.safetensors") is None
    (tmp_path / FILE).write_bytes(b"no archive")
    assert read_heard(tmp_path / "best.ckpt") is None
    assert "which tracks these weights have heard is not known" in caplog.text
