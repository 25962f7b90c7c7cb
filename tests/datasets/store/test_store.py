"""TrackStore: what goes in comes out, in every form on disk; wrong input and wrong stores are refused by name."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest

from datasets.store import files as store_files
from datasets.store.track_store import TrackStore, shard_path
from models.errors import StoreError

ATTRS = {"kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}
NASTY = ["a/b.flac", "new\nline.mp3", "nul\0.wav", "ünï/日本.ogg", "\udcff.wav", '"quoted", and, commas.mp3', "../up.wav", " "]


def tracks(n: int = 5, names: list[str] | None = None, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    names = names or [f"{i % 2}/{i}.flac" for i in range(n)]
    return {name: rng.normal(size=(int(rng.integers(1, 40)), 4)).astype(np.float16) for name in names}


def write(path: Path, data: dict[str, np.ndarray], seal: bool = True, attrs: dict = ATTRS, shard: int | None = None) -> Path:
    shape = next(iter(data.values())).shape[1:]
    with TrackStore.create(path, shape, np.float16, attrs, shard=shard) as writer:
        for name, array in data.items():
            writer.append(name, array)
        if seal:
            writer.seal()
    return path


def assert_holds(store: TrackStore, data: dict[str, np.ndarray]) -> None:
    assert store.names == list(data)
    assert store.lengths.tolist() == [len(array) for array in data.values()]
    for i, (name, array) in enumerate(data.items()):
        for track in (name, i):
            found = store.read(track)
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("seal", [False, True])
def test_any_name_round_trips(tmp_path, seal):
    data = tracks(names=NASTY)
    store = TrackStore.open(write(tmp_path / "s.h5", data, seal))
    assert_holds(store, data)
    assert store.attrs == ATTRS
    assert store.item_shape == (4,)
    assert store.dtype == np.float16
    assert len(store) == len(NASTY)
    assert "nul\0.wav" in store
    assert "nul" not in store
    store.verify()


@pytest.mark.parametrize("shape", [(), (96,), (3, 8)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int16", ">f4"])
def test_item_shapes_and_types(tmp_path, shape, dtype):
    array = (np.arange(7 * int(np.prod(shape))).reshape(7, *shape) % 50).astype(dtype)
    with TrackStore.create(tmp_path / "s.h5", shape, dtype, {}) as writer:
        writer.append("x", array.astype(np.dtype(dtype).newbyteorder("<")))
        writer.seal()
    np.testing.assert_array_equal(TrackStore.open(tmp_path / "s.h5").read("x", 2, 5), array[2:5])


def test_sealing_leaves_one_contiguous_file_that_h5py_reads(tmp_path):
    import h5py

    data = tracks()
    write(tmp_path / "s.h5", data)
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]
    with h5py.File(tmp_path / "s.h5", "r", locking=False) as file:
        np.testing.assert_array_equal(file["data"][:], np.concatenate(list(data.values())))
        assert file["data"].chunks is None
        assert file["offsets"][2] == file["lengths"][:2].sum()


def test_shards_open_as_one_store(tmp_path):
    data = tracks(9)
    thirds = [dict(list(data.items())[k : k + 3]) for k in (0, 3, 6)]
    for shard, third in enumerate(thirds):
        write(tmp_path / "s.h5", third, seal=shard != 1, shard=shard)
    for source in (tmp_path / "s.h5", tmp_path, [shard_path(tmp_path / "s.h5", k) for k in range(3)]):
        assert_holds(TrackStore.open(source), data)


def test_a_name_in_two_shards_is_refused(tmp_path):
    data = tracks(3)
    write(tmp_path / "s.h5", data, shard=0)
    write(tmp_path / "s.h5", {"2": next(iter(data.values())), **data}, shard=1)
    with pytest.raises(
        StoreError, match=r"3 names stand in more than one store, such as '0/0\.flac' in .*00000\.h5 and .*00001\.h5"
    ):
        TrackStore.open(tmp_path)


def test_unlike_shards_are_refused(tmp_path):
    write(tmp_path / "s.h5", tracks(1), shard=0)
    write(tmp_path / "s.h5", tracks(1, ["z"]), shard=1, attrs={**ATTRS, "front_end": "omar"})
    with pytest.raises(StoreError, match="front_end 'maest-essentia' and 'omar'"):
        TrackStore.open(tmp_path)


@pytest.mark.parametrize("seal", [False, True])
def test_windows_are_centred_between_zeros(tmp_path, seal):
    data = {"long": np.arange(1, 41, dtype=np.float16).reshape(10, 4), "short": np.ones((3, 4), dtype=np.float16)}
    store = TrackStore.open(write(tmp_path / "s.h5", data, seal))
    got = store.read_windows([1, 0, 0], [0, 4, 9], [3, 10, 10], 6)
    np.testing.assert_array_equal(got[0, :, 0], [0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(got[1], data["long"][4:])
    np.testing.assert_array_equal(got[2, :, 0], [0, 0, 37, 0, 0, 0])
    out = np.full((1, 6, 4), 7, dtype=np.float16)
    assert store.read_windows([1], [0], [3], 6, out=out) is out
    np.testing.assert_array_equal(out[0], got[0])
    for bad in (([2], [0], [3]), ([0], [0], [7]), ([0], [5], [11]), ([0], [-1], [3]), ([0], [3], [3]), ([-1], [0], [3])):
        with pytest.raises(StoreError):
            store.read_windows(*bad, 6)


@pytest.mark.parametrize("bad", [(3, 3), (-1, 2), (0, 99), (5, 2)])
def test_ranges_outside_a_track_are_refused(tmp_path, bad):
    store = TrackStore.open(write(tmp_path / "s.h5", {"x": np.ones((4, 2), np.float16)}))
    with pytest.raises(StoreError, match="has items 0 to 4"):
        store.read("x", *bad)


def test_what_is_read_is_a_copy(tmp_path):
    store = TrackStore.open(write(tmp_path / "s.h5", tracks()))
    store.read(0)[:] = 0
    assert store.read(0).any()


def test_unknown_track_names_the_nearest(tmp_path):
    store = TrackStore.open(write(tmp_path / "s.h5", tracks(3)))
    with pytest.raises(StoreError, match=r"Did you mean '0/2\.flac'"):
        store.read("0/2.flc")
    with pytest.raises(StoreError, match="no track number 3"):
        store.read(3)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.ones((3, 4), np.float32), "float32"),
        (np.ones((3, 5), np.float16), r"\[3, 5\].*\[n, 4\]"),
        (np.ones(4, np.float16), r"shape \[4\]"),
        (np.ones((0, 4), np.float16), "empty"),
        (np.full((1, 4), np.nan, np.float16), "NaN"),
        (np.full((1, 4), np.inf, np.float16), "infinite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_leave_no_trace(tmp_path, array, text):
    data = tracks(2)
    with TrackStore.create(tmp_path / "s.h5", (4,), np.float16, ATTRS) as writer:
        for name, good in data.items():
            with pytest.raises(StoreError, match=text):
                writer.append("bad", array)
            writer.append(name, good)
            with pytest.raises(StoreError, match="already"):
                writer.append(name, good)
        assert list(writer.names) == list(data)
        assert "bad" not in writer
    assert_holds(TrackStore.open(tmp_path / "s.h5"), data)


@pytest.mark.parametrize("name", ["", None, 3])
def test_names_are_texts(tmp_path, name):
    with TrackStore.create(tmp_path / "s.h5", (), np.float16, {}) as writer, pytest.raises(StoreError, match="name is a text"):
        writer.append(name, np.ones(1, np.float16))


def test_require_names_both_values_and_the_cure(tmp_path):
    store = TrackStore.open(write(tmp_path / "s.h5", tracks(1)))
    store.require(kind="mel", sample_rate=16000)
    with pytest.raises(
        StoreError, match=r"front_end is 'maest-essentia', 'omar' is wanted; n_mels is None, 96 is wanted.*datasets\.prepare"
    ):
        store.require(kind="mel", front_end="omar", n_mels=96)


def test_bad_settings_are_refused_before_a_file_is_made(tmp_path):
    for arguments in [
        ("s.npy", (4,), "float16", {}),
        ("s.h5", (0,), "float16", {}),
        ("s.h5", (4,), "complex64", {}),
        ("s.h5", (), "f4", {"x": {1}}),
    ]:
        with pytest.raises(StoreError):
            TrackStore.create(tmp_path / arguments[0], *arguments[1:])
    assert not list(tmp_path.iterdir())


def test_a_sealed_store_is_never_overwritten(tmp_path):
    path = write(tmp_path / "s.h5", tracks())
    before = path.read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        TrackStore.create(path, (4,), np.float16, ATTRS)
    assert path.read_bytes() == before
    assert TrackStore.state(path) == "sealed"


def test_other_settings_do_not_resume(tmp_path):
    path = write(tmp_path / "s.h5", tracks(), seal=False)
    with pytest.raises(StoreError, match=r"front_end is 'maest-essentia', now 'omar'; layer is 'absent', now 3"):
        TrackStore.create(path, (4,), np.float16, {**ATTRS, "front_end": "omar", "layer": 3})
    with pytest.raises(StoreError, match="item_shape"):
        TrackStore.create(path, (5,), np.float16, ATTRS)
    assert_holds(TrackStore.open(path), tracks())


def test_nothing_there(tmp_path):
    for source in (tmp_path / "no.h5", tmp_path, []):
        with pytest.raises(StoreError):
            TrackStore.open(source)
    assert TrackStore.state(tmp_path / "no.h5") == "absent"


@pytest.mark.parametrize("keep", [0, 4, 100, 2000, -1])
def test_a_cut_file_is_named(tmp_path, keep):
    path = write(tmp_path / "cut.h5", tracks(20))
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    with pytest.raises(StoreError, match=r"cut\.h5"):
        TrackStore.open(path)


def test_foreign_files_are_named(tmp_path):
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(StoreError, match=r"other\.h5 is an HDF5 file but not a track store"):
        TrackStore.open(tmp_path)
    (tmp_path / "j.h5.journal").write_text('{"some": "json"}\n')
    with pytest.raises(StoreError, match=r"j\.h5\.journal is not a track store"):
        TrackStore.open(tmp_path / "j.h5")


@pytest.mark.parametrize(
    "field", [{"dtype": "|O"}, {"dtype": "nonsense"}, {"item_shape": [-1]}, {"item_shape": 3}, {"attrs": 3}, {"version": 2}]
)
def test_a_header_that_asks_for_something_else_is_refused(tmp_path, field):
    path = write(tmp_path / "s.h5", tracks(), seal=False)
    journal = tmp_path / "s.h5.journal"
    header, *lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(json.dumps({**json.loads(header), **field}) + "\n" + "".join(lines))
    with pytest.raises(StoreError, match=r"s\.h5\.journal"):
        TrackStore.open(path)


@pytest.mark.parametrize("change", ["dtype", "names", "lengths", "chunks", "missing"])
def test_a_sealed_file_whose_index_does_not_fit_is_refused(tmp_path, change):
    import h5py

    path = write(tmp_path / "s.h5", tracks())
    with h5py.File(path, "r+") as file:
        if change in ("dtype", "chunks"):
            data = file["data"][:]
            del file["data"]
            kind = np.float32 if change == "dtype" else np.float16
            file.create_dataset("data", data=data.astype(kind), chunks=None if change == "dtype" else (4, 4))
        elif change == "names":
            del file["names"]
            file["names"] = np.frombuffer(b'[1, 2, 3, 4, "5"]', dtype=np.uint8)
        elif change == "lengths":
            file["lengths"][-1] += 1
        else:
            del file["crc"]
    with pytest.raises(StoreError, match=r"s\.h5 (is damaged|are not contiguous|cannot be read)"):
        TrackStore.open(path)


def test_damaged_data_are_found(tmp_path):
    path = write(tmp_path / "s.h5", tracks())
    raw = bytearray(path.read_bytes())
    index = store_files.read_sealed(path)
    raw[index.data_offset + int(index.offsets[3]) * 8] ^= 1
    path.write_bytes(raw)
    store = TrackStore.open(path)
    with pytest.raises(StoreError, match=r"'1/3\.flac'.*damaged"):
        store.verify()


def _child(store: TrackStore, queue: multiprocessing.Queue) -> None:
    queue.put([store.read(name).sum() for name in store.names])


@pytest.mark.parametrize("seal", [False, True])
def test_pickles_after_use_without_its_data(tmp_path, seal):
    data = tracks(50)
    store = TrackStore.open(write(tmp_path / "s.h5", data, seal))
    store.read(0)
    sent = pickle.dumps(store)
    assert len(sent) < 500
    assert_holds(pickle.loads(sent), data)


def test_a_pickled_growing_store_stays_as_it_was(tmp_path):
    data = tracks(6)
    first = dict(list(data.items())[:4])
    path = write(tmp_path / "s.h5", first, seal=False)
    store = TrackStore.open(path)
    sent = pickle.dumps(store)
    write(path, {name: array for name, array in data.items() if name not in first}, seal=False)
    assert_holds(pickle.loads(sent), first)
    with TrackStore.create(path, (4,), np.float16, ATTRS) as writer:
        writer.seal()
    assert_holds(pickle.loads(sent), first)
    assert_holds(store, first)  # its parts are gone since: it turns to the sealed file
    assert_holds(TrackStore.open(path), data)


@pytest.mark.slow
def test_read_in_a_spawned_process(tmp_path):
    store = TrackStore.open(write(tmp_path / "s.h5", tracks()))
    expected = [store.read(name).sum() for name in store.names]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_child, args=(store, queue))
    process.start()
    assert queue.get(timeout=60) == expected
    process.join()


def test_many_tracks_at_once_are_the_same_as_each_by_itself(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"{i}": rng.standard_normal((1 + i % 4, 2)).astype(np.float32) for i in range(9)}
    for shard in range(2):
        with TrackStore.create(tmp_path / "s.h5", (2,), "float32", {}, shard=shard) as writer:
            for name in list(arrays)[shard::2]:
                writer.append(name, arrays[name])
            writer.seal()
    store = TrackStore.open(tmp_path / "s.h5")
    names = ["7", "0", "3", "8"]
    numbers = np.array([store.index(name) for name in names])
    np.testing.assert_array_equal(store.read_many(numbers), np.concatenate([arrays[n] for n in names]))
    np.testing.assert_array_equal(store.read_many(numbers, stop=1), np.stack([arrays[n][0] for n in names]))
    assert store.read_many(np.array([], dtype=np.int64)).shape == (0, 2)
    with pytest.raises(StoreError, match="there are 9 tracks"):
        store.read_many(np.array([9]))
