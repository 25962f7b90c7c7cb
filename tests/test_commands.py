"""Whole commands in a temporary folder: what they write, what they refuse, and that every named config runs (its smoke twin, in process)."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import configs
from helpers.data.find import demo_data
from tests.pools import without_workers

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    "trainer.check_val_every_n_epoch=1",
    "datamodule.demo_tracks=18",
    "maest.embed_dim=48",
    "maest.depth=2",
    "trainer.accelerator=cpu",
    "trainer.precision=32",
]
DIVERGING = {
    "module.optimizer.lr": 1000, "trainer.max_epochs": 30, "maest.embed_dim": 48, "maest.depth": 1, "trainer.accelerator": "cpu",
    "trainer.precision": "32", "trainer.default_root_dir": "diverged",
}  # fmt: skip
SMOKES = [n for n, named in configs.MAEST.items() if n.endswith("_smoke") and not named.doc.startswith("Published name")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One working folder for all commands of this file, so that the demo data is made once."""
    where = tmp_path_factory.mktemp("commands")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        without_workers(patch)
        demo_data(18)
    return where


@pytest.fixture
def run(folder, monkeypatch):
    """run("extract_embeddings", "demo", **updates): a command in this process, in the shared folder."""
    monkeypatch.chdir(folder)
    without_workers(monkeypatch)
    monkeypatch.setenv("TORCH_HOME", str(folder / "no_weights_here"))
    monkeypatch.delenv("MAEST_WEIGHTS", raising=False)
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    handlers = logging.getLogger().handlers
    import ex_maest

    def command(name: str, *named: str, **updates):
        return ex_maest.ex.run(name, config_updates=updates, named_configs=named, options={"--loglevel": "INFO"})

    yield command
    logging.getLogger().handlers = handlers


def shell(folder: Path, script: str, *words: str, **environment: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, str(ROOT / script), *words], cwd=folder, env=env, capture_output=True, text=True, timeout=600
    )


# ---- refusals, before any work
def test_absent_weights_name_the_file(run):
    with pytest.raises(ValueError, match=r"passt-s-f128-p16-s10-ap.476-swa.pt"):
        run("main", "maest_10s_from_passt_pretrain", **{"datamodule.demo_tracks": 18})
    with pytest.raises(ValueError, match=r"discogs-maest-30s-pw-129e-swa.ckpt"):
        run("extract_embeddings", "maest_30s_from_passt_inference", **{"datamodule.demo_tracks": 18})


@pytest.mark.parametrize(
    ("command", "named", "updates", "words"),
    [
        ("main", "demo", {"datamodule.base_dir": "nowhere", "datamodule.groundtruth": "x.csv"}, "nowhere"),
        ("main", "demo", {"datamodule.groundtruth": "x.csv"}, "labels but no tracks"),
        (
            "main",
            "folder",
            {"datamodule.audio_dir": "no_audio", "datamodule.groundtruth": "x.csv"},
            "no_audio, which is not a folder",
        ),
        ("main", "folder", {"datamodule.audio_dir": ".", "datamodule.groundtruth": "x.csv"}, "no groundtruth at x.csv"),
        ("main", "demo", {"trainer.accelerator": "gpu"}, "GPU"),
        ("main", "demo", {"maest.distilled_type": "separated"}, "teacher"),
        ("main", "demo", {"maest.s_patchout_t": 500}, "500"),
        ("main", "demo", {"maest.n_classes": 7}, "n_classes"),
        ("main", "demo", {"ckpt_path": "nothing.ckpt"}, "nothing.ckpt"),
        ("test", "demo", {"ckpt_path": "nothing.ckpt"}, "nothing.ckpt"),
        ("report", "demo", {"ckpt_path": "last", "report.folds": 3}, "ckpt_path does not go with report.folds"),
        ("extract_embeddings", "demo", {"predict.transformer_block": 99}, "99"),
        ("predict", "demo", {}, "predict.audio"),
        ("predict", "demo", {"predict.audio": "nowhere.mp3"}, "nowhere.mp3"),
        ("predict", "demo", {"predict.audio": "/etc/hostname", "predict.html": False}, "not audio"),
        ("similar", "demo", {}, "predict.audio"),
        ("similar", "demo", {"predict.audio": "x", "predict.transformer_block": -1}, "0 or more"),
        ("export", "demo", {}, "export.out"),
        ("export", "demo", {"export.out": "x", "export.blocks": [1]}, "export.format=onnx"),
        ("export", "demo", {"export.out": "x", "export.format": "astt"}, "ast"),
        ("extract_embeddings", "demo", {"maest.checkpoint": "nothing.ckpt"}, "nothing.ckpt"),
        ("main", "maest_30s_teacher_student_pretrain_smoke", {}, "teacher"),
        ("main", "demo", DIVERGING, "[Ll]ower the learning rate"),
        ("main", "maest_from_musicnn_teacher_smoke", {}, "teacher"),
    ],
)
def test_what_cannot_run_says_why(run, command, named, updates, words):
    if torch.cuda.is_available() and "accelerator" in str(updates):
        pytest.skip("there is a GPU here")
    with pytest.raises(ValueError, match=words):
        run(command, named, **{"datamodule.demo_tracks": 18, "trainer.max_epochs": 1, **updates})


# ---- commands
@pytest.fixture(scope="module")
def trained(folder):
    """A tiny network trained by the command itself; its run folder."""
    done = shell(
        folder, "ex_maest.py", "with", *TINY, "trainer.max_epochs=2", "trainer.default_root_dir=trained"
    )  # no config named
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "trained" / "1", done


def test_training_leaves_one_whole_run_folder(trained):
    where, done = trained
    assert {"config.json", "cout.txt", "history.json", "metrics.json", "run.json"} <= {p.name for p in where.iterdir()}
    assert [p.name for p in sorted((where / "checkpoints").iterdir())] == ["best.ckpt", "last.ckpt"]
    assert list((where / "tensorboard").glob("events*"))
    history = json.loads((where / "history.json").read_text())
    assert len(history) == 2
    assert {"train_loss", "val_loss", "val_ap", "val_roc"} <= set(history[0])
    metrics = json.loads((where / "metrics.json").read_text())
    assert metrics["val_roc"]["values"] == pytest.approx([row["val_roc"] for row in history])
    assert json.loads((where / "config.json").read_text())["maest"]["depth"] == 2
    assert "best.ckpt" in done.stdout
    assert "best.ckpt" in (where / "cout.txt").read_text()
    assert sorted(p.name for p in where.parent.iterdir()) == ["1", "_sources"]


def test_the_test_command_scores_the_checkpoint(run, trained, folder):
    updates = dict(word.split("=") for word in TINY)
    updates = {k: int(v) if v.isdigit() else v for k, v in updates.items()}
    result = run("test", "demo", **updates, ckpt_path=str(trained[0] / "checkpoints" / "best.ckpt")).result
    assert 0 < result["test_track_roc"] < 1
    written = json.loads((sorted((folder / "exp_logs").glob("*/test.json"))[-1]).read_text())
    assert written["test_roc"] == pytest.approx(result["test_roc"])


@pytest.mark.slow
def test_extraction_of_several_blocks_and_the_probe(trained, folder):
    checkpoint = f"maest.checkpoint={trained[0] / 'checkpoints' / 'best.ckpt'}"
    words = ["with", "demo", *TINY, checkpoint, "inference.transformer_block=[0,1]"]
    done = shell(folder, "ex_maest.py", "extract_embeddings", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    from datasets.store.track_store import TrackStore

    store = TrackStore.open(folder / "exp_out" / "5sec" / "1")
    assert len(store) == 18
    assert store.item_shape == (3, 48)
    again = shell(folder, "ex_maest.py", "extract_embeddings", *words)
    assert "0 of them now" in again.stdout
    refused = shell(
        folder, "ex_maest.py", "extract_embeddings", "with", "demo", *TINY, "seed=5", "inference.transformer_block=[0,1]"
    )
    assert refused.returncode == 1
    assert "weights_sha256" in refused.stderr
    assert "Traceback" not in refused.stderr
    probe = shell(
        folder, "ex_tl.py", "with", "data.base_dir=exp_out/5sec/1", "data.groundtruth=exp_out/demo_data-18/groundtruth.csv",
        "data.token_size=48", "data.types=tc", "data.reduce=stack", "trainer.max_epochs=3", "data.mel_dir=exp_out/demo_data-18/mels",
    )  # fmt: skip
    assert probe.returncode == 0, probe.stderr[-3000:]
    scores = json.loads((folder / "exp_out" / "tl" / "1" / "scores.json").read_text())
    assert len(scores["macro_roc"]["per_seed"]) == 3
    assert scores["settings"]["in_dim"] == 96
    assert "mel statistics" in probe.stdout


def test_norm_stats_are_those_of_the_training_tracks(run, trained, folder):
    result = run("compute_norm_stats", "demo", **{"datamodule.demo_tracks": 18}).result
    from datasets.groundtruth.groundtruth import Groundtruth, match
    from datasets.store.track_store import TrackStore

    store = TrackStore.open(folder / "exp_out" / "demo_data-18" / "mels")
    keys = Groundtruth.read(folder / "exp_out" / "demo_data-18" / "groundtruth.csv").splits["train"].keys
    values = np.concatenate([store.read(int(i)).ravel() for i in match(keys, store.names).numbers]).astype(np.float64)
    assert result["norm_mean"] == pytest.approx(values.mean(), abs=1e-9)
    assert result["norm_std"] == pytest.approx(values.std(), abs=1e-9)


def test_export_of_a_trained_checkpoint_is_read_back(run, trained, folder):
    from models.weights.checkpoints import read_state

    checkpoint = str(trained[0] / "checkpoints" / "best.ckpt")
    updates = {"maest.embed_dim": 48, "maest.depth": 2, "maest.checkpoint": checkpoint, "export.out": str(folder / "exported")}
    assert run("export", "demo", **updates).result == str(folder / "exported")
    want, got = read_state(checkpoint), read_state(folder / "exported")
    assert sorted(got) == sorted(want)
    assert all(torch.equal(got[k], want[k]) for k in want)


def test_predict_writes_pages_of_a_trained_networks_words(run, trained, folder):
    checkpoint = str(trained[0] / "checkpoints" / "best.ckpt")
    audio = folder / "exp_out" / "demo_data-18"
    song = sorted(p for p in audio.rglob("*.flac"))[0]
    updates = {
        "maest.embed_dim": 48,
        "maest.depth": 2,
        "maest.checkpoint": checkpoint,
        "predict.audio": str(song),
        "predict.csv": True,
    }
    written = run("predict", "demo", **updates).result
    assert [Path(path).name for path in written] == ["index.html", "predictions.csv", "windows.csv"]
    names = (folder / written[1]).read_text().splitlines()[0].split(",")[5:]
    from models.weights.checkpoints import read_settings

    assert names == read_settings(checkpoint)["labels"]


@pytest.mark.slow
def test_similar_extracts_a_folder_of_audio_and_finds_the_file_s_neighbours(run, trained, folder):
    checkpoint = str(trained[0] / "checkpoints" / "best.ckpt")
    audio = folder / "exp_out" / "demo_data-18" / "audio"
    songs = sorted(p for p in audio.rglob("*.flac"))
    updates = {
        "maest.embed_dim": 48, "maest.depth": 2, "maest.checkpoint": checkpoint, "predict.transformer_block": 1, "predict.top": 3,
        "predict.out_dir": "searched", "datamodule.audio_dir": str(audio), "predict.audio": str(songs[0]),
    }  # fmt: skip
    found = run("similar", "demo", **updates).result
    name = songs[0].relative_to(audio).as_posix()
    assert len(found) == 3
    assert name not in found
    page = (folder / "searched" / "similar" / name / "index.html").read_text()
    assert "Nearest recordings" in page
    assert found[0] in page
    assert run("similar", "demo", **updates | {"predict.audio": name}).result == found


def test_speed_test_runs(run):
    result = run("model_speed_test", "maest_5s_from_passt_inference_smoke").result
    assert {name.rpartition(", ")[2] for name in result} >= {"32-true"}
    assert all(rate > 0 for rate in result.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", SMOKES)
def test_every_smoke_twin_runs(run, folder, name):
    updates: dict = {}
    if "inference" in name:
        updates["predict.out_dir"] = f"smoke/{name}"
        assert run("extract_embeddings", name, **updates).result
        return
    if "teacher_student" in name:
        teacher = run("main", "maest_30s_from_passt_pretrain_smoke", **{"trainer.default_root_dir": "teacher"})
        assert np.isfinite(teacher.result["train_loss"])
        checkpoint = str(next(Path("teacher").glob("*/checkpoints/last.ckpt")))  # it knows its labels
        words = {"predict.out_dir": f"smoke/{name}", "maest.checkpoint": checkpoint}
        logits = run("extract_logits", "maest_30s_from_passt_inference_smoke", **words)
        updates["datamodule.teacher_student.teacher_target_base_dir"] = str(Path(next(iter(logits.result.values()))).parent)
    if "musicnn_teacher" in name:  # another family's logits, of other classes than the data's
        logits = run("extract_logits", "musicnn_mtt_smoke", **{"predict.out_dir": f"smoke/{name}"})
        updates["datamodule.teacher_student.teacher_target_base_dir"] = str(Path(logits.result["logits"]).parent)
    done = run("main", name, **updates)
    assert np.isfinite(done.result["train_loss"])
    if "musicnn_teacher" in name:
        assert {"val_teacher_top1", "val_teacher_divergence", "val_constant_divergence"} <= set(done.result)
        from models import load_model

        student = load_model(str(next(Path("exp_logs").glob(f"{done._id}/checkpoints/last.ckpt"))))
        assert student.label_names[:2] == ["guitar", "classical"]  # the teacher's


@pytest.mark.slow
def test_published_weights_of_full_size_are_loaded_and_used(folder, tmp_path):
    from models import export_model, get_maest

    torch.manual_seed(3)
    model = get_maest("discogs-maest-10s-fs-129e", pretrained=False)
    weights = tmp_path / "weights"
    weights.mkdir()
    export_model(model, weights / "discogs-maest-10s-fs-129e")
    out = tmp_path / "out"
    words = ["maest_10s_random_weights_inference", f"predict.out_dir={out}", "datamodule.demo_tracks=6", "predict.format=npy"]
    done = shell(folder, "ex_maest.py", "extract_embeddings", "with", *words, MAEST_WEIGHTS=str(weights))
    assert done.returncode == 0, done.stderr[-3000:]
    files = sorted((out / "10sec" / "7").rglob("*.embeddings.npy"))
    assert len(files) == 6
    first = np.load(files[0])
    assert first.shape[1:] == (2304,)
    from datasets.store.track_store import TrackStore
    from models.frontend import normalise

    store = TrackStore.open(folder / "exp_out" / "demo_data-6" / "mels")
    name = files[0].relative_to(out / "10sec" / "7").as_posix().removesuffix(".embeddings.npy")
    mel = normalise(torch.from_numpy(store.read(name).T.astype(np.float32)))
    with torch.no_grad():
        want = model.eval()(mel, transformer_block=7, melspectrogram_input=True)[1]
    np.testing.assert_allclose(first, want.numpy(), atol=2e-4)
