"""What "auto" means, and what is refused, for GPUs and CPUs that this machine need not have."""

from pathlib import Path

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


def test_precisions(gpus, monkeypatch):
    gpus(1, bf16=True)
    assert devices.resolve_precision("auto", "gpu") == "bf16-mixed"
    gpus(1, bf16=False)
    assert devices.resolve_precision("auto", "gpu") == "16-mixed"
    assert devices.resolve_precision("16-mixed", "gpu") == "16-mixed"
    assert devices.resolve_precision("16-mixed", "cpu") == "bf16-mixed"
    asked = (32, "32", "16", "bf16")
    assert [devices.resolve_precision(p) for p in asked] == ["32-true", "32-true", "bf16-mixed", "bf16-mixed"]
    for fast in (True, False):
        monkeypatch.setattr(devices, "cpu_has_fast_bf16", lambda fast=fast: fast)
        assert devices.resolve_precision("auto", "cpu") == ("bf16-mixed" if fast else "32-true")


@pytest.mark.parametrize(
    ("flags", "fast"), [("fpu avx512_bf16 sse", True), ("amx_bf16", True), ("fpu avx2 avx512f avx512_vnni", False), ("", False)]
)
def test_fast_bf16_is_read_from_the_cpus_flags(monkeypatch, flags, fast):
    monkeypatch.setattr(devices.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(Path, "is_file", lambda self: True)
    monkeypatch.setattr(Path, "read_text", lambda self: f"processor\t: 0\nflags\t\t: {flags}\n")
    assert devices.cpu_has_fast_bf16() is fast


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
