"""mirdata's data sets, by a small stand-in with the names of its public interface."""

from __future__ import annotations

import sys
import types

import pytest

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.mirdata_adapter import from_mirdata, main
from models.errors import GroundtruthError


class Track:
    def __init__(self, path, genre, artist="x"):
        self.audio_path, self.genre, self.artist = path, genre, artist


class Dataset:
    """track_ids, load_tracks(), track(), get_track_splits(), data_home, as mirdata.core.Dataset has them."""

    def __init__(self, home, splits=None):
        self.data_home = str(home)
        self._splits = splits
        self._tracks = {
            "1": Track(f"{home}/audio/rock/1.wav", "rock"),
            "2": Track(f"{home}/audio/jazz/2.wav", ["jazz", "slow"], "y"),
            "3": Track(f"{home}/audio/3.wav", None),
            "4": Track(None, "rock"),
        }
        self.track_ids = list(self._tracks)

    def load_tracks(self):
        return self._tracks

    def track(self, track_id):
        return self._tracks[track_id]

    def get_track_splits(self):
        if self._splits is None:
            raise NotImplementedError
        return self._splits


def rows(truth):
    return {key: [label for label, on in zip(truth.labels, truth.row(i)) if on] for i, key in enumerate(truth.keys)}


def test_groundtruth_and_paths(tmp_path, caplog):
    truth, paths = from_mirdata(Dataset(tmp_path), "genre", group="artist")
    assert rows(truth) == {"audio/rock/1.wav": ["rock"], "audio/jazz/2.wav": ["jazz", "slow"], "audio/3.wav": []}
    assert (truth.group, truth.split) == (["x", "y", "x"], None)
    assert paths["audio/3.wav"] == tmp_path / "audio/3.wav"
    assert "1 tracks of Dataset have no audio_path" in caplog.text
    loud, _ = from_mirdata(Dataset(tmp_path), lambda track: "loud" if track.genre == "rock" else "soft")
    assert loud.labels == ["loud", "soft"]


def test_its_own_splits_are_taken_when_they_name_every_track(tmp_path, caplog):
    truth, _ = from_mirdata(Dataset(tmp_path, {"train": ["1"], "validation": ["2"], "test": ["3", "4"]}), "genre")
    assert truth.split == ["train", "val", "test"]
    truth, _ = from_mirdata(Dataset(tmp_path, {"train": ["1"], "test": ["2"]}), "genre")
    assert truth.split is None
    assert "1 of 3 tracks are in none" in caplog.text


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(GroundtruthError, match=r"no 'mood'; they have 'artist', 'audio_path', 'genre'"):
        from_mirdata(Dataset(tmp_path), "mood")
    with pytest.raises(GroundtruthError, match="got a dict"):
        from_mirdata(Dataset(tmp_path), lambda track: {"a": 1})
    outside = Dataset(tmp_path)
    outside.data_home = str(tmp_path / "elsewhere")
    with pytest.raises(GroundtruthError, match="not under the data set's folder"):
        from_mirdata(outside, "genre")


def test_the_command_writes_a_table(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "mirdata", None)
    words = ["gtzan", "--data-home", str(tmp_path), "--label", "genre", "--out", str(tmp_path / "labels.csv")]
    assert main(words) == 2
    assert "pip install mirdata" in caplog.text
    fake = types.SimpleNamespace(list_datasets=lambda: ["gtzan_genre"], initialize=lambda name, data_home: Dataset(data_home))
    monkeypatch.setitem(sys.modules, "mirdata", fake)
    assert main(words) == 2
    assert "Did you mean 'gtzan_genre'" in caplog.text
    assert main(["gtzan_genre", *words[1:]]) == 0
    assert rows(Groundtruth.read(tmp_path / "labels.csv"))["audio/jazz/2.wav"] == ["jazz", "slow"]
