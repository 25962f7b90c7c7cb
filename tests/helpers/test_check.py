"""The command check_data on a collection with every fault in it: what it says, what it writes, its exit code, and that its table trains."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from datasets.groundtruth import Groundtruth
from datasets.prepare import prepare
from helpers.check import check_collection, print_findings
from models.errors import GroundtruthError
from tests.sound import tune, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def collection(tmp_path):
    """24 good tracks of 8 artists, and: a copy in another container and split, a missing, a broken and an unlisted file."""
    root = tmp_path / "audio"
    rows = [("path", "tags", "artist", "split")]
    for i in range(24):
        write(root / f"{i % 8}/{i}.wav", np.rint(32767 * tune(1.2, 16000, 1, seed=i)) / 32768, 16000)
        rows.append(
            (f"{i % 8}/{i}.mp3", "loud|fast" if i % 2 else "slow", f"artist {i % 8}", ("train", "train", "test", "val")[i % 4])
        )
    write(root / "copy.flac", np.rint(32767 * tune(1.2, 16000, 1, seed=2)) / 32768, 16000)
    (root / "broken.mp3").write_bytes(b"no sound" * 99)
    write(root / "unlisted.wav", np.zeros((16000, 1)), 16000)
    rows += [
        ("copy.flac", "loud", "artist 2", "train"),
        ("broken.mp3", "slow", "artist 0", "train"),
        ("gone.wav", "slow", "artist 0", "train"),
    ]
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root, tmp_path / "labels.csv"


def shown(checked) -> str:
    console = Console(file=io.StringIO(), width=140)
    print_findings(checked, console)
    return console.file.getvalue()


def test_everything_is_found_written_and_said(collection, tmp_path):
    checked = check_collection(*collection, tmp_path / "out", jobs=1)
    counts = checked.counts()
    assert counts == {
        "tracks": 27, "files": 27, "kept": 24, "missing": 1, "unusable": 0, "unreadable": 1, "copies": 1, "copies_with_other_labels": 1,
        "copies_across_splits": 1, "groups_across_splits": 1, "files_without_row": 1, "remarks": 0, "exit_code": 3,
    }  # fmt: skip
    clean = Groundtruth.read(tmp_path / "out/clean.csv")
    assert "2/2.wav" in clean.keys
    assert "copy.flac" not in clean.keys
    assert clean.labels == ["fast", "loud", "slow"]
    with open(tmp_path / "out/problems.csv", newline="") as file:
        problems = {(row["path"], row["problem"]): row["detail"] for row in csv.DictReader(file)}
    assert problems["gone.wav", "missing"]
    assert "not audio" in problems["broken.mp3", "unreadable"]
    assert problems["copy.flac", "leaking copy"] == "the same samples as 2/2.mp3, other labels (train) of a track in test"
    assert problems["artist 2", "group in several splits"] == "1 in train, 3 in test"
    assert problems["unlisted.wav", "no row"]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["labels"] == {"fast": 12, "loud": 13, "slow": 14}
    assert report["splits"] == {"train": 12, "val": 6, "test": 6}
    assert report["seconds"]["median"] == pytest.approx(1.2)
    text = shown(checked)
    for words in (
        "27 tracks in the table",
        "copies: the same samples",
        "2/2.mp3 (test) = copy.flac (train)",
        "24 of 27 tracks can be used",
    ):
        assert words in text


def test_a_cleaned_table_has_nothing_to_mend(collection, tmp_path):
    audio, table = collection
    check_collection(audio, table, tmp_path / "out", new_split=True, jobs=1)
    again = check_collection(audio, tmp_path / "out/clean.csv", tmp_path / "again", jobs=1)
    assert again.counts()["exit_code"] == 0
    assert not again.findings.problems() or {line[1] for line in again.findings.problems()} == {"no row"}


def test_a_split_of_its_own_keeps_groups_together(collection, tmp_path):
    audio, table = collection
    lines = [line.rsplit(",", 1)[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(lines).replace("artist,", "by,").replace(",artist", ",by", 1) + "\n")
    checked = check_collection(audio, table, tmp_path / "out", group_column="by", jobs=1)
    assert checked.new_split
    clean = Groundtruth.read(tmp_path / "out/clean.csv")
    assert set(clean.split) == {"train", "val", "test"}
    split_of = {}
    for group, split in zip(clean.group, clean.split):
        assert split_of.setdefault(group, split) == split
    assert "whole groups together" in shown(checked)
    with pytest.raises(GroundtruthError, match="no column 'bi' for the group.*Did you mean 'by'"):
        check_collection(audio, table, tmp_path / "other", group_column="bi", jobs=1)


def test_a_store_in_place_of_audio(collection, tmp_path):
    audio, table = collection
    prepare(audio, tmp_path / "mels", jobs=1)
    counts = check_collection(tmp_path / "mels", table, tmp_path / "out", is_store=True).counts()
    assert counts["copies_across_splits"] == 1  # the mels of the same samples
    assert (counts["missing"], counts["unreadable"]) == (2, 0)  # what could not be prepared is not there


def test_nothing_usable_is_said(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/a.wav").write_bytes(b"x")
    (tmp_path / "labels.csv").write_text("path,labels\na.wav,x\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/clean.csv").write_text("of an earlier run")
    checked = check_collection(tmp_path / "audio", tmp_path / "labels.csv", tmp_path / "out", jobs=1)
    assert checked.cleaned is None
    assert not (tmp_path / "out/clean.csv").exists()
    assert "No track can be used" in shown(checked)


@pytest.mark.slow
def test_the_command_and_its_exit_code(collection, tmp_path):
    audio, table = collection

    def run(table, *words):
        command = [
            sys.executable,
            str(ROOT / "ex_maest.py"),
            "check_data",
            "with",
            f"datamodule.audio_dir={audio}",
            f"datamodule.groundtruth={table}",
        ]
        return subprocess.run(
            [*command, *words],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    first = run(table, "check.new_split=True")
    assert first.returncode == 3, first.stderr
    assert "exp_out/checked/audio-labels/clean.csv" in first.stdout
    clean = tmp_path / "exp_out/checked/audio-labels/clean.csv"
    assert run(clean).returncode == 0
    absent = run(tmp_path / "nowhere.csv")
    assert absent.returncode == 1
    assert "no groundtruth at" in absent.stderr
    assert "Traceback" not in absent.stderr
