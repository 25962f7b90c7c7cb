"""Backends: ONNX Runtime's numbers are the network's, graphs are kept whole, the choice is a pure function, and what cannot be is refused."""

import copy
import hashlib
import itertools
import json
import logging
import os
import sys

import numpy as np
import pytest
import torch

from models import backends, onnx_windows
from models.backends import INT8, ONNX, TORCH, Chooser, Measured, choose, with_backend
from models.errors import ConfigError
from models.maest import MAEST
from models.onnx_windows import on_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MAEST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def net():
    torch.manual_seed(0)
    return MAEST(input_t=125, n_classes=7, embed_dim=32, depth=2, num_heads=4).eval()


@pytest.fixture
def x():
    return torch.randn(3, 96, 125, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("seconds", "difference", "wanted"),
    [
        ({TORCH: 2.0, ONNX: 1.0, INT8: 0.5}, 0.001, INT8),
        ({TORCH: 2.0, ONNX: 1.0, INT8: 0.5}, 0.5, ONNX),
        ({TORCH: 2.0, ONNX: 1.0, INT8: 0.5}, float("nan"), ONNX),
        ({TORCH: 1.0, ONNX: 2.0, INT8: 3.0}, 0.0, TORCH),
        ({TORCH: 1.0}, 0.0, TORCH),
    ],
)
def test_the_choice(seconds, difference, wanted):
    assert choose(seconds, difference) == wanted


@torch.no_grad()
def test_the_numbers_are_the_networks_and_all_else_is_its_own(net, x):
    backed = with_backend(net, ONNX)
    for got, wanted in (
        (backed.window_probabilities(x), net.window_probabilities(x)),
        (backed.window_logits(x), net.window_logits(x)),
        *zip(backed.summaries(x, [1, 0]), net.summaries(x, [1, 0])),
    ):
        assert (got - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    assert backed.label_names == net.label_names
    assert backed.saved_settings == net.saved_settings


def test_8_bits_say_how_far_they_are_and_do_not_hang_on_neighbours(net, x, caplog):
    backed = with_backend(net, INT8)
    with caplog.at_level(logging.WARNING):
        together = backed.window_probabilities(x)
    assert "on the first window its numbers differ from float32's by at most 0.0" in caplog.text
    assert torch.equal(backed.window_probabilities(x[1:2]), together[1:2])


def test_graphs_are_kept_by_weights_and_written_again_where_they_are_not_whole(net, x, cache):
    with_backend(net, ONNX).window_probabilities(x)
    (kept,) = (cache / "graphs").glob("*.onnx")
    written = kept.stat().st_mtime_ns
    with_backend(net, ONNX).window_probabilities(x)
    assert [path.name for path in (cache / "graphs").iterdir()] == [kept.name]
    kept.write_bytes(kept.read_bytes()[:-10])
    wanted = with_backend(net, ONNX).window_probabilities(x)
    assert hashlib.sha256(kept.read_bytes()).hexdigest()[:32] == kept.stem.rpartition("-")[2]
    assert kept.stat().st_mtime_ns != written
    with torch.no_grad():
        net.head[1].bias += 1
    assert (with_backend(net, ONNX).window_probabilities(x) > wanted).all()
    assert len(list((cache / "graphs").iterdir())) == 2


@torch.no_grad()
@pytest.mark.parametrize("damage", ["bytes", "numbers", "folder", "pipe"])
def test_a_graph_that_is_damaged_is_written_anew(net, x, cache, damage):
    wanted = with_backend(net, ONNX).window_probabilities(x)
    (graph,) = (cache / "graphs").glob("*.onnx")
    if damage == "bytes":
        graph.write_bytes(b"\x07" * graph.stat().st_size)
    elif damage == "numbers":
        content = onnx.load(graph)
        for one in content.graph.initializer:
            one.raw_data = bytes(len(one.raw_data))
        graph.write_bytes(content.SerializeToString())
    else:
        graph.unlink()
        graph.mkdir() if damage == "folder" else os.mkfifo(graph)
    assert torch.equal(with_backend(net, ONNX).window_probabilities(x), wanted)
    assert graph.is_file() or damage in ("folder", "pipe")


def test_no_more_graphs_stay_than_are_meant_to(net, x, cache, monkeypatch):
    monkeypatch.setattr(onnx_windows, "KEPT", 2)
    for _ in range(4):
        with torch.no_grad():
            net.head[1].bias += 1
        with_backend(net, ONNX).window_probabilities(x)
    assert len(list((cache / "graphs").iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_no_fault(net, x, cache, caplog):
    cache.write_text("a file where a folder is wanted")
    assert with_backend(net, ONNX).window_probabilities(x).shape == (3, 7)
    assert "The graph is not kept" in caplog.text


@pytest.mark.parametrize("backend", [ONNX, INT8])
def test_what_cannot_be_is_refused(net, x, backend, monkeypatch):
    with pytest.raises(ConfigError, match=f"backend={backend} computes as a network in eval mode"):
        with_backend(net.train(), backend)
    backed = with_backend(net.eval(), backend)
    with pytest.raises(ConfigError, match=r"takes windows of \[96, 125\], and these are \[96, 60\]"):
        backed.window_probabilities(x[..., :60])
    with pytest.raises(ConfigError, match="Vectors in time are not computed"):
        backed.moments(x, [0])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=f"backend={backend} needs onnx and onnxruntime .*pip install 'maest"):
        with_backend(net, backend)


def test_graphs_are_kept_unless_they_are_not_wanted(net, x, cache):
    wanted = net.window_probabilities(x)
    assert (on_onnx(net, ONNX, kept=False).window_probabilities(x) - wanted).abs().max() < 1e-5
    assert not cache.exists()
    on_onnx(net, ONNX).window_probabilities(x)
    assert len(list((cache / "graphs").glob("*.onnx"))) == 1


def test_unknown_backends_are_refused_with_the_nearest(net):
    with pytest.raises(ConfigError, match="no backend 'onnx-int'.*onnx-int8"):
        with_backend(net, "onnx-int")


def test_auto_tries_once_and_remembers(net, x, cache, monkeypatch):
    monkeypatch.setattr(backends, "UNTRIED_SECONDS", 0.0)
    monkeypatch.setattr(backends, "SMALL", 0.0)
    said = []
    first = Chooser(net, 100, said.append)
    assert (first(x) - net.window_probabilities(x)).abs().max() < 0.02
    file = first._file()
    kept = json.loads(file.read_text())
    assert kept["backend"] == first.backend in (TORCH, ONNX, INT8)
    assert set(kept["seconds"]) == {TORCH, ONNX, INT8}
    monkeypatch.setattr(backends, "_timed", lambda *args: pytest.fail("measured again"))
    again = Chooser(net, 1, said.append)
    assert np.isfinite(again(x).detach().numpy()).all()
    assert said == [str(Measured(**kept))] * 2
    monkeypatch.setattr(backends, "weights_sha256", lambda network: pytest.fail("hashed, and it is known"))
    monkeypatch.setattr(onnx_windows, "weights_sha256", lambda network: pytest.fail("hashed, and it is known"))
    known = Chooser(net, 1, said.append, sha256=first._sha256)
    assert torch.equal(known(x), again(x))
    file.write_text("{")
    assert Chooser(net, 1, sha256=first._sha256)._remembered() is None


@pytest.mark.parametrize("moved", ["processor", "instructions"])
def test_what_was_measured_elsewhere_does_not_count(net, x, monkeypatch, moved):
    """Folders of users are shared by machines: a choice is that of the processor it was made on."""
    monkeypatch.setattr(backends, "UNTRIED_SECONDS", 0.0)
    monkeypatch.setattr(backends, "SMALL", 0.0)
    Chooser(net, 100)(x)
    assert Chooser(net, 100)._remembered() is not None
    assert backends._seconds_of(backends._costs_file())
    monkeypatch.setattr(backends, moved, lambda: "another")
    assert Chooser(net, 100)._remembered() is None
    assert not backends._seconds_of(backends._costs_file())


@pytest.mark.parametrize(
    ("per_parameter", "windows", "tried"),
    [(None, 4, False), (None, 1000, True), (1e-9, 4, True), (1e-9, 2, False), (1.0, 1000, False)],
)
def test_a_trial_is_worth_what_the_last_one_took(net, x, cache, monkeypatch, per_parameter, windows, tried):
    """Torch takes a second for a window: a job of 4 is not held up where nothing is known, and is where writing graphs takes no time."""
    monkeypatch.setattr(backends, "SMALL", 0.0)
    clock = itertools.count()
    monkeypatch.setattr(backends.time, "perf_counter", lambda: float(next(clock)))
    if per_parameter is not None:
        backends._keep_json(backends._costs_file(), {"maest": per_parameter})
    chooser = Chooser(net, windows)
    chooser(x)
    assert bool(list((cache / "graphs").glob("*.onnx")) if (cache / "graphs").exists() else []) == tried
    if tried:
        parameters = sum(p.numel() for p in net.parameters())
        assert backends._seconds_of(backends._costs_file())["maest"] == pytest.approx(1.0 / parameters)


def test_jobs_add_up_to_a_trial(net, x, cache, monkeypatch):
    """Torch takes a second for a window, 4 s for a job: with the third (but its first window) they are the 10 s that a first trial is worth."""
    monkeypatch.setattr(backends, "SMALL", 0.0)
    clock = itertools.count()
    monkeypatch.setattr(backends.time, "perf_counter", lambda: float(next(clock)))
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.norm.weight += 0.1
    Chooser(other, 4)(x)  # another network's jobs do not count
    tried = []
    for _ in range(3):
        chooser = Chooser(net, 4)
        chooser(x)
        tried.append(chooser._file().exists())
    assert tried == [False, False, True]
    kept = backends._seconds_of(backends._torch_file())
    assert list(kept) == [Chooser(other, 4)._file().stem]  # what is decided is no longer counted
    backends._torch_file().write_text('{"a": "b"')
    assert backends._seconds_of(backends._torch_file()) == {}


def test_a_burst_on_a_close_one_is_timed_again(net, x):
    seconds = {TORCH: [2.2, 2.0], ONNX: [2.3, 1.2], INT8: [1.9]}
    times = {name: found.pop(0) for name, found in seconds.items()}

    def timed(name, one):
        return seconds[name].pop(0), None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "_timed", timed)
        backends._time_again({name: name for name in times}, x, times, difference=0.5)
    assert times == {TORCH: 2.0, ONNX: 1.2, INT8: 1.9}  # 8 bits are too far off to be chosen: they are not timed again
    assert choose(times, 0.5) == ONNX


@pytest.mark.parametrize("small", [0.0, 1e8])
def test_auto_does_not_hold_up_what_is_soon_through(net, x, cache, small, monkeypatch):
    monkeypatch.setattr(backends, "SMALL", small)
    few = Chooser(net, 3)
    torch.testing.assert_close(few(x), net.window_probabilities(x), rtol=1e-5, atol=1e-6)
    assert few.backend == TORCH
    assert not (cache / "graphs").exists()


@pytest.mark.slow
def test_a_network_that_reads_samples_goes_through_torchs_exporter():
    from models.clmr import SampleCNN

    torch.manual_seed(0)
    net = SampleCNN([4, 4, 6, 6, 8], (3, 2, 3), out_dim=2).eval()
    wave = torch.randn(2, net.window_length) * 0.1
    with torch.no_grad():
        for backend, most in ((ONNX, 1e-5), (INT8, 0.05)):
            backed = with_backend(net, backend)
            wanted = net.window_probabilities(wave)
            assert (backed.window_probabilities(wave) - wanted).abs().max() <= most
            (got,), (summary,) = (one.summaries(wave, [net.depth - 1]) for one in (backed, net))
            assert (got - summary).abs().max() <= most * max(1, summary.abs().max())
