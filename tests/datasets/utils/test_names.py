"""Compact names answer as the list does."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.utils import names as module
from datasets.utils.names import Names, chosen, compact, finder, positions

TEXTS = st.lists(st.text(max_size=5) | st.sampled_from(["", "a", "ä", "\ud800", "a\0", "漢字"]), max_size=30)


@given(TEXTS, st.data())
def test_as_a_list(texts, data):
    got = Names.of(texts)
    assert list(got) == texts
    assert got == texts
    assert texts == got
    assert len(got) == len(texts)
    assert got == Names.of(iter(texts)) == pickle.loads(pickle.dumps(got))
    assert got != [*texts, "x"]
    for text in [*texts, "not there", ""]:
        assert (text in got) == (text in texts)
        assert got.find(text) == (texts.index(text) if text in texts else -1)
    assert (3 in got, got.find(None)) == (False, -1)
    first, last = sorted(data.draw(st.tuples(st.integers(-35, 35), st.integers(-35, 35))))
    assert got[first:last] == texts[first:last]
    assert got[::-1] == texts[::-1]
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=9)) if texts else []
    assert list(got.take(rows)) == [texts[i] for i in rows]
    assert got.twice() == [text for i, text in enumerate(texts) if texts.count(text) > 1 and texts.index(text) == i]
    others = data.draw(TEXTS)
    wanted = [texts.index(text) if text in texts else -1 for text in others]
    assert got.find_all(others).tolist() == got.find_all(Names.of(others)).tolist() == wanted


def test_places():
    got = Names.of("abc")
    assert (got[0], got[-1], got[np.int64(1)], got.index("b")) == ("a", "c", "b", 1)
    for wrong in (3, -4):
        with pytest.raises(IndexError, match="there are 3"):
            got[wrong]
    with pytest.raises(ValueError, match="not in list"):
        got.index("x")
    assert repr(Names.of("abcd")) == "<4 names: 'a', 'b', 'c', ...>"


def test_equal_hashes_are_told_apart(monkeypatch):
    """As if the hash were a poor one: four values for all."""
    monkeypatch.setattr(module, "hash", lambda raw: len(raw) % 4, raising=False)
    texts = [f"{i:0{1 + i % 5}d}" for i in range(60)]
    got = Names.of([*texts, "07"])
    assert got.find_all([*texts, "nope"]).tolist() == [*range(60), -1]
    assert [got.find(text) for text in texts] == list(range(60))
    assert got.twice() == [text for text in texts if text == "07"]


def test_few_stay_a_list(monkeypatch):
    assert compact(("a", "b")) == ["a", "b"]
    assert isinstance(compact(("a", "b")), list)
    monkeypatch.setattr(module, "COMPACT_FROM", 2)
    many = compact(["a", "b"])
    assert isinstance(many, Names)
    assert compact(many) is many
    assert isinstance(chosen(many, [1, 0]), Names)
    assert chosen(["a", "b"], np.array([1])) == ["b"]
    for where in (finder(many), finder(["a", "b"])):
        assert positions(where, ["b", "x"]).tolist() == [1, -1]
