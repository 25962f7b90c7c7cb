"""Unpacking: parts joined without a copy, resumed, and hostile archives refused before anything is written."""

from __future__ import annotations

import io
import stat
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.published import archives
from datasets.published.archives import JoinedFile, in_order, unpack
from models.errors import DataSetError

FILES = {f"{k % 3}/track {k}.mp3": np.random.default_rng(k).bytes(500 + 37 * k) for k in range(9)}


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return out.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def parts_of(content: bytes, folder, name="a.zip", n=3):
    size = -(-len(content) // n)
    paths = []
    for k in range(n):
        path = folder / f"{name}.{k + 1:03d}"
        path.write_bytes(content[k * size : (k + 1) * size])
        paths.append(path)
    return paths


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ---- parts
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 220), st.integers(0, 90)), max_size=8),
)
def test_joined_parts_read_as_one_file(tmp_path_factory, contents, reads):
    folder = tmp_path_factory.mktemp("parts")
    paths = []
    for k, content in enumerate(contents):
        paths.append(folder / f"x.{k + 1:03d}")
        paths[-1].write_bytes(content)
    whole = io.BytesIO(b"".join(contents))
    with io.BufferedReader(JoinedFile(paths[::-1]), 16) as joined:
        assert joined.seek(0, io.SEEK_END) == len(whole.getvalue())
        for at, count in reads:
            whole.seek(at)
            joined.seek(at)
            assert joined.read(count) == whole.read(count)


def test_parts_are_taken_by_number_not_by_name(tmp_path):
    names = [f"a.zip.{k}" for k in (10, 2, 1, 3, 4, 5, 6, 7, 8, 9)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert [p.name for p in in_order([tmp_path / n for n in sorted(names)])] == [f"a.zip.{k}" for k in range(1, 11)]


def test_absent_and_odd_parts_are_named(tmp_path):
    paths = parts_of(zipped(FILES), tmp_path, n=4)
    with pytest.raises(DataSetError, match=r"Parts \[2\] of a.zip are missing"):
        in_order([paths[0], paths[2], paths[3]])
    with pytest.raises(DataSetError, match=r"Parts \[1\]"):
        in_order(paths[1:])
    paths[1].unlink()
    with pytest.raises(DataSetError, match=r"There is no .*a\.zip\.002"):
        unpack(paths, tmp_path / "out")
    (tmp_path / "b").write_bytes(b"")
    with pytest.raises(DataSetError, match="b is no part"):
        in_order([paths[0], tmp_path / "b"])


def test_no_second_copy_in_memory_or_on_disk(tmp_path):
    content = {f"{k}.bin": np.random.default_rng(k).bytes(4_000_000) for k in range(8)}
    paths = parts_of(zipped(content), tmp_path)
    del content
    tracemalloc.start()
    unpack(paths, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000  # of 32 MB
    assert len(list(tmp_path.glob("a.zip*"))) == 3


# ---- whole, resumed, damaged
@pytest.mark.parametrize("kind", ["zip", "deflated", "tar", "tar.gz", "tar.xz"])
def test_unpacks_and_goes_on(tmp_path, kind, monkeypatch):
    content = {"zip": zipped(FILES), "deflated": zipped(FILES, zipfile.ZIP_DEFLATED)}.get(kind) or tarred(
        FILES, "w:" + kind.removeprefix("tar").lstrip(".")
    )
    path = tmp_path / "a"
    path.write_bytes(content)
    out = tmp_path / "out"
    real, left = archives._write, [4]

    def dies(*args):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(archives, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        unpack([path], out)
    assert len(tree(out)) == 4
    monkeypatch.setattr(archives, "_write", real)
    (out / "0/track 0.mp3").write_bytes(b"cut")  # of another size than it should have
    done = unpack([path], out)
    assert (done.files, done.written) == (9, 6)
    assert tree(out) == FILES
    assert unpack([path], out).written == 0


def test_a_damaged_file_is_not_left_under_its_name(tmp_path):
    content = bytearray(zipped(FILES))
    at = bytes(content).index(FILES["1/track 4.mp3"]) + 100
    content[at] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataSetError, match=r"a\.zip cannot be unpacked: Bad CRC-32 for file '1/track 4\.mp3'"):
        unpack([tmp_path / "a.zip"], tmp_path / "out")
    assert "1/track 4.mp3" not in tree(tmp_path / "out")
    assert not [name for name in tree(tmp_path / "out") if name.endswith(".part")]


@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100, zipped(FILES)[:-30], tarred(FILES)[:-200]])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataSetError, match="cannot be unpacked"):
        unpack([tmp_path / "a"], tmp_path / "out")


# ---- hostile
BAD_NAMES = ["../evil", "a/../../evil", "/tmp/evil", "a/./b", "C:/evil", "..\\evil", "a//b", "..", "a/.."]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_out_are_refused(tmp_path, name, kind):
    files = {"0/good.mp3": b"good", name: b"evil"}
    (tmp_path / "a").write_bytes(zipped(files) if kind == "zip" else tarred(files))
    with pytest.raises(DataSetError, match="may lead out of the folder"):
        unpack([tmp_path / "a"], tmp_path / "deep" / "out")
    left = tree(tmp_path / "deep")
    assert b"evil" not in left.values()
    assert kind == "tar" or not left  # of a zip nothing at all was written
    assert not (tmp_path / "evil").exists()


def test_links_in_archives_are_refused(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc")
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        (tmp_path / f"{kind!r}.tar").write_bytes(out.getvalue())
    for path in [tmp_path / "a.zip", *tmp_path.glob("*.tar")]:
        with pytest.raises(DataSetError, match="a link or special file"):
            unpack([path], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_link_that_stands_in_the_folder_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a.zip").write_bytes(zipped(FILES))
    with pytest.raises(DataSetError, match="is a link"):
        unpack([tmp_path / "a.zip"], tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_bombs_are_refused_by_what_they_state(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zipped({"a": bytes(80 << 20)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(DataSetError, match="claims to grow"):
        unpack([tmp_path / "a.zip"], tmp_path / "out")
    for content in (zipped(FILES), tarred(FILES)):
        (tmp_path / "b").write_bytes(content)
        with pytest.raises(DataSetError, match="at most are expected"):
            unpack([tmp_path / "b"], tmp_path / "out2", max_bytes=3000)
    assert sum(map(len, tree(tmp_path / "out2").values())) <= 3000
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: type("U", (), {"free": 100}))
    with pytest.raises(DataSetError, match="are free"):
        unpack([tmp_path / "b"], tmp_path / "out3")
    assert not tree(tmp_path / "out")
    assert not tree(tmp_path / "out3")


def test_a_size_that_lies_is_found(tmp_path):
    content = bytearray(zipped({"a": b"x" * 1000}, zipfile.ZIP_DEFLATED))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # uncompressed size, in both headers
        at = bytes(content).index(signature) + offset
        content[at : at + 4] = (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataSetError):
        unpack([tmp_path / "a.zip"], tmp_path / "out")
    assert not tree(tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_stand_twice_or_as_a_folder_are_refused(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    (tmp_path / "b.zip").write_bytes(zipped({"a": b"", "a/b": b""}))
    for name, match in (("a.zip", "twice"), ("b.zip", "as a file and as a folder")):
        with pytest.raises(DataSetError, match=match):
            unpack([tmp_path / name], tmp_path / "out")
    assert not tree(tmp_path / "out")


@pytest.mark.parametrize("make", [zipped, tarred])
def test_names_can_be_left_out_and_changed_but_not_to_lead_out(tmp_path, make):
    (tmp_path / "a").write_bytes(make({"__MACOSX/x": b"1", "repo-1a2b/b": b"2"}))
    assert unpack([tmp_path / "a"], tmp_path / "out", rename=lambda n: n[10:] if n.startswith("repo") else None).files == 1
    assert tree(tmp_path / "out") == {"b": b"2"}
    with pytest.raises(DataSetError, match="may lead out"):
        unpack([tmp_path / "a"], tmp_path / "out", rename=lambda n: "../" + n)


@pytest.mark.parametrize(
    ("kind", "names"),
    [(zipped, ["a" * 300]), (tarred, ["b/" + "a" * 300]), (tarred, ["x", "x/y"]), (tarred, ["x/y", "x"])],
)
def test_names_that_cannot_be_files_here_are_named(tmp_path, kind, names):
    (tmp_path / "a.zip").write_bytes(kind(dict.fromkeys(names, b"sound")))
    with pytest.raises(DataSetError, match=r"a\.zip holds a name that cannot be a file here"):
        unpack([tmp_path / "a.zip"], tmp_path / "out")


def test_an_error_of_the_disk_is_not_the_archive_s(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zipped({"x": b"sound"}))

    def full(*_):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(archives.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        unpack([tmp_path / "a.zip"], tmp_path / "out")
