"""The embedded demo data: the same music for the same seed, labels in balance, and nothing beside the music that gives them away."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from sklearn.metrics import roc_auc_score

from datasets.demo import FAMILIES, LABELS, SPLITS, make, plan_track, render, sizes
from datasets.demo import writer as demo_writer
from datasets.demo.labels import SECONDS, TrackPlan
from datasets.demo.mixing import LOUDNESS, LOUDNESS_JITTER
from datasets.groundtruth import read as groundtruth_files
from datasets.groundtruth.annotations import read_annotations
from datasets.groundtruth.chords import CHORDS
from models.errors import GroundtruthError


# ---- one seed, one data set
def test_a_track_is_the_same_alone_and_again():
    plan = plan_track(3, "test", 17)
    assert plan == plan_track(3, "test", 17)
    assert demo_writer.encode(plan) == demo_writer.encode(plan_track(3, "test", 17))
    np.testing.assert_array_equal(render(plan), render(plan))


@pytest.mark.parametrize("other", [(4, "test", 17), (3, "train", 17), (3, "test", 18)])
def test_seed_split_and_index_each_make_other_music(other):
    draws = plan_track(3, "test", 17).rng().integers(0, 2**63, 16)
    others = plan_track(*other).rng().integers(0, 2**63, 16)
    assert not np.isin(draws, others).any()


def test_no_two_tracks_share_a_seed():
    first = {int(plan_track(0, split, i).rng().integers(2**63)) for split in SPLITS for i in range(300)}
    assert len(first) == 3 * 300


@pytest.mark.parametrize(("split", "index"), [("validate", 0), ("train", -1)])
def test_a_plan_that_cannot_be(split, index):
    with pytest.raises(ValueError, match=r"validate|-1"):
        plan_track(0, split, index)


# ---- labels in balance
def test_every_label_is_in_every_split_and_never_rare_or_near_constant():
    counts = sizes()
    for split, n in counts.items():
        tracks = [plan_track(0, split, i).labels for i in range(n)]
        for label in LABELS:
            share = sum(label in labels for labels in tracks) / n
            assert 0.12 <= share <= 0.55, (split, label)
            assert share * n >= 20


@pytest.fixture(scope="module")
def plans() -> list[TrackPlan]:
    return [plan_track(0, "train", i) for i in range(3000)]


@pytest.mark.slow
def test_families_are_independent_of_one_another(plans):
    values = [plan.values for plan in plans]
    families = list(FAMILIES)
    for i, one in enumerate(families):
        for other in families[:i]:
            for a in set(FAMILIES[one]):
                for b in set(FAMILIES[other]):
                    share = FAMILIES[one].count(a) / len(FAMILIES[one]) * FAMILIES[other].count(b) / len(FAMILIES[other])
                    both = np.mean([v[one] == a and v[other] == b for v in values])
                    assert both == pytest.approx(share, abs=0.025)


@pytest.mark.slow
def test_length_and_format_give_no_label_away(plans):
    targets = np.array([[label in plan.labels for label in LABELS] for plan in plans])
    for feature in ("seconds", "sample_rate", "channels"):
        scores = np.array([getattr(plan, feature) for plan in plans])
        for column, label in zip(targets.T, LABELS):
            assert roc_auc_score(column, scores) == pytest.approx(0.5, abs=0.05), (feature, label)


@pytest.mark.slow
def test_loudness_gives_no_label_away_and_the_audio_is_sound():
    plans = [plan_track(1, "train", i) for i in range(240)]
    loudness = []
    for plan in plans:
        wave = render(plan)
        assert wave.dtype == np.float32
        assert wave.shape == ((round(plan.seconds * plan.sample_rate),) + ((2,) if plan.channels == 2 else ()))
        assert SECONDS[0] <= plan.seconds <= SECONDS[1]
        assert np.isfinite(wave).all()
        assert np.abs(wave).max() < 1.0
        mono = wave if wave.ndim == 1 else wave.mean(axis=1)
        loudness.append(20 * np.log10(np.sqrt(np.mean(mono.astype(np.float64) ** 2))))
    assert np.ptp(loudness) > LOUDNESS_JITTER  # it does vary
    assert np.median(loudness) == pytest.approx(LOUDNESS, abs=1.5)
    targets = np.array([[label in plan.labels for label in LABELS] for plan in plans])
    for column, label in zip(targets.T, LABELS):
        assert roc_auc_score(column, loudness) == pytest.approx(0.5, abs=0.15), label  # 3 standard errors at 40 positives of 240


# ---- on disk
def test_make_writes_files_table_and_seal(tmp_path: Path):
    audio, table = make(tmp_path / "demo", 12, jobs=1)
    truth = groundtruth_files.read(table)
    assert sorted(truth.splits) == ["test", "train", "val"]
    assert len(truth.keys) == 12
    assert sorted(p.relative_to(audio).as_posix() for p in audio.rglob("*.flac")) == sorted(truth.keys)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        split, index = row["path"].split("/")
        plan = plan_track(0, split, int(index.removesuffix(".flac")))
        assert row["labels"].split("|") == plan.labels
        about = sf.info(str(audio / row["path"]))
        assert (about.samplerate, about.channels, about.subtype) == (plan.sample_rate, plan.channels, "PCM_16")
        assert about.frames == round(plan.seconds * plan.sample_rate)
        assert (audio / row["path"]).read_bytes() == demo_writer.encode(plan)
    assert not list(audio.rglob(".*"))


def test_make_leaves_what_stands_and_refuses_another(tmp_path: Path):
    audio, table = make(tmp_path, 6, jobs=1)
    before = {p: p.stat().st_mtime_ns for p in audio.rglob("*.flac")}
    assert make(tmp_path, 6, jobs=1) == (audio, table)
    assert {p: p.stat().st_mtime_ns for p in audio.rglob("*.flac")} == before
    with pytest.raises(GroundtruthError, match="another size, seed"):
        make(tmp_path, 6, seed=1, jobs=1)


def test_a_broken_off_making_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    done = []

    def fail_after_three(plan: TrackPlan, wave: object) -> bytes:
        if len(done) == 3:
            raise OSError("disk full")
        done.append(plan)
        return b"x"

    with monkeypatch.context() as patch:
        patch.setattr(demo_writer, "encode", fail_after_three)
        with pytest.raises(ValueError, match="disk full"):
            make(tmp_path, 6, jobs=1)
    assert not (tmp_path / "groundtruth.csv").exists()
    audio, _ = make(tmp_path, 6, jobs=1)
    assert all(sf.info(str(p)).frames > 0 for p in audio.rglob("*.flac"))


def test_too_few_tracks_are_refused(tmp_path: Path):
    with pytest.raises(GroundtruthError, match="5 tracks"):
        make(tmp_path / "x", 5)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_two_processes_make_the_same_bytes_as_one(tmp_path: Path):
    one, _ = make(tmp_path / "one", 40, jobs=1)
    two, _ = make(tmp_path / "two", 40, jobs=2)
    files = [p.relative_to(one) for p in one.rglob("*.flac")]
    assert len(files) == 40
    assert all((one / f).read_bytes() == (two / f).read_bytes() for f in files)


def test_annotations_are_what_the_generator_did(tmp_path: Path):
    audio, table = make(tmp_path / "demo", 12, jobs=1)
    where = tmp_path / "demo" / "annotations"
    for kind, labels in (("beats", ["beat"]), ("chords", list(CHORDS)), ("sections", ["inst", "silence", "boundary"])):
        found = read_annotations(kind, where / kind, table)
        assert len(found) == 12
        assert found.labels == labels
        for key, rows in zip(found.keys, found.rows):
            split, index = key.split("/")
            plan = plan_track(0, split, int(index.removesuffix(".flac")))
            assert 0 <= rows[:, 0].min() <= rows[:, 1].max() <= plan.seconds + 1e-3
            if kind == "beats":
                np.testing.assert_allclose(np.diff(rows[:, 0]), 60 / plan.beats_per_minute, atol=2e-4)
                continue
            spans = rows[rows[:, 2] < len(labels) - (kind == "sections")]
            np.testing.assert_allclose(spans[1:, 0], spans[:-1, 1], atol=1e-9)
            assert spans[-1, 1] == pytest.approx(plan.seconds, abs=1e-3)
            if kind == "chords":
                modes = {CHORDS[int(k)].partition(":")[2] for k in spans[:, 2]} - {""}
                assert modes == (set() if plan.values["texture"] == "_no chords" else {plan.values["mode"][:3]})
            else:
                assert (len(spans) == 3) == (plan.values["form"] == "break")
                wave, rate = sf.read(audio / key, always_2d=True)
                for start, end, label in spans:
                    level = np.abs(wave[int((start + 0.02) * rate) : int((end - 0.02) * rate)]).mean()
                    assert labels[int(label)] != "silence" or level < 0.005


def test_annotations_of_music_that_was_made_before(tmp_path: Path):
    audio, _ = make(tmp_path, 6, jobs=1)
    before = {p: p.stat().st_mtime_ns for p in audio.rglob("*.flac")}
    want = {p.relative_to(tmp_path): p.read_text() for p in (tmp_path / "annotations").rglob("*.*")}
    shutil.rmtree(tmp_path / "annotations")
    make(tmp_path, 6, jobs=1)
    assert {p.relative_to(tmp_path): p.read_text() for p in (tmp_path / "annotations").rglob("*.*")} == want
    assert {p: p.stat().st_mtime_ns for p in audio.rglob("*.flac")} == before
