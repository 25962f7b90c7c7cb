"""The command check_data on a collection with every fault in it: what it says, what it writes, its exit code, and that its table trains."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.prepare import prepare
from helpers.data.check import TableColumns, check_collection
from helpers.data.check_table import print_findings
from helpers.data.find import audio_and_table
from models.errors import ConfigError, GroundtruthError
from tests.sound import tune, write

ROOT = Path(__file__).resolve().parents[3]


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
        "rows": 27, "files": 27, "kept": 24, "missing": 1, "unusable": 0, "unreadable": 1, "without_split": 0, "absolute_paths": 0,
        "repeated_rows": 0, "copies": 1,
        "copies_with_other_labels": 1, "copies_across_splits": 1, "copies_across_groups": 0, "groups_across_splits": 1,
        "groups_across_splits_left": 0, "files_without_row": 1, "remarks": 0, "exit_code": 3,
    }  # fmt: skip
    clean = Groundtruth.read(tmp_path / "out/clean.csv")
    assert "2/2.wav" in clean.keys
    assert "copy.flac" not in clean.keys
    assert clean.labels == ["fast", "loud", "slow"]
    with open(tmp_path / "out/problems.csv", newline="") as file:
        problems = {(row["path"], row["problem"]): row["detail"] for row in csv.DictReader(file)}
    assert problems["gone.wav", "missing"]
    with open(tmp_path / "out/problems.csv", newline="") as file:
        lines = {row["path"]: row["line"] for row in csv.DictReader(file)}
    table = collection[1].read_text().splitlines()
    for path in ("gone.wav", "broken.mp3", "copy.flac"):
        assert table[int(lines[path]) - 1].startswith(path)
    assert lines["artist 2"] == lines["unlisted.wav"] == ""
    assert "not audio" in problems["broken.mp3", "unreadable"]
    assert (
        problems["copy.flac", "leaking copy"]
        == "the same samples as 2/2.mp3, other labels: copy.flac is in train, 2/2.mp3 in test"
    )
    assert problems["artist 2", "group in several splits"] == "1 in train, 3 in test"
    assert problems["unlisted.wav", "no row"]
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["labels"] == {"fast": 12, "loud": 13, "slow": 14}
    assert report["labels_kept"] == {"fast": 12, "loud": 12, "slow": 12}
    assert report["splits"] == {"train": 12, "val": 6, "test": 6}
    assert report["sample_rates"] == {"16000": 25}
    assert report["channels"] == {"1": 25}
    assert sum(report["formats"].values()) == 25
    assert report["seconds"]["median"] == pytest.approx(1.2)
    text = shown(checked)
    for words in (
        "27 rows in the table",
        "Sample rates: 16000: 25",
        "Channels: 1: 25",
        "copies: the same samples",
        "2/2.mp3 (test) = copy.flac (train)",
        "24 of 27 rows can be used",
        "Its splits are the table's: train 12 (50 %), val 6 (25 %), test 6 (25 %).",
    ):
        assert words in text.replace("\n", "")
    lines = [line.split() for line in text.splitlines() if line.startswith((" slow", " loud", " in all"))]
    sums = {line[0]: [int(cell) for cell in line[1:]] for line in lines if line[0] != "in"}
    assert sums == {"slow": [14, 12, 6, 0, 6], "loud": [13, 12, 6, 6, 0]}  # rows, kept = train + val + test
    assert [line for line in lines if line[0] == "in"] == [["in", "all", "27", "24", "12", "6", "6"]]


def test_a_table_s_own_splits_stay_and_what_still_leaks_is_said(collection, tmp_path):
    audio, table = collection
    text = table.read_text().replace("artist 1", "artist 0").replace("artist 2", "artist 0")
    table.write_text(text + text.splitlines()[1] + "\n")  # and one row twice
    checked = check_collection(audio, table, tmp_path / "out", jobs=1)
    assert (checked.counts()["groups_across_splits_left"], checked.counts()["repeated_rows"]) == (1, 1)
    assert checked.counts()["exit_code"] == 3
    assert "Groups in several splits of clean.csv too, because the table's own splits are kept: 1. check.new_split=True" in shown(
        checked
    )
    anew = check_collection(audio, table, tmp_path / "out", new_split=True, jobs=1)
    assert (anew.counts()["groups_across_splits"], anew.counts()["groups_across_splits_left"]) == (1, 0)
    assert "clean.csv too" not in shown(anew)
    assert re.search(r"Its splits are new, 80/10/10 by its labels, whole groups together: train \d+ \(\d+ %\), val", shown(anew))
    assert sum(json.loads((tmp_path / "out/report.json").read_text())["splits"].values()) == 24


def test_a_split_that_cannot_be_made_leaves_the_old_one(tmp_path):
    for i in range(3):
        write(tmp_path / f"audio/{i}.wav", tune(0.3, 16000, 1, seed=i), 16000)
    (tmp_path / "labels.csv").write_text("path,tags,split,artist\n0.wav,x,train,p\n1.wav,x,,p\n2.wav,x,test,p\n")
    checked = check_collection(tmp_path / "audio", tmp_path / "labels.csv", tmp_path / "out", new_split=True, jobs=1)
    assert not checked.new_split
    assert checked.cleaned.split == ["train", "test"]
    assert checked.counts()["without_split"] == 1
    assert "No new ones were made: 1 groups cannot be split" in shown(checked).replace("\n", " ")


def test_a_table_whose_splits_are_all_empty_is_told_the_cure(tmp_path):
    for i in range(12):
        write(tmp_path / f"audio/{i}.wav", tune(0.3, 16000, 1, seed=i), 16000)
    (tmp_path / "labels.csv").write_text("path,tags,split\n" + "".join(f"{i}.wav,x,\n" for i in range(12)))
    checked = check_collection(tmp_path / "audio", tmp_path / "labels.csv", tmp_path / "out", jobs=1)
    assert (checked.cleaned, checked.counts()["without_split"]) == (None, 12)
    assert "for want of a split: 12. check.new_split=True splits all rows anew." in shown(checked)
    anew = check_collection(tmp_path / "audio", tmp_path / "labels.csv", tmp_path / "out", new_split=True, jobs=1)
    assert len(anew.cleaned) == 12
    assert "for want of a split" not in shown(anew)


def test_paths_that_begin_elsewhere_get_a_hint(tmp_path):
    write(tmp_path / "audio/rock/a.wav", tune(0.3, 16000, 1), 16000)
    (tmp_path / "labels.csv").write_text("path,tags\n/elsewhere/rock/a.wav,x\nRock/A.wav,x\n")
    checked = check_collection(tmp_path / "audio", tmp_path / "labels.csv", tmp_path / "out", jobs=1)
    text = "".join(shown(checked).split())  # lines break where the folder's length wants it
    assert f"Pathsarerelativeto{tmp_path / 'audio'}." in text
    assert "anabsolutepath;thereisnosuchfile;is'rock/a.wav'meant?;afilethatisthereis'rock/a.wav'." in text
    assert checked.findings.missing[1] == "there is no such file; is 'rock/a.wav' meant?"


def test_absolute_paths_below_the_audio_mean_their_files(tmp_path):
    audio = tmp_path / "audio"
    for i in range(12):
        write(audio / f"rock/{i}.wav", tune(0.3, 16000, 1, seed=i), 16000)
    os.symlink(audio, tmp_path / "link")
    (tmp_path / "labels.csv").write_text("path,tags\n" + "".join(f"{audio}/rock/{i}.wav,x\n" for i in range(12)))
    for folder in (audio, tmp_path / "link"):
        checked = check_collection(folder, tmp_path / "labels.csv", tmp_path / "out", jobs=1)
        assert (checked.counts()["absolute_paths"], checked.counts()["kept"], checked.counts()["missing"]) == (12, 12, 0)
        assert checked.counts()["exit_code"] == 3
    assert Groundtruth.read(tmp_path / "out/clean.csv").keys[0] == "rock/0.wav"
    assert (
        f"{audio}/rock/0.wav,absolute path,paths are relative to the audio: write 'rock/0.wav',2\n"
        in (tmp_path / "out/problems.csv").read_text()
    )


def test_nothing_but_its_own_report_is_overwritten(tmp_path):
    write(tmp_path / "audio/a.wav", tune(0.3, 16000, 1), 16000)
    out = tmp_path / "out"
    out.mkdir()
    for name in ("clean.csv", "other.csv"):
        (out / name).write_text("path,tags\na.wav,x\n")
    with pytest.raises(ConfigError, match="its clean.csv is the table itself.*choose another check.out"):
        check_collection(tmp_path / "audio", out / "clean.csv", out, jobs=1)
    with pytest.raises(ConfigError, match="holds clean.csv, and no report.json"):
        check_collection(tmp_path / "audio", out / "other.csv", out, jobs=1)
    assert (out / "clean.csv").read_text() == "path,tags\na.wav,x\n"
    assert sorted(path.name for path in out.iterdir()) == ["clean.csv", "other.csv"]
    check_collection(tmp_path / "audio", out / "other.csv", tmp_path / "new", jobs=1)
    check_collection(tmp_path / "audio", out / "other.csv", tmp_path / "new", jobs=1)  # its own
    with pytest.raises(ConfigError, match=r"the report of another table, .*other\.csv: choose another check.out"):
        check_collection(tmp_path / "audio", out / "clean.csv", tmp_path / "new", jobs=1)


def test_files_that_a_preparation_left_out_are_unreadable(tmp_path):
    write(tmp_path / "audio/a.wav", tune(1.0, 16000, 1), 16000)
    (tmp_path / "audio/bad.mp3").write_bytes(b"no sound" * 99)
    prepare(tmp_path / "audio", tmp_path / "mels", jobs=1)
    (tmp_path / "labels.csv").write_text("path,tags\na.wav,x\nbad.mp3,x\ngone.wav,x\n")
    checked = check_collection(tmp_path / "mels", tmp_path / "labels.csv", tmp_path / "out", is_store=True)
    assert list(checked.findings.missing) == [2]
    assert "not audio" in checked.findings.unreadable[1]


def test_the_screen_names_files_within_the_collection_and_no_part_exceeds_the_whole(tmp_path):
    write(tmp_path / "audio/a.wav", tune(0.3, 16000, 1), 16000)
    (tmp_path / "audio/bad.mp3").write_bytes(b"no sound" * 99)
    (tmp_path / "labels.csv").write_text("path,tags\na.wav,x\na.wav,y\na.wav,z\nbad.mp3,x\n")
    checked = check_collection(tmp_path / "audio", tmp_path / "labels.csv", tmp_path / "out", jobs=1)
    assert checked.findings.unreadable[3].startswith("bad.mp3")
    number = dict(re.findall(r"^ (\S.*?|  \S.*?)  +(\d+)\b", shown(checked), re.MULTILINE))
    whole = int(number["rows too many for one sound"])
    parts = {name.strip(): int(n) for name, n in number.items() if name.startswith("  ")}
    assert whole == 2 == parts["rows that repeat a file"] + parts["copies: the same samples"]
    assert parts["of both, other labels"] == 2
    assert len(parts) == 5
    assert max(parts.values()) <= whole
    assert "Lengths: 0.3 s in all" in shown(checked)


def test_nothing_named_says_what_is_wanted():
    with pytest.raises(ConfigError, match=r"give datamodule\.audio_dir=AUDIO .*datamodule\.demo_tracks=200"):
        audio_and_table(None, None, None, None)


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
    checked = check_collection(audio, table, tmp_path / "out", columns=TableColumns(group="by"), jobs=1)
    assert checked.new_split
    clean = Groundtruth.read(tmp_path / "out/clean.csv")
    assert set(clean.split) == {"train", "val", "test"}
    split_of = {}
    for group, split in zip(clean.group, clean.split):
        assert split_of.setdefault(group, split) == split
    assert "whole groups together" in shown(checked)
    with pytest.raises(GroundtruthError, match="no column 'bi' for the group.*Did you mean 'by'"):
        check_collection(audio, table, tmp_path / "other", columns=TableColumns(group="bi"), jobs=1)


def test_a_store_in_place_of_audio(collection, tmp_path):
    audio, table = collection
    prepare(audio, tmp_path / "mels", jobs=1)
    counts = check_collection(tmp_path / "mels", table, tmp_path / "out", is_store=True).counts()
    assert counts["copies_across_splits"] == 1  # the mels of the same samples
    assert (counts["missing"], counts["unreadable"]) == (1, 1)  # failed.csv says what could not be prepared


def test_nothing_usable_is_said(tmp_path):
    (tmp_path / "audio").mkdir()
    write(tmp_path / "audio/a.wav", tune(0.3, 16000, 1), 16000)
    (tmp_path / "labels.csv").write_text("path,labels\na.wav,x\n")
    check_collection(tmp_path / "audio", tmp_path / "labels.csv", tmp_path / "out", jobs=1)
    assert (tmp_path / "out/clean.csv").exists()
    (tmp_path / "audio/a.wav").write_bytes(b"x")
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
