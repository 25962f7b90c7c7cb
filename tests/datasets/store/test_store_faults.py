"""TrackStore under kills, full disks, two writers and crashes while sealing: what was whole stays whole."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.store import files as store_files
from datasets.store import writer as store_writer
from datasets.store.track_store import TrackStore
from models.errors import StoreError

ROOT = Path(__file__).resolve().parents[3]
ATTRS = {"kind": "test"}


def create(folder):
    return TrackStore.create(folder / "s.h5", (2,), np.int16, ATTRS)


def assert_prefix(store, data):
    assert store.names == list(data)[: len(store)]
    for name in store.names:
        np.testing.assert_array_equal(store.read(name), data[name])


def write(folder, data, seal=False):
    with create(folder) as writer:
        for name, array in data.items():
            if name not in writer:
                writer.append(name, array)
        if seal:
            writer.seal()


def some(n=8):
    rng = np.random.default_rng(1)
    return {f"{i}\n.wav": rng.integers(-99, 99, (int(rng.integers(1, 30)), 2)).astype(np.int16) for i in range(n)}


tracks = st.dictionaries(
    st.text(min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(-(2**15), 2**15 - 1), st.integers(-(2**15), 2**15 - 1)), min_size=1, max_size=6),
    min_size=1,
    max_size=6,
)


@pytest.fixture
def no_fsync(monkeypatch):
    """Syncing matters to power cuts only, and takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(content=tracks, cuts=st.data())
def test_cut_anywhere_it_resumes_to_the_same_store(no_fsync, content, cuts):
    data = {name: np.array(values, dtype=np.int16) for name, values in content.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, data)
        for path in (store_files.part_path(folder / "s.h5"), store_files.journal_path(folder / "s.h5")):
            if cuts.draw(st.booleans()):
                os.truncate(path, cuts.draw(st.integers(0, path.stat().st_size)))
        if store_files.read_parts(folder / "s.h5") is None:  # not even the header is whole
            with pytest.raises(StoreError, match="only just been begun"):
                TrackStore.open(folder / "s.h5")
        else:
            assert_prefix(TrackStore.open(folder / "s.h5"), data)
        with create(folder) as writer:
            assert list(writer.names) == list(data)[: len(writer)]
        write(folder, data, seal=True)
        store = TrackStore.open(folder / "s.h5")
        assert len(store) == len(data)
        assert_prefix(store, data)
        store.verify()


def test_a_cut_loses_only_what_it_hits(tmp_path):
    data = some(5)
    write(tmp_path, data)
    part, journal = tmp_path / "s.h5.part", tmp_path / "s.h5.journal"
    os.truncate(part, part.stat().st_size - 1)
    assert len(TrackStore.open(tmp_path / "s.h5")) == 4
    write(tmp_path, data)
    os.truncate(journal, journal.stat().st_size - 1)
    assert len(TrackStore.open(tmp_path / "s.h5")) == 4
    with create(tmp_path) as writer:
        assert len(writer) == 4
    assert part.stat().st_size == sum(array.nbytes for array in list(data.values())[:4])


def test_a_power_cut_that_damaged_the_end_is_noticed(tmp_path):
    data = some(5)
    write(tmp_path, data)
    part = tmp_path / "s.h5.part"
    raw = bytearray(part.read_bytes())
    raw[-1] ^= 0xFF  # the size is right, the content is not: pages that never reached the disk
    part.write_bytes(raw)
    with create(tmp_path) as writer:
        assert len(writer) == 4
    write(tmp_path, data)
    assert_prefix(TrackStore.open(tmp_path / "s.h5"), data)
    assert len(TrackStore.open(tmp_path / "s.h5")) == 5


def test_foreign_lines_in_the_journal_end_it(tmp_path):
    data = some(3)
    write(tmp_path, data)
    for line in ('{"name": "x"}\n', "[]\n", "3\n", '{"name": 3, "offset": 0, "bytes": 8, "crc": 1}\n', "\xff\n"):
        with open(tmp_path / "s.h5.journal", "a") as file:
            file.write(line)
        assert len(TrackStore.open(tmp_path / "s.h5")) == 3
        with create(tmp_path) as writer:
            assert len(writer) == 3


def test_a_line_missing_from_the_journal_is_said(tmp_path):
    data = some(5)
    write(tmp_path, data)
    lines = (tmp_path / "s.h5.journal").read_bytes().splitlines(keepends=True)
    (tmp_path / "s.h5.journal").write_bytes(b"".join(lines[:3] + lines[4:]))  # what follows does not lie where it says
    for opened in (lambda: TrackStore.open(tmp_path / "s.h5"), lambda: create(tmp_path)):
        with pytest.raises(StoreError, match="journal is damaged in line 4"):
            opened()
    (tmp_path / "s.h5.journal").write_bytes(b"".join(lines[:3]))  # the cure that it names
    store = TrackStore.open(tmp_path / "s.h5")
    assert len(store) == 2
    assert_prefix(store, data)


def test_a_part_without_its_journal_is_not_thrown_away(tmp_path):
    write(tmp_path, some(2))
    (tmp_path / "s.h5.journal").unlink()
    with pytest.raises(StoreError, match="stands without its journal"):
        create(tmp_path)
    assert (tmp_path / "s.h5.part").stat().st_size > 0


# -- a full disk


@pytest.mark.parametrize("partial", [0, 3])
@pytest.mark.parametrize("file", ["part", "journal"])
def test_a_full_disk_while_appending(tmp_path, monkeypatch, partial, file):
    data = some(6)
    names = list(data)
    real = os.write
    full = {"now": False}

    with create(tmp_path) as writer:

        def write_until_full(handle, view):
            if full["now"] and handle == (writer._part if file == "part" else writer._journal):
                if partial and not full.get("some"):
                    full["some"] = True
                    return real(handle, view[:partial])
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(handle, view)

        monkeypatch.setattr(store_writer.os, "write", write_until_full)
        for name in names[:3]:
            writer.append(name, data[name])
        full["now"] = True
        with pytest.raises(StoreError, match=r"no space left on the disk\. The 3 tracks before it are whole and readable"):
            writer.append(names[3], data[names[3]])
        assert_prefix(TrackStore.open(tmp_path / "s.h5"), data)
        assert len(TrackStore.open(tmp_path / "s.h5")) == 3
        full.clear()
        full["now"] = False
        for name in names[3:]:  # room again: the same writer goes on
            writer.append(name, data[name])
        writer.seal()
    assert len(TrackStore.open(tmp_path / "s.h5")) == 6
    assert_prefix(TrackStore.open(tmp_path / "s.h5"), data)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("call", ["open", "write", "fsync"])
def test_a_full_disk_at_the_beginning(tmp_path, monkeypatch, call, begun):
    if begun:
        write(tmp_path, some(2))
    real = getattr(os, call)

    def fail(*args, **kwargs):
        if call == "open" and not str(args[0]).endswith((".part", ".journal")):
            return real(*args, **kwargs)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        if begun and call != "open":  # going on needs no room
            create(tmp_path)._close_files()
        else:
            with pytest.raises(StoreError, match="Could not begin, or go on with, .*no space left on the disk"):
                create(tmp_path)
    write(tmp_path, some(2), seal=True)
    assert_prefix(TrackStore.open(tmp_path), some(2))


def test_a_store_where_nothing_may_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Could not begin.*file/s\.h5"):
        TrackStore.create(tmp_path / "file" / "s.h5", (2,), np.int16, ATTRS)


@pytest.mark.parametrize("where", ["fsync", "replace", "h5py", "data"])
def test_a_full_disk_while_sealing_leaves_the_parts(tmp_path, monkeypatch, where):
    import h5py

    data = some(4)
    write(tmp_path, data)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with create(tmp_path) as writer, monkeypatch.context() as patch:
        if where == "fsync":
            real = os.fsync
            calls = iter([real, real, fail])
            patch.setattr(os, "fsync", lambda handle: next(calls)(handle))
        elif where == "replace":
            patch.setattr(os, "replace", fail)
        elif where == "h5py":
            patch.setattr(h5py, "File", fail)
        else:
            patch.setattr(store_files.zlib, "crc32", fail)
        with pytest.raises(StoreError, match=r"Could not seal .*no space left on the disk.*parts beside it are untouched"):
            writer.seal()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    write(tmp_path, data, seal=True)
    assert_prefix(TrackStore.open(tmp_path / "s.h5"), data)


def test_damaged_data_are_not_sealed(tmp_path, monkeypatch):
    data = some(4)
    write(tmp_path, data)
    part = tmp_path / "s.h5.part"
    raw = bytearray(part.read_bytes())
    raw[0] ^= 1
    part.write_bytes(raw)
    monkeypatch.setattr(store_writer, "SYNC_BYTES", 1)  # so that the first track counts as long since synced
    with create(tmp_path) as writer:
        assert len(writer) == 4
        with pytest.raises(StoreError, match=r"'0\\n\.wav' in .* is damaged on disk"):
            writer.seal()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.h5.journal", "s.h5.part"]


def test_an_empty_store_is_not_sealed(tmp_path):
    with create(tmp_path) as writer, pytest.raises(StoreError, match="nothing to seal"):
        writer.seal()


def test_after_sealing_or_closing_nothing_can_be_added(tmp_path):
    writer = create(tmp_path)
    writer.append("x", np.ones((1, 2), np.int16))
    writer.seal()
    for call in (lambda: writer.append("y", np.ones((1, 2), np.int16)), writer.seal):
        with pytest.raises(StoreError, match="closed"):
            call()
    writer.close()


def test_parts_left_by_a_kill_after_sealing_are_cleared(tmp_path):
    data = some(3)
    write(tmp_path, data)
    parts = {path: path.read_bytes() for path in tmp_path.iterdir()}
    write(tmp_path, data, seal=True)
    for left in (list(parts), [path for path in parts if path.suffix == ".journal"]):
        for path in left:
            path.write_bytes(parts[path])
        assert len(TrackStore.open(tmp_path)) == 3  # the sealed file counts, not both
        with pytest.raises(StoreError, match="sealed"):
            create(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]


def test_a_track_that_comes_in_parts_is_there_with_its_last(tmp_path):
    path = tmp_path / "s.h5"
    with TrackStore.create(path, (2,), "float32", {}) as writer:
        a = np.arange(12, dtype=np.float32).reshape(6, 2)
        writer.append("x", a)
        writer.extend("y", a[:2], last=False)
        assert list(writer.names) == ["x"]
        with pytest.raises(StoreError, match="last part of 'y' is lacking"):
            writer.seal()
        with pytest.raises(StoreError, match="before the last part of 'y'"):
            writer.append("z", a)
        writer.extend("y", a[:2], last=False)
        writer.extend("y", a[2:], last=True)
        with pytest.raises(StoreError, match="NaN"):
            writer.extend("w", np.full((1, 2), np.nan, np.float32), last=False)
        writer.extend("v", a[:1], last=False)  # and the process ends here
    with TrackStore.create(path, (2,), "float32", {}) as writer:
        assert list(writer.names) == ["x", "y"]
        writer.seal()
    store = TrackStore.open(path)
    store.verify()
    np.testing.assert_array_equal(store.read("y"), a)
