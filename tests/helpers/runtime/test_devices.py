"""What "auto" means, and what is refused, for GPUs and CPUs that this machine need not have."""

import json
from types import SimpleNamespace

import pytest
import torch

from helpers.runtime import devices
from models.errors import ConfigError


@pytest.fixture
def gpus(monkeypatch):
    def have(n, bf16=True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)

    return have


def test_auto_takes_a_gpu_where_there_is_one(gpus):
    gpus(0)
    assert devices.resolve_accelerator("auto") == "cpu"
    gpus(1)
    assert devices.resolve_accelerator("auto") == "gpu"
    assert devices.resolve_accelerator("cpu") == "cpu"
    assert devices.resolve_accelerator("cuda", "auto") == "gpu"


@pytest.mark.parametrize(("n", "asked"), [(0, 1), (0, "auto"), (0, -1), (1, 2), (2, [0, 2])])
def test_an_absent_gpu_is_said(gpus, n, asked):
    gpus(n)
    with pytest.raises(ConfigError, match=rf"sees {n} here.*accelerator=cpu"):
        devices.resolve_accelerator("gpu", asked)


def test_unknown_names_are_refused(gpus):
    with pytest.raises(ConfigError, match="tpux"):
        devices.resolve_accelerator("tpux")
    with pytest.raises(ConfigError, match=r"bf16-mixd.*Did you mean 'bf16-mixed'"):
        devices.resolve_precision("bf16-mixd")


def test_precisions_by_name():
    asked = (32, "32", "16", "bf16", "32-true", "bf16-mixed")
    assert [devices.resolve_precision(p) for p in asked] == [
        "32-true",
        "32-true",
        "bf16-mixed",
        "bf16-mixed",
        "32-true",
        "bf16-mixed",
    ]
    assert devices.resolve_precision("16-mixed", "gpu") == "16-mixed"
    assert devices.resolve_precision("32-onednn", "gpu") == "32-true"
    assert [devices.lightning_precision(p) for p in ("32-onednn", "32-true", "bf16-mixed")] == [
        "32-true",
        "32-true",
        "bf16-mixed",
    ]


def test_float32_through_onednn_needs_it(monkeypatch):
    monkeypatch.setattr(devices, "has_onednn", lambda: False)
    with pytest.raises(ConfigError, match="choose 32"):
        devices.resolve_precision("32-onednn")


@pytest.mark.parametrize("fast", ["float32", "onednn", "bfloat16"])
def test_auto_follows_the_machines_figures(fast, tmp_path, monkeypatch, caplog):
    """MAEST_MACHINE names a file of figures; one line of the log says what was chosen and why."""
    caplog.set_level("INFO")
    path = tmp_path / "figures.json"
    ways = ("float32", "onednn", "bfloat16")
    seconds = {f"layer-96/{way}/{use}": 1.0 if way == fast else 3.0 for way in ways for use in ("inference", "training")}
    path.write_text(
        json.dumps({"seconds": {**seconds, "convolution/float32/inference": 1.0, "convolution/bfloat16/inference": 2.0}})
    )
    monkeypatch.setenv("MAEST_MACHINE", str(path))
    devices._say.cache_clear()
    want = {"float32": "32-true", "onednn": "32-onednn", "bfloat16": "bf16-mixed"}[fast]
    network = SimpleNamespace(embed_dim=96)
    for _ in range(2):
        assert devices.resolve_precision("auto", "cpu", devices.work_of(network), training=True) == want
    assert sum(want in r.message and "layer-96" in r.message for r in caplog.records) == 1
    convolutional = devices.work_of(SimpleNamespace(encoder=SimpleNamespace(embed_dim=96, work="convolution")))
    assert devices.resolve_precision("auto", "cpu", convolutional) == "32-true"
    with pytest.raises(ValueError, match="work is 'recurrence'; its time goes into layer, convolution or filters"):
        devices.work_of(SimpleNamespace(embed_dim=96, work="recurrence"))
    assert devices.resolve_precision("bf16", "cpu", "layer-96") == "bf16-mixed"  # what is asked for by name is obeyed


def test_inference_runs_under_what_was_asked_for():
    layer = torch.nn.Linear(4, 4)
    x = torch.randn(2, 4)
    wanted = {"32": torch.float32, "32-onednn": torch.float32, "bf16-mixed": torch.bfloat16, "auto": torch.float32}
    for precision, dtype in wanted.items():
        with torch.inference_mode(), devices.autocast("cpu", precision):
            assert layer(x).dtype == dtype
    assert layer(x).dtype == torch.float32


@pytest.mark.parametrize(
    ("strategy", "n", "nodes", "want"),
    [
        ("auto", 1, 1, "auto"),
        ("ddp", 1, 1, "auto"),
        ("ddp_find_unused_parameters_true", [0], 1, "auto"),
        ("auto", 2, 1, "ddp_find_unused_parameters_true"),
        ("ddp", [0, 1], 1, "ddp_find_unused_parameters_true"),
        ("ddp", 1, 2, "ddp_find_unused_parameters_true"),
        ("ddp_find_unused_parameters_false", 2, 1, "ddp_find_unused_parameters_false"),
    ],
)
def test_one_process_needs_no_strategy(strategy, n, nodes, want):
    assert devices.resolve_strategy(strategy, n, nodes) == want


def test_strategies_that_split_weights_are_refused():
    for n in (1, 2):
        with pytest.raises(ConfigError, match=r"fsdp.*trainer.strategy=ddp.*accumulate_grad_batches"):
            devices.resolve_strategy("fsdp", n, 1)


def test_numbers_of_devices(gpus):
    gpus(3)
    assert devices.resolve_devices("auto", "gpu") == 3
    assert devices.resolve_devices(-1, "gpu") == 3
    assert devices.resolve_devices("auto", "cpu") == 1
    assert devices.resolve_devices("2", "cpu") == 2
    assert devices.resolve_devices([0, 2], "gpu") == [0, 2]
    for wrong in (0, "two", [], -2):
        with pytest.raises(ConfigError, match="devices is"):
            devices.resolve_devices(wrong, "gpu")
