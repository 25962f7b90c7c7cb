"""Trainings that are stopped at a chosen place, and what two of them leave compared."""

import json
import os

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.training.averaging import AveragedWeights
from helpers.training.optimization import Optimization
from models.maest.objective import SupervisedObjective
from models.weights.checkpoints import read_checkpoint
from tests.helpers.training.toy_training import ToyData, ToyNet, fit, pl

EPOCHS, STEPS = 3, 6  # of ToyData


class Killed(Exception):
    pass


class StopAt(pl.Callback):
    """Ends a run at (hook, epoch, batch): by an error, or by a signal to this process."""

    def __init__(self, hook, epoch, batch=None, how=None):
        self.hook, self.at, self.how = hook, (epoch, batch), how
        setattr(self, hook, self._called)

    def _called(self, trainer, pl_module, *rest):
        batch = rest[1] if rest else None  # of (batch, batch_idx, ...)
        if (trainer.current_epoch, batch) == self.at and not trainer.sanity_checking:
            if self.how is None:
                raise Killed
            os.kill(os.getpid(), self.how)


class Job:
    """The same training again and again, into one folder; `told` is what it told of metrics the last time."""

    def __init__(self, folder, average="swa", accumulate=1, **settings):
        self.folder, self.average, self.told = folder, average, []
        self.settings = {**dict(accumulate_grad_batches=accumulate, log_every_n_steps=2, save_every_n_steps=1), **settings}

    def run(self, resume_from=None, stop=None, seed=0, epochs=EPOCHS, **more):
        torch.manual_seed(seed)
        self.told = []
        decay = dict(kind=self.average, decay=0.9) if self.average == "ema" else {}
        return fit(
            SupervisedObjective(ToyNet(dropout=0.3)),
            ToyData(),
            out_dir=self.folder,
            max_epochs=epochs,
            averaging=AveragedWeights(1, 1, **decay) if self.average else None,
            callbacks=[stop] if stop else [],
            resume_from=resume_from,
            log_metric=lambda *row: self.told.append(row),
            accelerator="cpu",
            precision="32",
            show_progress=False,
            **{"optimization": Optimization(lr=1e-2, schedule=lambda epoch: 1.0 / (1 + epoch)), **self.settings, **more},
        )

    @property
    def last(self):
        return self.folder / "checkpoints" / "last.ckpt"

    def left(self):
        """All that a run leaves, but times."""
        history = json.loads((self.folder / "history.json").read_text())
        events = EventAccumulator(str(self.folder / "tensorboard")).Reload()
        scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        assert len(list((self.folder / "tensorboard").iterdir())) == 1
        assert not list(self.folder.rglob("*.part"))
        return [{k: v for k, v in row.items() if k != "seconds"} for row in history], scalars, self.told


def same(a, b):
    one, other = read_checkpoint(a.last), read_checkpoint(b.last)
    assert list(one) == list(other)
    assert all(torch.equal(one[k], other[k]) for k in one)
    states = [torch.load(j.last, weights_only=True) for j in (a, b)]
    for key in ("optimizer_states", "lr_schedulers", "rng", "running"):
        torch.testing.assert_close(states[0][key], states[1][key], rtol=0, atol=0, equal_nan=True)
    for one, other in zip(a.left(), b.left()):
        assert one == other


PLACES = [
    ("on_train_batch_start", 0, 4),
    ("on_train_batch_start", 1, 0),
    ("on_train_batch_start", 2, 5),
    ("on_validation_batch_start", 1, 2),
    ("on_train_epoch_end", 1, None),
]


def every_pair(firsts, quick):
    """Each of `firsts` (tuples) with each place; slow but for those that `quick` (place number -> number of the first) names."""
    return [
        pytest.param(*first, place, id="-".join(map(str, [*place, *first])), marks=[] if quick[j] == i else pytest.mark.slow)
        for i, first in enumerate(firsts)
        for j, place in enumerate(PLACES)
    ]
