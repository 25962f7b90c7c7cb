"""A probe of few recordings as a user runs it: its baselines are there without being asked, once made they are kept, and what was heard is said."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

import configs
from datasets.store.track_store import TrackStore
from helpers.data.heard import Heard, track_marks
from helpers.extraction.extract import ExtractionSettings, extract_embeddings
from helpers.extraction.made_of import MadeOf, read_made_of
from helpers.families import get_family
from helpers.families.base import RANDOM

MEL = {"kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}
N = 60
PROBE = {"trainer.max_epochs": 3, "seeds": [0, 1], "model.hidden_units": 8, "data.types": "cdt", "data.reduce": "stack"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Mels of 12 artists of 5 files, embeddings of a small network with what they were made of, and a table per task."""
    where, rng = tmp_path_factory.mktemp("small"), np.random.default_rng(0)
    names = [f"a{i // 5}/{i}.wav" for i in range(N)]
    with TrackStore.create(where / "mels" / "mels.h5", (96,), "float16", MEL) as writer:
        for i, name in enumerate(names):
            writer.append(name, (rng.random((50 + i % 3, 96)) * (1 + i % 2)).astype(np.float16))
        writer.seal()
    config = configs.EX_MAEST.schema()
    config.maest = replace(config.maest, embed_dim=16, depth=2, num_heads=2, input_t=48, pretrained=False)
    family, store = get_family("maest"), TrackStore.open(where / "mels" / "mels.h5")
    net = family.network(config, None, 3, RANDOM).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.01)  # as if it had been trained
    settings = ExtractionSettings(model="own", clip_frames=48)
    done = extract_embeddings(net, store, where / "emb", [1], settings)
    heard = Heard(track_marks(names[:50], store.lengths[:50]), track_marks(names[50:52], store.lengths[50:52]), True)
    MadeOf(
        "maest", asdict(config), 3, str(where / "mels" / "mels.h5"), "mel", 1, asdict(settings),
        heard=heard.among(names, store.lengths), labelled=True, seconds=done.seconds / N,
    ).write(where / "emb" / "1")  # fmt: skip
    keys = ["C major", "G major", "A minor"]
    tables = {
        "class": lambda i: "xyz"[i % 3],
        "tags": lambda i: "|".join(w for w in "abc" if rng.random() < 0.5),
        "key": lambda i: keys[i % 3],
    }
    tables |= {"value": lambda i: str(rng.random()), "grade": lambda i: str(1 + i % 3)}
    for name, of in tables.items():
        with open(where / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows([["path", name, "artist"], *[[path, of(i), f"a{i // 5}"] for i, path in enumerate(names)]])
    return where


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """run(**updates): the command main in this process; its folder and what it printed."""
    monkeypatch.chdir(folder)
    handlers = logging.getLogger().handlers
    import ex_tl

    def command(**updates):
        capsys.readouterr()
        updates = {**PROBE, "data.base_dir": "emb/1", **updates}
        done = ex_tl.ex.run("main", config_updates=updates, options={"--loglevel": "INFO"})
        return folder / "exp_out" / "tl" / str(done._id), " ".join(capsys.readouterr().out.split())

    yield command
    logging.getLogger().handlers = handlers


TASKS = {"class": "single-label", "tags": "multi-label", "key": "key", "value": "regression", "grade": "ordinal"}
GUESSES = {
    "class": "majority class",
    "tags": "label frequencies",
    "key": "majority class",
    "value": "mean of training",
    "grade": "mean grade",
}


@pytest.mark.parametrize("table", TASKS)
def test_every_task_has_its_baselines(run, table):
    where, text = run(**{"data.groundtruth": f"{table}.csv", "data.task": TASKS[table], "data.label_column": table})
    linear = "ridge" if table == "value" else "logistic"
    systems = {"untrained", f"mel_statistics_+_{linear}_regression", GUESSES[table].replace(" ", "_")}
    assert {path.parent.name for path in where.glob("*/scores.json")} == systems
    assert len(json.loads((where / "untrained" / "scores.json").read_text())["seeds"]) == 2
    assert " is ahead of " in text or "No system won" in text
    assert "too few groups" in text  # of the 12 artists one or two are tested
    assert (where / "split.csv").is_file()
    page = (where / "report.html").read_text()
    assert GUESSES[table] in page
    assert "too few groups" in page


def test_what_was_made_is_kept(run, folder):
    updates = {"data.groundtruth": "class.csv", "data.task": "single-label"}
    first, _ = run(**updates)
    made = sorted((folder / "exp_out" / "tl" / "untrained").rglob("embeddings.h5"))
    assert len(made) == 1
    before = made[0].stat().st_mtime_ns
    second, _ = run(**updates)
    assert made[0].stat().st_mtime_ns == before
    scores = [json.loads((where / "untrained" / "scores.json").read_text()) for where in (first, second)]
    assert scores[0]["accuracy"] == scores[1]["accuracy"]


def test_pre_training_on_scored_tracks_is_said(run, folder):
    where, text = run(
        **{
            "data.groundtruth": "class.csv",
            "data.task": "single-label",
            "data.folds": 3,
            "data.baselines": "none",
            "seeds": [0, 1, 2],
        }
    )
    said = (
        "Of the 60 scored tracks 50 were trained on and 2 chose its epoch in the pre-training of this network, with their labels"
    )
    assert said in text
    assert said in (where / "report.html").read_text()
    found = json.loads((where / "scores.json").read_text())["settings"]["heard_in_pre_training"]
    assert found == {"trained_on": 50, "chosen_by": 2, "with_labels": 1, "of": 60}
    rows = "".join(f"a{i // 5}/{i}.wav,{'xy'[i % 2]},{'train' if i < 52 else 'val' if i < 55 else 'test'}\n" for i in range(N))
    (folder / "unheard.csv").write_text("path,class,split\n" + rows)
    _, text = run(**{"data.groundtruth": "unheard.csv", "data.task": "single-label", "data.baselines": "constant"})
    assert "scored tracks" not in text


def test_baselines_are_chosen_and_refused(run):
    updates = {"data.groundtruth": "class.csv", "data.task": "single-label"}
    where, text = run(**updates, **{"data.baselines": "none"})
    assert not list(where.glob("*/scores.json"))
    assert "ahead" not in text
    where, _ = run(**updates, **{"data.baselines": ["mel", "constant"]})
    assert len(list(where.glob("*/scores.json"))) == 2
    with pytest.raises(
        ValueError, match="data.baselines names 'mels'; choose auto, none, or some of constant, mel, untrained. Did you mean"
    ):
        run(**updates, **{"data.baselines": "mels"})


def test_what_cannot_be_made_is_said_or_refused(run, folder, caplog):
    about = folder / "emb" / "1" / "made_of.json"
    before = about.read_text()
    updates = {"data.groundtruth": "class.csv", "data.task": "single-label"}
    try:
        about.write_text(before.replace(str(folder / "mels"), str(folder / "gone")))
        where, _ = run(**updates)
        assert [path.parent.name for path in where.glob("*/scores.json")] == ["majority_class"]
        assert (
            "Mel statistics do not stand beside these embeddings: the store that they were extracted from is gone" in caplog.text
        )
        with pytest.raises(
            ValueError, match="An untrained network cannot stand beside .* is gone .* data.untrained_dir=EMBEDDINGS"
        ):
            run(**updates, **{"data.baselines": "untrained"})
        about.write_text("[]")
        assert read_made_of(folder / "emb" / "1") is None
        about.write_text(json.dumps({**json.loads(before), "seconds": 100.0, "seed": 4}))
        where, _ = run(**updates)
        assert "untrained" not in {path.parent.name for path in where.glob("*/scores.json")}
        assert "is about 100 minutes. To have it, data.baselines=untrained makes it" in caplog.text
    finally:
        about.write_text(before)
