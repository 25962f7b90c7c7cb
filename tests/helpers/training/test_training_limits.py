"""What a training leaves out, stops at or refuses, and what it writes to the log; failures name their cause."""

import logging
import re
import signal

import numpy as np
import pytest
import torch

from helpers.training.checkpointing import AtomicCheckpointIO
from helpers.training.optimization import Optimization
from helpers.training.progress import TrainingProgress
from models.errors import ConfigError, WeightsError
from models.maest.objective import SupervisedObjective
from tests.helpers.training.toy_training import RUN, ToyData, ToyNet, evaluate, fit, objective


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
