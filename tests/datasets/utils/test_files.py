from __future__ import annotations

import os

import pytest

from datasets.utils.files import atomic, remove_parts, write_whole
from models.errors import StoreError


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


def test_a_name_as_long_as_names_may_be(tmp_path):
    path = tmp_path / ("ä" * 125 + ".txt")
    with atomic(path) as part:
        part.write_text("x")
    assert path.read_text() == "x"


def test_a_part_left_by_a_kill_is_removed_and_no_link_is_followed(tmp_path):
    (tmp_path / "elsewhere").write_text("mine")
    with atomic(tmp_path / "a") as part:
        part.write_text("old")
        name = part.name
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with atomic(tmp_path / "a", sync=False) as part:
        part.write_text("new")
    assert (tmp_path / "elsewhere").read_text() == "mine"
    (tmp_path / name).write_text("torn")
    remove_parts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a", "elsewhere"]


def test_the_same_content_is_not_written_again(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    assert write_whole(path, "é\n")
    before = path.stat().st_mtime_ns
    assert not write_whole(path, "é\n".encode())
    assert path.stat().st_mtime_ns == before


def test_what_cannot_be_written_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/a could not be written: File exists"):
        write_whole(tmp_path / "file" / "a", "x")
