"""What a training computes in: `auto` follows the machine's figures, and stays what it was when the run goes on elsewhere."""

import json

import pytest
import torch

from helpers.training.lightning_module import Optimization
from helpers.training.resume import PRECISION, read_saved
from tests.helpers.training.toy_training import ToyData, fit, objective

LAST = "checkpoints/last.ckpt"


@pytest.fixture
def on(tmp_path, monkeypatch):
    """Put this process on a machine where one way is fast."""

    def move(way):
        ways = ("float32", "onednn", "bfloat16")
        path = tmp_path / f"{way}.json"
        path.write_text(
            json.dumps({"seconds": {f"layer-768/{w}/{use}": 2.0 - (w == way) for w in ways for use in ("training", "inference")}})
        )
        monkeypatch.setenv("MAEST_MACHINE", str(path))

    return move


def train(folder, epochs=1, resume_from=None, precision="auto", **more):
    return fit(
        objective(),
        ToyData(),
        out_dir=folder,
        max_epochs=epochs,
        resume_from=resume_from,
        accelerator="cpu",
        precision=precision,
        show_progress=False,
        **{"optimization": Optimization(lr=1e-3), **more},
    )


def adam_of(path):
    return torch.load(path, weights_only=True)["optimizer_states"][0]["param_groups"][0]["fused"]


def test_a_run_goes_on_in_the_precision_that_it_began_with(tmp_path, on, caplog):
    caplog.set_level("INFO")
    on("bfloat16")
    train(tmp_path / "run")
    last = tmp_path / "run" / LAST
    assert read_saved(last).precision == "bf16-mixed"
    on("float32")
    train(tmp_path / "run", 2, last)
    assert read_saved(last).precision == "bf16-mixed"
    assert "Computing in bf16-mixed, as this run began." in caplog.text
    train(tmp_path / "run", 3, last, precision="32")  # what is asked for by name is obeyed
    assert read_saved(last).precision == "32-true"
    train(tmp_path / "fresh")
    assert read_saved(tmp_path / "fresh" / LAST).precision == "32-true"


@pytest.mark.parametrize("said", ["auto", "bf17", 16, None, ["bf16-mixed"]])
def test_a_checkpoint_that_says_nothing_of_use_is_continued_as_a_new_run_would_be(tmp_path, on, said):
    on("bfloat16")
    train(tmp_path / "run")
    last = tmp_path / "run" / LAST
    content = torch.load(last, weights_only=True)
    torch.save({**content, PRECISION: said}, last)
    on("float32")
    train(tmp_path / "run", 2, last)
    assert read_saved(last).precision == "32-true"


def test_float32_through_onednn_trains_alike(tmp_path, on):
    """Within rounding: the figures of two runs that differ in how products are computed."""
    on("onednn")
    losses = [train(tmp_path / precision, 2, precision=precision).history[-1]["train_loss"] for precision in ("auto", "32")]
    assert read_saved(tmp_path / "auto" / LAST).precision == "32-onednn"
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(
    ("precision", "clip", "fused"),
    [("32", None, False), ("auto", None, True), ("bf16-mixed", None, True), ("bf16-mixed", 1.0, False), ("auto", 1.0, True)],
)
def test_adam_is_fused_where_numbers_are_not_those_of_earlier_runs_and_clipping_allows_it(tmp_path, on, precision, clip, fused):
    on("float32")
    train(tmp_path, precision=precision, gradient_clip_val=clip)
    assert bool(adam_of(tmp_path / LAST)) is fused


def test_adams_state_stays_as_it_began(tmp_path, on):
    on("float32")
    train(tmp_path, precision="32")
    train(tmp_path, 2, tmp_path / LAST, precision="auto")
    assert not adam_of(tmp_path / LAST)
