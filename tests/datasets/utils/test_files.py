from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.utils.files import atomic, plain


def test_the_file_appears_whole(tmp_path):
    path = tmp_path / "a" / "b.txt"
    with atomic(path) as part:
        part.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_a_failure_leaves_the_old_file_and_no_part(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic(path) as part:
            part.write_text("ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


def test_plain_values_survive_json():
    value = {
        "a": np.float32(0.5),
        1: np.arange(3),
        "n": [float("nan"), np.inf, None],
        "t": (True, "x"),
        "p": {"q": np.bool_(True)},
    }
    assert json.loads(json.dumps(plain(value))) == {
        "a": 0.5,
        "1": [0, 1, 2],
        "n": [None, None, None],
        "t": [True, "x"],
        "p": {"q": True},
    }
