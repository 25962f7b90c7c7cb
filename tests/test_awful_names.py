"""A hundred awful names through preparation, extraction, prediction, search and check_data: nothing is lost, nothing is skipped unsaid."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest
import torch

from datasets.groundtruth.groundtruth import Groundtruth, match
from datasets.prepare import prepare
from datasets.store.track_store import TrackStore
from datasets.utils.files import NAME_BYTES, atomic, fitting
from helpers.data.check import check_collection
from helpers.extraction.embeddings import load_embeddings
from helpers.extraction.extract import ExtractionSettings, extract_embeddings
from helpers.prediction.predict import PredictionSettings, predict
from helpers.prediction.similar import Collection
from helpers.prediction.similar_pages import Search, write_search
from models.audio import find_audio
from models.errors import ConfigError
from models.maest import MAEST
from tests.awful_names import NAMES, write_all
from tests.sound import tune, write


@pytest.fixture(scope="module")
def net() -> MAEST:
    torch.manual_seed(0)
    return MAEST(input_t=125, n_classes=2, embed_dim=32, depth=2, num_heads=4, labels=["a", "b"], init_std=0.2).eval()


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("awful")
    write_all(folder)
    return folder


@pytest.fixture(scope="module")
def store(audio, tmp_path_factory):
    return prepare(audio, tmp_path_factory.mktemp("mels"), jobs=1)


def test_all_are_found_and_prepared(audio, store):
    assert len(NAMES) >= 100
    assert find_audio(audio) == sorted(NAMES)
    assert store.failed == {}
    assert set(TrackStore.open(store.store).names) == set(NAMES)


def test_all_are_extracted_into_stores_and_files_and_found_again(net, audio, store, tmp_path):
    for form in ("store", "npy"):
        for new in (len(NAMES), 0):  # the second time all is there
            done = extract_embeddings(net, store.store, tmp_path / form, [1], settings=ExtractionSettings(format=form))
            assert (done.n_tracks, done.n_new) == (len(NAMES), new)
    vectors = [load_embeddings(tmp_path / form / "1", NAMES, token_size=32) for form in ("store", "npy")]
    assert np.array_equal(*vectors)
    collection = Collection.open(tmp_path / "store/1/embeddings.h5")
    assert all(collection.nearest(collection.vector(name), 1)[0][0] == name for name in NAMES)
    alike = [name for name in NAMES if name.endswith("/1.wav")]  # of three folders
    settings = PredictionSettings(player_minutes=0, weights="random")
    pages = [write_search(net, Search(name, [], str(audio), 1, True), tmp_path / "similar", settings) for name in alike]
    assert len({page.read_text() for page in pages}) == len(alike) == 3


def test_all_are_predicted(net, audio, tmp_path):
    done = predict(net, audio, tmp_path, PredictionSettings(tables=["csv", "json", "parquet"], player_minutes=0))
    assert (sorted(row.name for row in done.rows), done.failed) == (sorted(NAMES), [])
    where = tmp_path / audio.name
    assert all((where / row.href).is_file() for row in done.rows)
    assert len({row.href for row in done.rows}) == len(NAMES)
    with open(where / "predictions.csv", newline="", encoding="utf-8") as file:
        assert len({row["path"] for row in csv.DictReader(file)}) == len(NAMES)
    assert len(json.loads((where / "predictions.json").read_text())["tracks"]) == len(NAMES)


def test_all_are_checked_and_names_that_no_table_holds_are_said(audio, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps({name: ["xy"[k % 2]] for k, name in enumerate(NAMES)}))
    checked = check_collection(audio, tmp_path / "t.json", tmp_path / "out", jobs=1)
    counts = checked.counts()
    odd = [name for name in NAMES if name.encode("utf-8", "replace").decode() != name]
    assert (counts["rows"], counts["kept"], counts["unusable"]) == (len(NAMES), len(NAMES) - len(odd), len(odd))
    assert counts["missing"] == counts["unreadable"] == counts["files_without_row"] == 0
    assert all("not UTF-8" in why for why in checked.findings.unusable.values())
    clean = Groundtruth.read(tmp_path / "out/clean.csv")
    found = match(clean.keys, NAMES)
    assert found.absent == []
    assert {NAMES[i] for i in found.numbers} == set(NAMES) - set(odd)


def test_folders_of_one_name_do_not_share_an_output(net, tmp_path):
    for place in ("A/CD1", "B/CD1"):
        write(tmp_path / place / "1.wav", tune(0.3, 16000, 1), 16000)
    settings = PredictionSettings(player_minutes=0)
    for _ in range(2):  # the same again goes on
        predict(net, tmp_path / "A/CD1", tmp_path / "out", settings)
    before = (tmp_path / "out/CD1/index.html").read_bytes()
    with pytest.raises(ConfigError, match=r"CD1 holds the predictions of .*A/CD1, and this is .*B/CD1: give each collection"):
        predict(net, tmp_path / "B/CD1", tmp_path / "out", settings)
    assert (tmp_path / "out/CD1/index.html").read_bytes() == before


def test_absence_is_told_truly(tmp_path):
    for name in ("a.wav", "._b.wav", "__MACOSX/c.wav", "d.xyz"):
        write(tmp_path / "in/x.wav", tune(1.1, 16000, 1, seed=len(name)), 16000)
        os.makedirs((tmp_path / "in" / name).parent, exist_ok=True)
        os.replace(tmp_path / "in/x.wav", tmp_path / "in" / name)
    (tmp_path / "t.csv").write_text("path,labels\na.wav,x\n._b.wav,x\n__MACOSX/c.wav,y\nd.xyz,x\ne.wav,y\n")
    missing = check_collection(tmp_path / "in", tmp_path / "t.csv", tmp_path / "out", jobs=1).findings.missing
    assert missing[1] == "the file is there and is skipped because '._b.wav' is an entry of the system"
    assert "'__MACOSX' is an entry of the system" in missing[2]
    assert "its suffix '.xyz' is not one of audio" in missing[3]
    assert missing[4] == "there is no such file"


def test_names_are_shortened_with_a_hash(tmp_path):
    assert fitting("a/b", ".html") == "a/b.html"
    long = ["é" * 125 + end for end in ("1", "2")]
    short = [fitting(f"a/{name}", ".embeddings.npy") for name in long]
    assert len(set(short)) == 2
    assert all(len(os.fsencode(name.split("/")[1])) <= NAME_BYTES and name.startswith("a/é") for name in short)
    with atomic(tmp_path / ("x" * NAME_BYTES)) as part:
        part.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["x" * NAME_BYTES]
