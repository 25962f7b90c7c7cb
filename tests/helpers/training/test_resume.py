"""Runs that stop anywhere and are taken up again: they must end bit for bit as if they had never stopped, and tell each metric once."""

import json
import signal
import threading

import pytest
import torch

from helpers.runtime.interrupts import Interrupted, StopRequest
from helpers.training.optimization import Optimization
from helpers.training.resume import newest, read_saved
from helpers.training.same_training import ResumeRules, TrainingIdentity
from models.errors import CheckpointError, ConfigError, WeightsError
from models.weights.checkpoints import read_checkpoint
from tests.helpers.training.stopped_runs import EPOCHS, STEPS, Job, Killed, StopAt, every_pair, same
from tests.helpers.training.toy_training import ToyNet, pl


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """unbroken(average, accumulate, **settings): a run that nothing stopped, trained once for all tests that compare with it."""
    done = {}

    def job(average="swa", accumulate=1, **settings):
        key = (average, accumulate, *settings.items())
        if key not in done:
            done[key] = Job(tmp_path_factory.mktemp("unbroken"), average, accumulate, **settings)
            done[key].run()
        return done[key]

    return job


@pytest.mark.parametrize(
    ("average", "accumulate", "place"), every_pair([("swa", 1), ("ema", 2), (None, 4)], {0: 2, 1: 0, 2: 1, 3: 0, 4: None})
)
def test_a_run_that_died_ends_as_an_unbroken_one(tmp_path, unbroken, average, accumulate, place):
    whole, broken = unbroken(average, accumulate), Job(tmp_path / "broken", average, accumulate)
    with pytest.raises(Killed):
        broken.run(stop=StopAt(*place))
    broken.run(broken.last, seed=5)
    same(whole, broken)
    assert len(broken.told) == len({(name, step) for name, _, step in broken.told})


# ---- signals
@pytest.mark.parametrize(
    ("number", "place"), every_pair([(signal.SIGTERM,), (signal.SIGUSR1,), (signal.SIGINT,)], {0: 2, 1: 1, 2: 0, 3: None, 4: 0})
)
def test_a_signal_saves_and_ends_and_the_next_run_goes_on(tmp_path, unbroken, number, place):
    whole, broken = unbroken(), Job(tmp_path / "broken", save_every_n_steps=None)  # what is saved is for the signal
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"{number.name}.*last.ckpt.*ckpt_path=last") as stopped:
        broken.run(stop=StopAt(*place, how=number))
    assert signal.getsignal(number) is before
    assert stopped.value.exit_code == 128 + number
    assert stopped.value.STATUS == "INTERRUPTED"
    saved = read_saved(broken.last)
    within = place[2] + 1 if place[0] == "on_train_batch_start" else STEPS
    assert saved.step == STEPS * place[1] + within  # the batch at hand was finished
    broken.run(broken.last)
    same(whole, broken)


def test_a_second_signal_ends_at_once(tmp_path):
    class Twice(StopAt):
        def _called(self, trainer, *rest):
            super()._called(trainer, *rest)
            super()._called(trainer, *rest)

    job = Job(tmp_path, save_every_n_steps=None)
    with pytest.raises(Interrupted) as stopped:
        job.run(stop=Twice("on_train_batch_start", 1, 2, how=signal.SIGTERM))
    assert stopped.value.checkpoint is None
    assert read_saved(job.last).step == STEPS


def test_signals_are_left_alone_in_other_threads(tmp_path):
    before, failed = signal.getsignal(signal.SIGTERM), []

    def train():
        try:
            Job(tmp_path).run(epochs=1)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert not failed
    assert signal.getsignal(signal.SIGTERM) is before


# ---- which checkpoints are kept, and which are taken
def names(job):
    return sorted(p.name for p in job.last.parent.iterdir())


def test_the_newest_k_are_kept_and_go_on_to_be(tmp_path):
    job = Job(tmp_path, keep_checkpoints=3)
    with pytest.raises(Killed):
        job.run(stop=StopAt("on_train_batch_start", 1, 2))
    assert names(job) == ["best.ckpt", "last.ckpt", "step-00000006.ckpt", "step-00000007.ckpt"]
    assert [read_saved(job.last.parent / f"{n}.ckpt").step for n in ("step-00000006", "step-00000007", "last")] == [6, 7, 8]
    job.run(job.last)
    assert names(job) == ["best.ckpt", "last.ckpt", "step-00000016.ckpt", "step-00000017.ckpt"]
    job.run(job.last, epochs=EPOCHS + 1, keep_checkpoints=1)
    assert names(job) == ["best.ckpt", "last.ckpt"]


TEARS = {
    "empty": lambda raw: b"",
    "truncated": lambda raw: raw[:-1],
    "half": lambda raw: raw[: len(raw) // 2],
    "damaged": lambda raw: raw[: len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 0xFF]) + raw[len(raw) // 2 + 1 :],
    "text": lambda raw: b"no checkpoint",
}


@pytest.mark.parametrize(
    "how", [how if how in ("half", "damaged") else pytest.param(how, marks=pytest.mark.slow) for how in TEARS]
)
def test_a_torn_checkpoint_is_passed_over_and_named(tmp_path, unbroken, caplog, how):
    job = Job(tmp_path, keep_checkpoints=2)
    with pytest.raises(Killed):
        job.run(stop=StopAt("on_train_batch_start", 1, 2))
    job.last.write_bytes(TEARS[how](job.last.read_bytes()))
    with pytest.raises(WeightsError, match=r"last\.ckpt.*not whole.*ckpt_path=.*step-00000007\.ckpt"):
        job.run(job.last)
    found = newest(job.last.parent)
    assert (found.path.name, found.epoch, found.step) == ("step-00000007.ckpt", 1, 7)
    assert "last.ckpt" in caplog.text
    assert "passed over" in caplog.text
    job.run(found.path)
    same(unbroken(keep_checkpoints=2), job)
    assert names(job) == ["best.ckpt", "last.ckpt", "step-00000017.ckpt"]
    for path in job.last.parent.iterdir():
        path.write_bytes(b"")
    with pytest.raises(WeightsError, match="No checkpoint in .* is whole"):
        newest(job.last.parent)


def test_weights_alone_cannot_be_continued(tmp_path):
    torch.save(ToyNet().state_dict(), tmp_path / "net.ckpt")
    with pytest.raises(WeightsError, match="not the state of a training.*`checkpoint` of the network's section"):
        Job(tmp_path).run(tmp_path / "net.ckpt")


def test_another_experiment_is_refused_and_another_machine_is_said(tmp_path, caplog):
    job, rules = Job(tmp_path), ResumeRules(warned=frozenset({"trainer.precision"}))
    job.run(epochs=2, identity=TrainingIdentity({"seed": 0, "maest.depth": 2, "trainer.precision": "32"}, rules))
    saved = job.last.read_bytes()
    with pytest.raises(ConfigError, match=r"maest.depth was 2, is 3\n.*seed was 0, is 1"):
        job.run(job.last, identity=TrainingIdentity({"seed": 1, "maest.depth": 3}, rules))
    with pytest.raises(ConfigError, match="has come to epoch 2, counted from 1, and trainer.max_epochs is 1"):
        job.run(job.last, epochs=1)
    assert job.last.read_bytes() == saved
    job.run(job.last, identity=TrainingIdentity({"seed": 0, "maest.depth": 2, "trainer.precision": "bf16-mixed"}, rules))
    assert "trainer.precision was '32', is 'bf16-mixed'" in caplog.text


def test_continuing_a_finished_run_changes_nothing_and_tells_all(tmp_path):
    job = Job(tmp_path)
    job.run()
    left, weights = job.left(), job.last.read_bytes()
    (tmp_path / "history.json").unlink()
    result = job.run(job.last)
    assert job.last.read_bytes() == weights
    assert job.left() == left
    assert result.metrics["val_loss"] == result.history[-1]["val_loss"]
    assert result.best == tmp_path / "checkpoints" / "best.ckpt"


def test_a_run_folder_that_moved_keeps_its_best(tmp_path):
    whole, job = Job(tmp_path / "whole"), Job(tmp_path / "old")
    best = read_saved(whole.run(epochs=4).best)
    job.run(epochs=2)
    job.folder = (tmp_path / "old").rename(tmp_path / "new")
    moved = job.run(job.last, epochs=4).best
    assert moved == tmp_path / "new" / "checkpoints" / "best.ckpt"
    assert read_saved(moved).step == best.step


@pytest.mark.parametrize("wrong", [dict(keep_checkpoints=0), dict(save_every_n_steps=0), dict(save_every_minutes=-1.0)])
def test_impossible_settings_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        Job(tmp_path / "run").run(**wrong)
    assert not (tmp_path / "run").exists()


def test_minutes_save_within_an_epoch(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("helpers.training.checkpointing.time.monotonic", lambda: clock[0])

    class Slow(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            clock[0] += 60.0
            if (trainer.current_epoch, batch_idx) == (0, 4):
                raise Killed

    job = Job(tmp_path)
    with pytest.raises(Killed):
        job.run(stop=Slow(), save_every_n_steps=None, save_every_minutes=2.0)
    assert read_saved(job.last).step == 4


# ---- a full disk
def test_a_full_disk_ends_the_run_and_leaves_the_last_good_checkpoint(tmp_path, unbroken, monkeypatch):
    import errno

    job, save = Job(tmp_path / "run"), torch.save

    def full(checkpoint, file):
        if checkpoint["global_step"] == 9:
            file.write(b"x" * 1000)
            raise OSError(errno.ENOSPC, "No space left on device")
        save(checkpoint, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be written.*No space left.*as it was.*ckpt_path=last"):
        job.run()
    monkeypatch.undo()
    assert read_saved(job.last).step == 8
    assert not list(tmp_path.rglob("*.part"))
    job.run(job.last)
    same(unbroken(), job)


def test_a_request_is_noted_once_and_raised_the_second_time():
    request = StopRequest()
    request(signal.SIGTERM, None)
    assert request.received == signal.SIGTERM
    with pytest.raises(Interrupted):
        request(signal.SIGUSR1, None)


# ---- numbers that are not finite
@pytest.mark.parametrize("spoiled", ["loss", "gradient"])
def test_what_is_not_finite_leaves_the_last_good_checkpoint(tmp_path, spoiled):
    class Spoil(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if (trainer.current_epoch, batch_idx) == (1, 2) and spoiled == "loss":
                batch["x"].fill_(float("nan"))

        def on_after_backward(self, trainer, pl_module):
            if trainer.global_step == STEPS + 2 and spoiled == "gradient":
                next(pl_module.objective.parameters()).grad.fill_(float("inf"))

    job = Job(tmp_path)
    words = {"loss": "epoch 1, batch 2. Its tracks: track", "gradient": f"After step {STEPS + 3} the weights net.body.0.weight"}
    with pytest.raises(FloatingPointError, match=words[spoiled]):
        job.run(stop=Spoil())
    assert read_saved(job.last).step == STEPS + 2
    assert all(torch.isfinite(v).all() for v in read_checkpoint(job.last).values())


def test_a_rate_that_follows_the_validation_goes_on(tmp_path):
    follow = dict(optimization=Optimization(lr=1e-2, plateau=(0.5, 0)), early_stopping=3)
    whole, broken = Job(tmp_path / "whole", None), Job(tmp_path / "broken", None)
    whole.run(epochs=6, **follow)
    with pytest.raises(Killed):
        broken.run(epochs=6, stop=StopAt("on_train_batch_start", 4, 0), **follow)
    broken.run(broken.last, epochs=6, **follow)
    same(whole, broken)
    history = json.loads((tmp_path / "whole" / "history.json").read_text())
    assert history[-1]["lr"] < history[0]["lr"]


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    job = Job(tmp_path, None)
    rising = dict(optimization=Optimization(lr=1e-2), early_stopping=1, monitor="val_loss", monitor_mode="max")  # it never rises
    done = job.run(epochs=6, **rising)
    assert len(done.history) == 2
    left = job.left()
    assert len(job.run(job.last, epochs=6, **rising).history) == 2
    assert job.left() == left
