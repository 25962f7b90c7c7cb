"""Annotations in time: every layout that data sets come in, what is refused and where, tracks and their splits."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.groundtruth.annotation_files import Span, read_annotation
from datasets.groundtruth.annotations import read_annotations
from datasets.groundtruth.chords import CHORDS, OUTSIDE, chord_class
from models.errors import GroundtruthError


def written(folder, name: str, content: str):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def jams(namespace: str, data: object, **more: object) -> str:
    return json.dumps({"annotations": [{"namespace": namespace, "data": data, **more}], "file_metadata": {"duration": 9.0}})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.beats", "0.5 1\n1.0 2\n1.5 3\n"),
        ("a.txt", "\ufeff# beats of a\n0.5\t1\r\n\n1.0\t2\r\n1.5\t3"),
        ("a.csv", "0.5,1\n1.0,2\n1.5,3\n"),
        ("a.jams", jams("beat", [{"time": t, "duration": 0.0, "value": v, "confidence": None} for t, v in ((1.0, 2), (0.5, 1), (1.5, 3))])),
        ("b.jams", jams("beat_position", {"time": [0.5, 1.0, 1.5], "duration": [0, 0, 0], "value": [1, 2, 3]})),
    ],
)  # fmt: skip
def test_beats(tmp_path, name, content):
    found = read_annotation(written(tmp_path, name, content), "beats")
    assert [span.start for span in found] == [0.5, 1.0, 1.5]
    assert [float(span.label) for span in found] == [1, 2, 3]


def test_bare_beats_and_none(tmp_path):
    assert read_annotation(written(tmp_path, "a.txt", "0.5\n1.25\n"), "beats") == [Span(0.5, 0.5, ""), Span(1.25, 1.25, "")]
    assert read_annotation(written(tmp_path, "b.beats", "# silence\n"), "beats") == []


def test_chords_with_a_gap_and_a_rounding(tmp_path):
    text = "0.0 1.0 C:maj7\n1.0 2.0004 N\n2.0 3.0 A:min/b3\n4.0 5.0 G:sus4\n"
    found = read_annotation(written(tmp_path, "a.lab", text), "chords")
    assert [span.label for span in found] == ["C:maj7", "N", "A:min/b3", "X", "G:sus4"]
    assert [(span.start, span.end) for span in found] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    held = jams("chord", [{"time": 0.0, "duration": 1.5, "value": "D:min"}, {"time": 1.5, "duration": 1.0, "value": "N"}])
    assert [s.label for s in read_annotation(written(tmp_path, "a.jams", held), "chords")] == ["D:min", "N"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.lab", "0 10 intro\n10 30.5 verse A\n30.5 40 intro\n"),
        ("a.csv", "0,10,intro\n10,30.5,verse A\n30.5,40,intro\n"),
        ("a.txt", "0 intro\n10 verse A\n30.5 intro\n40 end\n"),
        ("a.jams", jams("segment_open", {"time": [0, 10, 30.5], "duration": [10, 20.5, 9.5], "value": ["intro", "verse A", "intro"]})),
    ],
)  # fmt: skip
def test_sections(tmp_path, name, content):
    found = read_annotation(written(tmp_path, name, content), "sections")
    assert found == [Span(0, 10, "intro"), Span(10, 30.5, "verse A"), Span(30.5, 40, "intro")]


@pytest.mark.parametrize(
    ("kind", "name", "content", "match"),
    [
        ("beats", "a.beats", "0.5\n0.4\n", r"a.beats, line 2: times ascend; 0.4 s comes behind 0.5 s"),
        ("beats", "a.beats", "0.5\n0.5\n", "line 2: times ascend"),
        ("beats", "a.beats", "0.5\nnan\n", "line 2: a time is a finite number"),
        ("beats", "a.beats", "0.5\n\n-1\n", "line 3: a time is a finite number"),
        ("beats", "a.beats", "0.5 one\n", "line 1: behind its time a beat has its number"),
        ("beats", "a.beats", "0,5\n1,25\n2,75\n", "line 2: '1,25': times with decimal commas are not read; write 1.25"),
        ("beats", "a.csv", "0,05\n1,5\n", "line 1: '0,05': times with decimal commas"),
        ("beats", "a.beats", "12,5\n13\n14,25\n", "line 2: '13': times with decimal commas"),
        ("beats", "a.beats", "first\n", "line 1: a time in seconds is wanted, not 'first'"),
        ("beats", "a.jams", jams("chord", []), "no annotation of beats; those that are there: 'chord'"),
        ("beats", "a.jams", "{", "is no JAMS file"),
        ("beats", "a.jams", jams("beat", [{"time": None}]), "observation 1: a time in seconds is wanted"),
        ("beats", "a.jams", jams("beat", [3]), "observation 1: time, duration and value are wanted"),
        ("beats", "a.jams", jams("beat", {"time": [1], "duration": [], "value": []}), "columns are of unlike length"),
        ("chords", "a.lab", "0 1 C:maj\n1 2 H:maj\n", r"a.lab, line 2: 'H:maj' is no chord label"),
        ("chords", "a.lab", "0 1\n", "line 1: start, end and a label are wanted; it has 2"),
        ("chords", "a.lab", "0 1 C\n0.5 2 D\n", "line 2: it starts at 0.5 s, before the one before it ends"),
        ("chords", "a.lab", "0 1 C\n2 1.5 D\n", "line 2: it ends at 1.5 s, not behind its start"),
        ("chords", "a.lab", "", "holds no chords: it is empty"),
        ("chords", "a.jams", jams("chord", [{"time": 0, "duration": 1, "value": 7}]), "observation 1: a label is wanted, not 7"),
        ("sections", "a.txt", "0 intro\n10 verse\n", "does not say when the last one ends"),
        ("sections", "a.txt", "0 inf intro\n", "line 1: a time is a finite number"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_line(tmp_path, kind, name, content, match):
    with pytest.raises(GroundtruthError, match=match):
        read_annotation(written(tmp_path, name, content), kind)


@pytest.mark.parametrize(
    "content",
    [
        "0,1\n1,2\n2,3\n3,1\n",
        "0,3\n1,4\n2,1\n",
        "0;1\n1;2\n",
        "1\t70\n2\t71\n",
        "1 01\n2 02\n",
        "0.5,1\n1,2\n2,07\n",
        "0\n1\n2\n",
    ],
)
def test_whole_seconds_with_numbers_that_count_are_beats(tmp_path, content):
    found = read_annotation(written(tmp_path, "a.csv", content), "beats")
    assert [span.start for span in found] == [
        float(line.replace(",", " ").replace(";", " ").split()[0]) for line in content.splitlines()
    ]


def test_an_empty_file_of_beats_is_said(tmp_path, caplog):
    assert read_annotation(written(tmp_path, "a.beats", "\n"), "beats") == []
    assert "a.beats holds no beats" in caplog.text


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.lab").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(GroundtruthError, match=r"a.lab cannot be read"):
        read_annotation(tmp_path / "a.lab", "chords")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(max_size=60), st.sampled_from(["beats", "chords", "sections"]), st.sampled_from([".txt", ".jams"]))
def test_any_text_is_read_or_refused(tmp_path_factory, text, kind, suffix):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_text(text, encoding="utf-8")
    try:
        found = read_annotation(path, kind)
    except GroundtruthError:
        return
    assert all(np.isfinite([s.start, s.end]).all() and 0 <= s.start <= s.end for s in found)
    assert all(a.end <= b.start for a, b in pairwise(found))


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("C", "C:maj"), ("C:maj7", "C:maj"), ("G:7/3", "G:maj"), ("A#:min7", "Bb:min"), ("Cb:maj", "B:maj"), ("N", "N"), ("X", None),
        ("D:sus4", None), ("E:dim", None), ("F:5", None), ("A:min(*5)", None), ("Bb:9", "Bb:maj"),
    ],
)  # fmt: skip
def test_chords_are_reduced_as_mir_eval_compares_them(label, wanted):
    from mir_eval.chord import majmin

    found = chord_class(label)
    assert found == (OUTSIDE if wanted is None else CHORDS.index(wanted))
    compared = [majmin([label], [chord])[0] for chord in CHORDS]
    assert compared == [-1 if wanted is None else float(chord == wanted) for chord in CHORDS]


# ---- folders
def test_a_folder_with_a_table_of_splits(tmp_path):
    for i in range(6):
        written(tmp_path / "lab", f"x/{i:02d}. Song.lab", f"0 {i + 1} intro\n{i + 1} 9 verse\n")
    table = written(
        tmp_path,
        "t.csv",
        "path,split\n" + "".join(f"x/{i:02d}. Song.mp3,{s}\n" for i, s in enumerate(["train"] * 4 + ["valid", "test"])),
    )
    found = read_annotations("sections", tmp_path / "lab", table)
    assert found.labels == ["intro", "verse", "boundary"]
    assert {split: len(part) for split, part in found.splits.items()} == {"train": 4, "val": 1, "test": 1}
    test = found.splits["test"]
    assert test.keys == ["x/05. Song.mp3"]
    np.testing.assert_array_equal(test.matrix().track(0), [[0, 6, 0], [6, 9, 1], [6, 6, 2]])
    assert test.matrix().shape == (1, 3)


def test_a_folder_alone_is_split_by_the_seed(tmp_path):
    for i in range(30):
        written(tmp_path, f"{i}.beats", "0.5\n1.0\n")
    one, same, other = (read_annotations("beats", tmp_path, seed=seed) for seed in (0, 0, 1))
    assert one.split == same.split != other.split
    assert {split: len(part) for split, part in one.splits.items()} == {"train": 24, "val": 3, "test": 3}


def test_folders_that_are_refused(tmp_path):
    table = written(tmp_path, "t.csv", "path,split\na.wav,train\nb.wav,test\n")
    with pytest.raises(GroundtruthError, match="no folder of annotations"):
        read_annotations("beats", tmp_path / "none", table)
    written(tmp_path / "beats", "a.xyz", "1\n")
    with pytest.raises(GroundtruthError, match="holds no annotations of beats"):
        read_annotations("beats", tmp_path / "beats", table)
    written(tmp_path / "beats", "a.beats", "1\n")
    with pytest.raises(GroundtruthError, match=r"1 of 2 tracks have no annotation of beats.*b\.wav"):
        read_annotations("beats", tmp_path / "beats", table)
    assert read_annotations("beats", tmp_path / "beats", table, skip_missing=True).keys == ["a.wav"]
    written(tmp_path / "beats", "a.txt", "1\n")
    with pytest.raises(GroundtruthError, match="may mean"):
        read_annotations("beats", tmp_path / "beats", table)
    with pytest.raises(GroundtruthError, match="wanted is one of path"):
        read_annotations("beats", tmp_path / "beats", written(tmp_path, "u.csv", "name,split\na,train\n"))
