"""ex_tl.py as a user calls it: every protocol, sweep, few_label, finetune, compare; what they write and what they refuse."""

from __future__ import annotations

import csv
import json
import logging

import numpy as np
import pytest
import torch

import configs
from datasets.store.track_store import TrackStore

N, C = 120, 16
PROTOCOLS = ["maest_tl", "clmr_linear", "clmr_mlp", "marble", "omar"]
SMALL = {"trainer.max_epochs": 3, "seeds": [0, 1], "model.hidden_units": 16, "data.base_dir": "emb/1"}


FINE = {"finetune.model": "x.ckpt", "finetune.store": "y"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two blocks of embeddings that hold the targets, a table per task, and mels."""
    where, rng = tmp_path_factory.mktemp("tl"), np.random.default_rng(0)
    z = rng.standard_normal((N, C))
    tags, one = z[:, :4] > 0.5, z[:, :5].argmax(axis=1)
    for block, noise in ((0, 3.0), (1, 0.3)):
        attrs = {"kind": "embeddings", "block": block, "network": {"embed_dim": C}}
        with TrackStore.create(where / "emb" / str(block) / "embeddings.h5", (3, C), "float32", attrs) as writer:
            for i in range(N):
                writer.append(f"{i}.wav", (z[i] + noise * rng.standard_normal((1 + i % 3, 3, C))).astype(np.float32))
            writer.seal()
    split = ["train"] * 80 + ["validation"] * 20 + ["test"] * 20
    keys = ["C major", "G major", "A minor", "C minor", "Eb minor"]
    tables = {
        "tags": [
            ["path", "split", "labels"],
            *[[f"{i}.wav", split[i], "|".join("abcd"[j] for j in np.flatnonzero(tags[i]))] for i in range(N)],
        ],
        "keys": [["path", "split", "labels"], *[[f"{i}.wav", split[i], keys[one[i]]] for i in range(N)]],
        "values": [["path", "split", "arousal", "valence"], *[[f"{i}.wav", split[i], z[i, 0], z[i, 1]] for i in range(N)]],
    }
    for name, rows in tables.items():
        with open(where / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
    return where


@pytest.fixture
def run(folder, monkeypatch):
    """run("sweep", "marble", **updates): a command in this process; its result and its folder."""
    monkeypatch.chdir(folder)
    handlers = logging.getLogger().handlers
    import ex_tl

    def command(name: str, *named: str, **updates):
        done = ex_tl.ex.run(name, config_updates=updates, named_configs=named, options={"--loglevel": "INFO"})
        return done.result, folder / "exp_out" / "tl" / str(done._id)

    yield command
    logging.getLogger().handlers = handlers


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("table", ["tags", "keys", "values"])
def test_every_protocol_runs_on_every_task(run, protocol, table):
    updates = {**SMALL, "data.groundtruth": f"{table}.csv"}
    updates["data.task"] = {"tags": "multi-label", "keys": "key", "values": "regression"}[table]
    if protocol == "omar":
        updates |= {"trainer.max_steps": 6, "optimizer.warmup_steps": 2}
    if (protocol, table) == ("omar", "values"):
        updates["model.loss"] = "mse"
    result, where = run("main", protocol, **updates)
    scores = json.loads((where / "scores.json").read_text())
    headline = {"tags": "macro_roc", "keys": "weighted_score", "values": "r2"}[table]
    assert result[f"test_{headline.removeprefix('macro_')}"] == pytest.approx(scores[headline]["mean"])
    assert len(scores[headline]["per_seed"]) == 2
    assert scores["split"] == f"{table} test"
    assert ("windows" in scores) == (protocol in ("clmr_linear", "clmr_mlp", "marble"))
    assert len((where / "labels.csv").read_text().splitlines()) == 1 + {"tags": 4, "keys": 5, "values": 2}[table]
    assert sorted(p.name for p in where.iterdir() if p.suffix in (".npz", ".safetensors")) == ["head.safetensors", "scores.npz"]
    wanted = {"clmr_linear": 1, "clmr_mlp": 2}.get(protocol, 2)
    assert scores["settings"]["num_layers"] == wanted


def test_protocols_have_the_values_of_their_fields():
    o = {name: configs.PROBE[name].values["optimizer"] for name in PROTOCOLS}
    d = {name: configs.PROBE[name].values["data"] for name in PROTOCOLS}
    m = {name: configs.PROBE[name].values["model"] for name in PROTOCOLS}
    t = {name: configs.PROBE[name].values["trainer"] for name in PROTOCOLS}
    assert [(o[p]["name"], o[p]["max_lr"], o[p]["weight_decay"]) for p in PROTOCOLS] == [
        ("adamw", 1e-4, 1e-3), ("adam", 1e-3, 1e-6), ("adam", 1e-3, 1e-6), ("adam", 1e-3, 0.0), ("adamw", 1e-4, 0.01),
    ]  # fmt: skip
    assert [d[p]["batch_size"] for p in PROTOCOLS] == [128, 48, 48, 64, 64]
    assert [(m[p]["num_layers"], m[p]["drop_out"], m[p]["input_drop_out"]) for p in PROTOCOLS] == [
        (2, 0.5, 0.0), (1, 0.0, 0.0), (2, 0.0, 0.0), (2, 0.2, 0.0), (2, 0.2, 0.2),
    ]  # fmt: skip
    assert [(t[p].get("max_epochs"), t[p]["max_steps"]) for p in PROTOCOLS] == [
        (60, None),
        (200, None),
        (200, None),
        (100, None),
        (None, 20000),
    ]
    assert [o[p]["keep"] for p in PROTOCOLS] == ["best", "last", "last", "best", "best"]
    assert [(o[p]["scheduler"], o[p].get("gamma"), o[p].get("plateau_patience")) for p in PROTOCOLS[1:4]] == [
        ("plateau", 0.1, 5), ("plateau", 0.1, 5), ("plateau", 0.5, 3),
    ]  # fmt: skip
    assert (o["omar"]["scheduler"], o["omar"]["warmup_steps"], o["omar"]["base_lr"]) == ("warmup_cosine", 2000, 1e-7)
    assert [d[p]["aggregate"] for p in PROTOCOLS[:4]] == ["mean_prob", "mean_prob", "mean_prob", "prob_of_mean_logit"]


def test_every_data_set_has_its_probe():
    for name, target in configs.targets.TARGETS.items():
        values = configs.PROBE[f"target_{name}_tl"].values["data"]
        assert (values["task"], values["n_classes"]) == (target.task, target.n_classes)


@pytest.mark.slow
def test_sweep_finds_the_block_and_compares(run, folder):
    updates = {**SMALL, "data.base_dir": "emb", "data.groundtruth": "tags.csv", "sweep.types": "c, t", "optimizer.max_lr": 1e-2}
    result, where = run("sweep", **updates)
    assert result["block"] == 1
    assert {p.name for p in where.iterdir()} >= {"sweep.html", "sweep.png", "sweep.svg", "sweep.csv", "sweep.json"}
    again, other = run("sweep", **updates)
    assert again == result
    assert (other / "sweep.csv").read_text() == (where / "sweep.csv").read_text()
    places = [run("main", **{**SMALL, "data.groundtruth": "tags.csv", "data.base_dir": f"emb/{b}"})[1] for b in (1, 0)]
    means, compared = run("compare", **{"compare.runs": ",".join(map(str, places))})
    assert [name.partition(" ")[2] for name in means] == [
        f"({place.name})" for place in places
    ]  # no longer than tells them apart
    rows = list(csv.DictReader((compared / "differences.csv").open()))
    assert [row["score"] for row in rows] == ["macro_roc", "macro_ap"]
    first, second = means.values()
    assert float(rows[0]["difference"]) == pytest.approx(first - second)
    assert [row["low_95"] + row["high_95"] for row in rows] == ["", ""]  # of 20 tracks: too few positives for an interval
    tokens = [
        run("main", **{**SMALL, "data.groundtruth": "tags.csv", "data.base_dir": "emb/1", "data.types": t})[1]
        for t in ("c", "cd")
    ]
    means, _ = run("compare", **{"compare.runs": ",".join(map(str, tokens))})
    assert [name.partition(" ")[2] for name in means] == ["(types c)", "(types cd)"]
    (folder / "step/runs").mkdir(parents=True)
    other = run("main", **{**SMALL, "data.groundtruth": "values.csv", "data.task": "regression"})[1]
    for runs, words in (
        (str(places[0]), "two or more"),
        (f"{places[0]},nowhere", "nowhere has no scores"),
        (f"{places[0]},step", "Its results may be in step/runs/1"),
        (f"{places[0]},{other}", "is multi-label, .* regression: results of different tasks"),
    ):
        with pytest.raises(ValueError, match=words):
            run("compare", **{"compare.runs": runs})


def test_small_data_says_what_it_did(run, capsys):
    updates = {name: value for name, value in SMALL.items() if name != "seeds"}
    _, where = run("main", "small_data", **{**updates, "data.groundtruth": "tags.csv", "data.types": "c", "data.repeats": 2})
    scores = json.loads((where / "scores.json").read_text())
    assert scores["settings"]["hidden"] == 16
    assert (scores["settings"]["types"], scores["settings"]["n_repeats"]) == ("c", 2)
    out = capsys.readouterr().out
    assert "best head" not in out
    assert max(map(len, out.splitlines()), default=0) <= 80 or " reps" in out


def test_few_labels(run):
    updates = {**SMALL, "data.groundtruth": "keys.csv", "data.task": "key", "few_label.shares": [0.1, 1.0], "few_label.draws": 2}
    result, where = run("few_label", "marble", **updates)
    assert len(result) == 3
    rows = list(csv.DictReader((where / "few_label.csv").open()))
    assert len(rows) == 3 * 2
    result, where = run("main", **{**SMALL, "data.groundtruth": "tags.csv", "data.train_share": 0.25})
    assert json.loads((where / "scores.json").read_text())["settings"]["train_tracks"] == 20


def test_published_lines_name_workers(run):
    assert run("main", **{**SMALL, "data.groundtruth": "tags.csv", "data.num_workers": 16})[0]


@pytest.mark.parametrize(
    ("command", "updates", "words"),
    [
        ("main", {"data.base_dir": None}, "No embeddings"),
        ("main", {"data.groundtruth": None}, "No labels"),
        ("main", {"data.n_classes": 7}, "the groundtruth has 4 labels"),
        ("main", {"data.task": "single-label"}, "one class per track"),
        ("main", {"data.task": "key", "data.groundtruth": "tags.csv"}, "one class per track"),
        ("main", {"optimizer.monitor": "val_acc"}, "val_roc, val_ap"),
        ("main", {"data.train_windows": "each", "data.folds": 3, "seeds": [0, 1, 2]}, "Cross-validation takes one vector"),
        ("main", {"data.train_share": 0.5, "data.folds": 3, "seeds": [0, 1, 2]}, "not for cross-validation"),
        ("main", {"data.folds": 3}, r"seeds=\[0, 1\] does nothing in a cross-validation.*data\.repeats"),
        ("main", {"data.train_share": 0.0}, "above 0"),
        ("main", {"data.layers": [0]}, "sub-folder per block"),
        ("main", {"model.loss": "ce"}, "trained with bce"),
        ("main", {"data.tasks": "key"}, "no such key"),
        ("sweep", {"data.folds": 3}, "leave data.folds out"),
        ("sweep", {}, "sub-folder per block"),
        ("few_label", {"data.train_share": 0.5}, "leave data.folds and data.train_share out"),
        ("finetune", {}, "finetune.model"),
        ("finetune", {**FINE, "trainer.max_epochs": 60}, "no track store at y"),
        ("finetune", FINE, r"does not use trainer\.max_epochs \(fine-tuning has finetune\.max_epochs\)"),
        (
            "finetune",
            {**FINE, "trainer.max_epochs": 60, "optimizer.keep": "last", "data.batch_size": 3},
            r"optimizer\.keep .*data\.batch_size",
        ),
        ("sweep", {"data.mel_dir": "nowhere"}, r"sweep does not use data\.mel_dir"),
        ("few_label", {"data.untrained_dir": "nowhere"}, r"few_label does not use data\.untrained_dir"),
        ("main", {"data.aggregate": "vote"}, r"there is one per track: set data\.test_windows to each"),
        ("main", {"data.aggregate": "best", "data.test_windows": "each"}, r"set data\.val_windows to each"),
    ],
)
def test_what_cannot_run_says_why(run, command, updates, words):
    with pytest.raises(ValueError, match=words):
        run(command, **{**SMALL, "data.groundtruth": "tags.csv", **updates})


@pytest.mark.parametrize("task", ["multi-label", "key"])
def test_finetuning_leaves_the_probes_files(run, folder, monkeypatch, task):
    from models.maest import MAEST

    rng = np.random.default_rng(0)
    if not (folder / "mels").exists():
        attrs = {"kind": "mel", "sample_rate": 16000, "hop": 256, "front_end": "maest-essentia"}
        with TrackStore.create(folder / "mels" / "mels.h5", (96,), "float32", attrs) as writer:
            for i in range(N):
                writer.append(f"{i}.wav", rng.random((70, 96)).astype(np.float32))
            writer.seal()
    torch.manual_seed(0)
    net = MAEST(input_f=96, input_t=48, n_classes=3, embed_dim=12, depth=2, num_heads=2)
    monkeypatch.setattr("models.load_model", lambda name: net, raising=False)
    updates = {
        "finetune.model": "a", "finetune.store": "mels", "finetune.max_epochs": 2, "finetune.batch_size": 40, "finetune.blocks": 1, "seeds": [0, 3],
        "finetune.precision": "32", "finetune.accelerator": "cpu", "data.task": task,
        "data.groundtruth": "tags.csv" if task == "multi-label" else "keys.csv",
    }  # fmt: skip
    _, where = run("finetune", **updates)
    scores = json.loads((where / "scores.json").read_text())
    assert scores["seeds"] == [0, 3]
    assert scores["settings"]["aggregate"] == "mean_prob"
    assert scores["n_tracks"] == 20
    assert len(scores["windows"]["macro_roc" if task == "multi-label" else "accuracy"]) == 2
    for seed in (0, 3):
        history = json.loads((where / f"seed-{seed}" / "history.json").read_text())
        monitor = scores["settings"]["chosen_by"]
        curve = [row[monitor] for row in history]
        best = int(np.argmax(curve) if monitor == "val_roc" else np.argmin(curve))
        assert scores["validation"]["best_epoch"][[0, 3].index(seed)] == best
        assert (where / f"seed-{seed}" / "checkpoints" / "best.ckpt").is_file()
