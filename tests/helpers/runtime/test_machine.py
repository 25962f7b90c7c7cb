"""A machine's figures in the cache: measured once, refused when damaged or foreign, harmless where they cannot be kept, overridden by a variable."""

import json
import threading

import pytest
import torch

from helpers.runtime import machine, probe
from models import processor
from models.errors import ConfigError

CPU = torch.device("cpu")
WILD = {"layer-13"}  # kinds whose figures never settle


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """An empty cache, and the kinds that were measured."""
    kinds = []

    def measure(asked, device):
        kinds.extend(asked)
        return {f"{kind}/float32/training": 0.5 + len(kinds) for kind in asked}, {kind for kind in asked if kind in WILD}

    monkeypatch.delenv(machine.VARIABLE, raising=False)
    monkeypatch.setenv("MAEST_CACHE", str(tmp_path / "cache"))
    anew(monkeypatch)
    monkeypatch.setattr(probe, "measure", measure)
    return kinds


def anew(monkeypatch):
    """As another process begins."""
    monkeypatch.setattr(machine, "_measured", {})
    monkeypatch.setattr(machine, "_unsettled", {})


def kept(tmp_path):
    (path,) = (tmp_path / "cache").iterdir()
    return path


def test_a_kind_is_measured_once(measured, tmp_path, monkeypatch):
    first = dict(machine.figures(("layer-768",), CPU))
    assert machine.figures(("layer-768",), CPU) == first
    anew(monkeypatch)
    assert machine.figures(("layer-768",), CPU) == first
    both = machine.figures(("layer-768", "convolution"), CPU)
    assert measured == ["layer-768", "convolution"]
    anew(monkeypatch)
    assert machine.figures(("convolution",), CPU) == both
    about = json.loads(kept(tmp_path).read_text())["about"]
    assert about["torch"] == torch.__version__
    assert about["threads"] == torch.get_num_threads()


def test_other_threads_or_torch_are_another_machine(measured, monkeypatch):
    machine.figures(("layer-768",), CPU)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    machine.figures(("layer-768",), CPU)
    monkeypatch.setattr(torch, "__version__", "99.0")
    machine.figures(("layer-768",), CPU)
    monkeypatch.setattr(processor, "_cpuinfo", lambda: {"model name": "Processor", "flags": "sse avx"})
    machine.figures(("layer-768",), CPU)
    monkeypatch.setattr(processor, "_cpuinfo", lambda: {"model name": "Processor", "flags": "avx sse"})
    machine.figures(("layer-768",), CPU)
    monkeypatch.setattr(processor, "_cpuinfo", lambda: {"model name": "Processor", "flags": "sse avx amx_bf16"})  # it moved
    machine.figures(("layer-768",), CPU)
    assert len(measured) == 5


def test_figures_that_did_not_settle_are_not_kept(measured, tmp_path, monkeypatch, caplog):
    (wild,) = WILD
    assert set(machine.figures((wild, "layer-768"), CPU)) == {"layer-768/float32/training"}
    assert machine.unsettled(CPU) == WILD
    assert wild in caplog.text
    machine.figures((wild,), CPU)
    assert measured == [wild, "layer-768"]  # once in this process
    assert set(json.loads(kept(tmp_path).read_text())["seconds"]) == {"layer-768/float32/training"}
    anew(monkeypatch)
    assert not machine.unsettled(CPU)
    machine.figures((wild, "layer-768"), CPU)
    assert measured == [wild, "layer-768", wild]  # and again in the next


def test_a_machine_is_measured_again_when_that_is_asked_for(measured, monkeypatch):
    first = dict(machine.figures(("layer-768",), CPU))
    anew(monkeypatch)
    monkeypatch.setenv(machine.VARIABLE, machine.REMEASURE)
    for _ in range(2):
        second = dict(machine.figures(("layer-768",), CPU))
        assert second != first
    assert measured == 2 * ["layer-768"]  # once in a process
    anew(monkeypatch)
    monkeypatch.delenv(machine.VARIABLE)
    assert machine.figures(("layer-768",), CPU) == second  # what was found is kept


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\x00",
        b"[]",
        b"null",
        b'{"about": {}, "seconds": {"layer-768/float32/training": 1.0}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_or_foreign_file_does_not_count(measured, tmp_path, monkeypatch, caplog, content):
    machine.figures(("layer-768",), CPU)
    kept(tmp_path).write_bytes(content)
    anew(monkeypatch)
    machine.figures(("layer-768",), CPU)
    assert len(measured) == 2
    assert "measured again" in caplog.text
    anew(monkeypatch)
    machine.figures(("layer-768",), CPU)
    assert len(measured) == 2  # the file is whole again


@pytest.mark.parametrize("seconds", [0, -1, "1", None, True, [1], 1e999])
def test_figures_that_are_no_seconds_do_not_count(measured, tmp_path, monkeypatch, seconds):
    machine.figures(("layer-768",), CPU)
    content = json.loads(kept(tmp_path).read_text())
    content["seconds"]["layer-768/float32/training"] = seconds
    kept(tmp_path).write_text(json.dumps(content))
    anew(monkeypatch)
    machine.figures(("layer-768",), CPU)
    assert len(measured) == 2


def test_threads_that_ask_at_once_measure_once(measured):
    together = threading.Barrier(4)

    def ask():
        together.wait()
        machine.figures(("layer-768",), CPU)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert measured == ["layer-768"]


def test_a_cache_that_cannot_be_written_is_no_fault(measured, tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert machine.figures(("layer-768",), CPU)
    assert machine.figures(("layer-768",), CPU)
    assert measured == ["layer-768"]
    assert "cannot be kept" in caplog.text


def test_nothing_half_written_is_ever_read(measured, tmp_path, monkeypatch):
    about = machine.describe(CPU)
    path, stop, faults = tmp_path / "cache" / "machine.json", threading.Event(), []
    machine.write(path, about, {"a/b/c": 1.0})

    def look():
        while not stop.is_set():
            if machine.read(path, about) is None:
                faults.append(path.read_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    for n in range(50):
        machine.write(path, about, {f"a/{k}/c": 1.0 for k in range(20 * n + 1)})
    stop.set()
    thread.join()
    assert not faults


def test_the_variable_overrides(measured, tmp_path, monkeypatch):
    monkeypatch.setenv(machine.VARIABLE, "off")
    assert machine.figures(("layer-768",), CPU) == {}
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"seconds": {"layer-768/bfloat16/training": 0.25}}))
    monkeypatch.setenv(machine.VARIABLE, str(path))
    assert machine.figures(("layer-768",), CPU) == {"layer-768/bfloat16/training": 0.25}
    for content in ("{", "[]", '{"seconds": {"a": -1}}'):
        path.write_text(content)
        with pytest.raises(ConfigError, match=r"other\.json.*set off"):
            machine.figures(("layer-768",), CPU)
    path.unlink()
    with pytest.raises(ConfigError, match="MAEST_MACHINE"):
        machine.figures(("layer-768",), CPU)
    assert not measured
