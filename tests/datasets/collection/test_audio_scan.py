"""Listening: levels, and a hash of the samples that finds copies in other containers and takes nothing else for one."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.collection import audio_scan
from datasets.collection.audio_scan import ScanResult, _Digest, library_notes, scan_file, scan_files, scan_store
from datasets.collection.findings import examine
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.store.track_store import TrackStore
from models.errors import AudioError, StoreError
from tests.sound import folder_of, tune, write


def sixteen(seconds=0.5, rate=16000, channels=1, seed=0):
    """Sound whose samples are those of 16 bits."""
    return np.rint(32767 * tune(seconds, rate, channels, seed)) / 32768


def test_copies_are_found_in_every_container_that_keeps_the_samples(tmp_path):
    sound = sixteen()
    same = [
        write(tmp_path / "a.wav", sound, 16000),
        write(tmp_path / "a.flac", sound, 16000),
        write(tmp_path / "a.aiff", sound, 16000),
        write(tmp_path / "a24.wav", sound, 16000, subtype="PCM_24"),
        write(tmp_path / "afloat.wav", sound, 16000, subtype="FLOAT"),
        write(tmp_path / "stereo.wav", np.repeat(sound, 2, axis=1), 16000),
        write(tmp_path / "padded.wav", np.pad(sound, ((4000, 99), (0, 0))), 16000),
    ]
    assert len({scan_file(path).digest for path in same}) == 1
    other = [
        write(tmp_path / "a.mp3", sound, 16000),
        write(tmp_path / "a.ogg", sound, 16000),
        write(tmp_path / "quieter.wav", sound * 0.5, 16000),
        write(tmp_path / "cut.wav", sound[:-1], 16000),
        write(tmp_path / "faster.wav", sound, 22050),
        write(tmp_path / "another.wav", sixteen(seed=1), 16000),
    ]
    assert len({scan_file(path).digest for path in [same[0], *other]}) == 7


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.25, -0.5, 1e-9]), max_size=60), st.data())
def test_the_hash_does_not_depend_on_the_blocks(values, data):
    whole = np.array(values, np.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=6)))
    one, many, padded = _Digest(), _Digest(), _Digest()
    one.update(whole)
    for part in np.split(whole, cuts):
        many.update(part)
    padded.update(np.pad(whole, (3, 5)))
    assert one.text(8000) == many.text(8000) == padded.text(8000)
    assert bool(one.text(8000)) == bool((np.abs(whole) > 1e-5).any())


def test_levels_and_remarks(tmp_path):
    clipped = scan_file(write(tmp_path / "c.wav", np.clip(20 * tune(1.5, 16000, 1), -1, 1), 16000))
    assert clipped.clipped > 0.2
    assert clipped.peak == pytest.approx(1, abs=1e-3)
    assert clipped.remarks[0].startswith("clipped")
    assert (clipped.seconds, clipped.sample_rate, clipped.channels) == (1.5, 16000, 1)
    shifted = scan_file(write(tmp_path / "d.wav", 0.5 * tune(1.5, 16000, 1) + 0.25, 16000))
    assert shifted.offset == pytest.approx(0.25, abs=0.01)
    assert shifted.remarks == ["its mean is +0.25, not 0"]
    silent = scan_file(write(tmp_path / "s.wav", np.zeros((8000, 2)), 16000))
    assert (silent.digest, silent.remarks) == ("", ["only 0.50 s long", "silent"])
    assert scan_file(write(tmp_path / "fine.flac", tune(1.5, 16000, 6), 16000)).remarks == []
    (tmp_path / "e.wav").touch()
    with pytest.raises(AudioError, match="0 bytes"):
        scan_file(tmp_path / "e.wav")


def test_what_was_heard_is_not_listened_to_again(tmp_path, monkeypatch):
    root = folder_of(tmp_path / "audio", 4)
    (root / "junk.wav").write_bytes(b"junk" * 9)
    names = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*.wav"))]
    cache = tmp_path / "new" / "sounds.jsonl"
    first = scan_files(root, names, cache, jobs=1)
    assert list(first) == names
    assert "not audio" in first["junk.wav"].error
    monkeypatch.setattr(audio_scan, "parallel_map", None)
    assert scan_files(root, names, cache, jobs=1) == first
    monkeypatch.undo()
    lines = cache.read_text().splitlines(keepends=True)
    cache.write_text("".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])  # torn by a kill
    write(root / names[0], tune(0.3, 16000, 1), 16000)  # changed
    tried = []
    monkeypatch.setattr(audio_scan, "scan_file", lambda path: tried.append(path.name) or scan_file(path))
    again = scan_files(root, names, cache, jobs=1)
    assert len(tried) == 2
    assert again[names[0]].sound.seconds == pytest.approx(0.3)
    assert {n: h for n, h in again.items() if n != names[0]} == {n: h for n, h in first.items() if n != names[0]}
    assert all(json.loads(line) for line in cache.read_text().splitlines() if line.endswith("}"))


def test_a_store_tells_lengths_and_copies(tmp_path):
    attrs = {"kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}
    frames = np.random.default_rng(0).random((625, 96)).astype(np.float16)
    with TrackStore.create(tmp_path / "mel.h5", (96,), "float16", attrs) as writer:
        for name, items in {"a": frames, "b": frames[:100], "c": frames, "quiet": np.zeros_like(frames)}.items():
            writer.append(name, items)
        writer.seal()
    heard = dict(scan_store(TrackStore.open(tmp_path)))
    assert heard["a"].sound.seconds == 10.0
    assert heard["a"].sound.digest == heard["c"].sound.digest != heard["b"].sound.digest
    assert heard["quiet"] == ScanResult(heard["quiet"].sound)
    assert heard["quiet"].sound.digest == ""
    with TrackStore.create(tmp_path / "e/e.h5", (3,), "float16", {"kind": "embeddings"}) as writer:
        writer.append("a", frames[:1, :3])
        writer.seal()
    with pytest.raises(StoreError, match="holds embeddings; mels or waveforms are wanted"):
        list(scan_store(TrackStore.open(tmp_path / "e")))


def test_copies_of_another_bit_depth_are_found(tmp_path):
    sound = tune(1.2, 16000, 1)
    files = {
        "a24.wav": scan_file(write(tmp_path / "a24.wav", sound, 16000, subtype="PCM_24")),
        "a16.wav": scan_file(write(tmp_path / "a16.wav", sound, 16000)),
        "a8.wav": scan_file(write(tmp_path / "a8.wav", sound, 16000, subtype="PCM_U8")),
        "truncated.wav": scan_file(write(tmp_path / "t.wav", np.floor(sound * 32768) / 32768 + 1e-9, 16000)),
        "other.wav": scan_file(write(tmp_path / "o.wav", tune(1.2, 16000, 1, seed=5), 16000, subtype="PCM_24")),
        "ogg.ogg": scan_file(write(tmp_path / "o.ogg", sound, 16000)),
    }
    truth = Groundtruth.from_rows(list(files), [["x"]] * len(files))
    found = examine(truth, {name: ScanResult(sound, None) for name, sound in files.items()})
    assert found.copies == [[0, 1, 2, 3]]


def test_what_a_library_says_and_what_is_odd_stand_beside_the_file(tmp_path, caplog):
    with library_notes() as notes:
        os.write(2, b"[src/libmpg123/layer3.c:1] error: part2_3_length too large\nplain chatter\n")
    assert notes == ["the decoder says: [src/libmpg123/layer3.c:1] error: part2_3_length too large"]
    data = bytearray(write(tmp_path / "a.wav", tune(1.2, 16000, 1), 16000).read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = bytes(4)
    (tmp_path / "a.wav").write_bytes(data)
    (remark,) = scan_file(tmp_path / "a.wav").remarks
    assert "does not tell its length" in remark
    assert caplog.text == ""
