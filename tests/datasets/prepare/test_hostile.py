"""A collection at its worst: what can be used is prepared, what cannot is named with its reason, and a second run does no work."""

from __future__ import annotations

import csv
import errno
import os
import re
import resource
import subprocess
import sys

import numpy as np
import pytest

from datasets import prepare as preparation
from datasets.prepare import features
from datasets.prepare.command import main
from datasets.store.track_store import TrackStore
from models import audio, bounded_files
from models.audio import containers
from models.errors import AudioError
from tests.hostile import UNREADABLE, bad_files, headerless_vbr, odd_files, three_hours
from tests.sound import folder_of, tune, write_av


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    return folder / "audio", bad_files(folder / "audio", folder / "spare")


@pytest.fixture
def disk_errors(monkeypatch):
    """Reading some files fails as a broken disk lets it fail; permissions would not do where tests run as root."""

    def broken(file, *more, **kind):
        if any(str(file).endswith(name) for name in UNREADABLE):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))
        return bounded_files.open_regular(file, *more, **kind)

    monkeypatch.setattr(containers, "open_regular", broken)


def failed_of(out):
    with open(out / "failed.csv", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_a_hundred_bad_files_are_each_named_with_a_reason(bad, disk_errors):
    root, reasons = bad
    assert len(reasons) == 100
    assert audio.find_audio(root) == sorted(reasons)
    for name, words in reasons.items():
        with pytest.raises(AudioError, match=words) as caught:
            features.mel_of_file(root / name)
        assert name in str(caught.value)


def test_odd_files_are_used(tmp_path):
    odd = odd_files(tmp_path / "audio", tmp_path / "spare")
    for name, seconds in odd.items():
        mel = features.mel_of_file(tmp_path / "audio" / name, max_seconds=10.0)
        assert len(mel) == pytest.approx(62.5 * min(seconds, 10.0), abs=4), name
        assert np.isfinite(mel.astype(np.float32)).all()
    frames = {name: features.mel_of_file(tmp_path / "audio" / name) for name in odd if name.startswith("same stem/")}
    assert len({mel.tobytes() for mel in frames.values()}) == 4  # none taken for another


def test_m4a_without_pyav_says_what_to_install(tmp_path, monkeypatch):
    path = write_av(tmp_path / "a.m4a", tune(0.5), 44100, "aac")
    assert len(audio.load(path, None)) == 22050
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"a\.m4a cannot be decoded by libsndfile.*PyAV.*pip install av"):
        audio.load(path)
    headerless_vbr(tmp_path / "b.mp3")
    with pytest.raises(AudioError, match="pip install av"):
        audio.info(tmp_path / "b.mp3")


@pytest.mark.slow
def test_three_hours_cost_what_is_kept_of_them(tmp_path):
    three_hours(tmp_path / "a.flac")
    features.mel_of_file(tmp_path / "a.flac", max_seconds=2.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(features.mel_of_file(tmp_path / "a.flac", max_seconds=300.0)) == pytest.approx(300 * 62.5, abs=2)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB; the whole sound is 346 MB


def test_failures_that_may_pass_are_tried_again_and_others_are_not(tmp_path, monkeypatch):
    root = folder_of(tmp_path / "audio", 3)
    (root / "junk.wav").write_bytes(b"not a sound" * 50)
    tried = []

    def mel_of_file(path, max_seconds):
        tried.append(path.name)
        if path.name == "track 0001.wav" and len(tried) < 9:
            raise AudioError("cannot be read") from OSError(errno.EIO, "Input/output error")
        return np.zeros((4, 96), np.float16) if path.name != "junk.wav" else real(path, max_seconds)

    real = features.mel_of_file
    monkeypatch.setattr(features, "mel_of_file", mel_of_file)
    out = tmp_path / "out"
    assert preparation.prepare(root, out, jobs=1).exit_code == 3
    assert len(tried) == 4
    failed = failed_of(out)
    assert failed["junk.wav"]["bytes"] == "550"
    assert failed["b/track 0001.wav"]["bytes"] == ""
    done = preparation.prepare(root, out, jobs=1)
    assert tried[4:] == ["track 0001.wav"]
    assert (done.made, done.already, sorted(done.failed)) == (0, 2, ["b/track 0001.wav", "junk.wav"])
    preparation.prepare(root, out, jobs=1, retry=True)
    assert sorted(tried[5:]) == ["junk.wav", "track 0001.wav"]
    (root / "junk.wav").write_bytes(b"not a sound" * 51)  # changed: perhaps repaired
    tried += ["", ""]  # and the disk is well again
    assert preparation.prepare(root, out, jobs=1).made == 1
    assert sorted(tried[-2:]) == ["junk.wav", "track 0001.wav"]
    assert list(failed_of(out)) == ["junk.wav"]


@pytest.mark.parametrize(
    "table", ["", "a,b\n1,2\n", "file,reason\njunk.wav,old\n", "\x00\xff", "file,reason,bytes,modified\nx\n"]
)
def test_another_table_says_nothing(tmp_path, table):
    root = folder_of(tmp_path / "audio", 1)
    (root / "junk.wav").write_bytes(b"not a sound")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/failed.csv").write_text(table, encoding="latin1")
    assert list(preparation.prepare(root, tmp_path / "out", jobs=1).failed) == ["junk.wav"]


@pytest.mark.slow
def test_a_thousand_good_files_among_a_hundred_bad_ones(bad, tmp_path, disk_errors, monkeypatch):
    bad_root, reasons = bad
    root = tmp_path / "audio"
    folder_of(root / "good", 1000, seconds=0.1)
    odd = odd_files(root / "odd", tmp_path / "spare")
    (root / "bad").symlink_to(bad_root)
    (root / "good/a/loop").symlink_to(root)  # folders that lead back up
    out = tmp_path / "out"
    assert main([str(root), str(out), "--jobs", "1", "--max-seconds", "30"]) == 3
    store = TrackStore.open(out)
    assert set(store.names) == {name for name in audio.find_audio(root) if not name.startswith("bad/")}
    assert len(store) == 1000 + len(odd)
    failed = failed_of(out)
    assert sorted(failed) == sorted(f"bad/{name}" for name in reasons)
    for name, words in reasons.items():
        assert re.search(words, failed[f"bad/{name}"]["reason"]), name
    # again: only what may have passed is looked at, and nothing is written
    tried = []
    real = features.mel_of_file
    monkeypatch.setattr(features, "mel_of_file", lambda path, max_seconds: tried.append(path) or real(path, max_seconds))
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.iterdir()}
    assert main([str(root), str(out), "--jobs", "1", "--max-seconds", "30"]) == 3
    links = {"links/to nothing.wav", "links/to itself.wav", "links/one way.mp3", "links/and back.mp3"}
    assert {str(path.relative_to(root / "bad")) for path in tried} <= links | set(UNREADABLE)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in out.iterdir()} == before


@pytest.mark.slow
def test_the_same_by_worker_processes(bad, tmp_path):
    """Where a decoder's crash would be a worker's. The disk works here: what it held back is good."""
    bad_root, reasons = bad
    root = folder_of(tmp_path / "audio", 60, seconds=0.1)
    (root / "bad").symlink_to(bad_root)
    command = [sys.executable, "-m", "datasets.prepare", str(root), str(tmp_path / "out"), "--jobs", "2"]
    first = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert first.returncode == 3, first.stderr
    assert "98 files could not be used" in first.stderr
    assert len(TrackStore.open(tmp_path / "out")) == 62
    assert set(failed_of(tmp_path / "out")) == {f"bad/{name}" for name in reasons if name not in UNREADABLE}
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 3
    assert "0 tracks made" in again.stderr
    assert "62 were there already" in again.stderr
