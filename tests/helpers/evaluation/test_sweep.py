"""Score per block, score per share of labels: what is found, kept and written."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.store.track_store import TrackStore
from helpers.evaluation import sweep as sweep_module
from helpers.evaluation.few_label import drawn, run_few_label, save_points, saved_share
from helpers.evaluation.few_label_report import print_few_label, report_few_label
from helpers.evaluation.sweep import best_by_validation, run_sweep, write_tables
from helpers.evaluation.sweep_report import print_sweep, report_sweep
from helpers.probe.inputs import Inputs
from helpers.probe.protocol import Protocol
from helpers.probe.run import ProbeSettings
from models.errors import ConfigError

C, N = 8, 200
QUICK = ProbeSettings(hidden=32, max_epochs=12, batch_size=64, max_lr=1e-2, warmup_epochs=1, max_lr_epochs=4)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Blocks 0, 1 and 2 whose noise is least in block 1 and in the third token; groundtruths by split."""
    folder, rng = tmp_path_factory.mktemp("sweep"), np.random.default_rng(0)
    z = rng.standard_normal((N, C))
    y = z @ rng.standard_normal((C, 4)) > 1.0
    for block, noise in enumerate((4.0, 0.4, 3.0)):
        with TrackStore.create(
            folder / str(block) / "embeddings.h5", (3, C), "float32", {"block": block, "network": {"embed_dim": C}}
        ) as writer:
            for i in range(N):
                x = z[i] + noise * np.array([4.0, 3.0, 1.0])[:, None] * rng.standard_normal((2, 3, C))
                writer.append(f"{i}.wav", x.astype(np.float32))
            writer.seal()
    rows = [["abcd"[j] for j in np.flatnonzero(row)] for row in y]
    truth = Groundtruth.from_rows([f"{i}.wav" for i in range(N)], rows, labels=list("abcd"))
    cut = {"train": range(120), "val": range(120, 160), "test": range(160, N)}
    return folder, {part: truth.subset(list(rows)) for part, rows in cut.items()}


def test_the_planted_block_and_token_are_found_and_cells_are_kept(planted, tmp_path, monkeypatch):
    folder, truths = planted
    options = dict(types=("c", "t", "ct"), cache=tmp_path / "cells")
    how = Protocol(QUICK, Inputs("c"), (0, 1), data="set")
    trained: list[int] = []
    real = sweep_module.train_heads
    monkeypatch.setattr(sweep_module, "train_heads", lambda specs, *a: (trained.append(len(specs)), real(specs, *a))[1])

    class Killed(Exception):
        pass

    def killed(*args):
        if len(trained) == 1:
            raise Killed
        trained.append(len(args[0]))
        return real(*args)

    with monkeypatch.context() as patch:  # killed after the first block
        patch.setattr(sweep_module, "train_heads", killed)
        with pytest.raises(Killed):
            run_sweep(folder, truths, how, **options)
    assert trained == [6]
    cells = run_sweep(folder, truths, how, **options)
    assert trained == [6, 6, 6]  # what was finished stays
    again = run_sweep(folder, truths, how, **options)
    assert len(trained) == 3  # no work
    for a, b in zip(cells, again):
        np.testing.assert_array_equal(a.scores.predictions, b.scores.predictions)
    assert [(c.block, c.types) for c in cells] == [(b, t) for b in range(3) for t in ("c", "t", "ct")]
    best = best_by_validation(cells)
    assert best.block == 1
    assert best.types in ("t", "ct")
    assert best.scores.mean() > 0.9
    changed = run_sweep(folder, truths, replace(how, seeds=(0, 2)), **options, layers=[1])
    assert len(trained) == 4  # other seeds are another cell
    assert changed[0].scores.seeds == [0, 2]
    _written(cells, tmp_path)


def _written(cells, folder):
    table, about = write_tables(cells, folder)
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 3 * 3 * 2
    first = next(r for r in rows if (r["block"], r["types"], r["seed"]) == ("1", "t", "1"))
    cell = next(c for c in cells if (c.block, c.types) == (1, "t"))
    assert float(first["test_macro_roc"]) == pytest.approx(cell.scores.scores("macro_roc")[1], abs=1e-6)
    found = json.loads(about.read_text())
    assert found["chosen_on_validation"]["block"] == 1
    assert found["cells"][0]["split"] == "set test"
    page, png, svg = report_sweep(cells, folder, "Title <b>")
    text = page.read_text()
    assert "Title &lt;b&gt;" in text
    assert "Chosen on validation: block 1" in text
    assert text.count('<svg class="chart"') == 2
    assert png.read_bytes()[:4] == b"\x89PNG"
    assert svg.read_text().lstrip().startswith("<?xml")
    assert sorted(p.name for p in folder.iterdir()) == [
        "cells",
        "sweep.csv",
        "sweep.html",
        "sweep.json",
        "sweep.png",
        "sweep.svg",
    ]
    print_sweep(cells)
    with pytest.raises(ConfigError, match="macro_roc"):
        report_sweep(cells, folder, "t", "macro_rock")


def test_a_sweep_refuses_before_it_trains(planted, tmp_path, monkeypatch):
    folder, truths = planted
    monkeypatch.setattr(sweep_module, "train_heads", lambda *a: pytest.fail("trained"))
    for options, words in (
        ({"types": ("c", "x")}, "Token types are 'x'"),
        ({"types": ("cd", "dc")}, "each kind of token once"),
        ({"types": ()}, "each kind of token once"),
        ({"layers": [9]}, "not 9"),
    ):
        with pytest.raises(ValueError, match=words):
            run_sweep(folder, truths, Protocol(QUICK, Inputs("c")), cache=tmp_path, **options)
    with pytest.raises(ConfigError, match="one by one"):
        run_sweep(folder, truths, Protocol(QUICK, Inputs("c", layers=(1,))), cache=tmp_path)


def test_more_labels_score_better(planted, tmp_path):
    folder, truths = planted
    points = run_few_label(folder / "1", truths, Protocol(QUICK, Inputs("t"), (0, 1), data="set"), shares=(1.0, 0.05), draws=3)
    assert [(p.share, p.draw, p.n_tracks) for p in points] == [(0.05, 0, 6), (0.05, 1, 6), (0.05, 2, 6), (1.0, 0, 120)]
    few = np.mean([p.scores.mean() for p in points[:3]])
    assert points[3].scores.mean() > few + 0.05
    assert len({tuple(p.scores.predictions.ravel()[:5]) for p in points}) == 4
    written = report_few_label(points, tmp_path)
    assert {p.name for p in written} == {"few_label.html", "few_label.png", "few_label.svg", "few_label.csv"}
    rows = list(csv.DictReader((tmp_path / "few_label.csv").open()))
    assert len(rows) == 8
    assert {r["train_tracks"] for r in rows} == {"6", "120"}
    assert "5 %" in (tmp_path / "few_label.html").read_text()
    for p in points:
        rows = drawn(120, p.share, p.draw)
        assert p.unseen == (~truths["train"].matrix()[rows].any(axis=0)).sum()


def test_one_number_has_no_spread_and_unseen_labels_are_counted(planted):
    folder, truths = planted
    points = run_few_label(folder / "1", truths, Protocol(QUICK, Inputs("t"), (0,)), shares=(1.0, 0.01), draws=2)
    assert [p.unseen for p in points][-1] == 0
    assert max(p.unseen for p in points) > 0  # one track does not have all labels
    screen = io.StringIO()
    print_few_label(points, Console(file=screen, width=160))
    whole = next(line for line in screen.getvalue().splitlines() if line.strip().startswith("100 %"))
    few = next(line for line in screen.getvalue().splitlines() if line.strip().startswith("1 %"))
    assert "±" in few
    assert "±" not in whole
    assert f"0 of {len(points[0].scores.labels)}" in whole
    assert "over 1 seed and 2 draws." in " ".join(screen.getvalue().split())


def test_a_share_takes_as_many_steps_as_all(planted, monkeypatch):
    from helpers.probe import head_training

    folder, truths = planted
    steps: list[int] = []
    real = head_training.HeadStep.__call__
    monkeypatch.setattr(
        head_training.HeadStep, "__call__", lambda self, x, y, d, r: (steps.append(len(x)), real(self, x, y, d, r))[1]
    )
    common = dict(protocol=Protocol(QUICK, Inputs("t"), (0,)), shares=(0.1,), draws=1)
    run_few_label(folder / "1", truths, **common)
    assert sum(steps) == QUICK.max_epochs * 120
    steps.clear()
    run_few_label(folder / "1", truths, **common, same_steps=False)
    assert sum(steps) == QUICK.max_epochs * 12
    for wrong in ({"shares": ()}, {"shares": (0.5, 0.5)}, {"draws": 0}, {"shares": (2.0,)}):
        with pytest.raises(ConfigError):
            run_few_label(folder / "1", truths, **{**common, **wrong})


def test_a_network_without_tokens_has_one_line(planted, tmp_path):
    folder, truths = planted
    for block in (0, 1):
        attrs = {"block": block, "network": {"embed_dim": C}}
        with TrackStore.create(tmp_path / "emb" / str(block) / "embeddings.h5", (C,), "float32", attrs) as writer:
            old = TrackStore.open(folder / str(block))
            for name in old.names:
                writer.append(name, np.asarray(old.read(name))[:, 2])
            writer.seal()
    cells = run_sweep(tmp_path / "emb", truths, Protocol(QUICK, seeds=(0, 1)), cache=tmp_path / "cells")
    assert [(cell.block, cell.types) for cell in cells] == [(0, "vectors"), (1, "vectors")]
    assert best_by_validation(cells).block == 1
    page = report_sweep(cells, tmp_path, "x")[0].read_text()
    assert "vectors" in page
    assert "CLS" not in page
    points = run_few_label(tmp_path / "emb" / "1", truths, Protocol(QUICK, seeds=(0,)), shares=(1.0,))
    assert "types" not in points[0].scores.settings


def test_a_share_is_read_back_with_all_its_draws(planted, tmp_path):
    folder, truths = planted
    points = run_few_label(folder / "1", truths, Protocol(QUICK, seeds=(0, 1)), shares=(0.2, 1.0), draws=2)
    save_points(points, tmp_path)
    for share, draws in (("0.2", 2), ("1", 1)):
        found = saved_share(tmp_path, share)
        want = np.concatenate([p.scores.scores("macro_roc") for p in points if f"{p.share:g}" == share])
        np.testing.assert_allclose(found.scores("macro_roc"), want)
        assert len(found.seeds) == 2 * draws
        # two draws of a fifth have about a fifth in common; one says nothing of others
        assert (0 < found.overlap < 0.5 and found.factors == {"draw": [0, 0, 1, 1]}) if draws > 1 else found.overlap == 0
    with pytest.raises(ConfigError, match=r"no predictions of the share 0\.5"):
        saved_share(tmp_path, "0.5")
