"""The published data sets: the same verbs for all; the published counts and hashes from the published lists; refusals."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from configs import TARGETS
from datasets.giantsteps_key import GIANTSTEPS_KEY, KEYS, TEST, TRAIN, split_artists
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.gtzan import GTZAN, filtered
from datasets.mtg_jamendo import MTG_JAMENDO, SHA256
from datasets.published.command import main
from datasets.published.dataset import NAMES, TASKS, DataSet, get_set
from datasets.published.label_table import LabelTable
from helpers.probe.targets import read_targets
from models.errors import DataSetError

ROOT = Path(__file__).resolve().parents[3]


# ---- all of them
@pytest.mark.parametrize("name", NAMES)
def test_every_set_has_the_same_verbs_and_says_what_it_is(name, capsys):
    data = get_set(name)
    assert data.name == name
    assert data.task in TASKS
    module = sys.modules[f"datasets.{name}"]
    assert all(callable(getattr(module, verb)) for verb in ("download", "validate", "groundtruth", "cite", "license"))
    assert main(data, ["cite"]) == main(data, ["license"]) == 0
    said = capsys.readouterr().out
    assert "@" in said
    assert data.licence in said
    for text in (data.title, data.home, data.get_it, data.overlap, data.size):
        assert text.strip()
    assert data.folder() == ROOT / "datasets" / name / "data"
    assert (ROOT / "datasets" / name / "__main__.py").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_every_set_is_a_target_with_the_same_paths(name):
    data = get_set(name)
    mine = {t.variant: t for t in TARGETS.values() if t.data == name}
    assert set(mine) == set(data.variants)
    assert TARGETS[name].variant == next(iter(data.variants))
    for variant, target in mine.items():
        assert ROOT / target.base_dir == data.mel_folder()
        assert ROOT / target.metadata_dir == data.groundtruth_folder(variant=variant)
        assert target.n_classes == data.variants[variant].n_labels
        assert target.task == data.task


@pytest.mark.parametrize("name", NAMES)
def test_without_the_users_copy_it_says_what_to_do(name, tmp_path, caplog):
    words = ["--data_dir", str(tmp_path), "--skip", "download", "unpack", "prepare"]
    if name == "gtzan":  # its list is part of the project; the audio is not
        assert main(get_set(name), words) == 3
        assert "there is no audio" in caplog.text
    else:
        assert main(get_set(name), words) == 2
        assert "There is no " in caplog.text or "cannot be read" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("name", ["gtzan", "emomusic", "msd"])
def test_what_may_not_be_downloaded_is_not(name, tmp_path, caplog):
    assert main(get_set(name), ["download", "--data_dir", str(tmp_path)]) == 2
    assert "cannot be downloaded by this command" in caplog.text
    assert not list(tmp_path.iterdir())


def test_unknown_sets_are_named():
    with pytest.raises(DataSetError, match="Did you mean 'gtzan'"):
        get_set("gtzn")


def test_as_a_module_from_the_checkout(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "datasets.gtzan", "groundtruth", "--data_dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "443/197/290" in done.stderr


# ---- published counts and hashes
def check(data, variant, source) -> LabelTable:
    """Counts, labels and hash as the set's own figures say."""
    table, expected = data.groundtruth(source, variant), data.variants[variant]
    assert table.counts == expected.counts
    assert len(table.names) == expected.n_labels
    assert data.digest(table) == expected.sha256
    return table


@pytest.mark.parametrize(
    "variant", ["instrument", "moodtheme", *(pytest.param(name, marks=pytest.mark.slow) for name in ("genre", "top50tags"))]
)
def test_jamendo(shared, tmp_path, variant):
    folder = shared / "data" / "mtg_jamendo_split0"
    summary = json.loads((folder / "summary.json").read_text())[variant]
    for split in ("train", "validation", "test"):
        name = f"autotagging_{variant}-{split}.tsv"
        content = gzip.decompress((folder / f"{name}.gz").read_bytes())
        assert hashlib.sha256(content).hexdigest() == SHA256[name]
        (tmp_path / name).write_bytes(content)
    table = check(MTG_JAMENDO, variant, tmp_path)
    assert table.counts == tuple(summary[split]["tracks"] for split in ("train", "validation", "test"))
    assert table.names == summary["tag_list"]
    assert [o.groups for o in table.overlaps()] == [0, 0, 0]
    counts = Groundtruth.from_rows(table.keys, table.labels, table.names, table.split).splits["test"].counts
    assert counts.min() == summary["min_test_count"]


def test_gtzan(shared):
    table = check(GTZAN, "filtered", None)
    check(GTZAN, "marble", None)
    for split, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        lines = (shared / "data" / "gtzan" / f"{name}_filtered.txt").read_text().split()
        assert sorted(lines) == sorted(key for key, mine in zip(table.keys, table.split) if mine == split)
    assert len(set(filtered())) == 930


def giantsteps(folder: Path, shared: Path) -> dict[str, tuple[str, str]]:
    """The two repositories' tables by the known keys; artists are made up, with names whose SHA-1 gives the known side. Returns id -> split, key."""
    known = {}
    with open(shared / "data" / "giantsteps" / "giantsteps_mtg_marble_split.tsv") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            known[row["id"]] = ({"valid": "validation"}.get(row["split"], row["split"]), row["key"])
    annotations, tests = folder / TRAIN / "annotations", folder / TEST / "annotations" / "key"
    annotations.mkdir(parents=True)
    tests.mkdir(parents=True)
    with (
        open(shared / "data" / "giantsteps" / "giantsteps_mtg.tsv") as file,
        open(annotations / "annotations.txt", "w") as keys,
        open(annotations / "beatport_metadata.txt", "w") as metadata,
    ):
        keys.write("ID\tMANUAL KEY\tC\n")
        metadata.write("ID\tARTIST\tSONG TITLE\n")
        for row in csv.DictReader(file, delimiter="\t"):
            number = row["file"].split(".")[0]
            side, _ = known.get(number, ("train", ""))
            name = next(n for n in (f"Artist {number} {k}" for k in range(10000)) if split_artists([[n]])[n.lower()] == side)
            keys.write(f"{number}\t{row['key']}\t{row['confidence']}\n")
            metadata.write(f"{number}\t{name}\tTitle\n")
    with open(shared / "data" / "giantsteps" / "giantsteps_key.tsv") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            (tests / row["file"]).write_text(row["key"] + "\n")
            known[row["file"].split(".")[0]] = ("test", row["key"])
    return known


def test_giantsteps(shared, tmp_path):
    known = giantsteps(tmp_path, shared)
    table = check(GIANTSTEPS_KEY, "key", tmp_path)
    got = {Path(key).name.split(".")[0]: (split, label[0]) for key, split, label in zip(table.keys, table.split, table.labels)}
    assert got == known
    parts = read_targets("key", None, str(GIANTSTEPS_KEY.write_groundtruth(tmp_path)), None, 0)
    assert (tuple(len(parts[name]) for name in ("train", "val", "test")), parts["test"].labels) == (table.counts, list(KEYS))
    assert [(o.first, o.second, o.groups) for o in table.overlaps()] == [("train", "validation", 0)]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "msd"])
def test_a_copy_laid_out_otherwise_is_refused_before_any_work(name, tmp_path, caplog):
    """Before a download, too: nothing is asked of the network, nothing is written."""
    data, wrong = get_set(name), tmp_path / "wrong"
    words = ["--data_dir", str(tmp_path / "data"), "--audio_dir", str(wrong), "--mirror", "http://127.0.0.1:9/"]
    assert main(data, words) == 2
    assert caplog.messages[-1].startswith(
        f"--audio_dir is {wrong}, which is not a folder. Wanted is the one with {data.layout[0]}"
    )
    (wrong / "some where").mkdir(parents=True)
    (wrong / "some where" / "x.mp3").write_bytes(b"x")
    assert main(data, words) == 2
    assert f"no file in it is {data.layout[0]} ({data.title}); it has files like 'some where/x.mp3'." in caplog.messages[-1]
    assert not (tmp_path / "data").exists()


def test_a_folder_one_level_too_high_is_told_which_is_meant(tmp_path, caplog):
    (tmp_path / "gtzan" / "genres_original" / "blues").mkdir(parents=True)
    (tmp_path / "gtzan" / "genres_original" / "blues" / "blues.00000.wav").write_bytes(b"x")
    assert main(get_set("gtzan"), ["--data_dir", str(tmp_path / "data"), "--audio_dir", str(tmp_path / "gtzan")]) == 2
    assert caplog.messages[-1].endswith(f": give {tmp_path / 'gtzan' / 'genres_original'}.")


def test_layouts_fit_the_paths_of_the_published_tables(tmp_path):
    fits = {name: re.compile(get_set(name).layout[1]).search for name in NAMES}
    for name, path in {
        "mtt": "f/american_bach_soloists-j_s__bach-01-aria-30-59.mp3",
        "mtg_jamendo": "48/948.low.mp3",
        "gtzan": "blues/blues.00000.au",
        "giantsteps_key": "giantsteps-mtg-key-dataset/audio/10089.LOFI.mp3",
        "nsynth": "nsynth-valid/audio/bass_electronic_018-036-100.wav",
        "emomusic": "2.mp3",
        "vocalset": "FULL/female1/arpeggios/belt/f1_arpeggios_belt_a.wav",
        "msd": "1/2/3.clip.mp3",
    }.items():
        assert fits[name](path), name


def test_the_folder_that_is_searched_is_the_one_that_is_named(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert main(get_set("gtzan"), ["--data_dir", str(tmp_path)]) == 2
    assert f"Place a copy of your own at {tmp_path}/genres/" in caplog.text
    assert "datasets/gtzan/data" not in caplog.text


def test_nothing_of_a_set_whose_labels_are_in_the_audio_is_downloaded_beside_a_copy(tmp_path):
    assert get_set("vocalset").download(tmp_path, audio=False) == 0


# ---- what a set must say
SAYS = {
    **dict.fromkeys(("title", "about", "home", "terms", "licence", "citation", "get_it"), "x"),
    **{"name": "mine", "task": "single-label", "variants": {}, "read": lambda self, source, variant: None},
}


@pytest.mark.parametrize("left_out", SAYS)
def test_what_a_set_does_not_say_is_named_when_it_is_made(left_out):
    kind = type("Mine", (DataSet,), {name: value for name, value in SAYS.items() if name != left_out})
    with pytest.raises(DataSetError, match=rf"The data set Mine \(.*does not say its .*{left_out}"):
        kind()


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"task": "single_label"}, "task 'single_label'; a task is .* Did you mean 'single-label'"),
        ({"name": "yours", "__module__": "datasets.mine"}, "called 'yours', and its folder 'mine': give both one name"),
    ],
)
def test_a_set_with_an_impossible_task_or_name_is_refused(changed, match, monkeypatch):
    monkeypatch.setattr("inspect.getfile", lambda kind: "datasets/mine/__init__.py")
    with pytest.raises(DataSetError, match=match):
        type("Mine", (DataSet,), {**SAYS, **changed})()


def test_a_package_whose_set_is_no_data_set_is_refused(monkeypatch):
    monkeypatch.setattr(sys.modules["datasets.gtzan"], "SET", None)
    with pytest.raises(DataSetError, match="describes no data set: SET is wanted there"):
        get_set("gtzan")


def test_audio_that_stands_there_is_not_asked_for(tmp_path, caplog):
    (tmp_path / GTZAN.audio).mkdir()
    with caplog.at_level(logging.INFO):
        main(GTZAN, ["all", "--data_dir", str(tmp_path), "--skip", "prepare", "groundtruth", "validate"])
    assert f"the audio is taken from {tmp_path / GTZAN.audio}" in caplog.text
    assert "Place" not in caplog.text
