"""Prediction of files and folders: pages, tables, what cannot be used; names of every kind stay names."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from contextlib import closing
from dataclasses import dataclass, replace
from html import unescape
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from pyarrow import parquet
from rich.console import Console

from helpers.prediction.files import audio_files, begin, sounds_of
from helpers.prediction.predict import PredictionSettings, predict, print_prediction
from helpers.prediction.tables import open_tables
from helpers.reports import track_page
from models.clmr import SampleCNN
from models.errors import AudioError, ConfigError
from models.maest import MAEST
from models.tagging import Tagged
from tests.sound import tune, write

LABELS = ["Rock---Punk", "Rock---<i>Indie</i>", "Jazz---Bop", 'Folk---"Celtic"']
ODD = "sub dir/a <b>&\nü #1?.flac"


@dataclass
class PredictSection:
    """Of a config, what a beginning reads."""

    audio: str | None
    html: bool
    player_minutes: float = 10.0


@pytest.fixture(scope="module")
def net() -> MAEST:
    torch.manual_seed(0)
    return MAEST(input_t=125, n_classes=4, embed_dim=32, depth=2, num_heads=4, labels=LABELS, init_std=0.2).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("audio")
    write(root / "one.wav", tune(5.3), 44100)
    write(root / ODD, tune(1.0, 8000, 1, 1), 8000)
    (root / "broken.mp3").write_bytes(b"nothing" * 40)
    (root / "notes.txt").write_text("no audio")
    return root


@pytest.fixture(scope="module")
def found(net, folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out / folder.name, predict(
        net, folder, out, settings=PredictionSettings(tables=["csv", "json", "parquet"], weights="w.ckpt", batch_size=2)
    )


def test_what_is_written(found, folder):
    where, done = found
    assert [row.name for row in done.rows] == ["one.wav", ODD]
    assert [name for name, _ in done.failed] == ["broken.mp3"]
    assert sorted(p.relative_to(where).as_posix() for p in where.rglob("*") if p.is_file()) == sorted(
        ["index.html", "tracks/one.wav.html", f"tracks/{ODD}.html", "predictions.json", "unusable.csv"]
        + [f"{table}.{kind}" for table in ("predictions", "windows") for kind in ("csv", "parquet")]
    )
    assert all(path.is_file() for path in done.written)
    with open(done.unusable, newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["path"], row["reason"]) == done.failed[0]


def test_a_list_of_unusable_files_goes_with_them(net, tmp_path):
    write(tmp_path / "in" / "tune.wav", tune(1))
    (tmp_path / "in" / "bad.wav").write_bytes(b"no audio")
    assert predict(net, tmp_path / "in", tmp_path / "bare", settings=PredictionSettings(html=False)).unusable is None
    table = predict(net, tmp_path / "in", tmp_path / "out", settings=PredictionSettings(tables=["csv"])).unusable
    assert table.is_file()
    (tmp_path / "in" / "bad.wav").unlink()
    assert predict(net, tmp_path / "in", tmp_path / "out", settings=PredictionSettings(tables=["csv"])).unusable is None
    assert not table.exists()


def test_tables_have_names_and_times(found, net, folder):
    where, _ = found
    heard = {name: net.tag(folder / name) for name in ("one.wav", ODD)}
    with open(where / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    with open(where / "windows.csv", newline="", encoding="utf-8") as file:
        windows = list(csv.DictReader(file))
    content = json.loads((where / "predictions.json").read_text(encoding="utf-8"))
    assert content["labels"] == LABELS
    assert content["about"]["weights"] == "w.ckpt"
    assert (content["about"]["backend"], content["about"]["precision"]) == ("torch", "32-true")
    tracks = {entry["path"]: entry for entry in content["tracks"]}
    assert list(rows) == list(tracks) == list(heard)
    for name, one in heard.items():
        for source in (rows[name], tracks[name]["probabilities"]):
            np.testing.assert_allclose([float(source[label]) for label in LABELS], one.probabilities, atol=2e-6)
        assert float(rows[name]["seconds"]) == pytest.approx(one.duration, abs=1e-3)
        mine = [row for row in windows if row["path"] == name]
        np.testing.assert_allclose([[float(r["start"]), float(r["end"])] for r in mine], one.times, atol=1e-3)
        np.testing.assert_allclose([[float(r[label]) for label in LABELS] for r in mine], one.windows, atol=2e-6)
        assert [w["start"] for w in tracks[name]["windows"]] == pytest.approx(one.times[:, 0].tolist(), abs=1e-3)
        assert list(tracks[name]["genres"]) == [genre for genre, _ in one.genres()]


def test_parquet_tables_are_the_csv_ones(found):
    where, _ = found
    for table in ("predictions", "windows"):
        content = parquet.read_table(where / f"{table}.parquet")
        with open(where / f"{table}.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert content.column_names == list(rows[0])
        assert content.num_rows == len(rows)
        for column in content.column_names:
            values = [row[column] for row in rows]
            if column in ("path", "model", "licence", "remark"):
                assert content[column].to_pylist() == [value or None for value in values]
            else:
                np.testing.assert_allclose(content[column].to_numpy(), np.array(values, float), atol=2e-6)
        assert json.loads(content.schema.metadata[b"about"])["weights"] == "w.ckpt"


def test_parquet_rows_beyond_one_group(tmp_path):
    windows = np.random.default_rng(0).random((600, 2), dtype=np.float32)
    times = np.stack([np.arange(600), np.arange(600) + 1], axis=1).astype(np.float32)
    heard = Tagged(["a", "b"], windows, times, 600.0, np.zeros((1, 96), np.float32))
    with open_tables(tmp_path, ["parquet"], heard.labels, {}) as tables:
        for one in tables:
            one.write("x.wav", heard)
            one.close()
    content = parquet.read_table(tmp_path / "windows.parquet")
    np.testing.assert_array_equal(np.stack([content["a"], content["b"]], axis=1), windows)


def test_what_means_little_is_said(net, tmp_path, caplog):
    write(tmp_path / "in" / "silence.wav", np.zeros(16000 * 4, np.float32))
    write(tmp_path / "in" / "blip.wav", tune(0.3))
    write(tmp_path / "in" / "tune.wav", tune(4))
    done = predict(net, tmp_path / "in", tmp_path / "out", settings=PredictionSettings(weights="RANDOM", tables=["csv"]))
    remarks = {row.name: row.remark.split()[0:2] for row in done.rows}
    assert remarks == {"silence.wav": ["silent"], "blip.wav": ["far", "shorter"], "tune.wav": []}
    where = tmp_path / "out" / "in"
    assert "This recording is silent." in (where / "tracks" / "silence.wav.html").read_text()
    for page in where.rglob("*.html"):
        assert "RANDOM weights: these numbers say nothing" in page.read_text()
    with open(where / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["model"].startswith("RANDOM (") for row in rows)
    assert [row["remark"] for row in rows] == [row.remark for row in done.rows]
    console = Console(file=io.StringIO(), width=80)
    print_prediction(done, console)
    assert "silence.wav is silent." in console.file.getvalue()
    caplog.clear()
    predict(net, tmp_path / "in", tmp_path / "out")
    assert "predictions.csv, windows.csv of an earlier prediction" in caplog.text


def test_a_network_that_reads_samples_writes_the_same_pages_and_tables(folder, tmp_path):
    torch.manual_seed(0)
    reader = SampleCNN([4, 6, 6, 6, 6, 6, 6, 8, 8], [3] * 7, out_dim=4, labels=LABELS, sample_rate=8000).eval()
    done = predict(reader, folder, tmp_path, settings=PredictionSettings(tables=["csv", "json", "parquet"], batch_size=2))
    where = tmp_path / folder.name
    assert [row.name for row in done.rows] == ["one.wav", ODD]
    assert all(path.is_file() for path in done.written)
    with open(where / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    want = reader.tag(folder / "one.wav").probabilities
    np.testing.assert_allclose([float(rows["one.wav"][label]) for label in LABELS], want, atol=2e-6)
    page = (where / "tracks" / "one.wav.html").read_text(encoding="utf-8")
    assert 'class="spectrogram"' in page
    assert 'class="heat"' in page


def test_an_unknown_table_format_is_refused_before_work(net, folder, tmp_path):
    with pytest.raises(ConfigError, match=r"table format 'parket'.*parquet"):
        predict(net, folder, tmp_path, settings=PredictionSettings(tables=["parket"]))
    assert not any(tmp_path.rglob("*.*"))


def test_pages_are_self_contained_and_names_are_no_markup(found):
    where, _ = found
    for page in [where / "index.html", *where.rglob("tracks/**/*.html")]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
        assert "<i>Indie" not in text
        assert "<b>&" not in text
    index = (where / "index.html").read_text(encoding="utf-8")
    links = [unquote(unescape(link)) for link in re.findall(r'href="([^"]+)"', index)]
    assert links == ["tracks/one.wav.html", f"tracks/{ODD}.html"]
    assert all((where / link).is_file() for link in links)
    assert "broken.mp3" in index
    track = (where / "tracks" / "one.wav.html").read_text(encoding="utf-8")
    assert 'class="spectrogram"' in track
    assert 'class="heat"' in track
    assert 'data-seconds="5.300"' in track
    assert "Rock / Punk" in track
    assert 'Punk <span class="soft">Rock</span>' in track
    assert "not stated" in track


def test_the_page_plays_the_recording(found, tmp_path):
    import base64

    import soundfile

    where, _ = found
    text = (where / "tracks" / "one.wav.html").read_text(encoding="utf-8")
    data = re.search(r'src="data:audio/mpeg;base64,([^"]+)"', text)[1]
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert len(sound) / rate == pytest.approx(5.3, abs=0.1)
    assert np.abs(sound).max() > 0.05


def test_long_recordings_are_linked(tmp_path):
    assert 'src="file:///' in track_page.player(tmp_path / "a b.wav", 601, 10)
    assert "a%20b.wav" in track_page.player(tmp_path / "a b.wav", 601, 10)


def test_sounds_are_made_ahead_for_the_recordings_that_will_have_them(net, folder, tmp_path, monkeypatch):
    """In the order of the files, None for those that cannot be used or are too long; a page takes what was made, and makes what was not."""
    names = audio_files(folder)[1]
    with closing(sounds_of(folder, 10, html=True)) as made:
        sounds = dict(zip(names, made))
    assert {name for name, sound in sounds.items() if sound is None} == {"broken.mp3"}
    with closing(sounds_of(folder, 2 / 60, html=True)) as made:
        assert [name for name, sound in zip(names, made) if sound] == [ODD]
    with closing(sounds_of(folder, 10, html=False)) as made:
        assert list(made) == [None] * len(names)
    begun = PredictSection(str(folder), html=True)
    with begin(SimpleNamespace(predict=begun)) as sounds_begun:
        assert dict(zip(names, sounds_begun)) == sounds
    for nothing in (replace(begun, html=False), replace(begun, audio=None), replace(begun, audio=str(tmp_path / "absent"))):
        with begin(SimpleNamespace(predict=nothing)) as sounds_begun:
            assert sounds_begun is None
    given = [None if sound is None else f"data:,{i}" for i, sound in enumerate(sounds.values())]
    predict(net, folder, tmp_path, sounds=iter(given))
    for name, source in zip(names, given):
        page = tmp_path / folder.name / "tracks" / f"{name}.html"
        assert page.exists() == (source is not None)
        assert source is None or f'src="{source}"' in page.read_text(encoding="utf-8")
    predict(net, folder / "one.wav", tmp_path, sounds=iter([None]))  # its header told of another length
    assert sounds["one.wav"] in (tmp_path / "one.wav" / "index.html").read_text(encoding="utf-8")


def test_the_heat_map_shows_each_window_at_its_time():
    import base64

    from matplotlib import image

    windows = np.array([[0.9, 0.1], [0.0, 0.2], [0.0, 0.5]], np.float32)
    heard = Tagged(["a", "b"], windows, np.array([[0, 2], [2, 4], [3, 5]], np.float32), 5.0, np.random.rand(50, 96))
    text = track_page.track_page("x", heard, track_page.TrackContent(top=2))
    data = re.search(r'class="heat"[^>]*base64,([^"]+)"', text)[1]
    picture = image.imread(io.BytesIO(base64.b64decode(data)))
    assert picture.shape[:2] == (2, track_page.COLUMNS)
    light = picture[..., :3].sum(axis=2)
    at = lambda seconds: int(seconds / 5 * track_page.COLUMNS)  # noqa: E731
    order = [label for label, _ in heard.top(2)]
    a, b = light[order.index("a")], light[order.index("b")]
    assert a[at(1)] > 1 > a[at(2.1)] == a[at(4.9)]  # bright in its window only
    assert b[at(1)] < b[at(3.4)] < b[at(3.6)]  # the overlap 3..4 s is halved


def test_one_file_is_one_page_and_one_list(net, folder, tmp_path):
    done = predict(net, folder / "one.wav", tmp_path, settings=PredictionSettings(top=2, hop_seconds=1.0))
    assert done.written == [tmp_path / "one.wav" / "index.html"]
    console = Console(file=io.StringIO(), width=80)
    print_prediction(done, console)
    text = console.file.getvalue()
    assert "one.wav (0:05.3)" in text
    assert sum(label.replace("---", " / ") in text for label in LABELS) == 2


def test_the_folders_list(found):
    console = Console(file=io.StringIO(), width=120)
    print_prediction(found[1], console)
    assert "2 recordings" in console.file.getvalue()
    assert f"1 file could not be used: {found[1].unusable} says why." in console.file.getvalue()


def test_a_failure_leaves_no_half_tables(net, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no")
    with pytest.raises(AudioError, match=r"bad\.wav"):
        predict(net, tmp_path / "bad.wav", tmp_path / "out", settings=PredictionSettings(tables=["csv", "json", "parquet"]))
    (tmp_path / "audio").mkdir()
    (tmp_path / "bad.wav").rename(tmp_path / "audio" / "bad.wav")
    with pytest.raises(AudioError, match="None of the 1 files"):
        predict(net, tmp_path / "audio", tmp_path / "out", settings=PredictionSettings(tables=["csv"]))
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_what_is_no_audio(tmp_path, net):
    with pytest.raises(AudioError, match="not there"):
        audio_files(tmp_path / "absent.mp3")
    with pytest.raises(AudioError, match="no audio file in"):
        audio_files(tmp_path)
    with pytest.raises(ConfigError, match=r"predict\.top is 0"):
        predict(net, write(tmp_path / "a.wav", tune(0.5), 44100), tmp_path, settings=PredictionSettings(top=0))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00.0"), (7.34, "0:07.3"), (9.97, "0:10"), (59.6, "1:00"), (245, "4:05"), (3723, "1:02:03")]
)
def test_clock(seconds, text):
    assert track_page.clock(seconds) == text


@pytest.mark.slow
def test_all_the_music_there_is(net, shared, tmp_path):
    from models.audio import info

    done = predict(net, shared / "audio" / "music", tmp_path, settings=PredictionSettings(tables=["csv"]))
    assert len(done.rows) == 14
    assert not done.failed
    for row in done.rows:
        assert row.duration == pytest.approx(info(shared / "audio" / "music" / row.name).duration, abs=0.1)
    with open(tmp_path / "music" / "windows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in done.rows:
        spans = [(float(r["start"]), float(r["end"])) for r in rows if r["path"] == row.name]
        assert spans[0][0] == 0
        assert spans[-1][1] == pytest.approx(row.duration, abs=0.033)
        assert all(b[0] <= a[1] + 1e-3 for a, b in itertools.pairwise(spans))
