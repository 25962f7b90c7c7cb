"""Tables of labels: one canonical form whatever the order of rows; files that read back as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.values import Values
from datasets.published.label_table import SPLITS, LabelTable, Overlap, read_rows
from helpers.data.find import LabelFiles, label_files, read_truths
from models.errors import DataSetError

NAMES = ["rock", "a b", "Zouk", "no, voice; really"]
rows = st.lists(
    st.tuples(
        st.text("abc/ ,\"'é.", min_size=1, max_size=9).map(str.strip).filter(bool),
        st.sampled_from(SPLITS),
        st.sets(st.sampled_from(NAMES[:3])).map(lambda s: tuple(sorted(s))),
        st.sampled_from(["x", "y", "x|y", ""]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[0],
)


def table(found) -> LabelTable:
    keys, split, labels, group = (list(column) for column in zip(*found))
    return LabelTable(keys, split, NAMES[:3], labels=labels, group=group)


@settings(deadline=None)
@given(rows, st.randoms())
def test_the_hash_is_of_the_content_not_of_the_order(found, random):
    mixed = found[:]
    random.shuffle(mixed)
    assert table(found).sha256 == table(mixed).sha256
    key, split, labels, group = found[0]
    other = ("rock",) if labels != ("rock",) else ("Zouk",)
    assert table([(key, split, other, group), *found[1:]]).sha256 != table(found).sha256
    assert sum(table(found).counts) == len(found)


@settings(deadline=None, max_examples=50)
@given(rows)
def test_files_read_back_as_they_were(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("table")
    made = table(found)
    assert made.write(folder)
    assert not made.write(folder)
    if not any(made.labels):  # nothing says how several labels would be parted, and nothing needs it
        return
    again = Groundtruth.read(folder / "groundtruth-all.csv", labels=folder / "labels.txt", separator="|")
    assert (again.keys, again.group) == (made.keys, made.group)
    assert [{"val": "validation"}.get(s, s) for s in again.split] == made.split
    assert [tuple(np.array(NAMES[:3])[row]) for row in again.matrix()] == [
        tuple(n for n in NAMES[:3] if n in r) for r in made.labels
    ]


def test_a_split_that_is_gone_takes_its_file_along(tmp_path):
    three = LabelTable(["a", "b", "c"], list(SPLITS), ["x"], labels=[("x",)] * 3)
    three.write(tmp_path)
    assert sorted(label_files(tmp_path)) == ["test", "train", "val"]
    assert three.rows([0, 1]).write(tmp_path)
    assert not (tmp_path / "groundtruth-test.csv").exists()


def test_probes_take_the_labels_in_their_own_order_also_those_without_training_tracks(tmp_path):
    LabelTable(["a", "b", "c"], list(SPLITS), ["z", "y", "x"], labels=[("x",), ("z",), ("x", "y")]).write(tmp_path)
    truths = read_truths(LabelFiles(None, label_files(tmp_path), label_names=tmp_path / "labels.txt"), ("train", "val", "test"))
    assert all(truth.labels == ["z", "y", "x"] for truth in truths.values())
    assert truths["test"].matrix().tolist() == [[False, True, True]]


def test_values_are_kept_exactly(tmp_path):
    values = [(0.1 + 0.2, 1e-17), (3.0, -2.5)]
    made = LabelTable(["a", "b"], ["train", "test"], ["u", "v"], values=values, group=["x", "y"])
    made.write(tmp_path)
    again = Values.read(tmp_path / "groundtruth-all.csv")
    assert (again.keys, again.labels, again.split) == (["a", "b"], ["u", "v"], ["train", "test"])
    assert again.numbers.tolist() == [list(row) for row in values]
    with pytest.raises(DataSetError, match="values"):
        made.groundtruth()


def test_groups_in_two_splits_are_counted():
    found = [
        ("1", "train", (), "x"),
        ("2", "train", (), "y|z"),
        ("3", "test", (), "z"),
        ("4", "test", (), "z|x"),
        ("5", "test", (), "w"),
    ]
    assert table(found).overlaps() == [Overlap("train", "test", 2, 2)]
    assert table([(key, split, labels, "") for key, split, labels, _ in found]).overlaps() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": []}, "empty"),
        ({"keys": ["a", "a"]}, "more than once"),
        ({"split": ["train", "dev"]}, "'dev'"),
        ({"split": ["train"]}, "2 tracks, but 1 splits"),
        ({"labels": [("x",), ("w",)]}, "not among the 1"),
        ({"group": ["g"]}, "groups"),
        ({"labels": None}, "one of the two"),
        ({"labels": None, "values": [(1.0,), (float("nan"),)]}, "finite"),
        ({"labels": None, "values": [(1.0,), (1.0, 2.0)]}, "finite"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused(change, message):
    with pytest.raises(DataSetError, match=message):
        LabelTable(**{"keys": ["a", "b"], "split": ["train", "test"], "names": ["x"], "labels": [("x",), ()], **change})


def test_publishers_tables_are_read_by_column_and_line(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("\ufeffid \t name\tmore\n1\t a \tx\n\n2\tb\ty\tz\n", encoding="utf-8")
    assert list(read_rows(path, "\t", ["name", "id"])) == [{"name": "a", "id": "1"}, {"name": "b", "id": "2"}]
    path.write_text("id\tname\n1\n")
    with pytest.raises(DataSetError, match="line 2: 1 cells, the header has 2"):
        list(read_rows(path, "\t", ["id"]))
    path.write_bytes(b"id\n\xff\n")
    with pytest.raises(DataSetError, match="cannot be read"):
        list(read_rows(path, "\t", ["id"]))
