"""Fetching bundles: what is known of a file is held, also of one that was there before; what stands is left."""

from __future__ import annotations

import hashlib

import pytest

from datasets.published.fetch import Bundle, Remote, fetch, read_sums
from models.errors import DataSetError
from models.weights.downloads import DownloadError
from tests.datasets.published.test_archives import zipped
from tests.server import serving

CONTENT = zipped({"a/b.txt": b"text", "__MACOSX/x": b"litter", "a/.DS_Store": b"litter"})
RIGHT = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "md5": hashlib.md5(CONTENT).hexdigest(), "size": len(CONTENT)}
WRONG = {"sha256": "0" * 64, "md5": "0" * 32, "size": len(CONTENT) + 1}


@pytest.fixture
def server():
    with serving() as state:
        state.files["/a.zip"] = CONTENT
        yield state


def bundle(server, **known) -> Bundle:
    return Bundle((Remote("a.zip", f"{server.address}/a.zip", **known),), into="out")


def test_all_that_is_known_may_be_right(server, tmp_path):
    assert fetch([bundle(server, **RIGHT)], tmp_path) == 1
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["b.txt"]
    assert fetch([bundle(server, **RIGHT)], tmp_path) == 0
    assert len(server.log) == 1


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_is_another_is_refused(server, tmp_path, what, there):
    if there:
        (tmp_path / "a.zip").write_bytes(CONTENT)
    with pytest.raises(DataSetError, match="wanted"):
        fetch([bundle(server, **{what: WRONG[what]})], tmp_path)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "a.zip").exists() == there  # the user's file is the user's to remove


def test_a_given_list_comes_before_the_published_digests(server, tmp_path):
    fetch([bundle(server, md5=WRONG["md5"], sha256=WRONG["sha256"])], tmp_path, known={"a.zip": RIGHT["sha256"]})
    assert (tmp_path / "out" / "a" / "b.txt").read_text() == "text"


def test_downloading_and_unpacking_can_be_parted(server, tmp_path):
    assert fetch([bundle(server)], tmp_path, open_up=False) == 1
    assert not (tmp_path / "out").exists()
    server.files.clear()
    assert fetch([bundle(server)], tmp_path, get=False) == 1
    assert (tmp_path / "out" / "a" / "b.txt").exists()
    with pytest.raises(DataSetError, match="There is no .*b.csv"):
        fetch([Bundle((Remote("b.csv", ""),))], tmp_path, get=False)


def test_the_network_can_be_forbidden(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"network is forbidden.*Put it at"):
        fetch([bundle(server)], tmp_path)
    assert not server.log


def test_an_archive_of_nothing_wanted_is_an_error(server, tmp_path):
    server.files["/a.zip"] = zipped({"__MACOSX/x": b"litter"})
    with pytest.raises(DataSetError, match="holds no file"):
        fetch([bundle(server)], tmp_path)


def test_lists_of_checksums(tmp_path):
    path = tmp_path / "sums"
    path.write_text(f"{'a' * 64}  x.zip\n{'B' * 64} *folder/y.zip\n\n{'c' * 64} ./z\n")
    assert read_sums(path) == {"x.zip": "a" * 64, "y.zip": "b" * 64, "z": "c" * 64}
    for text in ("", "no list\n", "abc\n"):
        path.write_text(text)
        with pytest.raises(DataSetError, match="no list of checksums"):
            read_sums(path)
    with pytest.raises(DataSetError, match="cannot be read"):
        read_sums(tmp_path / "absent")
