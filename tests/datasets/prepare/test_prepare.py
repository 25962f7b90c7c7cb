"""Preparation: everything usable arrives, everything else is told, nothing is lost."""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets.prepare import features, prepare
from datasets.prepare import preparation as module
from datasets.prepare.command import main
from datasets.store import files as store_files
from datasets.store.track_store import TrackStore
from models import audio
from models.errors import AudioError, StoreError
from tests.sound import folder_of, tune, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("audio"), 12)


def failed_of(out):
    with open(out / "failed.csv", newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def same(a, b):
    a, b = TrackStore.open(a), TrackStore.open(b)
    assert a.names == b.names
    assert a.attrs == b.attrs
    assert all(np.array_equal(a.read(name), b.read(name)) for name in a.names)


def test_mel_store(folder, tmp_path):
    done = prepare(folder, tmp_path / "out", jobs=1)
    assert (done.made, done.already, done.failed, done.exit_code) == (12, 0, {}, 0)
    store = TrackStore.open(tmp_path / "out")
    assert store.names == audio.find_audio(folder)
    assert store.attrs["kind"] == "mel"
    assert store.attrs["front_end"] == "maest-essentia"
    assert (store.attrs["sample_rate"], store.attrs["hop"]) == (16000, 256)
    assert store.item_shape == (96,)
    assert store.dtype == np.float16
    for name in store.names[:3]:
        assert np.array_equal(store.read(name), features.mel_of_file(folder / name))


def test_waveform_store(folder, tmp_path):
    prepare(folder, tmp_path / "out", waveform=8000, jobs=1)
    store = TrackStore.open(tmp_path / "out/waveform.h5")
    assert (store.attrs["kind"], store.attrs["sample_rate"], store.dtype) == ("waveform", 8000, np.int16)
    name = store.names[0]
    assert np.array_equal(store.read(name), features.waveform_of_file(folder / name, 8000))


def test_bad_files_are_listed_and_left_out(tmp_path):
    root = folder_of(tmp_path / "audio", 3)
    (root / "empty.mp3").touch()
    (root / "junk.wav").write_bytes(b"not a sound" * 50)
    write(root / "nan.wav", np.full((9000, 1), np.nan, dtype=np.float32), 16000, subtype="FLOAT")
    write(root / "tiny.wav", tune(0.01, 16000, 1), 16000)
    assert main([str(root), str(tmp_path / "out"), "--jobs", "1"]) == 3
    reasons = failed_of(tmp_path / "out")
    assert list(reasons) == ["empty.mp3", "junk.wav", "nan.wav", "tiny.wav"]
    for name, words in [
        ("empty.mp3", "0 bytes"),
        ("junk.wav", "not audio"),
        ("nan.wav", "NaN"),
        ("tiny.wav", "too short: 10.0 ms"),
    ]:
        assert words in reasons[name]
    assert len(TrackStore.open(tmp_path / "out")) == 3
    # Repaired and run again: only those are made, in a further shard, and the report goes.
    for name in reasons:
        write(root / name, tune(0.3, 16000, 1), 16000)
    again = prepare(root, tmp_path / "out", jobs=1)
    assert (again.made, again.already, again.exit_code) == (4, 3, 0)
    assert not (tmp_path / "out/failed.csv").exists()
    assert sorted(TrackStore.open(tmp_path / "out").names) == audio.find_audio(root)


def test_only_bad_files_leave_no_store(tmp_path):
    write(tmp_path / "audio/a.wav", tune(0.001, 16000, 1), 16000)
    done = prepare(tmp_path / "audio", tmp_path / "out", jobs=1)
    assert done.exit_code == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["failed.csv", "prepare.json"]


def test_unusual_names(tmp_path):
    names = ["spaces in it/ü 漢字.wav", "new\nline.wav", 'quo"te,s.wav', "-dash.wav", "%20#?.wav", os.fsdecode(b"latin-\xe9.wav")]
    for name in names:
        write(tmp_path / "x.wav", tune(0.2, 16000, 1), 16000)
        (tmp_path / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(tmp_path / "x.wav", tmp_path / "audio" / name)
    (tmp_path / "audio" / os.fsdecode(b"bad\n\xe9.wav")).touch()
    done = prepare(tmp_path / "audio", tmp_path / "out", jobs=1)
    assert sorted(TrackStore.open(tmp_path / "out").names) == sorted(names)
    assert list(done.failed) == [os.fsdecode(b"bad\n\xe9.wav")]
    assert list(failed_of(tmp_path / "out")) == ["bad\n\\udce9.wav"]


def test_a_second_run_does_no_work(folder, tmp_path, monkeypatch):
    prepare(folder, tmp_path / "out", jobs=1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(module, "parallel_map", None)
    done = prepare(folder, tmp_path / "out", jobs=1)
    assert (done.made, done.already) == (0, 12)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_a_replaced_file_is_said_and_its_track_stays(tmp_path, caplog):
    """Same name, other content: by size or by time of change; also one that was replaced by an older file."""
    root = folder_of(tmp_path / "audio", 4)
    out = tmp_path / "out"
    prepare(root, out, jobs=1)
    before = (out / "mel.h5").read_bytes()
    assert prepare(root, out, jobs=1).changed == []
    names = audio.find_audio(root)
    write(root / names[0], tune(0.9, 16000, 1, seed=5), 16000)
    os.utime(root / names[2], ns=(1, 1))
    caplog.clear()
    done = prepare(root, out, jobs=1)
    assert (done.changed, done.made, done.exit_code) == ([names[0], names[2]], 0, 3)
    assert f"2 files have changed since their tracks were made ('{names[0]}', '{names[2]}')" in caplog.text
    assert f"delete the prepared folder {out} and give the same command again" in caplog.text
    assert (out / "mel.h5").read_bytes() == before
    write(root / "late.wav", tune(0.9, 16000, 1), 16000)  # work does not make it forget
    assert prepare(root, out, jobs=1).changed == [names[0], names[2]]
    (out / "sources.json").unlink()  # as of a store that was made before there were marks
    assert prepare(root, out, jobs=1).changed == []
    (out / "sources.json").write_text("[")
    with pytest.raises(StoreError, match=r"sources\.json is damaged.*Remove it"):
        prepare(root, out, jobs=1)
    shutil.rmtree(out)  # the cure that was named
    done = prepare(root, out, jobs=1)
    assert (done.changed, done.made, done.exit_code) == ([], 5, 0)


def test_a_file_replaced_before_it_was_read_has_not_changed(tmp_path, monkeypatch):
    root = folder_of(tmp_path / "audio", 3)
    names = audio.find_audio(root)
    real = features.mel_of_file

    def interrupted(path, max_seconds):
        if path.name in names[1]:
            raise KeyboardInterrupt
        return real(path, max_seconds)

    for shards in (None, 2):
        out = tmp_path / f"out {shards}"
        with monkeypatch.context() as patch:
            patch.setattr(features, "mel_of_file", interrupted)
            with pytest.raises(KeyboardInterrupt):
                prepare(root, out, jobs=1, shard_tracks=shards)
        write(root / names[0], tune(0.5, 16000, 1, seed=shards or 7), 16000)  # read already
        write(root / names[1], tune(0.6, 16000, 1, seed=shards or 7), 16000)  # not yet
        done = prepare(root, out, jobs=1)
        assert (done.made, done.already) == (2, 1)
        assert prepare(root, out, jobs=1).changed == [names[0]]


def test_other_settings_on_the_same_out_are_refused(folder, tmp_path):
    out = tmp_path / "out"
    prepare(folder, out, jobs=1, max_seconds=1.0)
    for other, words in [
        ({"max_seconds": 2.0}, "max_seconds was 1.0, now 2.0"),
        ({"max_seconds": 0}, "max_seconds was 1.0, now None"),
        ({"waveform": 16000, "max_seconds": 1.0}, "kind was 'mel', now 'waveform'"),
    ]:
        with pytest.raises(StoreError, match=words):
            prepare(folder, out, jobs=1, **other)
    elsewhere = folder_of(tmp_path / "elsewhere", 2)
    with pytest.raises(StoreError, match=r"audio_dir was .*only moved"):
        prepare(elsewhere, out, jobs=1, max_seconds=1.0)
    assert len(TrackStore.open(out)) == 12


def test_a_store_of_someone_else_is_not_touched(folder, tmp_path):
    with TrackStore.create(tmp_path / "mel.h5", (96,), "float16", {"kind": "mel"}) as writer:
        writer.append("x", np.zeros((2, 96), dtype=np.float16))
        writer.seal()
    with pytest.raises(StoreError, match="not made by this command"):
        prepare(folder, tmp_path, jobs=1)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is a file"):
        prepare(folder, tmp_path / "file", jobs=1)


def test_damaged_settings_are_named(folder, tmp_path):
    (tmp_path / "prepare.json").write_text("[1,")
    with pytest.raises(StoreError, match="not readable as settings"):
        prepare(folder, tmp_path, jobs=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"waveform": 10}, "waveform is 10"), ({"max_seconds": -1}, "max_seconds is -1"), ({"jobs": 0}, "jobs is 0")],
)
def test_impossible_settings_are_refused(folder, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        prepare(folder, tmp_path / "out", **arguments)


def test_no_folder_and_no_audio_stop_before_anything_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    for where in ("nope", "empty"):
        assert main([str(tmp_path / where), str(tmp_path / "out")]) == 2
        with pytest.raises(AudioError):
            prepare(tmp_path / where, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_second_writer_is_refused(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with open(out / "mel.h5.journal", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        settings = {"audio_dir": str(folder), "kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}
        (out / "prepare.json").write_text(json.dumps({**settings, "max_seconds": 300.0}))
        with pytest.raises(StoreError, match="Another process is writing"):
            prepare(folder, out, jobs=1)


def test_full_disk_keeps_what_was_written_and_goes_on_later(folder, tmp_path, monkeypatch, caplog):
    out = tmp_path / "out"
    real, written = os.write, []

    def full(handle, data):
        written.append(len(data))
        if sum(written) > 60_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert main([str(folder), str(out), "--jobs", "1"]) == 2
    assert "no space left on the disk" in caplog.text
    part = TrackStore.open(out)
    assert 0 < len(part) < 12
    for name in part.names:
        assert np.array_equal(part.read(name), features.mel_of_file(folder / name))
    done = prepare(folder, out, jobs=1)
    assert (done.made, done.already) == (12 - len(part), len(part))
    prepare(folder, tmp_path / "unbroken", jobs=1)
    same(out, tmp_path / "unbroken")


def test_no_room_to_seal_is_told_and_made_good_later(folder, tmp_path, monkeypatch, caplog):
    out = tmp_path / "out"

    def full(index, target):
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store_files, "write_sealed", full)
        assert main([str(folder), str(out), "--jobs", "1"]) == 2
    assert "Could not seal" in caplog.text
    assert len(TrackStore.open(out)) == 12
    done = prepare(folder, out, jobs=1)
    assert (done.made, done.already) == (0, 12)
    assert sorted(path.name for path in out.iterdir()) == ["mel.h5", "prepare.json", "sources.json"]


def test_parts_that_outlived_their_sealing_are_cleared_away(folder, tmp_path, monkeypatch):
    """As a kill leaves it that falls between the sealed file's appearance and the removal of its parts."""
    out, real = tmp_path / "out", os.replace

    def killed_after(a, b):
        if Path(b).suffix != ".h5":
            return real(a, b)
        shutil.copy(a, b)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed_after)
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        (out).mkdir()
        settings = {"audio_dir": str(folder), "kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}
        (out / "prepare.json").write_text(json.dumps({**settings, "max_seconds": 300.0}))
        with pytest.raises(KeyboardInterrupt):
            prepare(folder, out, jobs=1)
    (out / "mel.h5.sealing").unlink()
    assert sorted(path.name for path in out.iterdir()) == [
        "mel.h5",
        "mel.h5.journal",
        "mel.h5.part",
        "prepare.json",
        "sources.json",
    ]
    done = prepare(folder, out, jobs=1)
    assert (done.made, done.already) == (0, 12)
    assert sorted(path.name for path in out.iterdir()) == ["mel.h5", "prepare.json", "sources.json"]


def test_interrupt_ends_with_130(folder, tmp_path, monkeypatch, caplog):
    def interrupted(path, max_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(features, "mel_of_file", interrupted)
    assert main([str(folder), str(tmp_path / "out"), "--jobs", "1"]) == 130
    assert "goes on where it stopped" in caplog.text


def test_tracks_that_have_gone_are_told(tmp_path, caplog):
    root = folder_of(tmp_path / "audio", 3)
    prepare(root, tmp_path / "out", jobs=1)
    next(root.rglob("*.wav")).unlink()
    prepare(root, tmp_path / "out", jobs=1)
    assert "1 tracks" in caplog.text
    assert len(TrackStore.open(tmp_path / "out")) == 3


def test_help_tells_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("AUDIO_DIR", "--waveform", "--max-seconds", "failed.csv", "Exit code"))
