"""Raw waveform files, float16 and 16 bit, into stores; what is no such file is named."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.loading.clips import samples_of
from datasets.raw_waveforms import import_waveforms, main, read_filelists
from datasets.store.track_store import TrackStore
from models.errors import StoreError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a/x.mmap", "b/y.mmap", "z.mmap"):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng.uniform(-1, 1, 500).astype("<f2").tofile(path)
    return tmp_path / "raw"


def test_both_kinds_come_back(folder, tmp_path):
    store = TrackStore.open(import_waveforms(folder, tmp_path / "all.h5"))
    assert list(store.names) == ["a/x.mmap", "b/y.mmap", "z.mmap"]
    assert store.attrs["sample_rate"] == 16000
    want = np.fromfile(folder / "b/y.mmap", "<f2")
    np.testing.assert_array_equal(samples_of(store.read("b/y.mmap"), store), want.astype(np.float32))
    (np.array([0, 16384, -32768], "<i2")).tofile(tmp_path / "raw" / "i.mmap")
    (tmp_path / "list.txt").write_text("i.mmap\n\n i.mmap\n")
    assert (
        main(
            [str(folder), str(tmp_path / "i.h5"), "--filelist", str(tmp_path / "list.txt"), "--type", "int16", "--rate", "24000"]
        )
        == 0
    )
    store = TrackStore.open(tmp_path / "i.h5")
    assert samples_of(store.read("i.mmap"), store).tolist() == [0.0, 0.5, -1.0]
    assert store.attrs["sample_rate"] == 24000


def test_what_is_no_raw_file_is_named(folder, tmp_path):
    for content, words in ((b"", "0 bytes"), (b"abc", "3 bytes"), (np.array([31744], "<i2").tobytes(), r"Are they int16")):
        (folder / "odd.mmap").write_bytes(content)
        with pytest.raises(StoreError, match=rf"odd\.mmap.*{words}"):
            import_waveforms(folder, tmp_path / "odd.h5")
    for line, words in (("../out.mmap", "plain relative path"), ("none.mmap", "1 of 1 files are not in"), ("", "name no files")):
        (tmp_path / "list.txt").write_text(line)
        with pytest.raises(StoreError, match=words):
            import_waveforms(folder, tmp_path / "no.h5", filelists=[tmp_path / "list.txt"])
    assert not (tmp_path / "no.h5").exists()
    with pytest.raises(StoreError, match="cannot be read"):
        read_filelists([tmp_path / "nothing.txt"])
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "o.h5")]) == 2
