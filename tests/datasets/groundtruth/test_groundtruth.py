"""Groundtruth: every kind of file, the packed matrix, matching with stores, and refusals that name what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.groundtruth.groundtruth import Groundtruth, match
from models.errors import GroundtruthError
from tests.datasets.groundtruth.small_table import EXPECTED, TABLE, read, rows_of

# -- the matrix


@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_packing_keeps_every_bit(n, n_labels, seed):
    rows = np.random.default_rng(seed).random((n, n_labels)) < 0.4
    names = [f"label {c:03d}" for c in range(n_labels)]
    keys = [str(i) for i in range(n)]
    vectors = Groundtruth.from_rows(keys, list(rows))
    lists = Groundtruth.from_rows(keys, [[names[c] for c in np.flatnonzero(row)] for row in rows], names)
    numbers = Groundtruth.from_rows(keys, [tuple(np.flatnonzero(row)) for row in rows], names)
    # of two labels, (0, 1) for every track may be numbers as well as a vector: it is taken for the vector
    for truth in (vectors, lists, numbers) if n_labels != 2 else (vectors, lists):
        np.testing.assert_array_equal(truth.matrix(), rows)
        np.testing.assert_array_equal(truth.counts, rows.sum(0))
        np.testing.assert_array_equal(truth.row(n - 1), rows[-1])
        np.testing.assert_array_equal(truth.targets([0, n - 1, 0]), rows[[0, n - 1, 0]])
        assert truth.targets([0]).dtype == np.float32
        assert truth.n_unlabelled == (~rows.any(1)).sum()
        assert truth.packed.nbytes == n * ((n_labels + 7) // 8)


def test_subsets_by_key_and_number():
    truth = Groundtruth.from_rows(
        ["x", "y", "z"], [["a"], ["b"], ["a", "b"]], split=["train", "valid", "testing"], group=["p", "q", "p"]
    )
    part = truth.subset(["z", "x"])
    assert (part.keys, part.split, part.group) == (["z", "x"], ["test", "train"], ["p", "p"])
    np.testing.assert_array_equal(part.matrix(), truth.matrix()[[2, 0]])
    assert truth.subset(np.array([1])).keys == ["y"]
    assert {name: part.keys for name, part in truth.splits.items()} == {"train": ["x"], "val": ["y"], "test": ["z"]}
    with pytest.raises(GroundtruthError, match="1 of 2 tracks are not in the groundtruth: 'nope'"):
        truth.subset(["x", "nope"])
    assert Groundtruth.from_rows(["x"], [["a"]]).splits == {}


def test_forms_of_values():
    names = ["a", "b", "c"]
    expected = [[True, False, True], [False, True, False]]
    for values in (
        [np.array([1, 0, 1], np.uint8), np.array([0, 1, 0], np.uint8)],
        [np.array([True, False, True]), np.array([False, True, False])],
        [np.array([1.0, 0, 1]), np.array([0.0, 1, 0])],
        [[1, 0, 1], [0, 1, 0]],
        [(True, False, True), (False, True, False)],
        [("a", "c"), ("b",)],
        [["c", "a"], "b"],
        [(0, 2), (1,)],
        [[np.int64(2), np.int64(0)], [1]],
    ):
        truth = Groundtruth.from_mapping({"x": values[0], "y": values[1]}, names)
        np.testing.assert_array_equal(truth.matrix(), expected)
        assert truth.labels == names
    assert Groundtruth.from_mapping({"x": (0, 4)}).labels == ["0", "1", "2", "3", "4"]
    assert Groundtruth.from_mapping({"x": ["b", "a"], "y": ()}).labels == ["a", "b"]


@pytest.mark.parametrize(
    ("mapping", "labels", "text"),
    [
        ({}, None, "empty"),
        ({"x": []}, None, "no labels"),
        ({"x": np.array([1, 0]), "y": np.array([1, 0, 1])}, None, r"'y' has a label vector of shape \[3\]"),
        ({"x": np.array([1, 0])}, ["a", "b", "c"], r"shape \[2\]; 3 labels are named"),
        ({"x": np.array([0.2, 0.9])}, None, "'x' must hold 0 and 1 only"),
        ({"x": np.array(["a", "b"])}, None, "0 and 1 only"),
        ({"x": ["a"], "y": [1]}, None, "names or numbers, the same for all"),
        ({"x": [0.5]}, None, "float"),
        ({"x": ["a"], "y": {"a": 1}}, None, "'y' are a dict"),
        ({"x": ["a", "zz"]}, ["a"], "1 labels of the tracks are not among the 1 that are named: 'zz'"),
        ({"x": [5]}, ["a", "b"], "not among the 2"),
        ({"x": [-1]}, ["a", "b"], "not among the 2"),
        ({"x": ["a"]}, ["a", "a"], "1 labels stand more than once in the groundtruth: 'a'"),
    ],
)
def test_values_that_do_not_fit(mapping, labels, text):
    with pytest.raises(GroundtruthError, match=text):
        Groundtruth.from_mapping(mapping, labels)


# -- tables


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (TABLE, "labels.csv"),
        (TABLE.replace(",", ";"), "labels.csv"),
        (TABLE.replace(",", "\t"), "labels.tsv"),
        (TABLE.replace("|", ";"), "labels.csv"),
        ('path,labels\na/1.mp3,"rock,loud"\na/2.mp3,jazz\nb/3.mp3,\n', "labels.csv"),
        ("\ufeff" + TABLE.replace("\n", "\r\n"), "labels.csv"),
        ("id,File,TAGS\n7,a/1.mp3,rock|loud\n8,a/2.mp3,jazz\n9,b/3.mp3,\n", "labels.csv"),
        ("path,rock,loud,jazz,bpm\na/1.mp3,1,1,0,120\na/2.mp3,0,0,1,90\nb/3.mp3,0,0,0,77\n", "labels.csv"),
        (
            'clip_id\t"rock"\t"loud"\t"jazz"\tmp3_path\n"2"\t"1"\t"1"\t"0"\t"a/1.mp3"\n3\t0\t0\t1\ta/2.mp3\n4\t0\t0\t0\tb/3.mp3\n',
            "x.csv",
        ),
        ("PATH\tDURATION\tTAGS\na/1.mp3\t3.5\trock\tloud\na/2.mp3\t1\tjazz\nb/3.mp3\t2\t\n", "autotagging.tsv"),
    ],
)
def test_tables(tmp_path, text, name):
    truth = read(tmp_path, text, name)
    assert {key: sorted(labels) for key, labels in rows_of(truth).items()} == EXPECTED


def test_label_order_is_sorted_or_as_said(tmp_path):
    assert read(tmp_path, TABLE).labels == ["jazz", "loud", "rock"]
    assert read(tmp_path, TABLE, labels=["rock", "jazz", "loud", "never"]).labels == ["rock", "jazz", "loud", "never"]
    (tmp_path / "names.txt").write_text("loud\nrock\n\njazz\n")
    assert read(tmp_path, TABLE, labels=tmp_path / "names.txt").labels == ["loud", "rock", "jazz"]
    with pytest.raises(GroundtruthError, match="'jazz'"):
        read(tmp_path, TABLE, labels=["rock", "loud"])


def test_splits_and_groups_are_read(tmp_path):
    truth = read(tmp_path, "path,label,split,artist\n1,a,training,X\n2,b,validation,Y\n3,a,TEST,X\n")
    assert truth.split == ["train", "val", "test"]
    assert truth.group == ["X", "Y", "X"]
    with pytest.raises(GroundtruthError, match="'holdout'"):
        read(tmp_path, "path,label,split\n1,a,holdout\n")


def test_a_separator_can_be_said(tmp_path):
    text = 'path,genre\n1,"Folk, World"\n2,Rock\n'
    assert read(tmp_path, text, separator=",").labels == ["Folk", "Rock", "World"]
    for separator in (None, "", "|"):
        assert read(tmp_path, text, separator=separator).labels == ["Folk, World", "Rock"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "empty"),
        ("\n\n", {}, "empty"),
        ("path,labels\n", {}, r"header \(path, labels\) but no track"),
        (
            "path,labels,split\n1,a,train\n1,b,dev\n2,c,test\n2,c,eval\n",
            {},
            "2 tracks stand more than once.*: '1', '2' .1 with the same labels, 1 with labels that differ; 1 of them in several splits",
        ),
        ("path,class,tags\n1,a,b\n", {}, "several columns may hold the labels: class, tags. Choose one with label_column"),
        (
            "path,class\n1,a\n",
            {"label_column": "clas"},
            "no column 'clas' for the labels; there are path, class. Did you mean 'class'",
        ),
        ("foo,labels\n1,a\n", {}, "rename it to path or file.*The columns are foo, labels"),
        ("path,mood\n1,sad\n", {}, "choose label_column from mood"),
        ("path,labels\n1\n", {}, "line 2 has 1 cells, the header has 2"),
        ("path,labels,labels\n1,a,b\n", {}, "twice in the header"),
        ("labels,path\na,1,2\n", {}, "more cells than the header"),
        ("path,a,b\n1,0,1\n2,1,2\n", {"labels": ["a", "b"]}, "1 of 2 labels are not columns of 0 and 1: 'b'"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, text, options, message):
    with pytest.raises(GroundtruthError, match=message) as caught:
        read(tmp_path, text, **options)
    assert str(tmp_path / "labels.csv") in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(GroundtruthError, match="no groundtruth at"):
        Groundtruth.read(tmp_path / "no.csv")
    with pytest.raises(GroundtruthError, match=r"'\.xyz' is not a kind of groundtruth"):
        read(tmp_path, "x", "a.xyz")
    (tmp_path / "b.csv").write_bytes(b"path,labels\n\xff\xfe\x00,a\n")
    with pytest.raises(GroundtruthError, match=r"b\.csv is not UTF-8 \(line 2\)"):
        Groundtruth.read(tmp_path / "b.csv")


def test_the_sample_collection(shared):
    path = shared / "audio" / "samples" / "labels.csv"
    with pytest.raises(GroundtruthError, match="class, tags"):
        Groundtruth.read(path)
    tags, classes = (Groundtruth.read(path, label_column=column) for column in ("tags", "class"))
    assert len(tags) == len(classes) == 195
    assert "ambient" in tags.labels
    assert "ambient|pitched" not in tags.labels
    assert (classes.matrix().sum(1) == 1).all()
    assert tags.matrix().sum(1).max() > 1


# -- json


@pytest.mark.parametrize(
    "content",
    [
        EXPECTED,
        {"labels": ["jazz", "loud", "rock"], "tracks": {"a/1.mp3": [0, 1, 1], "a/2.mp3": [1, 0, 0], "b/3.mp3": [0, 0, 0]}},
        [{"path": key, "tags": labels, "artist": "x"} for key, labels in EXPECTED.items()],
        [{"path": key, "tags": "|".join(labels)} for key, labels in EXPECTED.items()],
        {key: "|".join(labels) for key, labels in EXPECTED.items()},
        {"a/1.mp3": ["rock", "", "loud"], "a/2.mp3": "jazz| ", "b/3.mp3": [" "]},
    ],
)
def test_json(tmp_path, content):
    truth = read(tmp_path, json.dumps(content), "labels.json")
    assert rows_of(truth) == EXPECTED
    assert truth.labels == ["jazz", "loud", "rock"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not json"),
        ("[]", "empty"),
        ("{}", "empty"),
        ("3", "a dict path -> labels"),
        ('{"a": ["x"], "a": ["y"]}', "1 names stand more than once: 'a'"),
        ('[{"path": "a"}]', "choose path_column and label_column"),
        ('[{"path": "a", "tags": ["x"]}, {"path": "b"}]', "object 1 lacks one of path, tags"),
    ],
)
def test_json_that_does_not_fit(tmp_path, text, message):
    with pytest.raises(GroundtruthError, match=message):
        read(tmp_path, text, "labels.json")


def test_json_texts_are_parted_as_said(tmp_path):
    truth = read(tmp_path, '{"a": "Folk, World", "b": "Rock"}', "labels.json", separator="")
    assert truth.labels == ["Folk, World", "Rock"]


# -- folders


def test_a_folder_per_class(tmp_path, caplog):
    pytest.importorskip("models.audio")
    for name in ("rock/1.mp3", "rock/deep/2.flac", "jazz/3.wav", "jazz/cover.jpg", "loose.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    truth = Groundtruth.read(tmp_path)
    assert rows_of(truth) == {"jazz/3.wav": ["jazz"], "rock/1.mp3": ["rock"], "rock/deep/2.flac": ["rock"]}
    assert "empty" not in caplog.text
    (tmp_path / "empty").mkdir()
    Groundtruth.read(tmp_path)
    assert "1 folders hold no audio and are no classes: 'empty'." in caplog.text
    with pytest.raises(GroundtruthError, match="sub-folder"):
        Groundtruth.read(tmp_path / "empty")


# -- matching with a store


def test_match_by_name_then_by_stem():
    names = ["a/1.flac", "a/2.mp3", "a/2.wav", "b.c/01. Song", "x.y.ogg"]
    found = match(["a/2.wav", "a/1.mmap", "b.c/01. Song", "./x.y.mp3", "no/1.mp3"], names)
    assert found.numbers.tolist() == [2, 0, 3, 4, -1]
    assert found.absent == ["no/1.mp3"]
    assert found.message("mel.h5") == "1 of 5 tracks of the groundtruth are not in mel.h5: 'no/1.mp3'."
    assert match(["a/1"], names).numbers.tolist() == [0]
    assert match([".\\a\\1.mp3"], names).numbers.tolist() == [0]
    assert match(["Ame\u0301lie.mp3"], ["x", "Am\u00e9lie.flac"]).numbers.tolist() == [1]  # decomposed and composed
    assert match(["1.flac"], names).absent == ["1.flac"]  # never by the base name alone


def test_ambiguous_matches_are_refused():
    with pytest.raises(GroundtruthError, match=r"'a/2\.mmap' may mean 'a/2\.mp3', 'a/2\.wav'"):
        match(["a/2.mmap"], ["a/2.mp3", "a/2.wav"])
    with pytest.raises(GroundtruthError, match=r"'a\.mp3', 'a\.wav' mean the same track of the store, 'a\.flac'"):
        match(["a.mp3", "a.wav"], ["z", "a.flac"])


def test_long_lists_of_absent_tracks_are_counted():
    message = match([f"{i}.mp3" for i in range(25)], ["x"]).message()
    assert "25 of 25" in message
    assert message.endswith("'9.mp3' and 15 more.")


@pytest.mark.parametrize(
    "text",
    [
        "path,labels\na,x\na,y\n",
        "path,labels,split\na,x,train\nb,y,\n",
    ],
)
def test_faulty_tables_name_the_command_that_mends_them(tmp_path, text):
    with pytest.raises(GroundtruthError, match="check_data .* writes a table without them"):
        read(tmp_path, text)


@pytest.mark.parametrize("name", ["labels.csv", "labels.json"])
def test_another_encoding_is_named_by_its_line(tmp_path, name):
    text = "path,labels\na,x\nb,Fado português\n" if name.endswith("csv") else '{"a": ["x"],\n\n"b": ["Fado português"]}'
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(GroundtruthError, match=rf"{name} is not UTF-8 \(line 3\): .* Save it as UTF-8"):
        Groundtruth.read(tmp_path / name)


def test_an_empty_split_names_its_tracks_and_the_cure(tmp_path):
    rows = "".join(f"{i}.wav,x,{'train' if i < 2 else ''}\n" for i in range(7))
    (tmp_path / "t.csv").write_text("path,labels,split\n" + rows)
    with pytest.raises(
        GroundtruthError, match=r"got an empty cell \(5 tracks: '2.wav', '3.wav', '4.wav', ...\).* take the column out"
    ):
        Groundtruth.read(tmp_path / "t.csv")
    found = Groundtruth.read(tmp_path / "t.csv", faulty=True)
    assert found.split == ["train", "train", "", "", "", "", ""]
