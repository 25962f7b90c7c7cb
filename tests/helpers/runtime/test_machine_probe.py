"""The probe: what it measures and leaves alone. How fast anything is, is not tested."""

import pytest
import torch

from helpers.runtime import probe

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(probe, "_WORK", 1)
    monkeypatch.setattr(probe, "ROUNDS", (1, 1))


@pytest.mark.parametrize("kind", ["layer-64", "attention-bfloat16-16", "attention-float32-16", probe.CONVOLUTION, probe.PRODUCT])
def test_figures_of_a_kind(small, kind):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.inference_mode():
        found = probe.measure(kind, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert found
    assert all(name.startswith(f"{kind}/") and name.count("/") == 2 and s > 0 for name, s in found.items())
    for way in {name.split("/")[1] for name in found}:
        assert found[f"{kind}/{way}/inference"] <= found[f"{kind}/{way}/training"]
    if kind == "layer-64":
        assert {name.split("/")[1] for name in found} == set(probe.ways_of(CPU))


def test_a_hopeless_way_is_looked_at_once(monkeypatch):
    calls = {"good": [], "bad": [], "absent": []}

    def shots(share):
        def shot(way, seconds):
            calls[way].append(share)
            if way == "absent":
                raise RuntimeError("not implemented for this processor")
            return seconds * share, 2 * seconds * share

        return {way: (lambda way=way, s=s: shot(way, s)) for way, s in (("good", 1.0), ("bad", 100.0), ("absent", 1.0))}

    monkeypatch.setattr(probe, "ROUNDS", (2, 2))
    assert probe._least(shots) == {"good": (1.0, 2.0), "bad": (100.0, 200.0)}
    assert calls == {"good": [0.125, 0.125, 1.0, 1.0], "bad": [0.125, 0.125], "absent": [0.125]}
