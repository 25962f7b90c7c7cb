"""The probe: what it measures and leaves alone. How fast anything is, is not tested."""

import pytest
import torch

from helpers.runtime import probe, settling

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(probe, "_WORK", 1)
    monkeypatch.setattr(settling, "ROUNDS", (1, 1))
    monkeypatch.setattr(settling, "PASSES", 1)


@pytest.mark.parametrize(
    "kind", ["layer-64", "attention-bfloat16-16", "attention-float32-16", probe.CONVOLUTION, probe.FILTERS, probe.PRODUCT]
)
def test_figures_of_a_kind(small, kind):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.inference_mode():
        found, unsettled = probe.measure([kind], CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert found
    assert unsettled == {kind}  # one pass proves nothing
    assert all(name.startswith(f"{kind}/") and name.count("/") == 2 and s > 0 for name, s in found.items())
    for way in {name.split("/")[1] for name in found}:
        assert found[f"{kind}/{way}/inference"] <= found[f"{kind}/{way}/training"]
    if kind == "layer-64":
        assert {name.split("/")[1] for name in found} == set(probe.ways_of(CPU))
