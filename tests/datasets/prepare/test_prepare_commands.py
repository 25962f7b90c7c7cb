"""Preparation as whole commands: in processes, under kills, of real audio."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest

from datasets.prepare import prepare
from datasets.store.track_store import TrackStore
from tests.kill import run_with_kills
from tests.sound import folder_of


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


def command(folder, out, *more):
    return [sys.executable, "-m", "datasets.prepare", str(folder), str(out), *more]


@pytest.mark.slow
def test_processes_give_what_one_process_gives(folder, tmp_path):
    run = subprocess.run(command(folder, tmp_path / "two", "--jobs", "2"), capture_output=True, text=True, check=True)
    assert "12 tracks made" in run.stderr
    prepare(folder, tmp_path / "one", jobs=1)
    same(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "longest"), [("mel", 3.0), ("waveform", 1.5)])
def test_twenty_kills_change_nothing(tmp_path, kind, longest):
    root = folder_of(tmp_path / "audio", 120, seconds=0.4)
    (root / "broken.wav").write_bytes(b"broken")
    rate = None if kind == "mel" else 16000
    assert prepare(root, tmp_path / "unbroken", rate, jobs=2).made == 120

    def check():
        store = TrackStore.open(tmp_path / "out")
        assert len(set(store.names)) == len(store.names) == 120
        store.verify()
        same(tmp_path / "out", tmp_path / "unbroken")
        assert failed_of(tmp_path / "out") == failed_of(tmp_path / "unbroken")
        assert {path.name for path in (tmp_path / "out").iterdir()} == {
            "failed.csv",
            f"{kind}.h5",
            "prepare.json",
            "sources.json",
        }

    run_with_kills(
        prepare,
        (root, tmp_path / "out", rate, 2),
        check,
        lambda: shutil.rmtree(tmp_path / "out"),
        longest=longest,
        seed=1,
        preload=["datasets.prepare"],
    )


@pytest.mark.slow
def test_real_audio_prepares_whole(shared, tmp_path):
    run = subprocess.run(command(shared / "audio", tmp_path / "out", "--jobs", "2"), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    store = TrackStore.open(tmp_path / "out")
    assert len(store) == 209
    vbr = store.read("music/outfoxing_vbr_noxing_44k_stereo.mp3")
    assert len(vbr) == pytest.approx(30.0 * 62.5 + 1, abs=2)
