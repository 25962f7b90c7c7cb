"""A table against what was heard: each fault by name, copies kept once and in the test first, leaks, and a table that reads back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.collection import examine, torn_groups, write_table
from datasets.groundtruth import Groundtruth
from datasets.sounds import Heard, Sound


def heard(**digests):
    """{name: digest}: files; None stands for a file that cannot be read. '__' in a name stands for '/'."""
    found = {}
    for name, digest in digests.items():
        sound = None if digest is None else Sound(2.0, 16000, 1, "WAV", 0.5, 0.0, 0.0, digest)
        found[name.replace("__", "/") + ".wav"] = Heard(sound, None if digest is not None else "it is damaged")
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
        truth, {**heard(a="1", bad=None, c="2", d="1", new="9"), "e.mp3": Heard(error="?"), "e.ogg": Heard(error="?")}
    )
    assert found.missing == [1]
    assert found.unreadable == {2: "it is damaged"}
    assert found.unusable == {4: "c.mp3 means the same file, c.wav", 6: "it may mean 'e.mp3', 'e.ogg'"}
    assert found.copies == [[0, 5]]
    assert found.conflicting_copies == []
    assert found.unlisted == ["new.wav"]
    assert found.kept == [0, 3]
    assert found.cleaned().keys == ["a.wav", "c.wav"]
    assert found.exit_code == 3
    assert [line[:2] for line in found.problems()] == [
        ("gone.wav", "missing"), ("c.wav", "unusable"), ("e.flac", "unusable"), ("bad.wav", "unreadable"), ("d.wav", "copy"), ("new.wav", "no row"),
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
    assert found.copies == found.leaking_copies == found.conflicting_copies == [[2, 1, 0]]
    assert found.kept == [2, 3]
    assert found.problems()[0] == ("b.wav", "leaking copy", "the same samples as c.wav, other labels (val) of a track in test")
    within = examine(truth, heard(a="1", b="3", c="4", d="1"))
    assert (within.copies, within.leaking_copies) == ([[0, 3]], [])


def test_groups_in_several_splits():
    truth = table(
        [(str(i), ["x"]) for i in range(6)],
        split=["train", "test", "train", "val", "train", "test"],
        group=["p", "p", "q", "", "", "r"],
    )
    assert torn_groups(truth) == {"p": {"train": 1, "test": 1}}
    found = examine(truth, {f"{i}": Heard(Sound(2.0, 1, 1, "", None, None, None, str(i))) for i in range(6)})
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
