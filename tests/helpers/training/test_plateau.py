"""Training that follows its validation: the rate falls on plateaus, and training ends when nothing improves."""

from __future__ import annotations

import pytest
import torch

from helpers.training.optimization import Optimization
from models.errors import ConfigError
from models.maest.objective import SupervisedObjective
from tests.helpers.training.toy_training import ToyData, ToyNet, fit


def train(folder, *, plateau=None, early_stopping=None, name="sgd", lr=1e-30, epochs=6):
    torch.manual_seed(0)
    objective = SupervisedObjective(ToyNet(), mixup_alpha=0.0)
    return fit(
        objective,
        ToyData(),
        out_dir=folder,
        optimization=Optimization(name, lr=lr, weight_decay=0.0, plateau=plateau),
        early_stopping=early_stopping,
        max_epochs=epochs,
        accelerator="cpu",
        precision="32",
        show_progress=False,
    )


def test_the_rate_falls_when_the_validation_loss_does_not(tmp_path):
    rates = [row["lr"] for row in train(tmp_path, plateau=(0.5, 1), lr=1e-20).history]
    assert rates == pytest.approx([1e-20, 1e-20, 1e-20, 5e-21, 5e-21, 2.5e-21], rel=1e-6)


def test_training_ends_when_nothing_improves(tmp_path):
    assert len(train(tmp_path, early_stopping=2).history) == 3
    assert len(train(tmp_path / "on", early_stopping=2, name="lars", lr=0.1).history) == 6


def test_a_schedule_and_plateaus_exclude_each_other():
    with pytest.raises(ConfigError, match="not both"):
        Optimization(plateau=(0.5, 1), schedule=lambda epoch: 1.0)
    with pytest.raises(ConfigError, match="adagrad"):
        Optimization("adagrad")
