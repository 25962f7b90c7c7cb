"""ex_tl.py finetune on local files of encoders that are not trained here, in the published layouts: MusicFM's weight file, MERT's folder."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.store.track_store import TrackStore
from models import load_model
from models.weights.checkpoints import read_checkpoint
from tests.models.mert import tiny
from tests.models.musicfm import golden

RATE, TRACKS = 24000, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Noise and tones of half a second in a store of 24 kHz, and their labels."""
    where, rng = tmp_path_factory.mktemp("tuned"), np.random.default_rng(0)
    attrs = {"kind": "waveform", "front_end": "waveform", "sample_rate": RATE, "full_scale": 32768}
    times = np.arange(RATE // 2) / RATE
    with TrackStore.create(where / "samples" / "waveform.h5", (), "int16", attrs) as writer:
        for i in range(TRACKS):
            wave = rng.standard_normal(len(times)) / 3 if i % 2 else np.sin(2 * np.pi * 440 * times * (1 + i / TRACKS))
            writer.append(f"{i}.wav", np.int16(8000 * np.clip(wave, -1, 1)))
        writer.seal()
    with open(where / "labels.csv", "w", newline="") as file:
        split = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
        csv.writer(file).writerows(
            [["path", "split", "labels"], *[[f"{i}.wav", split[i], "noise" if i % 2 else "tone"] for i in range(TRACKS)]]
        )
    return where


def files(family: str, folder: Path) -> Path:
    if family == "mert":
        return tiny.folder(folder / "mert", tiny.state_of(tiny.hubert()))
    (folder / "musicfm").mkdir()
    shutil.copy(golden.STATS, folder / "musicfm" / "msd_stats.json")
    return golden.published(folder / "musicfm" / "pretrained_msd.pt")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["musicfm", "mert"])
def test_a_local_encoder_learns(family, folder, monkeypatch):
    monkeypatch.chdir(folder)
    handlers = logging.getLogger().handlers
    import ex_tl

    path = files(family, folder)
    updates = {
        "finetune.model": str(path), "finetune.store": "samples", "finetune.max_epochs": 1, "finetune.batch_size": 3,
        "finetune.accelerator": "cpu", "finetune.precision": "32", "finetune.lr": 1e-3, "data.groundtruth": "labels.csv", "seeds": [0],
        "model.hidden_units": 8, "out_dir": f"out-{family}",
    }  # fmt: skip
    try:
        ex_tl.ex.run("finetune", config_updates=updates)
    finally:
        logging.getLogger().handlers = handlers
    (scored,) = (folder / f"out-{family}").rglob("scores.json")
    where = scored.parent
    scores = json.loads(scored.read_text())
    assert scores["n_tracks"] == 3
    rows = json.loads((where / "seed-0" / "history.json").read_text())
    assert [np.isfinite(row["train_loss"]) for row in rows] == [True]
    tuned = read_checkpoint(where / "seed-0" / "checkpoints" / "best.ckpt")
    net = load_model(path)
    own = {name: weight for name, weight in net.state_dict().items() if name.startswith(f"{net.block_list}.0.")}
    assert own
    assert any(not torch.equal(weight, tuned[f"net.encoder.{name}"]) for name, weight in own.items())
