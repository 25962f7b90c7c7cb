"""ex_ssl.py beside real data: augmentations to be heard, every smoke config, and the whole chain from bare audio to tags."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import configs
from tests.sound import tune, write
from tests.ssl_runs import commands_in

SMOKES = [name for name in configs.SSL if name.endswith("_smoke")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ssl")


@pytest.fixture
def run(folder, monkeypatch):
    with commands_in(folder, monkeypatch) as command:
        yield command


def test_augmentations_are_written_to_be_heard(run, folder):
    write(folder / "song.wav", tune(3.0, 44100, 2), 44100)
    written = run("hear_augmentations", **{"hear.audio": "song.wav", "hear.out": "heard", "hear.examples": 2}).result
    assert [Path(p).name for p in written][-3:] == ["view_1.wav", "view_2.wav", "index.html"]
    original, rate = soundfile.read(folder / "heard" / "original.wav")
    assert (len(original), rate) == (81, 22050)
    turned, _ = soundfile.read(folder / "heard" / "polarity.wav")
    np.testing.assert_allclose(turned, -original, atol=1e-4)
    page = (folder / "heard" / "index.html").read_text()
    assert page.count("<audio") == 17
    assert "Crops and chain of clmr_demo: 0.00 s at 22050 Hz; polarity 0.8, noise 0.01, gain 0.3, filters 0.4" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_what_is_heard_says_what_cannot_be_heard(run, folder, caplog):
    write(folder / "quiet.wav", np.zeros((4000, 1)), 22050)
    run("hear_augmentations", "clmr_pretrain", **{"hear.audio": "quiet.wav", "hear.out": "quiet", "hear.examples": 1})
    assert "quiet.wav is silent" in caplog.text
    page = (folder / "quiet" / "index.html").read_text()
    assert "This recording is silent." in page
    assert "Crops and chain of clmr_pretrain" in page
    assert "filters 0.8" in page
    write(folder / "brief.wav", tune(0.1, 22050, 1)[:50], 22050)
    with pytest.raises(ValueError, match=r"a crop of clmr_pretrain is .*hear\.audio.*clmr\.strides"):
        run("hear_augmentations", "clmr_pretrain", **{"hear.audio": "brief.wav"})


@pytest.mark.slow
@pytest.mark.parametrize("name", SMOKES)
def test_every_smoke_twin_runs(run, name):
    import ex_ssl

    command = "extract_embeddings" if "inference" in name else "main"
    result = ex_ssl.ex.run(command, named_configs=(name,), config_updates={"predict.out_dir": f"smoke/{name}"}).result
    assert result if command != "main" else np.isfinite(result["train_loss"])


@pytest.mark.slow
def test_from_bare_audio_to_tags(run, folder):
    """The whole chain, small: the loss falls, the report scores the network, encoder and head in one file answer as in Python."""
    words = {
        "clmr.channels": [8, 16, 16, 32, 32, 32, 32, 32, 32],
        "clmr.strides": [3] * 7,
        "trainer.max_epochs": 24,
        "trainer.default_root_dir": "learned",
        "augment.do": False,  # crops alone, and a high rate: enough is learned in 170 steps on any processor
        "optimizer.lr": 3e-3,
        "datamodule.batch_size_train": 16,
        "datamodule.demo_tracks": 160,
        "report.trainer.max_epochs": 20,
        "report.seeds": [0],
    }
    result = run("report", "clmr_demo", **words).result
    assert len(result) == 5
    assert {"pre-trained, inputs z-scored", "untrained, inputs z-scored"} < set(result)
    where = folder / "learned" / "1"
    losses = [row["train_loss"] for row in json.loads((where / "history.json").read_text())]
    assert losses[-1] < losses[0] - 0.1
    assert losses[-1] < np.log(2 * 16 - 1) - 0.1  # chance
    page = (where / "report.html").read_text()
    assert "validation, accuracy" in page
    assert "pre-trained, inputs z-scored − untrained, inputs z-scored" in page
    checkpoint, head = where / "checkpoints" / "best.ckpt", where / "probe" / "pre-trained" / "head.safetensors"
    run("export", **{
        "clmr.checkpoint": str(checkpoint), "clmr.head_checkpoint": str(head), "export.format": "onnx", "export.out": "tagger.onnx",
    })  # fmt: skip
    import onnxruntime

    from models.clmr import load_checkpoint

    model = load_checkpoint(checkpoint, head)
    assert json.loads((folder / "tagger.json").read_text())["classes"] == model.label_names
    wave = tune(1.0, 22050, 1)[: model.window_length].T
    (found,) = onnxruntime.InferenceSession(folder / "tagger.onnx").run(["activations"], {"waveform": wave})
    with torch.no_grad():
        np.testing.assert_allclose(found, model(torch.from_numpy(wave)).sigmoid().numpy(), atol=1e-5)
