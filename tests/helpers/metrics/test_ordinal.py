"""Grades: steps there and back, scores in their own units, tables, and a probe that finds them."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.store.track_store import TrackStore
from helpers.metrics.metric import Predictions
from helpers.metrics.ordinal import decoded, grades_of, step_names
from helpers.metrics.tasks import get_task
from helpers.probe.targets import read_targets
from models.errors import GroundtruthError

GRADES = [0.0, 1.0, 2.5, 4.0]


def steps(grades) -> np.ndarray:
    return np.asarray(grades)[:, None] > np.array(GRADES[:-1])


def test_grades_and_steps_are_one():
    labels = step_names(GRADES)
    assert labels == ["0 to 1", "1 to 2.5", "2.5 to 4"]
    np.testing.assert_array_equal(grades_of(labels), GRADES)
    np.testing.assert_allclose(decoded(steps(GRADES), labels), GRADES)
    assert decoded(np.array([[1.0, 0.5, 0.0]]), labels)[0] == pytest.approx(1.75)
    for wrong in (["a"], ["1 to 2", "3 to 4"], ["2 to 1"], []):
        with pytest.raises(GroundtruthError, match="ordinal has outputs named"):
            grades_of(wrong)


def test_scores_are_in_grades():
    values = np.array([[1, 0.5, 0.0], [0, 0, 0], [1, 1, 1]])
    data = Predictions(steps([1.0, 0.0, 2.5]), values, step_names(GRADES))
    found = get_task("ordinal").score(data)
    assert found["grade_mse"] == pytest.approx((0.75**2 + 0 + 1.5**2) / 3)
    assert found["grade_accuracy"] == pytest.approx(2 / 3)
    assert get_task("ordinal").main.chance_of(data) == pytest.approx(np.var([1.0, 0.0, 2.5]))


def test_tables(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(
        "path,grade,split\n"
        + "".join(f"{i}.wav,{i % 4},{'train' if i < 8 else 'val' if i < 10 else 'test'}\n" for i in range(12))
    )
    found = read_targets("ordinal", str(table), None, None, 0)
    assert {part: len(truth) for part, truth in found.items()} == {"train": 8, "val": 2, "test": 2}
    assert found["train"].labels == ["0 to 1", "1 to 2", "2 to 3"]
    np.testing.assert_array_equal(found["test"].matrix(), [[1, 1, 0], [1, 1, 1]])
    table.write_text("path,grade\n" + "".join(f"{i}.wav,{i % 4}\n" for i in range(40)))
    assert {part: len(truth) for part, truth in read_targets("ordinal", str(table), None, None, 0).items()} == {
        "train": 32,
        "val": 4,
        "test": 4,
    }
    table.write_text("path,grade\n" + "".join(f"{i}.wav,{i / 7}\n" for i in range(40)))
    with pytest.raises(GroundtruthError, match="2 to 30 different numbers; there are 40"):
        read_targets("ordinal", str(table), None, None, 0)
    table.write_text("path,a,b\n1.wav,1,2\n2.wav,2,3\n")
    with pytest.raises(GroundtruthError, match="one column of numbers; there are a, b"):
        read_targets("ordinal", str(table), None, None, 0)


def test_a_probe_finds_grades_and_is_chosen_by_the_lowest_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    grades = rng.integers(0, 5, 150)
    with TrackStore.create(tmp_path / "e.h5", (6,), "float32", {"kind": "embeddings", "network": {"embed_dim": 6}}) as writer:
        for i, grade in enumerate(grades):
            writer.append(f"{i}.wav", (rng.standard_normal((2, 6)) * 0.3 + grade * np.eye(6)[0]).astype(np.float32))
        writer.seal()
    (tmp_path / "t.csv").write_text("path,grade\n" + "".join(f"{i}.wav,{grade}\n" for i, grade in enumerate(grades)))
    import ex_tl

    updates = {"data.base_dir": "e.h5", "data.groundtruth": "t.csv", "trainer.max_steps": 300, "optimizer.warmup_steps": 20}
    updates |= {"optimizer.max_lr": 1e-2, "seeds": [0]}
    done = ex_tl.ex.run("main", config_updates=updates, named_configs=("difficulty",))
    assert done.result["test_grade_mse"] < 0.4 < np.var(grades)
