"""Groundtruths the way large ones are held and read: every test of test_groundtruth.py and test_groundtruth_pickles.py again with compact names,
pyarrow and the cache, and what is special about these.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.groundtruth import arrow as groundtruth_arrow
from datasets.groundtruth import cache as groundtruth_cache
from datasets.groundtruth import tables as groundtruth_tables
from datasets.groundtruth.groundtruth import Groundtruth, match
from datasets.utils import names
from datasets.utils.names import Names
from models.errors import GroundtruthError
from tests.datasets.groundtruth.small_table import TABLE
from tests.datasets.groundtruth.test_groundtruth import *  # noqa: F403  the same tests, under the fixture below
from tests.datasets.groundtruth.test_groundtruth_pickles import *  # noqa: F403


@pytest.fixture(autouse=True)
def as_if_large(monkeypatch):
    """Every table counts as large."""
    monkeypatch.setattr(names, "COMPACT_FROM", 1)
    monkeypatch.setattr(groundtruth_tables, "ARROW_FROM", 0)
    monkeypatch.setattr(groundtruth_tables, "LINES", 2)
    monkeypatch.setattr(groundtruth_cache, "FROM_BYTES", 0)


def same(a, b):
    assert list(a.keys) == list(b.keys)
    assert (a.labels, a.split, a.group) == (b.labels, b.split, b.group)
    np.testing.assert_array_equal(a.packed, b.packed)


def written(path, text):
    path.write_bytes(text.encode("utf-8"))
    return path


def lines_of(path, monkeypatch, **options):
    """Read without pyarrow and cache."""
    with monkeypatch.context() as patch:
        patch.setattr(groundtruth_tables, "ARROW_FROM", 1 << 60)
        patch.setattr(groundtruth_cache, "FROM_BYTES", 1 << 60)
        return Groundtruth.read(path, **options)


def test_they_are_taken(tmp_path, monkeypatch):
    path = written(tmp_path / "labels.csv", TABLE)
    assert isinstance(Groundtruth.read(path).keys, Names)
    assert (tmp_path / "labels.csv.cache").is_file()
    assert groundtruth_arrow.batches(path, ",", ["path", "labels"], ["path"]) is not None
    assert groundtruth_arrow.batches(written(tmp_path / "q.csv", '"path",labels\n'), ",", ["path", "labels"], ["path"]) is None
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    assert groundtruth_arrow.batches(path, ",", ["path", "labels"], ["path"]) is None


CELL = st.text(st.sampled_from("ab|; ü漢\t'-"), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=7),
    blank=st.booleans(),
    separator=st.sampled_from([None, "", "|", ";"]),
)
def test_pyarrow_and_lines_agree(tmp_path, monkeypatch, rows, blank, separator):
    """Whatever stands in the cells: the same groundtruth, or the same refusal."""
    text = "path,tags,artist\n" + "".join(f"{i}{a},{b},{c}\n" for i, (a, b, c) in enumerate(rows))
    path = written(tmp_path / "labels.csv", text + ("\n" if blank else ""))
    answers = []
    for read in (lambda: Groundtruth.read(path, separator=separator), lambda: lines_of(path, monkeypatch, separator=separator)):
        try:
            answers.append(read())
        except GroundtruthError as error:
            answers.append(str(error))
    if isinstance(answers[0], str) or isinstance(answers[1], str):
        assert answers[0] == answers[1]
    else:
        same(*answers)


def test_many_lines_of_all_kinds(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    names_ = [f"style {i}" for i in range(37)]
    rows = [
        f"{i:05d}/é{i}.mp3,{'|'.join(names_[c] for c in np.flatnonzero(rng.random(37) < 0.05))},{('train', 'val', 'test')[i % 3]},a {i % 50}"
        for i in range(5000)
    ]
    path = written(tmp_path / "labels.csv", "path,labels,split,artist\n" + "\n".join(rows) + "\n")
    monkeypatch.setattr(groundtruth_arrow, "BLOCK", 4096)  # many parts
    truth = Groundtruth.read(path)
    same(truth, lines_of(path, monkeypatch))
    assert truth.counts.sum() == sum(row.split(",")[1].count("style") for row in rows)
    part = truth.splits["val"]
    assert part.keys[:2] == ["00001/é1.mp3", "00004/é4.mp3"]
    assert match(part.keys, truth.keys).numbers.tolist() == list(range(1, 5000, 3))


def test_the_cache_counts_as_long_as_the_table_and_the_way_to_read_it_are_the_same(tmp_path, monkeypatch):
    path = written(tmp_path / "labels.csv", "path,tags,genre,split,artist\n1,a|b,x,train,p\n2,b,y,test,q\n")
    read, calls = groundtruth_tables.read_table, []
    from datasets.groundtruth import read as groundtruth_files

    monkeypatch.setattr(groundtruth_files, "read_table", lambda *a: calls.append(a) or read(*a))
    first = Groundtruth.read(path, label_column="tags")
    same(Groundtruth.read(path, label_column="tags"), first)
    assert len(calls) == 1
    assert Groundtruth.read(path, label_column="genre").labels == ["x", "y"]
    assert Groundtruth.read(path, label_column="tags", labels=["b", "a"]).labels == ["b", "a"]
    assert len(calls) == 3
    same(Groundtruth.read(path, label_column="tags"), first)
    written(path, path.read_text().replace("1,a|b", "1,b|c"))  # of the same size
    assert Groundtruth.read(path, label_column="tags").labels == ["b", "c"]
    assert len(calls) == 5


@pytest.mark.parametrize("content", [b"", b"no HDF5", None])
def test_a_damaged_cache_is_read_past(tmp_path, content):
    path = written(tmp_path / "labels.csv", TABLE)
    first = Groundtruth.read(path)
    cache = tmp_path / "labels.csv.cache"
    data = bytearray(cache.read_bytes())
    cache.write_bytes(content if content is not None else data[: len(data) // 2])
    same(Groundtruth.read(path), first)
    same(Groundtruth.read(path), first)


def test_a_folder_that_cannot_be_written_is_no_hindrance(tmp_path, monkeypatch):
    path = written(tmp_path / "labels.csv", TABLE)

    def refused(a, b):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("datasets.utils.files.os.replace", refused)
    assert len(Groundtruth.read(path)) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["labels.csv"]
