"""Archives that lie: odd names and kinds, headers changed anywhere, bombs. What they hold lies whole below the folder, or a DataSetError says why."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.published import archives
from datasets.published.archives import unpack
from models.errors import DataSetError
from tests.sentences import one_sentence

CASES = settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
names = st.one_of(
    st.sampled_from(["a", "b/a", "b", "../up", "/etc/up", "b/../../up", "./a", "c:\\up", "a\\b", "", ".", "x" * 300,
        "\x1b[2J", "a\x00b", "b/", "link/a"]),
    st.text(max_size=5),
)  # fmt: skip
kinds = st.sampled_from(
    [tarfile.REGTYPE] * 6
    + [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"S", b"x", b"?"]
)
members = st.lists(st.tuples(names, st.binary(max_size=40) | st.just(bytes(3000)), kinds), max_size=5)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("archives")


def outcome(place, raw, name):
    """Unpack into a folder beside which nothing may appear; what it holds, or None."""
    shutil.rmtree(place / "root", ignore_errors=True)
    (place / "root/elsewhere").mkdir(parents=True)
    (place / "root/out").mkdir()
    (place / "root/out/link").symlink_to(place / "root/elsewhere")
    (place / name).write_bytes(raw)
    found = None
    try:
        found = unpack([place / name], place / "root/out", max_bytes=1 << 20)
    except DataSetError as error:
        one_sentence(error)
    assert sorted(p.name for p in (place / "root").iterdir()) == ["elsewhere", "out"]
    assert not list((place / "root/elsewhere").iterdir())
    there = [p for p in (place / "root/out").rglob("*") if p.name != "link"]
    assert all(p.is_dir() or (p.is_file() and not p.is_symlink()) for p in there)
    assert not any(p.name.endswith(".part") for p in there)
    assert sum(p.stat().st_size for p in there if p.is_file()) <= 1 << 20
    assert found is None or found.files == sum(p.is_file() for p in there)
    return found


def changed(data, raw):
    raw = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    return bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)


@pytest.mark.slow
@CASES
@given(content=members, method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]), data=st.data())
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zips(place, content, method, data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, inner, kind in content:
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "x")
            info.external_attr = {tarfile.SYMTYPE: 0o120777, tarfile.FIFOTYPE: 0o010666}.get(kind, 0o100644) << 16
            archive.writestr(info, inner, method)
    outcome(place, changed(data, out.getvalue()), "a.zip")


@pytest.mark.slow
@CASES
@given(content=members, mode=st.sampled_from(["", "", "gz", "xz"]), data=st.data())
def test_tars(place, content, mode, data):
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=data.draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    ) as archive:
        for name, inner, kind in content:
            info = tarfile.TarInfo(name.encode("utf-8", "replace").decode().replace("\x00", ""))
            info.type, info.linkname, info.size = kind, "/etc/passwd", len(inner)
            archive.addfile(info, io.BytesIO(inner))
    raw = out.getvalue()
    if not mode:
        raw = changed(data, raw)
    outcome(place, {"": bytes, "gz": gzip.compress, "xz": __import__("lzma").compress}[mode](raw), "a.tar")


def header(kind, size=0, name="a"):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.slow
def test_bombs(tmp_path, monkeypatch):
    """Members beyond all ratio, in tars also those that are left out, bare names, headers upon headers; members that lie over one another."""
    monkeypatch.setattr(archives, "MOST_NAMES", 1000)
    pax = header(b"x", 512) + b"19 path=aaaaaaaaaa\n".ljust(512, b"\0")
    tars = {
        "zeros": header(b"0", 80 << 20) + bytes(80 << 20),
        "folders": header(b"5", name="d") * 2000,
        "headers": pax * 3000 + header(b"0"),
    }
    for name, raw in tars.items():
        packed = gzip.compress(raw, 6)
        assert len(packed) < 1 << 20
        (tmp_path / "a.tgz").write_bytes(packed)
        with pytest.raises(DataSetError) as caught:
            unpack([tmp_path / "a.tgz"], tmp_path / name, rename=lambda found: None if found != "f0" else found)
        one_sentence(caught.value)
        assert sum(len(files) for _, _, files in os.walk(tmp_path / name)) <= 1
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(60 << 20))
        first = archive.infolist()[0]
        for k in range(300):  # a directory that names one member's bytes again and again
            info = zipfile.ZipInfo(f"b{k}")
            info.compress_type, info.CRC, info.compress_size, info.file_size = (
                first.compress_type,
                first.CRC,
                first.compress_size,
                first.file_size,
            )
            info.header_offset = first.header_offset
            archive.filelist.append(info)
            archive._didModify = True
    (tmp_path / "over.zip").write_bytes(out.getvalue())
    with pytest.raises(DataSetError, match="nothing of it was unpacked"):
        unpack([tmp_path / "over.zip"], tmp_path / "over")
    assert not any((tmp_path / "over").iterdir())


@pytest.mark.slow
def test_a_hundred_thousand_names_are_looked_at_in_linear_time(tmp_path):
    many = [f"{k % 100}/{k}" for k in range(100_000)]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in many:
            archive.writestr(zipfile.ZipInfo(name), b"")
    (tmp_path / "a.tar").write_bytes(b"".join(header(b"0", name=name) for name in many) + bytes(1024))
    for name in ("a.zip", "a.tar"):
        assert unpack([tmp_path / name], tmp_path / "out", rename=lambda found: found if found == "0/0" else None).files == 1
