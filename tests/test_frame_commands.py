"""ex_tl.py on vectors in time as a user calls it: beats, chords, structure; what it writes, what stands beside, what it refuses."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest

from datasets.groundtruth.chords import CHORDS
from datasets.store.track_store import TrackStore
from helpers.metrics.scores import SystemScores

RATE, N, C = 12.5, 28, 10
SMALL = {
    "seeds": [0],
    "model.hidden_units": 24,
    "data.standardise": True,
    "trainer.max_steps": 150,
    "optimizer.warmup_steps": 20,
    "data.groundtruth": "tracks.csv",
    "data.base_dir": "frames/1",
}
TASKS = {"beats": "beats", "chords": "chords", "structure": "sections"}


def annotation(kind: str, seconds: float, rng: np.random.Generator) -> list[tuple]:
    if kind == "beats":
        return [(t, 1) for t in np.arange(rng.uniform(0, 0.5), seconds, rng.uniform(0.4, 0.8))]
    edges = np.concatenate([[0], np.sort(rng.uniform(1, seconds - 1, 3)), [seconds]])
    names = ["C:maj", "A:min7", "G:7", "N"] if kind == "chords" else ["intro", "verse", "chorus", "verse"]
    return [(a, b, name) for a, b, name in zip(edges, edges[1:], rng.permutation(names)) if b - a > 0.01]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tracks whose vectors hold what is annotated (block 1) or hardly do (block 0), their annotations, a table of splits, and mels."""
    where, rng = tmp_path_factory.mktemp("frames"), np.random.default_rng(0)
    split = ["train"] * 18 + ["validation"] * 4 + ["test"] * 6
    (where / "tracks.csv").write_text("path,split\n" + "".join(f"{i}.wav,{split[i]}\n" for i in range(N)))
    content: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for i in range(N):
        n = int(rng.integers(100, 180))
        edges = np.arange(n + 1) / RATE
        times, x = np.stack([edges[:-1], edges[1:]], axis=1), 0.2 * rng.standard_normal((n, C))
        for kind in TASKS.values():
            rows = annotation(kind, n / RATE, rng)
            path = where / kind / f"{i}{'.beats' if kind == 'beats' else '.lab'}"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))
            middle = times.mean(axis=1)
            if kind == "beats":
                x[np.abs(middle[:, None] - [row[0] for row in rows]).argmin(axis=0), 0] += 2
                continue
            for a, b, name in rows:
                inside = (middle >= a) & (middle < b)
                x[inside, 1 + ["C:maj", "A:min7", "G:7", "N", "intro", "verse", "chorus"].index(name)] += 1
                if kind == "sections":
                    x[np.abs(middle - a).argmin(), 8] += 2
        content[f"{i}.wav"] = times, x
    for block, noise in ((0, 3.0), (1, 0.1)):
        attrs = {"kind": "embeddings", "block": block, "network": {"embed_dim": C}, "embedding_rate": RATE, "frames": True}
        with TrackStore.create(where / "frames" / str(block) / "embeddings.h5", (C,), "float32", attrs) as writer:
            for name, (_, x) in content.items():
                writer.append(name, (x + noise * rng.standard_normal(x.shape)).astype(np.float32))
            writer.seal()
        with TrackStore.create(
            where / "frames" / str(block) / "times" / "times.h5", (2,), "float64", {"kind": "times"}
        ) as writer:
            for name, (times, _) in content.items():
                writer.append(name, times)
            writer.seal()
    with TrackStore.create(where / "mels.h5", (4,), "float32", {"kind": "mel", "sample_rate": 16000, "hop": 256}) as writer:
        for name, (_, x) in content.items():
            writer.append(name, np.repeat(x[:, :4], 5, axis=0).astype(np.float32))
        writer.seal()
    return where


@pytest.fixture
def run(folder, monkeypatch):
    """run("main", "beats", **updates): a command in this process; its result and its folder."""
    monkeypatch.chdir(folder)
    handlers = logging.getLogger().handlers
    import ex_tl

    def command(name: str, task: str, **updates):
        given = {**SMALL, "data.annotations": TASKS[task], **updates}
        given = {key: value for key, value in given.items() if value is not None}
        done = ex_tl.ex.run(name, config_updates=given, named_configs=(task,), options={"--loglevel": "INFO"})
        return done.result, folder / "exp_out" / "tl" / str(done._id)

    yield command
    logging.getLogger().handlers = handlers


@pytest.mark.parametrize("task", TASKS)
def test_what_the_vectors_hold_is_found_and_guesses_stand_beside(run, task, capsys):
    pool = {"data.frame_pool": 1} if task == "structure" else {}
    result, where = run("main", task, **pool, **{"data.mel_dir": "mels.h5", "optimizer.max_lr": 1e-2})
    scores = SystemScores.load(where)
    constant, random = (SystemScores.load(where / f"{kind}_guess") for kind in ("constant", "random"))
    for metric in scores.spec.headline:
        assert result[f"test_{metric.log_name}"] == pytest.approx(scores.mean(metric))
        assert scores.mean(metric) > 0.8, metric.name
        assert scores.mean(metric) > max(constant.mean(metric), random.mean(metric)), metric.name
    assert json.loads((where / "scores.json").read_text())["settings"]["aggregate"] == "vectors in time"
    printed = capsys.readouterr().out
    assert "constant guess" in printed
    assert "mel statistics" in printed
    assert len(constant.seeds) == 1
    assert len(random.seeds) == 3


def test_constant_guesses_are_what_they_say(run):
    for task in TASKS:
        _, where = run("main", task, **{"trainer.max_steps": 30, "optimizer.warmup_steps": 5, "data.frame_pool": 1})
        constant = SystemScores.load(where / "constant_guess")
        values = constant.predictions[0].values
        if task == "beats":
            times = constant.predictions.times.mean(axis=1)[: constant.predictions.lengths[0]]
            beats = times[values[: len(times), 0] == 1]
            assert 0.4 < np.median(np.diff(beats)) < 0.8
        else:
            assert len(set(values[:, : 25 if task == "chords" else 3].argmax(axis=1))) == 1
        if task == "structure":
            assert not values[:, -1].any()


@pytest.mark.slow
def test_two_runs_are_compared_on_the_same_tracks(run, capsys):
    _, good = run("main", "chords")
    _, poor = run("main", "chords", **{"data.base_dir": "frames/0"})
    run("compare", "chords", **{"compare.runs": f"{good},{poor}"})
    assert "Paired differences" in capsys.readouterr().out


@pytest.mark.slow
def test_sweep_and_few_label_have_their_pages_and_guesses(run, capsys):
    result, where = run("sweep", "beats", **{"data.base_dir": "frames"})
    assert result["block"] == 1
    assert (where / "sweep.html").is_file()
    assert (where / "random_guess" / "scores.json").is_file()
    _, again = run("sweep", "beats", **{"data.base_dir": "frames"})
    assert (again / "sweep.csv").read_text() == (where / "sweep.csv").read_text()
    result, where = run("few_label", "structure", **{"few_label.shares": [0.2, 1.0], "few_label.draws": 1, "data.frame_pool": 1})
    assert (where / "few_label.html").is_file()
    assert "constant guess" in capsys.readouterr().out


def test_layers_are_mixed_in_time_too(run):
    result, _ = run(
        "main",
        "chords",
        **{"data.base_dir": "frames", "data.layers": [0, 1], "data.layer_reduce": "learned", "optimizer.max_lr": 1e-2},
    )
    assert result["test_chord_majmin"] > 0.7


def test_windows_are_no_moments(run, folder):
    shutil.copytree(folder / "frames" / "1", folder / "windows" / "1", ignore=shutil.ignore_patterns("times"), dirs_exist_ok=True)
    with pytest.raises(ValueError, match=r"vectors of windows, not of moments.*predict\.frames=True"):
        run("main", "beats", **{"data.base_dir": "windows/1"})


@pytest.mark.parametrize(
    ("updates", "match"),
    [
        ({"data.annotations": None}, "wants data.annotations"),
        ({"data.train_windows": "each"}, "does not use data.train_windows"),
        ({"data.aggregate": "vote"}, "does not use data.aggregate"),
        ({"data.folds": 5, "seeds": [0, 1, 2]}, "does not use data.folds"),
        ({"data.label_column": "x"}, "does not use data.label_column"),
        ({"model.loss": "mse"}, "loss is 'mse'; beats is trained with bce"),
        ({"optimizer.monitor": "val_roc"}, "monitor is 'val_roc'"),
        ({"data.frame_pool": 0}, "data.frame_pool"),
        ({"data.task": "multi-label"}, "does not use data.annotations"),
    ],
)
def test_what_is_refused_before_any_work(run, updates, match):
    with pytest.raises(ValueError, match=match):
        run("main", "beats", **updates)


def test_annotations_of_other_recordings(run, folder):
    shutil.copytree(folder / "beats", folder / "long", dirs_exist_ok=True)
    (folder / "long" / "3.beats").write_text("0.5\n600.0\n")
    with pytest.raises(ValueError, match=r"1 of 18 annotations go on behind the end of their tracks.*3\.wav \(600\.00 s of"):
        run("main", "beats", **{"data.annotations": "long"})


def test_finetuning_is_for_tracks(run):
    with pytest.raises(ValueError, match="probed on vectors in time"):
        run("finetune", "beats", **{"finetune.model": "x", "finetune.store": "y"})


def test_chords_have_their_25_classes(run):
    _, where = run("main", "chords", **{"trainer.max_steps": 30})
    assert SystemScores.load(where).labels == list(CHORDS)
    lines = (where / "labels.csv").read_text().splitlines()
    assert lines[0] == "label,tracks"
    assert len(lines) == 26


@pytest.mark.parametrize(
    ("said", "was", "cure"),
    [
        ({"tail": "drop"}, "datamodule.tail=drop", "datamodule.tail=shift"),
        ({"tail": "chunks", "last_chunk_ratio": 0.1}, "last_chunk_ratio=0.1", "last_chunk_ratio=0"),
    ],
)
def test_annotations_behind_an_end_that_extraction_left_out_name_the_key(run, folder, said, was, cure):
    """As of other recordings, but the vectors say that ends of tracks are not among them."""
    shutil.copytree(folder / "frames" / "1", folder / "dropped" / "1", dirs_exist_ok=True)
    (folder / "dropped" / "1" / "times" / "times.h5").unlink()
    times = TrackStore.open(folder / "frames" / "1" / "times")
    with TrackStore.create(folder / "dropped" / "1" / "times" / "times.h5", (2,), "float64", {"kind": "times", **said}) as writer:
        for name in times.names:
            writer.append(name, times.read(name))
        writer.seal()
    shutil.copytree(folder / "beats", folder / "behind", dirs_exist_ok=True)
    (folder / "behind" / "3.beats").write_text("0.5\n600.0\n")
    updates = {"data.annotations": "behind", "data.base_dir": "dropped/1"}
    with pytest.raises(ValueError, match=rf"extracted with {was}, which leaves out ends of tracks.*again with {cure}\."):
        run("main", "beats", **updates)
