"""The rules and layouts of each published data set, on small copies."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest

from datasets.emomusic import EMOMUSIC, side_of
from datasets.giantsteps_key import GIANTSTEPS_KEY, KEYS, TEST, TRAIN, key_name, split_artists
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.values import Values
from datasets.gtzan import GTZAN, filtered
from datasets.mtg_jamendo import MTG_JAMENDO
from datasets.nsynth import FAMILIES, FOLDERS, NSYNTH
from datasets.published.command import main
from datasets.store.track_store import TrackStore
from datasets.vocalset import TEST_SINGERS, VOCALSET
from helpers.probe.targets import read_targets
from models.errors import DataSetError
from tests.datasets.published.test_archives import tarred, zipped
from tests.server import serving
from tests.sound import tune, write


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
    from datasets.published.fetch import Bundle, Remote

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
    parts = read_targets("single-label", None, str(NSYNTH.write_groundtruth(tmp_path, "pitch")), None, 0)
    assert all(part.labels == pitch.names for part in parts.values())  # as the probe sees them
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
    out = EMOMUSIC.write_groundtruth(tmp_path)
    again = Values.read(out / "groundtruth-all.csv")
    assert (again.keys, again.labels) == (table.keys, ["arousal", "valence"])
    np.testing.assert_array_equal(again.numbers, np.array(table.values))  # exact, not rounded
    parts = read_targets("regression", None, str(out), None, 0)
    assert tuple(len(parts[name]) for name in ("train", "val", "test")) == table.counts
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


def test_vocalsets_archive_holds_the_recordings_three_times_one_is_unpacked(tmp_path):
    (bundle,) = VOCALSET.bundles()
    names = [f"VocalSet1-2/{view}/a/f1.wav" for view in ("data_by_singer", "data_by_technique", "data_by_vowel")] + ["__MACOSX/x"]
    assert [bundle.rename(name) for name in names] == [names[0], None, None, None]


def test_a_copy_of_gtzan_from_files_to_groundtruth(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for _, key in filtered()[::300]:
        write((tmp_path / "copy" / key).with_suffix(".au"), tune(0.3, 22050, 1), 22050)
    words = ["--data_dir", str(tmp_path / "data"), "--audio_dir", str(tmp_path / "copy"), "--jobs", "1", "--variant", "filtered"]
    assert main(GTZAN, words) == 3
    assert "GTZAN is not downloaded" in caplog.text
    assert "926 of 930 audio files are missing" in caplog.text  # the copy with a broken file is the one in wav
    store = TrackStore.open(tmp_path / "data" / "melspec")
    truth = Groundtruth.read(tmp_path / "data" / "groundtruth" / "gtzan-filtered" / "groundtruth-all.csv")
    assert len(truth) == 930
    assert set(store.names) < set(truth.keys)
    assert all(key.endswith(".au") for key in truth.keys)
