"""Averaged weights: when they begin, what they are, that they survive a resume, and that there are none before."""

import logging

import pytest
import torch

from helpers.training.averaging import AveragedWeights
from helpers.training.optimization import Optimization
from models.errors import ConfigError, WeightsError
from models.maest.objective import SupervisedObjective
from models.weights.checkpoints import read_checkpoint, read_state
from tests.helpers.training.toy_training import ToyData, ToyNet, evaluate, fit

RUN = dict(accelerator="cpu", precision="32", show_progress=False)


def objective(seed=0):
    torch.manual_seed(seed)
    return SupervisedObjective(ToyNet())


class Snapshots:
    """The trained weights at the end of every epoch, seen from outside."""

    def __new__(cls):
        from pytorch_lightning import Callback

        class Keep(Callback):
            def __init__(self):
                self.epochs, self.steps = [], []

            def on_train_batch_end(self, trainer, pl_module, *_):
                weights = {k: v.clone() for k, v in pl_module.objective.net.state_dict().items()}
                self.steps.append(weights)
                if trainer.is_last_batch:
                    self.epochs.append(weights)

        return Keep()


def mean(states):
    return {k: torch.stack([s[k] for s in states]).mean(0) for k in states[0]}


def close(got, want):
    assert list(got) == list(want)
    for k in want:
        torch.testing.assert_close(got[k], want[k])


def test_before_the_start_there_is_no_average_and_the_trained_weights_are_exported(tmp_path):
    o, init = objective(), ToyNet()
    torch.manual_seed(0)
    init = {k: v.clone() for k, v in o.net.state_dict().items()}
    got = fit(
        o, ToyData(), out_dir=tmp_path, max_epochs=3, optimization=Optimization(lr=1e-2), averaging=AveragedWeights(50, 5), **RUN
    )
    assert not any(k.startswith("net_swa.") for k in read_checkpoint(got.last))
    exported = read_state(got.last)
    close(exported, o.net.state_dict())
    assert not torch.equal(exported["head.weight"], init["head.weight"])
    assert not any("swa" in name for row in got.history for name in row)


def test_swa_is_the_mean_of_the_counted_epochs(tmp_path):
    o, keep = objective(), Snapshots()
    averaging = AveragedWeights(start_epoch=2, every_epochs=2)
    got = fit(
        o,
        ToyData(),
        out_dir=tmp_path,
        max_epochs=6,
        optimization=Optimization(lr=1e-2),
        averaging=averaging,
        callbacks=[keep],
        **RUN,
    )
    assert averaging.count == 2
    want = mean([keep.epochs[2], keep.epochs[4]])
    close(dict(averaging.net.state_dict()), want)
    close(read_state(got.last), want)
    close(read_state(got.last, averaged=False), keep.epochs[5])
    close(dict(o.net.state_dict()), keep.epochs[5])  # training itself is untouched
    assert ["val_ap_swa" in row for row in got.history] == [False, False, True, True, True, True]
    # the first average is the epoch's own weights, and the validation of that epoch sees it
    assert got.history[2]["val_loss_swa"] == pytest.approx(got.history[2]["val_loss"], abs=1e-7)
    assert got.history[4]["val_loss_swa"] != got.history[4]["val_loss"]


def test_ema_moves_after_every_step(tmp_path):
    o, keep = objective(), Snapshots()
    averaging = AveragedWeights(start_epoch=1, kind="ema", decay=0.9)
    fit(
        o,
        ToyData(),
        out_dir=tmp_path,
        max_epochs=2,
        optimization=Optimization(lr=1e-2),
        averaging=averaging,
        callbacks=[keep],
        **RUN,
    )
    want = keep.steps[6]  # 6 steps per epoch
    for weights in keep.steps[7:]:
        want = {k: 0.9 * want[k] + 0.1 * weights[k] for k in want}
    assert averaging.count == 6
    close(dict(averaging.net.state_dict()), want)


@pytest.mark.parametrize("kind", ["swa", pytest.param("ema", marks=pytest.mark.slow)])
def test_a_resumed_run_continues_the_average(tmp_path, kind):
    settings = dict(optimization=Optimization(lr=1e-2), **RUN)
    make = lambda: AveragedWeights(1, 1, kind=kind, decay=0.9)  # noqa: E731
    whole = fit(objective(), ToyData(), out_dir=tmp_path / "whole", max_epochs=5, averaging=make(), **settings)
    first = fit(objective(), ToyData(), out_dir=tmp_path / "parts", max_epochs=3, averaging=make(), **settings)
    again = make()
    rest = fit(
        objective(9), ToyData(), out_dir=tmp_path / "parts", max_epochs=5, averaging=again, resume_from=first.last, **settings
    )
    assert again.count == (4 if kind == "swa" else 24)
    a, b = read_checkpoint(whole.last), read_checkpoint(rest.last)
    assert list(a) == list(b)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert [row["epoch"] for row in rest.history] == list(range(5))
    for x, y in zip(whole.history, rest.history):
        assert {k: v for k, v in x.items() if k != "seconds"} == {k: v for k, v in y.items() if k != "seconds"}


def test_the_averaging_epochs_have_their_own_rate(tmp_path):
    averaging = AveragedWeights(2, 1, lr=5e-3)
    optimization = Optimization(lr=1e-2, schedule=lambda e: 0.5)
    got = fit(objective(), ToyData(), out_dir=tmp_path, max_epochs=4, optimization=optimization, averaging=averaging, **RUN)
    assert [row["lr"] for row in got.history] == pytest.approx([5e-3, 5e-3, 2.5e-3, 2.5e-3])
    with pytest.raises(ConfigError, match="swa_lrs"):
        fit(
            objective(),
            ToyData(),
            out_dir=tmp_path,
            max_epochs=1,
            optimization=Optimization(interval="step"),
            averaging=averaging,
            **RUN,
        )


def test_both_sets_of_weights_are_tested(tmp_path):
    got = fit(
        objective(),
        ToyData(),
        out_dir=tmp_path,
        max_epochs=4,
        optimization=Optimization(lr=2e-2),
        averaging=AveragedWeights(1, 1),
        **RUN,
    )
    found = evaluate(objective(5), ToyData(), checkpoint=got.last, accelerator="cpu", precision="32", show_progress=False).metrics
    for short in ("loss", "ap", "roc"):
        for suffix in ("", "_swa"):
            assert found[f"test_{short}{suffix}"] == pytest.approx(
                got.metrics[f"val_{short}{suffix}"], abs=1e-6
            )  # the same windows
    assert found["test_ap"] != found["test_ap_swa"]


def test_a_run_that_no_longer_averages_says_so(tmp_path, caplog):
    first = fit(objective(), ToyData(), out_dir=tmp_path, max_epochs=2, averaging=AveragedWeights(0, 1), **RUN)
    with caplog.at_level(logging.WARNING):
        fit(objective(), ToyData(), out_dir=tmp_path, max_epochs=3, resume_from=first.last, **RUN)
    assert "left out" in caplog.text


def test_weights_that_do_not_fit_and_impossible_settings_are_refused():
    with pytest.raises(WeightsError, match="head"):
        AveragedWeights().restore(ToyNet(), {"head.weight": torch.zeros(2, 2)})
    for wrong in (dict(start_epoch=-1), dict(every_epochs=0), dict(kind="mean"), dict(decay=1.0), dict(lr=0.0)):
        with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
            AveragedWeights(**wrong)
    callback = AveragedWeights(kind="ema")
    with pytest.raises(ConfigError, match="swa"):
        callback.load_state_dict({"count": 3, "kind": "swa"})
