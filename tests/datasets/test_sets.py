"""The published data sets: the same verbs for all; the published counts and hashes from the published lists; refusals."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs import TARGETS
from datasets.emomusic import EMOMUSIC, side_of, standardised
from datasets.giantsteps_key import GIANTSTEPS_KEY, KEYS, TEST, TRAIN, key_name, split_artists
from datasets.groundtruth import Groundtruth
from datasets.gtzan import GTZAN, filtered
from datasets.label_table import LabelTable, read_values
from datasets.msd import MSD
from datasets.mtg_jamendo import MTG_JAMENDO, SHA256
from datasets.nsynth import FAMILIES, FOLDERS, NSYNTH
from datasets.sets import NAMES, TASKS, get_set
from datasets.sets_command import main
from datasets.vocalset import TEST_SINGERS, VOCALSET
from models.errors import DataSetError
from tests.datasets.test_archives import tarred, zipped
from tests.server import serving

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in (
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)


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


@pytest.mark.parametrize("variant", ["genre", "instrument", "moodtheme", "top50tags"])
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
    assert [(o.first, o.second, o.groups) for o in table.overlaps()] == [("train", "validation", 0)]


# ---- one by one
def test_keys_have_one_name_each():
    assert len(set(KEYS)) == 24
    assert [key_name(text) for text in ("c# major ", "F minor", "a# MINOR", "Db  major")] == [
        "Db major",
        "F minor",
        "Bb minor",
        "Db major",
    ]
    for text in ("h minor", "c", "c dorian", "c major / a minor"):
        with pytest.raises(DataSetError, match="is not a key"):
            key_name(text)


def test_artists_that_share_a_track_with_validation_go_there():
    names = [f"a{k}" for k in range(400)]
    alone = split_artists([[name] for name in names])
    train, valid = ([n for n in names if alone[n] == side] for side in ("train", "validation"))
    side = split_artists([[train[0], train[1]], [train[1], valid[0]], [train[2]]])
    assert side == {train[0]: "validation", train[1]: "validation", valid[0]: "validation", train[2]: "train"}
    # two passes, no more: the last of a chain that needs three stays
    chain = split_artists([[train[3], train[4]], [train[4], train[5]], [train[5], valid[0]]])
    assert [chain[n] for n in train[3:6]] == ["train", "validation", "validation"]


def jamendo(folder: Path, tags: str = "genre---rock\tgenre---pop") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    head = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
    for k, split in enumerate(("train", "validation", "test")):
        row = f"track_{k}\tartist_{k}\talbum_{k}\t0{k}/{k}.mp3\t99.5\t"
        (folder / f"autotagging_genre-{split}.tsv").write_text(head + row + tags + "\n")
    return folder


def test_jamendos_low_quality_files_are_found(tmp_path):
    jamendo(tmp_path / "metadata")
    for k in range(3):
        (tmp_path / "audio" / f"0{k}").mkdir(parents=True)
        (tmp_path / "audio" / f"0{k}" / f"{k}.low.mp3").write_bytes(b"x")
    out = MTG_JAMENDO.write_groundtruth(tmp_path, "genre")
    truth = Groundtruth.read(out / "groundtruth-all.csv", labels=out / "labels.txt")
    assert truth.keys == ["00/0.low.mp3", "01/1.low.mp3", "02/2.low.mp3"]
    assert truth.group == ["artist_0", "artist_1", "artist_2"]
    found = MTG_JAMENDO.validate(tmp_path, "genre")
    assert "all 3 audio files" in " ".join(found.facts)
    (tmp_path / "audio" / "00" / "0.low.mp3").write_bytes(b"")
    assert "1 of 3 audio files are empty" in " ".join(MTG_JAMENDO.validate(tmp_path, "genre").problems)


@pytest.mark.parametrize("tags", ["rock", "genre---rock\t", "a---b---c"])
def test_other_tables_of_jamendo_are_refused(tmp_path, tags):
    with pytest.raises(DataSetError, match="line 2"):
        MTG_JAMENDO.groundtruth(jamendo(tmp_path, tags), "genre")


def test_jamendos_archives_are_held_to_the_publishers_list(tmp_path, monkeypatch):
    from datasets import mtg_jamendo
    from datasets.fetch import Bundle, Remote

    tar = tarred({"00/1.low.mp3": b"sound"}, "w")
    sums = f"{hashlib.sha256(tar).hexdigest()} a-00.tar\n{'0' * 64} a-01.tar\n".encode()
    with serving() as server:
        server.files |= {f"/{mtg_jamendo.TAR_SUMS}": sums, "/a-00.tar": tar, "/a-01.tar": tar}
        remote = [
            Bundle((Remote(mtg_jamendo.TAR_SUMS, ""),)),
            *(Bundle((Remote(f"a-0{k}.tar", ""),), into="audio") for k in range(2)),
        ]
        monkeypatch.setattr(mtg_jamendo.MtgJamendo, "bundles", lambda self, audio=True: remote)
        with pytest.raises(DataSetError, match=r"a-01\.tar is not the file it should be"):
            MTG_JAMENDO.download(tmp_path, mirror=server.address, remove_archives=True)
        assert (tmp_path / "audio" / "00" / "1.low.mp3").read_bytes() == b"sound"
        assert sorted(p.name for p in tmp_path.glob("*.tar")) == []
        requests = len(server.log)
        with pytest.raises(DataSetError):
            MTG_JAMENDO.download(tmp_path, mirror=server.address)
        assert [path for _, path, _ in server.log[requests:]] == ["/a-01.tar"]  # what stands is not asked for again


def test_giantsteps_repositories_lose_their_commits_name(tmp_path):
    with serving() as server:
        for bundle in GIANTSTEPS_KEY.bundles():
            commit = bundle.parts[0].url.rsplit("/", 1)[1].removesuffix(".zip")
            server.files[f"/{bundle.name}"] = zipped({f"{bundle.into}-{commit}/annotations/key/1.LOFI.key": b"C minor"})
        assert GIANTSTEPS_KEY.download(tmp_path, mirror=server.address) == 2
    assert (tmp_path / TEST / "annotations" / "key" / "1.LOFI.key").read_bytes() == b"C minor"
    assert (tmp_path / TRAIN / "annotations").is_dir()


def test_nsynth(tmp_path):
    for k, folder in enumerate(FOLDERS.values()):
        notes = {f"{family}_acoustic_{k:03d}-{21 + i:03d}-100": {"pitch": 21 + i, "instrument_family_str": family, "instrument_str": f"{family}_{k}"}
                 for i, family in enumerate(FAMILIES)}  # fmt: skip
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "examples.json").write_text(json.dumps(notes))
    instrument, pitch = NSYNTH.groundtruth(tmp_path, "instrument"), NSYNTH.groundtruth(tmp_path, "pitch")
    assert instrument.counts == pitch.counts == (11, 11, 11)
    assert instrument.keys[0] == "nsynth-train/audio/bass_acoustic_000-021-100.wav"
    assert [row[0] for row in instrument.labels[:11]] == list(FAMILIES)
    assert [row[0] for row in pitch.labels[:11]] == [str(21 + i) for i in range(11)]
    assert pitch.groundtruth().labels == [str(k) for k in range(128)]  # in their own order, also those without notes
    assert [o.groups for o in pitch.overlaps()] == [0, 0, 0]
    (tmp_path / "nsynth-test" / "examples.json").write_text('{"a/../../b": {"pitch": 3, "instrument_family_str": "bass"}}')
    with pytest.raises(DataSetError, match="original file"):
        NSYNTH.groundtruth(tmp_path, "pitch")


def emomusic(folder: Path) -> None:
    (folder / "annotations").mkdir(parents=True)
    with open(folder / "annotations" / "songs_info.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["song_id", "file_name", "Artist", "Song title", "Genre", "Mediaeval 2013 set"])
        for k in range(1, 41):
            writer.writerow(
                [
                    k,
                    f"{k}.mp3",
                    f"\tThe Band, {'ABCDEFGH'[k % 8]}\t",
                    "\tTitle\t",
                    "Rock",
                    "evaluation" if k % 5 == 0 else "development\t",
                ]
            )
    with open(folder / "annotations" / "static_annotations.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["song_id", "mean_arousal", "std_arousal", "mean_valence", "std_valence"])
        writer.writerows([k, 1 + k / 7, 0.5, 9 - k / 9, 0.5] for k in range(1, 41))


def test_emomusic(tmp_path):
    emomusic(tmp_path)
    table = EMOMUSIC.groundtruth(tmp_path)
    for key, split, artist in zip(table.keys, table.split, table.group):
        number = int(key.removesuffix(".mp3"))
        assert split == ("test" if number % 5 == 0 else side_of(artist))
    assert table.counts[2] == 8
    assert min(table.counts) > 0
    assert (table.overlaps()[0].first, table.overlaps()[0].second, table.overlaps()[0].groups) == ("train", "validation", 0)
    values, mean, sd = standardised(table)
    development = np.array([split != "test" for split in table.split])
    np.testing.assert_allclose(values[development].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(values[development].std(axis=0), 1)
    np.testing.assert_allclose(values * sd + mean, table.values)
    out = EMOMUSIC.write_groundtruth(tmp_path)
    keys, again = read_values(out / "groundtruth-all.csv", ["arousal", "valence"])
    assert keys == table.keys
    np.testing.assert_array_equal(again, np.array(table.values))  # exact, not rounded
    problems = " ".join(EMOMUSIC.validate(tmp_path).problems)
    assert "40 tracks; published are 744" in problems
    assert "published are ?/?/125" in problems


def test_the_artist_rule_of_emomusic_sees_letters_and_spaces_only():
    assert side_of("The  Band!") == side_of("the band") == side_of(" THE BAND 2")
    sides = [side_of(f"{a} {b}") for a in "abcdefghijklmnopqrstuvwxyz" for b in "abcdefghijklmnopqrstuvwxyz"]
    assert 0.7 < sides.count("train") / len(sides) < 0.9


@pytest.mark.parametrize("view", ["FULL", "VocalSet1-2/data_by_singer"])
def test_vocalset(tmp_path, view):
    for singer in ("female1", "female2", "male1", "male10", "male11"):
        short = singer.replace("female", "f").replace("male", "m")
        for technique in ("belt", "vibrato", "fast_forte"):
            for vowel in "aeiou":
                path = tmp_path / view / singer / "arpeggios" / technique / f"{short}_arpeggios_{technique}_{vowel}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x")
    other = tmp_path / "VocalSet1-2" / "data_by_technique" / "belt" / "female1" / "x" / "f1_arpeggios_belt_a.wav"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"x")
    technique = VOCALSET.groundtruth(variant="technique", audio_dir=tmp_path)
    assert len(technique) == 50  # fast_forte is none of the ten, the other view is the same recordings
    for key, split in zip(technique.keys, technique.split):
        assert (split == "test") == (Path(key).name.split("_")[0] in TEST_SINGERS)
    assert technique.counts == (18, 12, 20)  # 60 : 40 of 30
    singer = VOCALSET.groundtruth(variant="singer", audio_dir=tmp_path)
    assert len(singer) == 75
    assert {label[0] for label in singer.labels} == {"f1", "f2", "m1", "m10", "m11"}
    assert all(abs(n - 75 * share) <= 3 for n, share in zip(singer.counts, (0.48, 0.32, 0.2)))
    assert [o.groups for o in singer.overlaps()] == [0, 0, 0]
    assert VOCALSET.groundtruth(variant="singer", audio_dir=tmp_path).split == singer.split


# ---- lists of the Million Song Dataset
IDS = [f"TRAAAAA{k:011X}" for k in range(9)]


def test_msd_from_tsv(tmp_path):
    for k, split in enumerate(("train", "validation", "test")):
        lines = [
            f"{key}\t{json.dumps(['rock'] if i % 2 else ['rock', 'jazz'])}\n" for i, key in enumerate(IDS[3 * k : 3 * k + 3])
        ]
        (tmp_path / f"cals-{split}.tsv").write_text("".join(lines))
    table = MSD.groundtruth(tmp_path, "cals")
    assert table.counts == (3, 3, 3)
    assert table.names == ["jazz", "rock"]
    assert table.keys[0] == f"{IDS[0]}.mp3"
    (tmp_path / "cals-labels.txt").write_text("rock\njazz\n")
    (tmp_path / "cals-test.tsv").write_text(f"{IDS[8]}\t[0, 1]\n")
    table = MSD.groundtruth(tmp_path, "cals")
    assert (table.names, table.labels[-1]) == (["rock", "jazz"], ("jazz",))
    for line in ("x\t[]\n", f"{IDS[8]} []\n", f"{IDS[8]}\t[0, 1, 1]\n", f"{IDS[8]}\tnot json\n"):
        (tmp_path / "cals-test.tsv").write_text(line)
        with pytest.raises(DataSetError):
            MSD.groundtruth(tmp_path, "cals")


def test_msd_from_the_published_pickles_and_paths(tmp_path, monkeypatch):
    from datasets import msd

    monkeypatch.setattr(msd, "N_TRAIN", 4)
    vectors = {key: np.array([i % 2, 1]) for i, key in enumerate(IDS)}
    for name, value in (
        ("filtered_list_train.cP", IDS[:6]),
        ("filtered_list_test.cP", IDS[6:]),
        ("msd_id_to_tag_vector.cP", vectors),
    ):
        (tmp_path / name).write_bytes(pickle.dumps(value, protocol=2))
    (tmp_path / "50tagList.txt").write_text("rock\npop\n")
    (tmp_path / "MSD_id_to_7D_id.pkl").write_bytes(pickle.dumps({key: str(i) for i, key in enumerate(IDS)}))
    (tmp_path / "7D_id_to_path.pkl").write_bytes(pickle.dumps({str(i): f"1/2/{i}.clip.mp3" for i in range(8)}))
    table = MSD.groundtruth(tmp_path, "standard")
    assert table.counts == (4, 2, 3)
    assert table.labels[:2] == [("pop",), ("rock", "pop")]
    assert (table.keys[7], table.keys[8]) == ("1/2/7.clip.mp3", f"{IDS[8]}.mp3")
    (tmp_path / "7D_id_to_path.pkl").write_bytes(pickle.dumps({"1": "../../evil.mp3"}))
    with pytest.raises(DataSetError, match="no path below"):
        MSD.groundtruth(tmp_path, "standard")


class _Runs:
    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("name", ["filtered_list_train.cP", "msd_id_to_tag_vector.cP", "7D_id_to_path.pkl"])
@pytest.mark.parametrize(
    "bomb",
    [
        lambda path: _Runs(os.system, f"touch {path}"),
        lambda path: _Runs(eval, f"open({str(path)!r}, 'w')"),
        lambda path: _Runs(np.memmap, str(path), "float32", "w+", 0, (3,)),
        lambda path: _Runs(np.lib.format.open_memmap, str(path), "w+", "float32", (3,)),
    ],
)  # fmt: skip
def test_pickles_that_run_something_are_refused_and_run_nothing(tmp_path, name, bomb):
    for other in ("filtered_list_train.cP", "filtered_list_test.cP"):
        (tmp_path / other).write_bytes(pickle.dumps(IDS[:2] if "train" in other else IDS[2:4]))
    (tmp_path / "msd_id_to_tag_vector.cP").write_bytes(pickle.dumps({key: [1, 0] for key in IDS}))
    (tmp_path / "50tagList.txt").write_text("rock\npop\n")
    for other in ("MSD_id_to_7D_id.pkl", "7D_id_to_path.pkl"):
        (tmp_path / other).write_bytes(pickle.dumps({}))
    assert len(MSD.groundtruth(tmp_path, "standard")) == 4
    trace = tmp_path / "ran"
    (tmp_path / name).write_bytes(pickle.dumps(bomb(trace)))
    with pytest.raises(DataSetError, match="the pickle asks for"):
        MSD.groundtruth(tmp_path, "standard")
    assert not trace.exists()
