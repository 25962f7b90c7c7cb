"""Stores that lie: bytes changed anywhere, headers, journals and indices that claim what cannot be. Right content, or a StoreError; never more."""

from __future__ import annotations

import json
import os
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.store import files
from datasets.store.layouts import import_files
from datasets.store.track_store import TrackStore
from datasets.utils.arrays import load_array
from models.errors import StoreError

CASES = settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
TRACKS = {f"folder/{k}.wav": np.arange(k + 1, k + 7, dtype=np.float32).reshape(-1, 2) for k in range(5)}
odd = st.one_of(
    st.sampled_from([-1, 0, 1 << 62, 1 << 70, 1.5, 1e308, None, True, "", "text", [], {}, [[]], "\x00", "x" * 70_000]),
    st.integers(-(1 << 66), 1 << 66), st.recursive(st.just([]), lambda inner: st.lists(inner, max_size=2), max_leaves=20),
)  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    where = tmp_path_factory.mktemp("stores")
    for name in ("sealed", "parts"):
        writer = TrackStore.create(where / name / "x.h5", (2,), "float32", {"kind": "test"})
        for track, array in TRACKS.items():
            writer.append(track, array)
        writer.seal() if name == "sealed" else writer.close()
    return where


def copied(stores, kind):
    folder = stores / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stores / kind, folder)
    return folder


def refused(error):
    assert len(str(error)) < 1500
    assert "\n" not in str(error)


def outcome(folder, resume=True):
    """Read all, check it, and go on writing; whatever is refused is a StoreError on one line."""
    try:
        store = TrackStore.open(folder / "x.h5")
        for name in store.names:
            store.read(name)
        store.verify()
        assert set(store.names) <= set(TRACKS) or len(store.names) <= len(TRACKS)
    except StoreError as error:
        refused(error)
    if not resume:
        return
    try:
        with TrackStore.create(folder / "x.h5", (2,), "float32", {"kind": "test"}) as writer:
            for name, array in TRACKS.items():
                if name not in writer:
                    writer.append(name, array)
            writer.seal()
    except StoreError as error:
        refused(error)
        return
    done = TrackStore.open(folder / "x.h5")
    done.verify()
    assert set(TRACKS) <= set(done.names)


@pytest.mark.slow
@CASES
@given(kind=st.sampled_from(["sealed", "parts", "parts"]), data=st.data())
def test_bytes_changed_anywhere(stores, kind, data):
    folder = copied(stores, kind)
    path = data.draw(st.sampled_from(sorted(p for p in folder.iterdir())))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else bytes(raw))
    outcome(folder)


@pytest.mark.slow
@CASES
@given(
    line=st.integers(0, 5),
    field=st.sampled_from(["name", "offset", "bytes", "crc", "item_shape", "dtype", "attrs", "version", "format"]),
    value=odd,
)
def test_journals_that_lie(stores, line, field, value):
    folder = copied(stores, "parts")
    path = files.journal_path(folder / "x.h5")
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines[line][field] = value
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    outcome(folder)


@pytest.mark.slow
@CASES
@given(key=st.sampled_from(["header", "names", "offsets", "lengths", "crc", "data"]), data=st.data())
def test_indices_that_lie(stores, key, data):
    folder = copied(stores, "sealed")
    with h5py.File(folder / "x.h5", "r+") as file:
        if key in ("header", "names"):
            content = json.loads(file[key][:].tobytes())
            place = data.draw(st.sampled_from(sorted(content) if isinstance(content, dict) else range(len(content))))
            content[place] = data.draw(odd)
            del file[key]
            file[key] = np.frombuffer(json.dumps(content).encode(), dtype=np.uint8)
        else:
            values = file[key][:]
            del file[key]
            kind = data.draw(st.sampled_from(["i8", "u8", "f8", "u4", "S3"]))
            shape = data.draw(st.sampled_from([(5,), (4,), (0,), (5, 1), ()]))
            numbers = st.sampled_from([0, 1, -1, 1 << 40, (1 << 63) - 1]) if kind in ("i8", "f8") else st.integers(0, 100)
            made = (
                np.zeros(shape, kind)
                if kind == "S3"
                else np.array(data.draw(st.lists(numbers, min_size=30, max_size=30)))[: int(np.prod(shape))]
            )
            file[key] = values if data.draw(st.booleans()) and key != "data" else made.reshape(shape).astype(kind)
    outcome(folder, resume=False)


@pytest.mark.parametrize("text", ["[" * 100_000 + "\n", "\n", "x" * 1000, '{"format": "trackstore"}\n'])
def test_journals_of_another_kind(stores, text):
    folder = copied(stores, "parts")
    files.journal_path(folder / "x.h5").write_text(text)
    outcome(folder)


def test_a_torn_end_of_a_thousand_lines_is_damage(stores):
    folder = copied(stores, "parts")
    path = files.journal_path(folder / "x.h5")
    whole = path.read_text()
    path.write_text(whole + "x\n" * 999)
    assert len(TrackStore.open(folder / "x.h5")) == len(whole.splitlines()) - 1
    path.write_text(whole + "x\n" * 300_000)
    with pytest.raises(StoreError, match="neither are the 1000 behind it"):
        TrackStore.open(folder / "x.h5")


def test_names_that_stand_twice_and_data_elsewhere(stores):
    folder = copied(stores, "parts")
    path = files.journal_path(folder / "x.h5")
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines[2]["name"] = lines[1]["name"]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    with pytest.raises(StoreError, match="twice"):
        TrackStore.open(folder / "x.h5")
    folder = copied(stores, "sealed")
    with h5py.File(folder / "x.h5", "r+") as file:
        del file["names"]
        file["names"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(StoreError, match="another file"):
        TrackStore.open(folder / "x.h5")


def test_nothing_is_written_through_a_planted_link(stores, tmp_path):
    for planted in ("x.h5.part", "x.h5.journal", "x.h5.sealing"):
        folder = tmp_path / planted
        folder.mkdir()
        victim = tmp_path / f"victim of {planted}"
        victim.write_text("precious")
        (folder / planted).symlink_to(victim)
        outcome(folder)
        assert victim.read_text() == "precious"
    os.mkfifo(tmp_path / "x.h5")
    with pytest.raises(StoreError):
        TrackStore.open(tmp_path / "x.h5")


@CASES
@given(data=st.data())
def test_arrays_that_lie(tmp_path_factory, data):
    """A .npy file whose header claims more than the file has is refused before room is made for it."""
    folder = tmp_path_factory.getbasetemp() / "npy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    np.save(folder / "a.embeddings.npy", np.ones((3, 2), np.float32))
    raw = (folder / "a.embeddings.npy").read_bytes()
    claim = data.draw(
        st.sampled_from(
            [b"(3, 2)", b"(3, -2)", b"(999999999999, 2)", b"(1,)*9999", b"()", b"(3.5, 2)", b"[3, 2]", b"((((((", b"True"]
        )
    )
    raw = raw.replace(b"(3, 2)", claim.ljust(6), 1)
    raw = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 2))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a.embeddings.npy").write_bytes(raw)
    try:
        path = import_files(folder, folder / "out.h5", {}, suffix=".embeddings.npy")
    except StoreError as error:
        refused(error)
    else:
        assert len(TrackStore.open(path)) == 1


def test_a_store_that_is_removed_while_it_is_written_says_so(tmp_path):
    with TrackStore.create(tmp_path / "gone" / "x.h5", (2,), "float32", {}) as writer:
        writer.append("a", np.ones((1, 2), np.float32))
        shutil.rmtree(tmp_path / "gone")
        with pytest.raises(StoreError, match="removed while it was written: of its 1 tracks nothing is kept"):
            writer.append("b", np.ones((1, 2), np.float32))
        with pytest.raises(StoreError, match="removed while it was written"):
            writer.seal()
    with TrackStore.create(tmp_path / "moved" / "x.h5", (2,), "float32", {}) as writer:
        writer.append("a", np.ones((1, 2), np.float32))
        (tmp_path / "moved").rename(tmp_path / "elsewhere")
        with pytest.raises(StoreError, match="they stand where it was moved"):
            writer.check_there()


@pytest.mark.slow
@CASES
@given(
    line=st.integers(1, 5), how=st.sampled_from(["cut", "letter", "away", "twice", "zeros", "other", "offset"]), data=st.data()
)
def test_damage_is_a_torn_end_or_names_its_line(stores, line, how, data):
    """Only the last line may be torn: the store then resumes from the tracks before it. Any other damage is said."""
    folder = copied(stores, "parts")
    path = files.journal_path(folder / "x.h5")
    lines = path.read_bytes().splitlines(keepends=True)
    before, last = list(lines), line == len(lines) - 1
    if how == "cut":
        lines[line] = lines[line][: data.draw(st.integers(0, len(lines[line]) - 2))]
        lines[line] += b"" if last else b"\n"
    elif how == "letter":
        at = data.draw(st.integers(0, len(lines[line]) - 2))
        lines[line] = lines[line][:at] + b"\x00" + lines[line][at + 1 :]
    elif how == "away":
        lines[line] = b""
    elif how == "twice":
        lines.insert(line, lines[line])
    elif how == "zeros":
        lines[line] = bytes(len(lines[line]) - 1) + (b"" if last else b"\n")
    elif how == "other":
        lines[line] = b'{"name": "x"}\n'
    else:
        entry = json.loads(lines[line])
        lines[line] = (json.dumps({**entry, "offset": entry["offset"] + 8}) + "\n").encode()
    path.write_bytes(b"".join(lines))
    torn = last and how not in ("twice", "offset")
    if torn or lines == before:
        assert list(TrackStore.open(folder / "x.h5").names) == list(TRACKS)[: line - 1]
        outcome(folder)
        return
    with pytest.raises(StoreError, match=r"damaged in line \d") as caught:
        TrackStore.open(folder / "x.h5")
    refused(caught.value)
    with pytest.raises(StoreError, match=r"damaged in line \d"):
        TrackStore.create(folder / "x.h5", (2,), "float32", {"kind": "test"})


@pytest.mark.parametrize("size", [10**12, 5, 7])
def test_a_header_of_other_items_is_said(stores, size):
    folder = copied(stores, "parts")
    path = files.journal_path(folder / "x.h5")
    first, rest = path.read_text().split("\n", 1)
    path.write_text(json.dumps({**json.loads(first), "item_shape": [size]}) + "\n" + rest)
    with pytest.raises(StoreError, match="damaged in line 2"):
        TrackStore.open(folder / "x.h5")


@CASES
@given(
    kind=st.sampled_from(
        ["f2", "f4", "f8", ">f4", "i1", "i8", "u4", "?", "c8", "c16", "S3", "U2", "M8[s]", "m8[D]", "V4", "f4,i2", "O"]
    ),
    shape=st.lists(st.integers(0, 3), max_size=3),
)
def test_arrays_of_other_kinds_say_what_is_wanted(tmp_path_factory, kind, shape):
    path = tmp_path_factory.getbasetemp() / "kinds.npy"
    np.save(path, np.zeros(shape, kind), allow_pickle=True)
    if np.dtype(kind).kind in "fiu":
        assert load_array(path).shape == tuple(shape)
        return
    with pytest.raises(StoreError, match="wanted|cannot be read") as caught:
        load_array(path)
    refused(caught.value)
