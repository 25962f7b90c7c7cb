"""fit and evaluate: a planted label is learned, results are exact and deduplicated, the module saves and asks for what it should."""

import json

import numpy as np
import pytest
import torch

from helpers.metrics.aggregation import track_means
from helpers.metrics.tagging import tagging_scores
from helpers.schedules import exp_warmup_linear_down
from helpers.training.lightning_module import LitObjective
from helpers.training.optimization import Optimization
from models.maest.objective import SupervisedObjective, TeacherStudentObjective
from models.objective import Objective
from models.weights.checkpoints import read_checkpoint
from tests.helpers.training.toy_training import (
    FRAMES,
    LABELS,
    PLAIN,
    RUN,
    ToyData,
    ToyNet,
    batch_of,
    evaluate,
    fit,
    objective,
    without_time,
)


def test_a_planted_label_is_learned_and_everything_is_written(tmp_path):
    told = []
    schedule = exp_warmup_linear_down(1, 4, 8, 0.1)
    got = fit(
        objective(**PLAIN),
        ToyData(),
        out_dir=tmp_path,
        max_epochs=12,
        optimization=Optimization(lr=3e-2, schedule=schedule),
        log_every_n_steps=3,
        log_metric=lambda *row: told.append(row),
        **RUN,
    )
    assert got.metrics["val_roc"] > 0.95
    assert got.metrics["val_ap"] > 0.9
    assert got.metrics["val_roc_classes"] == LABELS
    assert [row["lr"] for row in got.history] == pytest.approx([3e-2 * schedule(e) for e in range(12)])
    assert json.loads((tmp_path / "history.json").read_text()) == got.history
    assert got.best == tmp_path / "checkpoints" / "best.ckpt"
    assert got.last == tmp_path / "checkpoints" / "last.ckpt"
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert [(n, s) for n, _, s in told if n == "val_ap"] == [("val_ap", e) for e in range(12)]
    assert [s for n, _, s in told if n == "train_loss_step"] == list(range(3, 73, 3))
    best = torch.load(got.best, weights_only=True)
    assert best["epoch"] == int(np.argmin([row["val_loss"] for row in got.history]))


def test_shuffled_labels_are_not_learned(tmp_path):
    data = ToyData()
    order = np.random.default_rng(0).permutation(48)
    data.val_items["y"] = data.val_items["y"].reshape(48, 2, LABELS)[order].reshape(96, LABELS)
    got = fit(objective(**PLAIN), data, out_dir=tmp_path, max_epochs=12, optimization=Optimization(lr=3e-2), **RUN)
    assert abs(got.metrics["val_roc"] - 0.5) < 0.15


def test_a_seed_repeats_a_run_exactly_and_another_does_not(tmp_path):
    runs = [fit(objective(), ToyData(), out_dir=tmp_path / str(i), max_epochs=2, seed=s, **RUN) for i, s in enumerate((1, 1, 2))]
    assert without_time(runs[0].history) == without_time(runs[1].history)
    assert runs[0].history[1]["train_loss"] != runs[2].history[1]["train_loss"]


@pytest.mark.parametrize("interval", [pytest.param("epoch", marks=pytest.mark.slow), "step"])
def test_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path, interval):
    total = 5 * 6
    schedule = (lambda s: 1 - s / (total + 1)) if interval == "step" else exp_warmup_linear_down(2, 2, 3, 0.1)
    settings = dict(
        optimization=Optimization(name="adam", lr=1e-2, weight_decay=0.0, schedule=schedule, interval=interval), **RUN
    )
    whole = fit(objective(), ToyData(), out_dir=tmp_path / "a", max_epochs=5, **settings)
    part = fit(objective(), ToyData(), out_dir=tmp_path / "b", max_epochs=2, **settings)
    rest = fit(objective(7), ToyData(), out_dir=tmp_path / "b", max_epochs=5, resume_from=part.last, **settings)
    assert without_time(rest.history) == without_time(whole.history)
    a, b = read_checkpoint(whole.last), read_checkpoint(rest.last)
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_going_on_from_the_end_of_a_training_says_that_nothing_is_left(tmp_path, caplog):
    settings = {"accelerator": "cpu", "seed": 3, "show_progress": False, "monitor": "val_loss", "monitor_mode": "min"}
    whole = fit(objective(3), ToyData(), out_dir=tmp_path / "a", max_epochs=2, **settings)
    caplog.set_level("INFO", "helpers.training.fit")
    again = fit(objective(3), ToyData(), out_dir=tmp_path / "a", max_epochs=2, resume_from=whole.last, **settings)
    assert "is the end of its 2 epochs. To go on, raise trainer.max_epochs" in caplog.text
    assert again.metrics == whole.metrics
    caplog.clear()
    fit(objective(3), ToyData(), out_dir=tmp_path / "a", max_epochs=3, resume_from=whole.last, **settings)
    assert "Nothing was" not in caplog.text


def test_networks_that_come_in_eval_mode_are_trained_in_training_mode(tmp_path):
    settings = {"accelerator": "cpu", "seed": 3, "show_progress": False, "max_epochs": 2}
    loaded = objective(3)
    loaded.net.eval()
    found = [fit(o, ToyData(), out_dir=tmp_path / str(i), **settings) for i, o in enumerate((objective(3), loaded))]
    assert without_time(found[1].history) == without_time(found[0].history)
    frozen = objective(3)
    frozen.freeze(["net.body"])
    fit(frozen, ToyData(), out_dir=tmp_path / "frozen", **settings)
    assert frozen.net.training
    assert not frozen.net.body.training


def test_going_on_behind_an_early_stop_names_it(tmp_path, caplog):
    settings = {"accelerator": "cpu", "seed": 3, "show_progress": False, "monitor": "val_loss", "monitor_mode": "max"}
    stopped = fit(objective(3), ToyData(), out_dir=tmp_path / "a", max_epochs=9, early_stopping=1, **settings)
    assert len(stopped.history) < 9
    caplog.set_level("INFO", "helpers.training.fit")
    fit(objective(3), ToyData(), out_dir=tmp_path / "a", max_epochs=9, early_stopping=1, resume_from=stopped.last, **settings)
    assert "early stopping had ended" in caplog.text
    assert f"in epoch {len(stopped.history)}. To go on, raise trainer.early_stopping" in caplog.text


def test_the_test_scores_windows_and_tracks(tmp_path):
    o, data = objective(3), ToyData()
    data.val_items["valid"] = np.where(data.val_items["window"] == 0, FRAMES, 5)
    found = evaluate(o, data, out_dir=tmp_path, accelerator="cpu", precision="32", show_progress=False)
    with torch.no_grad():
        out = o.eval().validate(batch_of(data.val_items, slice(None)))
    scores, y = out["scores"].numpy(), out["targets"].numpy()
    windows = tagging_scores(y, scores)
    tracks = tagging_scores(y[::2], track_means(scores, out["index"], out["valid"])[1])
    assert found.metrics["test_ap"] == pytest.approx(windows["macro_ap"], abs=1e-6)
    assert found.metrics["test_roc"] == pytest.approx(windows["macro_roc"], abs=1e-6)
    assert found.metrics["test_track_ap"] == pytest.approx(tracks["macro_ap"], abs=1e-6)
    assert found.metrics["test_track_roc"] == pytest.approx(tracks["macro_roc"], abs=1e-6)
    assert found.metrics["test_loss"] == pytest.approx(float(out["loss"].mean()), abs=1e-6)
    np.testing.assert_allclose(found.classes["test_track_scores"]["class_ap"], tracks["class_ap"], atol=1e-6)
    assert json.loads((tmp_path / "test.json").read_text()) == found.metrics


def test_a_networks_own_state_dict_can_be_tested(tmp_path):
    run = dict(accelerator="cpu", precision="32", show_progress=False)
    torch.save(objective(3).net.state_dict(), tmp_path / "plain.ckpt")
    a = evaluate(objective(3), ToyData(), **run).metrics
    assert evaluate(objective(4), ToyData(), checkpoint=tmp_path / "plain.ckpt", **run).metrics == a
    assert evaluate(objective(4), ToyData(), **run).metrics != a


def test_repeated_and_uncounted_windows_change_nothing():
    data, repeated = ToyData(), ToyData()
    rows = np.concatenate([np.arange(96), [3, 3, 40]])
    repeated.val_items = {k: v[rows].copy() for k, v in data.val_items.items()}
    repeated.val_items["valid"][-1] = 0
    run = dict(accelerator="cpu", precision="32", show_progress=False)
    a, b = (evaluate(objective(3), d, **run).metrics for d in (data, repeated))
    assert a == pytest.approx(b, abs=1e-7)


def test_the_students_heads_are_logged_apart(tmp_path):
    class WithTeacher(ToyData):
        def __init__(self):
            super().__init__()
            self.train_items["teacher"] = (self.train_items["y"] * 4 - 2).astype(np.float32)

    torch.manual_seed(0)
    o = TeacherStudentObjective(ToyNet("separated"), **PLAIN)
    got = fit(o, WithTeacher(), out_dir=tmp_path, max_epochs=8, optimization=Optimization(lr=3e-2), **RUN)
    names = {
        "val_ap",
        "val_ap_cls",
        "val_ap_dist",
        "val_roc_cls",
        "val_roc_dist",
        "train_loss",
        "train_loss_cls",
        "train_loss_dist",
    }
    assert names <= set(got.metrics)
    assert min(got.metrics[f"val_roc{head}"] for head in ("", "_cls", "_dist")) > 0.9


def test_unsaved_modules_are_left_out_and_not_asked_for(tmp_path):
    class WithExtractor(SupervisedObjective):
        unsaved_modules = ("extractor",)

        def __init__(self):
            super().__init__(ToyNet())
            self.extractor = torch.nn.Linear(5, 5)
            self.freeze(["extractor"])

    torch.manual_seed(0)
    o = WithExtractor()
    got = fit(o, ToyData(), out_dir=tmp_path, max_epochs=1, **RUN)
    assert not any("extractor" in k for k in read_checkpoint(got.last))
    again = LitObjective(WithExtractor())
    again.load_state_dict(read_checkpoint(got.last))
    assert torch.equal(again.objective.net.head.weight, o.net.head.weight)


def test_an_objective_without_scores_is_validated_by_its_loss(tmp_path):
    class Reconstruct(Objective):
        def training_step(self, batch, rng):
            return {"loss": self.net(batch["x"].float().mean(-1)).square().mean(), "extra": torch.tensor(2.0)}

        def validate(self, batch, net=None):
            loss = (net or self.net)(batch["x"].float().mean(-1)).square().mean(1)
            return {**{k: batch[k] for k in ("index", "window", "valid")}, "loss": loss}

    torch.manual_seed(0)
    got = fit(
        Reconstruct(torch.nn.Linear(12, 4)), ToyData(), out_dir=tmp_path, max_epochs=3, optimization=Optimization(lr=2e-3), **RUN
    )
    assert set(got.metrics) == {"train_loss", "train_extra", "val_loss"}
    assert got.history[2]["val_loss"] < got.history[0]["val_loss"]
