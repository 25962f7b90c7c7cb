"""TrackDataModule: teachers, absent tracks, and what is refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.loading.clips import WindowRule
from datasets.store.track_store import TrackStore
from models.errors import ConfigError, GroundtruthError, StoreError
from tests.datasets.loading.clip_data import M, flat, make_data, module


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def test_a_store_of_another_front_end_is_refused(data):
    dm = module(data, require={"kind": "mel", "front_end": "omar-rq"})
    with pytest.raises(StoreError, match="front_end is 'maest-essentia', 'omar-rq' is wanted"):
        dm.setup("fit")


def test_absent_tracks_are_counted_listed_and_left_out(data, caplog):
    more = Groundtruth.from_rows(["gone/x.mp3", "00.mp3", "gone/y.mp3"], [["a"], ["b"], ["c"]])
    dm = module(data, train=more, val=None)
    with caplog.at_level(logging.WARNING, "datasets.loading.datamodule"):
        dm.setup("fit")
    assert "2 of 3 tracks of the groundtruth are not in" in caplog.text
    assert "'gone/x.mp3', 'gone/y.mp3'" in caplog.text
    batches = list(dm.train_dataloader())
    assert flat(batches, "index").tolist() == [1]
    assert batches[0]["y"].tolist() == [[0, 1, 0]]
    with pytest.raises(
        GroundtruthError, match=r"None of the 1 tracks of the train groundtruth is in .*like '00\.flac'.*like 'gone/x\.mp3'"
    ):
        module(data, train=more.subset([0]), val=None).setup("fit")


def test_splits_with_other_labels_are_refused(data):
    other = Groundtruth.from_rows(["00.mp3"], [["z"]])
    with pytest.raises(GroundtruthError, match="labels of val"):
        module(data, val=other).setup("fit")


def teacher(folder, lengths, tracks, n_labels=3, **attrs):
    rule = WindowRule(M, M)
    folder.mkdir(exist_ok=True)
    attrs = {"kind": "logits", "sample_rate": 16000, **rule.attrs(), **attrs}
    with TrackStore.create(folder / "logits.h5", (n_labels,), np.float16, attrs) as writer:
        for i in tracks:
            writer.append(
                f"{i:02d}.flac",
                np.full((len(rule.plan(int(lengths[i]))), n_labels), i, np.float16) + np.arange(n_labels, dtype=np.float16),
            )
    return folder / "logits.h5"


def test_the_teacher_comes_with_the_batch(data, tmp_path):
    dm = module(data, teacher=teacher(tmp_path, data[1], range(24)))
    for loader in (dm.train_dataloader(), dm.val_dataloader()):
        for batch in loader:
            assert batch["teacher"].shape == batch["y"].shape
            np.testing.assert_array_equal(batch["teacher"], batch["index"].numpy()[:, None] + np.arange(3))


def test_the_teacher_s_labels_may_stand_in_another_order(data, tmp_path):
    dm = module(data, teacher=teacher(tmp_path, data[1], range(24), labels=["c", "a", "b"]))
    batch = next(iter(dm.train_dataloader()))
    np.testing.assert_array_equal(batch["teacher"], batch["index"].numpy()[:, None] + np.array([1, 2, 0]))


def test_a_teacher_that_does_not_fit_is_refused(data, tmp_path):
    with pytest.raises(GroundtruthError, match=r"no logits for 2 training tracks, such as '22\.mp3'"):
        module(data, teacher=teacher(tmp_path, data[1], range(22))).setup("fit")
    with pytest.raises(GroundtruthError, match=r"have \[2\] labels, the groundtruth has 3"):
        module(data, teacher=teacher(tmp_path / "b", data[1], range(24), 2)).setup("fit")
    with pytest.raises(GroundtruthError, match="other labels: it lacks 'b'"):
        module(data, teacher=teacher(tmp_path / "c", data[1], range(24), labels=["a", "c", "z"])).setup("fit")
    with pytest.raises(StoreError, match="sample_rate is 24000, 16000 is wanted"):
        module(data, teacher=teacher(tmp_path / "d", data[1], range(24), sample_rate=24000)).setup("fit")
    with pytest.raises(StoreError, match=r"no track store at .*absent\.h5.*extract_logits"):
        module(data, teacher=tmp_path / "absent.h5").setup("fit")
    with pytest.raises(StoreError, match=r"kind is 'mel', 'logits' is wanted.*extract_logits"):
        module(data, teacher=data[0] / "mel.h5").setup("fit")


@pytest.mark.parametrize(
    "bad",
    [{"window": 0}, {"batch_size_train": 0}, {"num_workers": -1}, {"seed": -1}, {"window": 1, "half_overlap": True}],
)
def test_impossible_settings_are_refused_at_once(data, bad):
    with pytest.raises(ConfigError):
        module(data, **bad)
