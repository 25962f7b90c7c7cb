"""A study of every task: networks' embeddings and mel statistics under one probe, on a split and by cross-validation, and the page of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.values import Values
from datasets.store.track_store import TrackStore
from helpers.data.find import Tracks
from helpers.evaluation import study as studies
from helpers.evaluation.study import TRAINED, UNTRAINED, ProbeSetup, folds_study, split_study
from helpers.evaluation.system_names import mel_name
from helpers.metrics.scores import SystemScores
from helpers.metrics.tasks import TASKS, get_task
from helpers.probe.protocol import Protocol
from helpers.probe.run import ProbeSettings
from helpers.reports.report import write_report

C, N = 6, 90
KEYS = ["C major", "G major", "A minor"]
NETWORK = SimpleNamespace(embed_dim=C)


OF_TRACKS = sorted(name for name, task in TASKS.items() if task.frames is None)


def some_slow(*quick: str):
    return [task if task in quick else pytest.param(task, marks=pytest.mark.slow) for task in OF_TRACKS]


@pytest.fixture
def found(request, tmp_path, monkeypatch):
    """Tracks whose targets their embeddings hold, the trained network's better; in place of networks stores of what they would say."""
    task, rng = request.param, np.random.default_rng(0)
    labels = ["1 to 2", "2 to 3", "3 to 4"] if task == "ordinal" else KEYS
    z, names = rng.standard_normal((N, C)), [f"{i}.wav" for i in range(N)]
    outputs = z @ rng.standard_normal((C, 3))
    truth: Groundtruth | Values
    if task == "regression":
        truth = Values(names, ["arousal", "valence", "tempo"], outputs / outputs.std(axis=0))
    else:
        chosen = outputs.argmax(axis=1)[:, None] == np.arange(3) if get_task(task).one_class else outputs > 0
        if task == "ordinal":  # one thing, in steps
            chosen = outputs[:, :1] > outputs[:, 0].std() * np.array([-0.7, 0.0, 0.7])
        truth = Groundtruth.from_rows(names, [[labels[j] for j in np.flatnonzero(row)] for row in chosen], labels=labels)
    cut = {"train": range(50), "val": range(50, 70), "test": range(70, N)}
    truths = {part: truth.subset(list(rows)) for part, rows in cut.items()} | {"all": truth}
    with TrackStore.create(tmp_path / "mels.h5", (C,), "float32", {"kind": "mel"}) as writer:
        for name, row in zip(names, z):
            writer.append(name, (row + 0.5 * rng.standard_normal((8, C))).astype(np.float32))
        writer.seal()

    def embed(net, store, out, name, probe):
        if not out.exists():
            with TrackStore.create(
                out / "embeddings.h5", (C,), "float32", {"block": probe.layer, "network": {"embed_dim": C}}
            ) as writer:
                for track, row in zip(names, z):
                    noise = 0.2 if name == TRAINED else 3.0
                    writer.append(track, (row + noise * rng.standard_normal((1, C))).astype(np.float32))
                writer.seal()
        return out

    monkeypatch.setattr(studies, "_embed", embed)
    return task, Tracks(store=tmp_path / "mels.h5", truths=truths, name="toy"), tmp_path


def setup(task: str) -> ProbeSetup:
    settings = ProbeSettings(task=task, hidden=16, max_epochs=12, batch_size=16, max_lr=2e-2, warmup_epochs=1, max_lr_epochs=6)
    return ProbeSetup(Protocol(settings, seeds=(0, 1)), layer=3, batch_size=4)


@pytest.mark.parametrize("found", some_slow("multi-label", "key"), indirect=True)
def test_on_a_split(found):
    task, tracks, folder = found
    truths = {part: truth for part, truth in tracks.truths.items() if part != "all"}
    split = Tracks(store=tracks.store, truths=truths, name="toy")
    study = split_study(NETWORK, NETWORK, split, folder, setup(task), tracks.store)
    (folder / "history.json").write_text(json.dumps([{"epoch": 0, "train_loss": 0.5}, {"epoch": 1, "train_loss": 0.4}]))
    assert [one.name for one in study.scores] == [TRAINED, UNTRAINED, mel_name(task)]
    assert all(one.task == task for one in study.scores)
    main = get_task(task).main
    trained, untrained, mels = (main.sign * one.mean() for one in study.scores)
    assert trained > untrained
    assert mels > untrained
    study.save(folder / "probe")
    assert SystemScores.load(folder / "probe" / "pre-trained").mean() == study.scores[0].mean()
    page = write_report(folder / "report.html", study.report("Does it help?", {"Network": {"depth": 4}})).read_text()
    for words in (main.title[1:], mel_name(task), "Training curves", "toy test", "pre-trained − untrained"):
        assert words in page
    assert ("n train" in page) == (task != "regression")
    assert ("Confusion matrix of pre-trained" in page) == get_task(task).one_class


@pytest.mark.parametrize("found", some_slow("regression", "single-label"), indirect=True)
def test_by_cross_validation(found):
    task, tracks, folder = found
    made: list[Path] = []

    def pretrain(truths, where):
        assert set(truths) == {"train", "val"}
        made.append(where)
        where.mkdir(parents=True)
        (where / "history.json").write_text("[]")
        return NETWORK

    whole = Tracks(store=tracks.store, truths={"all": tracks.truths["all"]}, name="toy")
    study = folds_study(pretrain, NETWORK, whole, folder, setup(task), tracks.store, folds=3, repeats=1)
    assert len(made) == 3
    assert all(one.folds is not None and one.task == task for one in study.scores)
    sign = get_task(task).main.sign
    assert sign * study.scores[0].mean() > sign * study.scores[1].mean()
    page = write_report(folder / "report.html", study.report("Folds", {})).read_text()
    assert "In each repetition every track is tested once" in page
