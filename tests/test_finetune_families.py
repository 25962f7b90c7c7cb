"""ex_tl.py finetune of every family, and every command on the network that it leaves: predict, extract, export, fine-tune again; what is refused."""

from __future__ import annotations

import csv
import json
import logging
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import configs
from datasets.store.track_store import TrackStore
from models import export_model, get_model, load_model
from models.registry import FAMILIES
from models.weights.head_origin import weights_sha256
from tests.models.mert import tiny
from tests.models.musicfm import golden
from tests.models.small_networks import SMALL
from tests.sound import tune, write

TRACKS = 12
LABELS = ["noise", "tone"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Labels of noise and tones, and a recording to hear."""
    where = tmp_path_factory.mktemp("tuned")
    with open(where / "labels.csv", "w", newline="") as file:
        split = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
        csv.writer(file).writerows(
            [["path", "split", "labels"], *[[f"{i}.wav", split[i], LABELS[i % 2 == 0]] for i in range(TRACKS)]]
        )
    write(where / "song.wav", tune(1.0, 16000, 1), 16000)
    return where


@pytest.fixture
def run(folder, monkeypatch):
    """A command of a script in the folder: run(script, command, updates), or run(script, words of its line) -> its result."""
    monkeypatch.chdir(folder)
    handlers = logging.getLogger().handlers
    import ex_maest
    import ex_ssl
    import ex_tl

    scripts = {"ex_tl.py": ex_tl.ex, "ex_ssl.py": ex_ssl.ex, "ex_maest.py": ex_maest.ex}

    def run(script: str, command: str | list[str], updates: dict[str, object] | None = None) -> object:
        if isinstance(command, list):  # a line of a shell, in words
            return scripts[script].run_commandline(command).result
        return scripts[script].run(command, config_updates=updates).result

    yield run
    logging.getLogger().handlers = handlers


def store_of(net, where: Path) -> Path:
    """Half a second (or two windows) of noise or a tone for each track, as the network's stores hold it."""
    rng, attrs = np.random.default_rng(0), dict(net.stored)
    if net.stored_item:
        tracks = [np.float32(rng.random((2 * net.window_length, *net.stored_item)) + i % 2) for i in range(TRACKS)]
    else:
        attrs |= {"front_end": "waveform", "full_scale": 32768}
        n = max(net.sample_rate // 2, 2 * net.window_length)
        times = np.arange(n) / net.sample_rate
        waves = [rng.standard_normal(n) / 3 if i % 2 else np.sin(2764 * times * (1 + i / TRACKS)) for i in range(TRACKS)]
        tracks = [np.int16(8000 * np.clip(wave, -1, 1)) for wave in waves]
    with TrackStore.create(where / "tracks.h5", net.stored_item, str(tracks[0].dtype), attrs) as writer:
        for i, track in enumerate(tracks):
            writer.append(f"{i}.wav", track)
        writer.seal()
    return where


def words(model: object, store: object, out: str, **changes: object) -> dict[str, object]:
    return {
        "finetune.model": str(model), "finetune.store": str(store), "finetune.max_epochs": 1, "finetune.batch_size": 3,
        "finetune.accelerator": "cpu", "finetune.precision": "32", "finetune.lr": 1e-3, "data.groundtruth": "labels.csv", "seeds": [0],
        "model.hidden_units": 8, "out_dir": out, **changes,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_fine_tuning_leaves_goes_through_every_command(family, folder, run, capsys):
    name, settings = SMALL[family]
    torch.manual_seed(0)
    start = get_model(name, pretrained=False, **settings)
    export_model(start, folder / family / "start.safetensors")
    store = store_of(start, folder / family / "store")
    task = "single-label" if family in ("mert", "maest") else "multi-label"
    how = {"data.task": task, "finetune.layer_decay": 0.75 if start.block_list else 1}
    run("ex_tl.py", "finetune", words(f"{family}/start.safetensors", store, f"{family}/a tl", **how))
    said = capsys.readouterr().out
    (made,) = (folder / family / "a tl").rglob("network.safetensors")
    assert str(made.relative_to(folder)) in said
    line = shlex.split(re.search(r"What one hears: python (.*)FILE", said)[1] + "song.wav")
    script, checkpoint = line[0], f"{family}.checkpoint"
    assert made.samefile(line[4].removeprefix(f"{checkpoint}="))

    net = load_model(made)
    assert net.label_names == LABELS
    assert net.exclusive == (task == "single-label")
    best = load_model(made.parent / "checkpoints" / "best.ckpt")
    assert weights_sha256(net) == weights_sha256(best)
    moved = [key for key, weight in start.state_dict().items() if not torch.equal(weight, net.state_dict()[key])]
    assert any(key.startswith(f"{net.block_list or 'front'}.0.") for key in moved)

    one = {"family": family, checkpoint: str(made), "trainer.accelerator": "cpu", "trainer.precision": "32"}
    run(script, line)  # as it is printed
    shown = capsys.readouterr().out
    assert all(label in shown for label in LABELS)
    run(script, "predict", {**one, "predict.audio": "song.wav", "predict.json": True, "predict.out_dir": f"{family}/heard"})
    (table,) = (folder / family / "heard").rglob("predictions.json")
    (heard,) = json.loads(table.read_text())["tracks"]
    want = dict(zip(LABELS, net.tag(str(folder / "song.wav")).probabilities.tolist()))
    assert heard["probabilities"] == pytest.approx(want, abs=1e-5)

    source = {**one, "datamodule.base_dir": str(store), "predict.out_dir": f"{family}/vectors"}
    (vectors,) = run(script, "extract_embeddings", {**source, "predict.transformer_block": 1}).values()
    attrs = TrackStore.open(vectors).attrs
    assert attrs["weights_sha256"] == weights_sha256(net)
    assert (attrs["family"], attrs["fine_tuned"], attrs["model"]) == (family, task, f"{family}, fine-tuned")
    made_of = json.loads((Path(vectors).parent / "made_of.json").read_text())
    assert (len(made_of["heard"]["train"]), len(made_of["heard"]["val"]), made_of["labelled"]) == (6, 3, True)
    (logits,) = run(script, "extract_logits", source).values()
    logits = TrackStore.open(logits)
    assert logits.attrs["labels"] == LABELS
    if family == "clmr":  # shards build the network anew, with its head
        source["predict.out_dir"] = f"{family}/sharded"
        (sharded,) = run(script, "extract_logits", {**source, "predict.shard_tracks": 6, "predict.jobs": 1}).values()
        sharded = TrackStore.open(sharded)
        assert sharded.attrs["weights_sha256"] == weights_sha256(net)
        for name in logits.names:  # batches of other sizes round otherwise
            np.testing.assert_allclose(sharded.read(name), logits.read(name), atol=1e-6)

    run(script, "export", {**one, "export.out": f"{family}/exported"})
    again = load_model(folder / family / "exported")
    assert weights_sha256(again) == weights_sha256(net)
    assert again.label_names == LABELS

    run("ex_tl.py", "finetune", words(made, store, f"{family}/again", **how, **{"finetune.blocks": 0}))
    (last,) = (folder / family / "again").rglob("network.safetensors")
    kept = load_model(last).state_dict()
    for key, weight in net.state_dict().items():
        assert key.startswith("task_head.") or torch.equal(weight, kept[key]), key
    if family in ("maest", "musicnn"):
        with pytest.raises(ValueError, match="was fine-tuned"):
            run(script, "test", {**one, "datamodule.base_dir": str(store), "datamodule.groundtruth": "labels.csv"})


@pytest.mark.slow
@pytest.mark.parametrize("family", ["musicfm", "mert"])
def test_a_local_encoder_in_the_published_layout_learns(family, folder, run):
    (folder / f"published-{family}").mkdir()
    if family == "mert":
        path = tiny.folder(folder / "published-mert" / "mert", tiny.state_of(tiny.hubert()))
    else:
        shutil.copy(golden.STATS, folder / "published-musicfm" / "msd_stats.json")
        path = golden.published(folder / "published-musicfm" / "pretrained_msd.pt")
    net = load_model(path)
    run("ex_tl.py", "finetune", words(path, store_of(net, folder / f"published-{family}" / "store"), f"out-{family}"))
    (scored,) = (folder / f"out-{family}").rglob("scores.json")
    assert json.loads(scored.read_text())["n_tracks"] == 3
    rows = json.loads((scored.parent / "seed-0" / "history.json").read_text())
    assert [np.isfinite(row["train_loss"]) for row in rows] == [True]
    tuned = load_model(scored.parent / "seed-0" / "network.safetensors").state_dict()
    own = {name: weight for name, weight in net.state_dict().items() if name.startswith(f"{net.block_list}.0.")}
    assert own
    assert any(not torch.equal(weight, tuned[name]) for name, weight in own.items())


def test_every_family_has_a_script_that_hears_its_networks():
    assert set(FAMILIES) <= {name for script in (configs.EX_SSL, configs.EX_MAEST) for name in script.families}
