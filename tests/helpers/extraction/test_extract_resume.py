"""Extractions that are stopped, killed or out of disk, and run again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.store.track_store import TrackStore
from helpers.extraction.extract import ExtractionSettings, extract_embeddings
from helpers.extraction.job import Job
from models.errors import StoreError
from models.windows import plan_windows
from tests.helpers.extraction.small_extraction import FRAMES, LENGTH, content, network


def test_run_again_does_no_work(mels, tmp_path, monkeypatch):
    net = network()
    first = extract_embeddings(net, mels, tmp_path / "out", [0, 1])
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.h5")}
    monkeypatch.setattr(Job, "_compute", lambda *a: pytest.fail("computed"))
    again = extract_embeddings(net, mels, tmp_path / "out", [0, 1])
    assert again.paths == first.paths
    assert (again.n_new, again.n_windows) == (0, 0)
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.h5")}


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_stopped_anywhere_and_resumed_it_writes_the_same_bits(mels, tmp_path, monkeypatch, batch_size):
    net = network()
    extract_embeddings(net, mels, tmp_path / "whole", [0, 2], settings=ExtractionSettings(batch_size=batch_size))
    want, n_batches = content(tmp_path / "whole"), []
    forward = Job._forward

    def stops(after):
        def limited(self, mel, valid, compute):
            n_batches.append(len(mel))
            if len(n_batches) > after:
                raise KeyboardInterrupt
            return forward(self, mel, valid, compute)

        return limited

    total = -(-sum(len(plan_windows(n, LENGTH)) for n in FRAMES) // batch_size)
    for after in [n for n in (0, 1, 2, 4) if n < total]:
        out = tmp_path / f"{after}"
        n_batches.clear()
        monkeypatch.setattr(Job, "_forward", stops(after))
        with pytest.raises(KeyboardInterrupt):
            extract_embeddings(net, mels, out, [0, 2], settings=ExtractionSettings(batch_size=batch_size))
        monkeypatch.setattr(Job, "_forward", forward)
        extract_embeddings(net, mels, out, [0, 2], settings=ExtractionSettings(batch_size=batch_size))
        assert content(out) == want


def test_killed_between_sealing_and_tidying_up(mels, tmp_path, monkeypatch):
    from datasets.store import files as store_files

    net = network()
    part_path = store_files.part_path
    with monkeypatch.context() as patched:
        patched.setattr(
            Path, "unlink", lambda self, **k: (_ for _ in ()).throw(KeyboardInterrupt) if self.suffix == ".part" else None
        )
        with pytest.raises(KeyboardInterrupt):
            extract_embeddings(net, mels, tmp_path / "out", [1])
    sealed = tmp_path / "out" / "1" / "embeddings.h5"
    assert sealed.exists()
    assert part_path(sealed).exists()
    extract_embeddings(net, mels, tmp_path / "out", [1])
    assert sorted(p.name for p in sealed.parent.iterdir()) == ["embeddings.h5", "windows"]
    assert [p.name for p in (sealed.parent / "windows").iterdir()] == ["windows.h5"]


@pytest.mark.parametrize("fails_at", [0, 3, 10, 21])
def test_a_full_disk_leaves_what_was_written(mels, tmp_path, monkeypatch, fails_at):
    import errno
    import os

    from datasets.store import writer as store_writer

    net = network()
    extract_embeddings(net, mels, tmp_path / "whole", [0, 2])
    write, calls = store_writer._write_all, []

    def full(handle, data):
        calls.append(1)
        if len(calls) > 4 + fails_at:  # 4 headers first
            os.write(handle, bytes(data)[: len(data) // 2])  # a torn write, then no more room
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(handle, data)

    monkeypatch.setattr(store_writer, "_write_all", full)
    with pytest.raises(StoreError, match="no space left"):
        extract_embeddings(net, mels, tmp_path / "out", [0, 2])
    whole = TrackStore.open(tmp_path / "whole" / "0")
    for path in (tmp_path / "out").rglob("*.journal"):
        if TrackStore.state(path.with_name(path.name.removesuffix(".journal"))) == "parts" and path.parent.name == "0":
            written = TrackStore.open(path.parent)
            for name in written.names:
                np.testing.assert_array_equal(written.read(name), whole.read(name))
    monkeypatch.setattr(store_writer, "_write_all", write)
    extract_embeddings(net, mels, tmp_path / "out", [0, 2])
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_full_disk_with_files_per_track(mels, tmp_path, monkeypatch):
    import errno

    net, save, calls = network(), np.save, []

    def full(*args, **kwargs):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*args, **kwargs)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(StoreError, match=r"Could not write .*a/3\.flac\.embeddings\.npy: No space left"):
        extract_embeddings(net, mels, tmp_path / "out", [1], settings=ExtractionSettings(format="npy"))
    assert sorted(p.name for p in (tmp_path / "out" / "1" / "a").iterdir()) == [f"{i}.flac.embeddings.npy" for i in range(3)]
    monkeypatch.setattr(np, "save", save)
    assert (
        extract_embeddings(net, mels, tmp_path / "out", [1], settings=ExtractionSettings(format="npy")).n_new == len(FRAMES) - 3
    )
