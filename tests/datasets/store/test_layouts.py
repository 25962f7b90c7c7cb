"""The published suite's files per track, out of a store and back; unsafe names are refused."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.store.layouts import EMBEDDINGS, MMAP, export_files, import_files, safe_path
from datasets.store.track_store import TrackStore
from models.errors import StoreError


def make_store(path, names, shape=(96,), dtype=np.float16):
    rng = np.random.default_rng(0)
    with TrackStore.create(path, shape, dtype, {"kind": "mel"}) as writer:
        for i, name in enumerate(names):
            writer.append(name, rng.normal(size=(i + 2, *shape)).astype(dtype))
        writer.seal()
    return TrackStore.open(path)


def test_mmaps_out_and_back(tmp_path):
    store = make_store(tmp_path / "s.h5", ["a/1.mp3", "b/c/2.flac", "3"])
    assert export_files(store, tmp_path / "out") == 3
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")) == [
        "3.mmap",
        "a/1.mmap",
        "b/c/2.mmap",
    ]
    raw = np.fromfile(tmp_path / "out" / "a" / "1.mmap", dtype=np.float16).reshape(-1, 96)
    np.testing.assert_array_equal(raw, store.read("a/1.mp3"))
    back = TrackStore.open(import_files(tmp_path / "out", tmp_path / "back.h5", {"kind": "mel"}))
    assert back.names == ["3.mmap", "a/1.mmap", "b/c/2.mmap"]
    np.testing.assert_array_equal(back.read("b/c/2.mmap"), store.read("b/c/2.flac"))


def test_embeddings_out_and_back(tmp_path):
    store = make_store(tmp_path / "s.h5", ["a/1.mmap", "2.mmap"], (3, 8), np.float32)
    assert export_files(store, tmp_path / "out", EMBEDDINGS, flat=True) == 2
    flat = np.load(tmp_path / "out" / "a" / "1.mmap.embeddings.npy")
    np.testing.assert_array_equal(flat, store.read("a/1.mmap").reshape(-1, 24))
    back = TrackStore.open(import_files(tmp_path / "out", tmp_path / "b.h5", {}, EMBEDDINGS, item_shape=(3, 8)))
    assert back.item_shape == (3, 8)
    np.testing.assert_array_equal(back.read("a/1.mmap"), store.read("a/1.mmap"))
    as_found = TrackStore.open(import_files(tmp_path / "out", tmp_path / "c.h5", {}, EMBEDDINGS))
    assert as_found.item_shape == (24,)
    assert export_files(store, tmp_path / "deep", ".npy") == 2
    np.testing.assert_array_equal(np.load(tmp_path / "deep" / "2.mmap.npy"), store.read("2.mmap"))


def test_an_export_goes_on_and_never_overwrites(tmp_path):
    store = make_store(tmp_path / "s.h5", ["1.mp3", "2.mp3"])
    export_files(store, tmp_path / "out")
    (tmp_path / "out" / "2.mmap").unlink()
    assert export_files(store, tmp_path / "out") == 1
    (tmp_path / "out" / "1.mmap").write_bytes(b"something else")
    (tmp_path / "out" / "2.mmap").unlink()
    with pytest.raises(StoreError, match=r"1 files stand in .* already and are not these tracks: .*1\.mmap"):
        export_files(store, tmp_path / "out")
    assert (tmp_path / "out" / "1.mmap").read_bytes() == b"something else"
    assert not (tmp_path / "out" / "2.mmap").exists()


@pytest.mark.parametrize(
    "name", ["/etc/x.mp3", "../x.mp3", "a/../../x.mp3", "a//b.mp3", "./x.mp3", "nul\0.mp3", "a\\..\\x.mp3", "..", "a/"]
)
def test_names_that_lead_elsewhere_are_refused_before_anything_is_written(tmp_path, name):
    store = make_store(tmp_path / "s.h5", ["good.mp3", name])
    for suffix in (MMAP, ".npy"):
        if suffix == MMAP or name not in ("..", "a/"):
            with pytest.raises(StoreError, match="plain relative path"):
                export_files(store, tmp_path / "out", suffix)
    assert not (tmp_path / "out").exists()


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="leads out of"):
        safe_path(tmp_path / "out", "link/x.mp3", ".npy")


def test_tracks_that_would_share_a_file_are_refused(tmp_path):
    store = make_store(tmp_path / "s.h5", ["1.mp3", "1.flac"])
    with pytest.raises(StoreError, match=r"1 tracks would share a file, such as '1\.mmap'"):
        export_files(store, tmp_path / "out")
    assert export_files(store, tmp_path / "out", replace_suffix=False) == 2


def test_what_does_not_fit_the_layout(tmp_path):
    store = make_store(tmp_path / "s.h5", ["1.mp3"], (3, 8), np.float32)
    with pytest.raises(StoreError, match=r"float16 \[T, 96\]"):
        export_files(store, tmp_path / "out")
    with pytest.raises(StoreError, match=r"not '\.txt'"):
        export_files(store, tmp_path / "out", ".txt")
    with pytest.raises(StoreError, match=r"no \*\.mmap files"):
        import_files(tmp_path, tmp_path / "b.h5", {})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.mmap").write_bytes(b"123")
    with pytest.raises(StoreError, match=r"x\.mmap holds"):
        import_files(tmp_path / "in", tmp_path / "b.h5", {})
    (tmp_path / "in" / "y.npy").write_bytes(b"123")
    with pytest.raises(StoreError, match=r"y\.npy cannot be read"):
        import_files(tmp_path / "in", tmp_path / "c.h5", {}, ".npy")
    np.save(tmp_path / "in" / "y.npy", np.array([{"run": "me"}], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match=r"y\.npy cannot be read"):
        import_files(tmp_path / "in", tmp_path / "c.h5", {}, ".npy")


def test_an_interrupted_import_goes_on(tmp_path):
    store = make_store(tmp_path / "s.h5", [f"{i}.mp3" for i in range(4)])
    export_files(store, tmp_path / "out")
    good = (tmp_path / "out" / "2.mmap").read_bytes()
    (tmp_path / "out" / "2.mmap").write_bytes(good[:7])
    with pytest.raises(StoreError, match=r"2\.mmap"):
        import_files(tmp_path / "out", tmp_path / "b.h5", {})
    (tmp_path / "out" / "2.mmap").write_bytes(good)
    visited = []
    import_files(tmp_path / "out", tmp_path / "b.h5", {}, progress=lambda names: (visited.append(name) or name for name in names))
    assert visited == ["2.mmap", "3.mmap"]
    assert len(TrackStore.open(tmp_path / "b.h5")) == 4
