"""ex_ssl.py's commands in a temporary folder: pre-training on bare audio, extraction and CLMR's probe, the supervised baseline, refusals."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.sound import folder_of, tune, write
from tests.ssl_runs import TINY, commands_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ssl")


@pytest.fixture
def run(folder, monkeypatch):
    with commands_in(folder, monkeypatch) as command:
        yield command


@pytest.fixture(scope="module")
def audio(folder) -> Path:
    """Twelve files of any kind, one of them shorter than a crop and one no audio."""
    root = folder_of(folder / "AUDIO", 10, 0.5, 16000)
    write(root / "stereo.flac", tune(1.0, 48000, 2), 48000)
    write(root / "short.wav", tune(0.02, 16000, 1)[:330], 16000)
    (root / "broken.mp3").write_text("no audio")
    return root


@pytest.fixture(scope="module")
def pretrained(folder, audio):
    """The run folder of a pre-training on the folder of audio, without any labels."""
    import os

    import ex_ssl

    before, handlers = Path.cwd(), logging.getLogger().handlers
    os.chdir(folder)
    try:
        updates = {
            **TINY,
            "datamodule.audio_dir": str(audio),
            "trainer.default_root_dir": "pretrained",
            "clmr.strides": [3, 3, 2],
        }
        result = ex_ssl.ex.run("main", config_updates=updates, named_configs=("clmr_pretrain",)).result
    finally:
        os.chdir(before)
        logging.getLogger().handlers = handlers
    return folder / "pretrained" / "1", result


def test_pre_training_on_a_folder_of_bare_audio(pretrained):
    where, result = pretrained
    assert [p.name for p in sorted((where / "checkpoints").iterdir())] == ["best.ckpt", "last.ckpt"]
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_alignment", "val_uniformity"} <= set(result)
    history = json.loads((where / "history.json").read_text())
    assert len(history) == 2
    assert all(np.isfinite(row["val_loss"]) for row in history)


def test_the_pre_trained_encoder_is_loaded_by_its_file(pretrained):
    from models import load_model

    model = load_model(pretrained[0] / "checkpoints" / "best.ckpt")
    assert (model.channels, model.strides, model.out_dim) == ((4, 4, 6, 6, 8), (3, 3, 2), None)
    assert model.embed(tune(0.1, 22050, 1)[:, 0], 22050).vectors.shape[2] == 8


@pytest.fixture(scope="module")
def labels(folder, audio) -> Path:
    """A table of the ten even files' labels."""
    rows = [
        f"{p.relative_to(audio).as_posix()},{'x|y' if i % 2 else 'y' if i % 4 else 'x'}"
        for i, p in enumerate(sorted(audio.glob("*/*.wav")))
    ]
    table = folder / "labels.csv"
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    table.write_text("path,labels,split\n" + "\n".join(f"{row},{split}" for row, split in zip(rows, splits)) + "\n")
    return table


def test_extraction_and_linear_evaluation(run, pretrained, audio, labels, folder):
    """Out of domain too: what was pre-trained on one folder is extracted and probed on another's labels."""
    updates = {
        "datamodule.audio_dir": str(audio),
        "clmr.checkpoint": str(pretrained[0] / "checkpoints" / "best.ckpt"),
        "predict.out_dir": "embedded",
    }
    done = run("extract_embeddings", **updates).result
    assert list(done) == ["4"]
    from datasets.store.track_store import TrackStore

    store = TrackStore.open(folder / "embedded" / "4")
    assert store.item_shape == (8,)
    assert store.attrs["sample_rate"] == 22050
    assert len(store) == 12
    words = {"data.base_dir": "embedded/4", "data.groundtruth": str(labels), "trainer.max_epochs": 3, "seeds": [0, 1]}
    for name in ("clmr_linear", "clmr_mlp"):
        result = run("main", name, script="ex_tl", **words).result
        assert 0 <= result["test_roc"] <= 1


def test_the_supervised_baseline_trains_and_is_tested(run, audio, labels, folder):
    updates = {
        "datamodule.audio_dir": str(audio),
        "datamodule.groundtruth": str(labels),
        "trainer.default_root_dir": "supervised",
    }
    result = run("main", "samplecnn_supervised", **updates).result
    assert {"val_loss", "val_roc", "val_ap"} <= set(result)
    scored = run("test", "samplecnn_supervised", **updates, ckpt_path="supervised/1/checkpoints/best.ckpt").result
    assert 0 <= scored["test_track_roc"] <= 1
    logits = run(
        "extract_logits", "samplecnn_supervised", **updates, **{"clmr.checkpoint": "supervised/1/checkpoints/best.ckpt"}
    ).result
    assert Path(logits["logits"]).is_file()


@pytest.mark.slow
def test_a_supervised_network_predicts(run, audio, labels, folder):
    """Its checkpoint says sizes, rate and classes: nothing of the training's config is repeated."""
    updates = {"datamodule.audio_dir": str(audio), "datamodule.groundtruth": str(labels), "trainer.default_root_dir": "taught"}
    run("main", "samplecnn_supervised", **updates, **{"clmr.sample_rate": 11025})
    import ex_ssl

    words = {"clmr.checkpoint": "taught/1/checkpoints/best.ckpt", "predict.audio": str(audio), "predict.csv": True}
    written = ex_ssl.ex.run("predict", named_configs=("samplecnn_supervised",), config_updates=words).result
    assert [Path(p).name for p in written] == ["index.html", "predictions.csv", "windows.csv", "unusable.csv"]
    lines = Path(written[1]).read_text().splitlines()
    assert lines[0] == "path,seconds,model,licence,remark,x,y"
    assert len(lines) == 13  # of the thirteen files one is no audio
    from models import load_model

    model = load_model("taught/1/checkpoints/best.ckpt")
    assert (model.sample_rate, model.label_names) == (11025, ["x", "y"])
    row = next(line for line in lines if line.startswith("stereo.flac")).split(",")
    np.testing.assert_allclose([float(v) for v in row[-2:]], model.tag(audio / "stereo.flac").probabilities, atol=2e-6)


@pytest.mark.slow
def test_a_checkpoint_of_another_rate_and_width_needs_no_words(run, audio, labels, caplog):
    """What it was trained with decides what is prepared, in extraction and in the test."""
    from datasets.store.track_store import TrackStore

    data = {"datamodule.audio_dir": str(audio), "datamodule.groundtruth": str(labels), "trainer.default_root_dir": "own_rate"}
    run("main", "samplecnn_supervised", **data, **{"clmr.sample_rate": 16000, "clmr.channels": [4, 4, 4, 6, 6]})
    checkpoint = "own_rate/1/checkpoints/best.ckpt"
    words = {**data, "clmr.checkpoint": checkpoint, "datamodule.groundtruth": None, "predict.out_dir": "own_rate/out"}
    done = run("extract_embeddings", "clmr_pretrain", **words).result
    assert TrackStore.open(Path(done["4"])).attrs["sample_rate"] == 16000
    scored = run("test", "samplecnn_supervised", **data, ckpt_path=checkpoint).result
    assert 0 <= scored["test_track_roc"] <= 1
    assert "clmr.channels is [4, 4, 4, 6, 6], as the file says" in caplog.text
    import ex_maest

    with pytest.raises(ValueError, match="family clmr, maest is wanted"):
        ex_maest.ex.run("test", named_configs=("demo",), config_updates={"ckpt_path": checkpoint})
    assert not Path("exp_out/demo_data").exists()


def test_a_test_on_other_classes_is_refused(run, audio, labels, pretrained, folder):
    data = {"datamodule.audio_dir": str(audio), "trainer.default_root_dir": "classes"}
    run("main", "samplecnn_supervised", **data, **{"datamodule.groundtruth": str(labels)})
    other = folder / "other_labels.csv"
    other.write_text(labels.read_text().replace("y", "z"))
    with pytest.raises(ValueError, match=r"only one of the two has 'y', 'z'"):
        run(
            "test",
            "samplecnn_supervised",
            **data,
            **{"datamodule.groundtruth": str(other)},
            ckpt_path="classes/1/checkpoints/best.ckpt",
        )
    bare = str(pretrained[0] / "checkpoints" / "best.ckpt")
    with pytest.raises(ValueError, match="trained without labels"):
        run("test", "samplecnn_supervised", **data, **{"datamodule.groundtruth": str(labels)}, ckpt_path=bare)


def test_a_probe_makes_an_encoder_predict(run, pretrained, audio, labels, folder):
    where = {"clmr.checkpoint": str(pretrained[0] / "checkpoints" / "best.ckpt")}
    run("extract_embeddings", **where, **{"datamodule.audio_dir": str(audio), "predict.out_dir": "heads"})
    run("main", "clmr_linear", script="ex_tl", **{
        "data.base_dir": "heads/4", "data.groundtruth": str(labels), "trainer.max_epochs": 3, "seeds": [0], "out_dir": "heads/tl",
    })  # fmt: skip
    (head,) = (folder / "heads" / "tl").glob("*/head.safetensors")
    assert {path.parent.name for path in head.parent.glob("*/head.safetensors")} == {"untrained"}
    made = json.loads((folder / "heads" / "4" / "made_of.json").read_text())
    assert len(made["heard"]["train"]) > len(made["heard"]["val"]) > 0
    assert not made["labelled"]
    assert (
        head.parent / "mel_statistics_+_logistic_regression" / "scores.json"
    ).is_file()  # of the audio, which is prepared for it
    words = {**where, "clmr.head_checkpoint": str(head), "predict.audio": str(audio / "stereo.flac"), "predict.json": True}
    written = run("predict", **words).result
    found = json.loads(Path(written[1]).read_text())
    assert found["labels"] == ["x", "y"]
    saved = torch.load(where["clmr.checkpoint"], weights_only=True)
    saved["state_dict"]["net.sequential.0.0.bias"] += 0.01
    torch.save(saved, folder / "other.ckpt")
    with pytest.raises(ValueError, match=r"embeddings of other weights.*other\.ckpt"):
        run("predict", **{**words, "clmr.checkpoint": "other.ckpt"})
    with pytest.raises(ValueError, match="embeddings of other weights"):
        run("export", **{**words, "clmr.checkpoint": "other.ckpt", "export.format": "onnx", "export.out": "never.onnx"})
    with pytest.raises(ValueError, match=r"no head.*clmr\.head_checkpoint"):
        run("predict", **{**words, "clmr.head_checkpoint": None})
    with pytest.raises(ValueError, match=r"predict\.audio"):
        run("predict", **where)
    with pytest.raises(ValueError, match=r"nothing\.wav"):
        run("predict", **where, **{"predict.audio": "nothing.wav"})


@pytest.mark.parametrize(
    ("command", "named", "updates", "words"),
    [
        ("main", "clmr_pretrain", {"datamodule.audio_dir": "nowhere"}, "nowhere, which is not a folder"),
        ("main", "clmr_pretrain", {"clmr.temperature": 0.0}, r"clmr\.temperature"),
        ("main", "clmr_pretrain", {"datamodule.batch_size_train": 1}, "no negatives"),
        ("main", "clmr_pretrain", {"clmr.channels": [4, 4]}, "two more blocks"),
        ("main", "clmr_pretrain", {"augment.pitch": 2.0}, "augment.pitch"),
        ("main", "clmr_pretrain", {"clmr.checkpoint": "nothing.pt"}, "nothing.pt"),
        ("main", "clmr_pretrain", {"clmr.temprature": 1.0}, "Did you mean 'temperature'"),
        (
            "main",
            "clmr_pretrain",
            {"datamodule.audio_dir": "AUDIO", "datamodule.batch_size_train": 64},
            "13 files of .* do not fill one batch of 64: datamodule.batch_size_train=9 or less",
        ),
        ("test", "clmr_pretrain", {}, "trained on labels"),
        ("extract_embeddings", "clmr_inference", {}, "clmr_magnatagatune_mlp.zip"),
        ("extract_embeddings", "clmr_pretrain", {"predict.transformer_block": 99}, r"predict\.transformer_block asks for \[99\]"),
        ("extract_logits", "clmr_pretrain", {}, r"clmr\.head_checkpoint=HEAD"),
        ("hear_augmentations", "clmr_pretrain", {"hear.audio": "nothing.wav"}, "nothing.wav"),
    ],
)
def test_what_cannot_run_says_why(run, audio, command, named, updates, words):
    with pytest.raises(ValueError, match=words):
        run(command, named, **updates)


def test_a_training_refused_with_its_data_at_hand_leaves_nothing(run, audio, labels, folder):
    """The files fill a batch, the tracks of the groundtruth's split do not: that is known only once they are matched."""
    where = {"datamodule.audio_dir": str(audio), "datamodule.groundtruth": str(labels), "trainer.default_root_dir": "too_few"}
    with pytest.raises(ValueError, match="6 tracks do not fill one batch of 8"):
        run("main", "clmr_pretrain", **where, **{"datamodule.batch_size_train": 8})
    assert not list((folder / "too_few").glob("[0-9]*"))


def test_a_report_looks_at_the_blocks_of_the_file_that_it_begins_with(run, pretrained, folder):
    """The config alone would be a network of nine blocks, the file holds five: refused before music is made."""
    updates = {"clmr.checkpoint": str(pretrained[0] / "checkpoints" / "best.ckpt"), "datamodule.demo_tracks": 77}
    with pytest.raises(ValueError, match=r"asks for \[7\]: this network has blocks 0\.\.4"):
        run("report", "clmr_demo", **updates, **{"predict.transformer_block": 7})
    assert not (folder / "exp_out" / "demo_data-77").exists()


def test_a_head_that_does_not_fit_is_refused(run, pretrained, folder):
    torch.save({"0.weight": torch.zeros(3, 7), "0.bias": torch.zeros(3)}, folder / "head.pt")
    updates = {
        "clmr.checkpoint": str(pretrained[0] / "checkpoints" / "best.ckpt"),
        "clmr.head_checkpoint": str(folder / "head.pt"),
    }
    with pytest.raises(ValueError, match="reads 7 numbers"):
        run("extract_logits", "clmr_pretrain", **updates)
