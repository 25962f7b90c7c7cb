"""Which column a task reads, and labels that do not suit what is asked."""

from __future__ import annotations

import logging

import pytest

from helpers.probe.targets import read_targets
from models.errors import GroundtruthError

SPLIT = ["train"] * 8 + ["val"] * 2 + ["test"] * 2


def table(path, header, cells):
    path.write_text("\n".join([f"path,split,{header}", *(f"{i}.wav,{SPLIT[i]},{cell}" for i, cell in enumerate(cells))]) + "\n")
    return str(path)


def test_numbers_are_no_labels_and_the_cure_is_named(tmp_path):
    values = table(tmp_path / "v.csv", "val", [i / 7 for i in range(12)])
    with pytest.raises(
        GroundtruthError, match=r"label_column=val\) holds 12 different numbers for 12 tracks.*data.task=regression"
    ):
        read_targets("multi-label", values, None, "val", 0)
    with pytest.raises(GroundtruthError, match="'val' holds numbers: data.task=regression.*data.label_column"):
        read_targets("multi-label", values, None, None, 0)
    assert read_targets("regression", values, None, "val", 0)["train"].labels == ["val"]
    classes = table(tmp_path / "c.csv", "labels", [i % 3 for i in range(12)])  # numbers of classes are labels
    assert read_targets("single-label", classes, None, None, 0)["train"].labels == ["0", "1", "2"]
    texts = table(tmp_path / "n.csv", "mood", ["sad"] * 12)
    with pytest.raises(GroundtruthError, match="choose label_column from mood.*named by data.label_column=") as error:
        read_targets("multi-label", texts, None, None, 0)
    assert "regression" not in str(error.value)
    (tmp_path / "d.csv").write_text("path,split,labels,seconds\nx,train,a,1\nx,val,b,2\n")
    with pytest.raises(GroundtruthError, match="more than once") as error:
        read_targets("multi-label", str(tmp_path / "d.csv"), None, None, 0)
    assert "seconds" not in str(error.value)


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_one_class_only_is_refused(tmp_path, task):
    with pytest.raises(GroundtruthError, match="All 12 tracks .* have the one label 'rock'.*data.label_column"):
        read_targets(task, table(tmp_path / "t.csv", "genre", ["rock"] * 12), None, None, 0)


def test_classes_asked_for_as_tags_are_pointed_out(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    one = table(tmp_path / "t.csv", "genre", ["rock", "jazz"] * 6)
    read_targets("single-label", one, None, None, 0)
    assert "data.task=single-label" not in caplog.text
    read_targets("multi-label", one, None, None, 0)
    assert "every track has one label: data.task=single-label" in caplog.text
    caplog.clear()
    read_targets("multi-label", table(tmp_path / "u.csv", "tags", ["rock|jazz", "jazz"] * 6), None, None, 0)
    assert "data.task=single-label" not in caplog.text


def test_the_task_key_finds_the_column_key(tmp_path):
    both = table(tmp_path / "t.csv", "key,genre", ["C major,rock", "A minor,jazz"] * 6)
    assert read_targets("key", both, None, None, 0)["train"].labels == ["A minor", "C major"]
    assert read_targets("key", both, None, "genre", 0)["train"].labels == ["jazz", "rock"]
    assert read_targets("single-label", both, None, None, 0)["train"].labels == ["jazz", "rock"]
    (tmp_path / "k.csv").write_text("key,split,label\n" + "".join(f"{i},{SPLIT[i]},{'CG'[i % 2]} major\n" for i in range(12)))
    assert read_targets("key", str(tmp_path / "k.csv"), None, None, 0)["test"].labels == [
        "C major",
        "G major",
    ]  # there key is the path


def test_two_names_of_a_key_are_one_class_by_the_most_frequent_name(tmp_path, caplog):
    caplog.set_level("INFO")
    keys = ["C# major", "Db major", "Db major", "A minor", "A:min", "A minor"] * 2
    truths = read_targets("key", table(tmp_path / "t.csv", "key", keys), None, None, 0)
    assert truths["train"].labels == ["A minor", "Db major"]
    assert sum(len(truth) for truth in truths.values()) == 12
    assert all((truth.matrix().sum(axis=1) == 1).all() for truth in truths.values())
    assert "Names of one key are one class" in caplog.text
    assert read_targets("single-label", table(tmp_path / "u.csv", "key", keys), None, "key", 0)["train"].n_labels == 4
