"""Which column holds what, and that it is said: nothing of a table is passed over in silence."""

from __future__ import annotations

import json

import pytest

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.lines import line_numbers
from datasets.groundtruth.splits import ensure_split
from models.errors import GroundtruthError


def table(folder, text: str, name: str = "labels.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_what_was_understood_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    path = table(tmp_path, "path,genre,mood,artist\na.wav,rock,sad,p\nb.wav,jazz,glad,q\n")
    Groundtruth.read(path)
    assert caplog.messages == [f"{path}: path: path; labels: genre; group: artist; split: none; not used: mood."]
    caplog.clear()
    Groundtruth.read(table(tmp_path, "track,rock,jazz,remark\na,1,0,x\nb,0,1,y\n"))
    assert caplog.messages == [f"{path}: path: track; labels: 2 columns of 0 and 1; group: none; split: none; not used: remark."]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_splits_are_known_by_their_cells(tmp_path, caplog, form):
    caplog.set_level("INFO")
    rows = [("a", "x", "train"), ("b", "x", "Valid"), ("c", "y", "test")]
    if form == "csv":
        path = table(tmp_path, "file\ttags\tset\n" + "".join("\t".join(row) + "\n" for row in rows), "labels.tsv")
    else:
        path = table(tmp_path, json.dumps([dict(zip(("file", "tags", "set"), row)) for row in rows]), "labels.json")
    assert Groundtruth.read(path).split == ["train", "val", "test"]
    assert "labels: tags; group: none; split: set; not used: none." in caplog.text
    assert "the cells of the column set are names of splits: it is taken as the split." in caplog.text


def test_other_columns_are_no_splits(tmp_path, caplog):
    only_train = "path,tags,set\na,x,train\nb,x,train\n"  # of a file per split
    assert Groundtruth.read(table(tmp_path, only_train)).split is None
    assert Groundtruth.read(table(tmp_path, "path,tags,set\na,x,train\nb,x,test\nc,x,forest\n")).split is None
    caplog.clear()
    both = Groundtruth.read(table(tmp_path, "path,tags,split,fold\na,x,train,test\nb,x,test,train\n"))
    assert both.split == ["train", "test"]
    assert "fold holds names of splits too and is not used; the split is split." in caplog.text
    with pytest.raises(GroundtruthError, match="the columns set, fold hold names of splits"):
        Groundtruth.read(table(tmp_path, "path,tags,set,fold\na,x,train,test\nb,x,test,train\n"))


def test_an_empty_cell_of_such_a_column_is_named(tmp_path):
    path = table(tmp_path, "path,tags,set\na,x,train\nb,x,\nc,x,test\n")
    with pytest.raises(GroundtruthError, match="got an empty cell \\(1 tracks: 'b'\\)"):
        Groundtruth.read(path)
    assert Groundtruth.read(path, faulty=True).split == ["train", "", "test"]


def test_groups_are_spoken_of_where_a_split_is_made(tmp_path, caplog):
    caplog.set_level("INFO")
    rows = "".join(f"{i},x,p{i % 12},{('train', 'val', 'test')[i % 3]}\n" for i in range(24))
    ensure_split(Groundtruth.read(table(tmp_path, "path,tags,artist,split\n" + rows)))
    assert "together" not in caplog.text
    ensure_split(Groundtruth.read(table(tmp_path, "path,tags,artist\n" + "".join(f"{i},x,p{i % 12}\n" for i in range(24)))))
    assert "(tracks of one group stay together)" in caplog.text


def test_rows_without_a_group_are_said(tmp_path, caplog):
    Groundtruth.read(table(tmp_path, "path,tags,artist,split\na,x,p,train\nb,x,,val\nc,x,,test\nd,x,,test\n"))
    assert "3 of 4 rows have no artist (1 in val, 2 in test): each counts as one of its own" in caplog.text
    caplog.clear()
    Groundtruth.read(table(tmp_path, "path,tags,artist\na,x,p\nb,x,q\n"))
    assert "have no" not in caplog.text


def test_a_table_without_labels_says_what_is_wanted(tmp_path):
    with pytest.raises(GroundtruthError, match="no column of labels: the columns are path, artist. A column named labels"):
        Groundtruth.read(table(tmp_path, "path,artist\na,p\n"))


def test_lines_are_counted_with_empty_ones_and_breaks_in_cells(tmp_path):
    path = table(tmp_path, 'path,labels\n\na,x\n"b\nc",x\n,\nd,x\n')
    assert line_numbers(path) == [3, 4, 7]
    assert len(Groundtruth.read(path)) == 3
