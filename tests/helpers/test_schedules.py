"""Schedules against the golden curves, and their limits."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.schedules import as_multiplier, cosine_cycle, exp_warmup_linear_down, tri_stage, warmup_cosine


@pytest.mark.parametrize(
    ("key", "multiplier"),
    [
        ("exp_lin__warmup5_rampdown_len50_start50_last0.01", exp_warmup_linear_down(5, 50, 50, 0.01)),
        ("tl_exp_lin__warmup10_rampdown_len50_start10_last1e-7", exp_warmup_linear_down(10, 50, 10, 1e-7)),
        ("cos_cyc__cycle5_start50_last0.01", cosine_cycle(5, 50, 0.01)),
        ("cosine_cycle_defaults_20_100_0.01", cosine_cycle(20, 100, 0.01)),
    ],
)
def test_curves_of_the_reference(fixtures, key, multiplier):
    golden = json.loads((fixtures / "maest" / "lr_schedules.json").read_text())
    np.testing.assert_allclose([multiplier(e) for e in golden["epochs"]], golden[key], atol=1e-12)


@pytest.mark.parametrize("epochs", [60, 30])
def test_the_probes_curve(fixtures, epochs):
    want = np.load(fixtures / "clmr" / "probe_maest.npz")[f"lr_factor_{epochs}_epochs"]
    f = exp_warmup_linear_down(warmup=10, rampdown=epochs - 10, start=10, last=1e-7)
    np.testing.assert_allclose([f(e) for e in range(len(want))], want, atol=1e-12)


def test_warmup_cosine_at_known_updates():
    at = {0: 3.3333333333333333e-06, 29: 1e-4, 30: 1e-4, 200: 5.63945400963566e-05, 390: 2.799454473008002e-07, 400: 1e-07}
    got = {i: warmup_cosine(i, warmup=30, total=400, peak=1e-4, floor=1e-7) for i in at}
    np.testing.assert_allclose(list(got.values()), list(at.values()), rtol=1e-12)
    assert warmup_cosine(10_000, 30, 400, 1e-4, 1e-7) == 1e-7  # it does not climb again


def test_tri_stage_at_known_updates():
    at = {0: 5e-06, 6000: 0.0002525, 12000: 5e-4, 200000: 5e-4, 372000: 5e-4, 386000: 5e-5, 400000: 5e-6, 500000: 5e-6}
    np.testing.assert_allclose([tri_stage(i, peak=5e-4, total=400_000) for i in at], list(at.values()), rtol=1e-9)


def test_as_multiplier_divides_by_the_peak():
    f = as_multiplier(warmup_cosine, 1e-3, warmup=10, total=100, floor=0.0)
    assert f(9) == pytest.approx(1.0)
    assert f(55) == pytest.approx(0.5)


@given(st.integers(0, 40), st.integers(0, 80), st.integers(0, 80), st.floats(0, 1), st.integers(0, 300))
def test_the_multiplier_stays_between_0_and_1(warmup, rampdown, start, last, epoch):
    assert 0.0 <= exp_warmup_linear_down(warmup, rampdown, start, last)(epoch) <= 1.0


@given(st.integers(1, 40), st.integers(1, 100), st.floats(0, 1), st.integers(0, 300))
def test_cycles_stay_between_last_and_1(cycle, start, last, epoch):
    assert last - 1e-12 <= cosine_cycle(cycle, start, last)(epoch) <= 1.0 + 1e-12


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: exp_warmup_linear_down(-1, 50, 50, 0.01),
        lambda: exp_warmup_linear_down(5, 50, 50, 1.5),
        lambda: cosine_cycle(0, 50, 0.01),
        lambda: cosine_cycle(5, 50, -0.1),
        lambda: warmup_cosine(0, warmup=10, total=10, peak=1e-4, floor=0.0),
        lambda: tri_stage(0, 1e-4, 100, stages=(0.5, 0.5, 0.5)),
        lambda: as_multiplier(warmup_cosine, 1e-3, warmup=10, total=5, floor=0.0),
    ],
)
def test_impossible_settings_are_refused_when_made(wrong):
    with pytest.raises(ValueError, match=r"\d"):
        wrong()
