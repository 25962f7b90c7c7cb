"""A table against what was heard: each fault by name, copies kept once and in the test first, leaks, and a table that reads back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.collection.audio_scan import ScanResult, Sound
from datasets.collection.findings import examine, torn_groups, write_table
from datasets.groundtruth.groundtruth import Groundtruth


def heard(**digests):
    """{name: digest}: files; None stands for a file that cannot be read. '__' in a name stands for '/'."""
    found = {}
    for name, digest in digests.items():
        sound = None if digest is None else Sound(2.0, 16000, 1, "WAV", 0.5, 0.0, 0.0, digest)
        found[name.replace("__", "/") + ".wav"] = ScanResult(sound, None if digest is not None else "it is damaged")
    return found


def table(rows, **more):
    return Groundtruth.from_rows([key for key, _ in rows], [labels for _, labels in rows], **more)


def test_each_fault_is_found():
    truth = table(
        [
            ("a.wav", ["x"]),
            ("gone.wav", ["x"]),
            ("bad.wav", ["y"]),
            ("c.mp3", ["y"]),
            ("c.wav", ["y"]),
            ("d.wav", ["x"]),
            ("e.flac", ["x"]),
        ]
    )
    found = examine(
        truth, {**heard(a="1", bad=None, c="2", d="1", new="9"), "e.mp3": ScanResult(error="?"), "e.ogg": ScanResult(error="?")}
    )
    assert found.missing == {1: "there is no such file"}
    assert found.unreadable == {2: "it is damaged"}
    assert found.unusable == {6: "it may mean 'e.mp3', 'e.ogg'"}
    assert found.copies == [[0, 5], [3, 4]]
    assert (found.copied, found.repeated) == ([[0, 5]], [[3, 4]])
    assert found.conflicting_copies == []
    assert found.unlisted == ["new.wav"]
    assert found.kept == [0, 3]
    assert found.cleaned().keys == ["a.wav", "c.wav"]
    assert found.exit_code == 3
    assert [line[:2] for line in found.problems()] == [
        ("gone.wav", "missing"), ("e.flac", "unusable"), ("bad.wav", "unreadable"), ("d.wav", "copy"),
        ("c.wav", "repeated row"), ("new.wav", "no row"),
    ]  # fmt: skip


def test_nothing_to_mend():
    truth = table([("a.wav", ["x"]), ("b.wav", ["y"])], split=["train", "test"], group=["p", "q"])
    found = examine(truth, heard(a="1", b="2", unlisted="3"))
    assert found.exit_code == 0
    assert found.cleaned().keys == truth.keys
    assert found.cleaned().split == truth.split


def test_silent_files_are_no_copies_of_one_another():
    found = examine(table([("a.wav", ["x"]), ("b.wav", ["y"])]), heard(a="", b=""))
    assert (found.copies, found.exit_code) == ([], 0)


def test_of_copies_across_splits_the_test_s_stays():
    rows = [("a.wav", ["x"]), ("b.wav", ["x"]), ("c.wav", ["y"]), ("d.wav", ["x"])]
    truth = table(rows, split=["train", "val", "test", "train"])
    found = examine(truth, heard(a="1", b="1", c="1", d="2"))
    assert found.copies == [[2, 1, 0]]
    assert found.leaking_copies == found.conflicting_copies == [[2, 1], [2, 0]]
    assert found.kept == [2, 3]
    assert found.problems()[0] == (
        "b.wav",
        "leaking copy",
        "the same samples as c.wav, other labels: b.wav is in val, c.wav in test",
    )
    within = examine(truth, heard(a="1", b="3", c="4", d="1"))
    assert (within.copies, within.leaking_copies) == ([[0, 3]], [])


def test_rows_that_stand_twice_are_a_finding():
    """Silent files too; of one with other labels and of a leak it is said."""
    rows = [("a.wav", ["x"]), ("b.wav", ["y"]), ("a.wav", ["x"]), ("b.wav", ["x"]), ("s.wav", ["x"]), ("s.wav", ["x"])]
    truth = table(rows, split=["train", "train", "train", "test", "val", "val"], faulty=True)
    found = examine(truth, heard(a="1", b="2", s=""))
    assert found.repeated == [[0, 2], [3, 1], [4, 5]]
    assert found.copied == []
    assert (found.kept, found.exit_code) == ([0, 3, 4], 3)
    assert [line for line in found.problems() if "row" in line[1]] == [
        ("a.wav", "repeated row", "the table has this path before: both are in train"),
        ("b.wav", "leaking repeated row", "the table has this path before, other labels: this row is in train, that one in test"),
        ("s.wav", "repeated row", "the table has this path before: both are in val"),
    ]
    assert found.cleaned().keys == ["a.wav", "b.wav", "s.wav"]


def test_copies_of_a_repeated_file_are_counted_apart():
    found = examine(table([("a", ["x"]), ("b", ["x"]), ("a", ["x"]), ("b", ["x"])], faulty=True), heard(a="1", b="1"))
    assert (found.copies, found.copied, found.repeated) == ([[0, 1, 2, 3]], [[0, 1]], [[0, 2], [1, 3]])
    assert [line[1] for line in found.problems()] == ["copy", "repeated row", "repeated row"]


def test_of_copies_the_labelled_one_stays():
    rows = [("a.wav", []), ("b.wav", ["x"]), ("c.wav", ["y"])]
    found = examine(table(rows, split=["test", "train", "train"]), heard(a="1", b="1", c="2"))
    assert (found.copies, found.kept) == ([[1, 0]], [1, 2])
    assert found.problems()[0] == (
        "a.wav",
        "leaking copy",
        "the same samples as b.wav, without its labels: a.wav is in test, b.wav in train",
    )


def test_copies_under_two_artists_are_said():
    truth = table([("a.wav", ["x"]), ("b.wav", ["x"]), ("c.wav", ["x"])], group=["p", "q", ""])
    found = examine(truth, heard(a="1", b="1", c="2"))
    assert found.copies_across_groups == [[0, 1]]
    assert found.problems()[0][2] == "the same samples as a.wav; group 'q', there 'p'"
    nobody = examine(table([("a.wav", ["x"]), ("b.wav", ["x"])], group=["p", ""]), heard(a="1", b="1"))
    assert nobody.copies_across_groups == []


def test_rows_without_a_split_are_found_and_only_a_new_split_takes_them():
    rows = [(f"{name}.wav", ["x"]) for name in "abc"]
    found = examine(table(rows, split=["train", "", "tset"], faulty=True), heard(a="1", b="2", c="3"))
    assert found.unsplit == {1: "its split is empty", 2: "its split is 'tset'; train, val or test is wanted"}
    assert (found.kept, found.exit_code) == ([0], 3)
    assert found.cleaned().split == ["train"]
    assert found.cleaned(without_split=True).keys == ["a.wav", "b.wav", "c.wav"]


def test_a_copy_without_a_split_is_neither_copy_nor_leak():
    rows = [(f"{name}.wav", ["x"]) for name in "abcd"]
    truth, sounds = table(rows, split=["", "train", "", "test"], faulty=True), heard(a="1", b="1", c="2", d="3")
    found = examine(truth, sounds)
    assert (found.copies, found.leaking_copies, found.kept) == ([], [], [1, 3])
    assert len(found.unsplit) + len(found.kept) == len(truth)  # each row is counted once
    anew = examine(truth, sounds, new_split=True)
    assert (anew.copies, anew.leaking_copies) == ([[1, 0]], [])
    assert anew.cleaned(without_split=True).keys == ["b.wav", "c.wav", "d.wav"]
    assert anew.kept == [1, 3]  # where no new split can be made


def test_missing_rows_say_where_such_a_file_is():
    keys = ["/music/rock/a.wav", "a.mp3", "C:\\music\\b.wav", "else/a.wav", "z.wav"]
    found = examine(table([(key, ["x"]) for key in keys]), heard(rock__a="1", rock__b="2"))
    assert list(found.missing.values()) == [
        "an absolute path; there is no such file; is 'rock/a.wav' meant?", "there is no such file; is 'rock/a.wav' meant?",
        "an absolute path; there is no such file; is 'rock/b.wav' meant?", "there is no such file; is 'rock/a.wav' meant?",
        "there is no such file",
    ]  # fmt: skip


def test_a_row_without_a_file_leaks_nothing():
    truth = table([("a.wav", ["x"]), ("gone.wav", ["x"])], split=["train", "test"], group=["p", "p"])
    assert examine(truth, heard(a="1")).torn == {}


def test_groups_in_several_splits():
    truth = table(
        [(str(i), ["x"]) for i in range(6)],
        split=["train", "test", "train", "val", "train", "test"],
        group=["p", "p", "q", "", "", "r"],
    )
    assert torn_groups(truth) == {"p": {"train": 1, "test": 1}}
    found = examine(truth, {f"{i}": ScanResult(Sound(2.0, 1, 1, "", None, None, None, str(i))) for i in range(6)})
    assert found.exit_code == 3
    assert found.problems() == [("p", "group in several splits", "1 in train, 1 in test")]
    assert torn_groups(table([("a", ["x"])], group=["p"])) == {}


def test_nothing_left():
    found = examine(table([("a.wav", ["x"])]), {})
    assert found.cleaned() is None


LABELS = ["rock", "Folk, World", "a;b", " spaced", "x|y", "ü\n", 'quo"te']


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_written_table_reads_back(tmp_path_factory, data):
    labels = data.draw(st.lists(st.sampled_from(LABELS[: data.draw(st.integers(1, 7))]), min_size=1, unique=True))
    labels = sorted({label.strip() for label in labels})
    n = data.draw(st.integers(1, 6))
    matrix = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels)), min_size=n, max_size=n))
    )
    matrix[0, :] = True  # every label has a track, or a list would not name it
    keys = [f'a/{i},\n"{"|" * (i % 2)}.wav' for i in range(n)]
    group = data.draw(st.sampled_from([None, [f"g{i % 2}" for i in range(n)]]))
    truth = Groundtruth.from_rows(keys, list(matrix), labels, ["train"] * n, group)
    path = tmp_path_factory.mktemp("table") / "clean.csv"
    write_table(path, truth)
    back = Groundtruth.read(path)
    assert (back.keys, back.labels, back.split, back.group) == (keys, labels, truth.split, group)
    np.testing.assert_array_equal(back.matrix(), matrix)


@pytest.mark.parametrize("labels", [["Folk, World", "Rock"], ["a"]])
def test_single_labels_read_back(tmp_path, labels):
    truth = Groundtruth.from_rows(["1.wav", "2.wav"], [[labels[0]], [labels[-1]]])
    write_table(tmp_path / "t.csv", truth)
    assert Groundtruth.read(tmp_path / "t.csv").labels == labels
