"""fit and evaluate: a planted label is learned, results are exact and deduplicated, failures name their cause."""

import json
import logging
import math
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers.metrics.aggregation import track_means
from helpers.metrics.tagging import tagging_scores
from helpers.schedules import exp_warmup_linear_down
from helpers.training.checkpointing import AtomicCheckpointIO
from helpers.training.lightning_module import LitObjective, Optimization
from helpers.training.progress import TrainingProgress
from models.errors import ConfigError, WeightsError
from models.maest.augment import Masking
from models.maest.objective import SupervisedObjective, TeacherStudentObjective
from models.objective import Objective
from models.weights.checkpoints import read_checkpoint
from tests.helpers.training.toy_training import FRAMES, LABELS, ToyData, ToyNet, batch_of, evaluate, fit

RUN = dict(accelerator="cpu", precision="32", show_progress=False)
PLAIN = dict(mixup_alpha=0.0, masking=Masking(do=False))


def objective(seed=0, **settings):
    torch.manual_seed(seed)
    return SupervisedObjective(ToyNet(), **settings)


def without_time(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


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


@pytest.mark.parametrize("interval", ["epoch", "step"])
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


# ---- what a run leaves out or stops at
@pytest.mark.parametrize("how", ["limit", "none"])
def test_without_validation_there_is_only_the_last_checkpoint(tmp_path, how):
    class NoValidation(ToyData):
        def val_dataloader(self):
            return []

    data, limit = (ToyData(), 0) if how == "limit" else (NoValidation(), None)
    got = fit(objective(), data, out_dir=tmp_path, max_epochs=2, limit_val_batches=limit, **RUN)
    assert got.best is None
    assert got.last.is_file()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]
    assert set(got.metrics) == {"train_loss"}


def test_limits_sanity_steps_and_accumulation_work(tmp_path):
    seen = []

    class Counting(SupervisedObjective):
        def validate(self, batch, net=None):
            seen.append(len(batch["x"]))
            return super().validate(batch, net)

        def after_optimizer_step(self, step):
            steps.append(step)

    steps = []
    got = fit(
        Counting(ToyNet()),
        ToyData(),
        out_dir=tmp_path,
        max_epochs=2,
        limit_train_batches=4,
        limit_val_batches=2,
        num_sanity_val_steps=1,
        accumulate_grad_batches=2,
        gradient_clip_val=0.5,
        **RUN,
    )
    assert [row["step"] for row in got.history] == [2, 4]
    assert steps == [1, 2, 3, 4]
    assert len(seen) == 1 + 2 * 2
    assert "val_ap" in got.metrics


def test_validation_every_second_epoch(tmp_path):
    got = fit(objective(), ToyData(), out_dir=tmp_path, max_epochs=4, check_val_every_n_epoch=2, **RUN)
    assert ["val_loss" in row for row in got.history] == [False, True, False, True]
    assert torch.load(got.best, weights_only=True)["epoch"] in (1, 3)
    assert torch.load(got.last, weights_only=True)["epoch"] == 3


def test_a_loss_that_is_not_finite_stops_and_names_the_tracks(tmp_path):
    with pytest.raises(FloatingPointError, match=r"nan at epoch 0, batch \d.*track17.*check_data"):
        fit(objective(), ToyData(spoil=17), out_dir=tmp_path, max_epochs=2, **RUN)


def test_monitor_and_mode(tmp_path):
    got = fit(objective(), ToyData(), out_dir=tmp_path, max_epochs=4, monitor="val_roc", monitor_mode="max", **RUN)
    best = torch.load(got.best, weights_only=True)
    assert best["epoch"] == int(np.argmax([row["val_roc"] for row in got.history]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(max_epochs=0), "max_epochs is 0"),
        (dict(max_epochs=1, monitor_mode="best"), "min or max"),
        (dict(max_epochs=1, resume_from="absent.ckpt"), r"absent\.ckpt"),
        (dict(max_epochs=1, precision="17"), "17"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        fit(objective(), ToyData(), out_dir=tmp_path / "run", **{**RUN, **settings})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong", [dict(name="adagrad"), dict(interval="day"), dict(lr=0.0), dict(weight_decay=-1.0)])
def test_impossible_optimisers_are_refused(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        Optimization(**wrong)


def test_a_checkpoint_of_another_network_is_refused_by_name(tmp_path):
    got = fit(objective(), ToyData(), out_dir=tmp_path, max_epochs=1, **RUN)
    other = SupervisedObjective(torch.nn.Sequential(torch.nn.Linear(3, 3)))
    with pytest.raises(WeightsError, match=r"net\.0\.weight"):
        evaluate(other, ToyData(), checkpoint=got.last, accelerator="cpu")


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": torch.ones(2)}, path)

    def half(checkpoint, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(2)}, path)
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_ctrl_c_is_a_keyboard_interrupt_and_leaves_the_last_epoch(tmp_path):
    from pytorch_lightning import Callback

    class Impatient(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(objective(), ToyData(), out_dir=tmp_path, max_epochs=3, callbacks=[Impatient()], **RUN)
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0


def test_nothing_goes_to_stdout_and_lines_to_the_log(tmp_path, capfd, caplog):
    with caplog.at_level(logging.INFO):
        fit(objective(), ToyData(), out_dir=tmp_path, max_epochs=2, **{**RUN, "show_progress": True})
    assert capfd.readouterr().out == ""
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("helpers")]
    assert "412 parameters" in lines[0]
    assert [line.split(" done")[0] for line in lines[1:]] == ["Epoch 1 of 2", "Epoch 2 of 2"]
    assert not [r for r in caplog.records if "GPU" in r.getMessage()]


def test_long_epochs_are_told_on_the_way(tmp_path, caplog):
    lines = TrainingProgress(every_seconds=0.0)
    with caplog.at_level(logging.INFO):
        fit(objective(), ToyData(), out_dir=tmp_path, max_epochs=1, callbacks=[lines], **RUN)
    told = [r.getMessage() for r in caplog.records if r.name == "datasets.utils.progress"]
    assert [t.split(",")[0] for t in told[:7]] == [
        *(f"Epoch 1 of 1: {i} of 6" for i in range(1, 7)),
        "Validation: 1 of 6",
    ]
    assert re.search(r": 5 of 6, \d+\.\d batches/s, 0:00:\d\d left", told[4])


def test_no_warning_is_left(tmp_path, recwarn):
    fit(objective(), ToyData(), out_dir=tmp_path, max_epochs=2, **RUN)
    evaluate(objective(), ToyData(), accelerator="cpu", precision="32", show_progress=False)
    assert [str(w.message) for w in recwarn if "lightning" in w.filename] == []


# ---- the module
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


# ---- several processes
TWO = """
import sys
sys.path[:0] = {paths!r}
import logging, warnings
from tests.helpers.training.toy_training import ToyData, ToyNet, fit
import torch
from helpers.training.lightning_module import Optimization
from helpers.training.averaging import AveragedWeights
from models.maest.objective import SupervisedObjective
from models.maest.augment import Roll
torch.set_num_threads(1)
torch.manual_seed(0)
devices, batch, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
o = SupervisedObjective(ToyNet(), mixup_group=4, roll=Roll(do=True))
fit(o, ToyData(batch_size=batch), out_dir=out, max_epochs=2, optimization=Optimization(lr=1e-2), averaging=AveragedWeights(1, 1),
    devices=devices, accelerator="cpu", precision="32", show_progress=False, **eval(sys.argv[4]))
"""


def run_two(tmp_path, devices, batch, **more):
    root = __file__.rsplit("/tests/", 1)[0]
    script = tmp_path / "two.py"
    script.write_text(TWO.format(paths=[root]))
    out = tmp_path / f"{devices}x{batch}{'-'.join(map(str, more))}"
    done = subprocess.run(
        [sys.executable, str(script), str(devices), str(batch), str(out), repr(more)], capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((out / "history.json").read_text()), read_checkpoint(out / "checkpoints" / "last.ckpt"), done


@pytest.mark.slow
def test_two_processes_of_4_train_as_one_of_8(tmp_path):
    one, weights, _ = run_two(tmp_path, 1, 8)
    two, weights_two, done = run_two(tmp_path, 2, 4)
    assert list(weights) == list(weights_two)
    for k in weights:
        torch.testing.assert_close(weights[k], weights_two[k], atol=2e-6, rtol=1e-4)
    for a, b in zip(one, two):
        assert math.isclose(a["train_loss"], b["train_loss"], abs_tol=1e-5)
        for k in ("val_loss", "val_ap", "val_roc"):
            assert math.isclose(a[k], b[k], abs_tol=1e-4), k
    assert done.stdout == ""


@pytest.mark.slow
def test_ddp_with_one_device_stays_in_one_process(tmp_path):
    _, weights, _ = run_two(tmp_path, 1, 8)
    _, weights_ddp, done = run_two(tmp_path, 1, 8, strategy="ddp")
    assert all(torch.equal(weights[k], weights_ddp[k]) for k in weights)
    assert "distributed_backend" not in done.stderr
