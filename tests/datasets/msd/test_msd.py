"""Lists of the Million Song Dataset: tsv, the published pickles, and pickles that run something."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest

from datasets.msd import MSD
from models.errors import DataSetError

IDS = [f"TRAAAAA{k:011X}" for k in range(9)]


def test_msd_from_tsv(tmp_path):
    for k, split in enumerate(("train", "validation", "test")):
        lines = [
            f"{key}\t{json.dumps(['rock'] if i % 2 else ['rock', 'jazz'])}\n" for i, key in enumerate(IDS[3 * k : 3 * k + 3])
        ]
        (tmp_path / f"cals-{split}.tsv").write_text("".join(lines))
    table = MSD.groundtruth(tmp_path, "cals")
    assert table.counts == (3, 3, 3)
    assert table.names == ["jazz", "rock"]
    assert table.keys[0] == f"{IDS[0]}.mp3"
    (tmp_path / "cals-labels.txt").write_text("rock\njazz\n")
    (tmp_path / "cals-test.tsv").write_text(f"{IDS[8]}\t[0, 1]\n")
    table = MSD.groundtruth(tmp_path, "cals")
    assert (table.names, table.labels[-1]) == (["rock", "jazz"], ("jazz",))
    for line in ("x\t[]\n", f"{IDS[8]} []\n", f"{IDS[8]}\t[0, 1, 1]\n", f"{IDS[8]}\tnot json\n"):
        (tmp_path / "cals-test.tsv").write_text(line)
        with pytest.raises(DataSetError):
            MSD.groundtruth(tmp_path, "cals")


def test_msd_from_the_published_pickles_and_paths(tmp_path, monkeypatch):
    from datasets import msd

    monkeypatch.setattr(msd, "N_TRAIN", 4)
    vectors = {key: np.array([i % 2, 1]) for i, key in enumerate(IDS)}
    for name, value in (
        ("filtered_list_train.cP", IDS[:6]),
        ("filtered_list_test.cP", IDS[6:]),
        ("msd_id_to_tag_vector.cP", vectors),
    ):
        (tmp_path / name).write_bytes(pickle.dumps(value, protocol=2))
    (tmp_path / "50tagList.txt").write_text("rock\npop\n")
    (tmp_path / "MSD_id_to_7D_id.pkl").write_bytes(pickle.dumps({key: str(i) for i, key in enumerate(IDS)}))
    (tmp_path / "7D_id_to_path.pkl").write_bytes(pickle.dumps({str(i): f"1/2/{i}.clip.mp3" for i in range(8)}))
    table = MSD.groundtruth(tmp_path, "standard")
    assert table.counts == (4, 2, 3)
    assert table.labels[:2] == [("pop",), ("rock", "pop")]
    assert (table.keys[7], table.keys[8]) == ("1/2/7.clip.mp3", f"{IDS[8]}.mp3")
    (tmp_path / "7D_id_to_path.pkl").write_bytes(pickle.dumps({"1": "../../evil.mp3"}))
    with pytest.raises(DataSetError, match="no path below"):
        MSD.groundtruth(tmp_path, "standard")


class _Runs:
    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("name", ["filtered_list_train.cP", "msd_id_to_tag_vector.cP", "7D_id_to_path.pkl"])
@pytest.mark.parametrize(
    "bomb",
    [
        lambda path: _Runs(os.system, f"touch {path}"),
        lambda path: _Runs(eval, f"open({str(path)!r}, 'w')"),
        lambda path: _Runs(np.memmap, str(path), "float32", "w+", 0, (3,)),
        lambda path: _Runs(np.lib.format.open_memmap, str(path), "w+", "float32", (3,)),
    ],
)  # fmt: skip
def test_pickles_that_run_something_are_refused_and_run_nothing(tmp_path, name, bomb):
    for other in ("filtered_list_train.cP", "filtered_list_test.cP"):
        (tmp_path / other).write_bytes(pickle.dumps(IDS[:2] if "train" in other else IDS[2:4]))
    (tmp_path / "msd_id_to_tag_vector.cP").write_bytes(pickle.dumps({key: [1, 0] for key in IDS}))
    (tmp_path / "50tagList.txt").write_text("rock\npop\n")
    for other in ("MSD_id_to_7D_id.pkl", "7D_id_to_path.pkl"):
        (tmp_path / other).write_bytes(pickle.dumps({}))
    assert len(MSD.groundtruth(tmp_path, "standard")) == 4
    trace = tmp_path / "ran"
    (tmp_path / name).write_bytes(pickle.dumps(bomb(trace)))
    with pytest.raises(DataSetError, match="the pickle asks for"):
        MSD.groundtruth(tmp_path, "standard")
    assert not trace.exists()
