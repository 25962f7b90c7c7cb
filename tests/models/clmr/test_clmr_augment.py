"""The augmentation chain: each effect by spectrum, level and length, probabilities and ranges, and independence of the batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.clmr import effects
from models.clmr.augment import DELAYS_MS, STEPS, Augmentation, apply, draw, in_words, unchanged
from models.errors import ConfigError
from models.randomness import Randomness

RATE, N = 22050, 59049


def tone(hz: float, n: int = N, level: float = 0.5) -> torch.Tensor:
    return (level * torch.sin(2 * torch.pi * hz * torch.arange(n, dtype=torch.float64) / RATE)).float()


def noise(rows: int, n: int = N, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.1, (rows, n)).astype(np.float32))


def peak_hz(x: torch.Tensor) -> float:
    spectrum = torch.fft.rfft(x * torch.hann_window(len(x)), 8 * len(x)).abs()
    return float(spectrum.argmax()) * RATE / (8 * len(x))


def gain_at(filtered, hz: float) -> float:
    """Gain of a filter at a frequency, in the middle of a tone."""
    middle = slice(N // 3, 2 * N // 3)
    return float(filtered(tone(hz))[middle].std() / tone(hz)[middle].std())


# ---- effects
def test_polarity_and_noise():
    x = noise(2)
    assert torch.equal(apply(x, replace(unchanged(2), sign=np.array([-1.0, 1.0])), RATE), x * torch.tensor([[-1.0], [1.0]]))
    loud = apply(x, replace(unchanged(2), noise=np.array([0.0, 0.01]), noise_seed=np.array([1, 2])), RATE)
    assert torch.equal(loud[0], x[0])
    assert float((loud[1] - x[1]).std() / x[1].std()) == pytest.approx(0.01, rel=0.02)


def test_gain_is_in_db_and_clamps():
    x = noise(1)
    assert float(effects.gain(x, torch.tensor([[-6.0206]])).std() / x.std()) == pytest.approx(0.5, rel=1e-4)
    assert effects.gain(x * 20, torch.tensor([[-1.0]])).abs().max() == 1


def test_filters_pass_stop_and_halve_at_their_cutoff():
    for cutoff in (200.0, 1200.0, 4000.0):
        assert gain_at(lambda x, c=cutoff: effects.low_pass(x, c, RATE), cutoff) == pytest.approx(0.5, abs=0.02)
        assert gain_at(lambda x, c=cutoff: effects.high_pass(x, c, RATE), cutoff) == pytest.approx(0.5, abs=0.02)
    assert gain_at(lambda x: effects.low_pass(x, 2200.0, RATE), 1000.0) == pytest.approx(1, abs=0.01)
    assert gain_at(lambda x: effects.low_pass(x, 2200.0, RATE), 5000.0) < 0.01
    assert gain_at(lambda x: effects.high_pass(x, 1200.0, RATE), 300.0) < 0.01
    x = noise(1)[0]
    torch.testing.assert_close(effects.low_pass(x, 900.0, RATE) + effects.high_pass(x, 900.0, RATE), x, atol=1e-6, rtol=0)
    with pytest.raises(ConfigError, match="between 0 and"):
        effects.low_pass(x, 12000.0, RATE)


def test_delay_of_an_impulse():
    x = torch.zeros(1, N)
    x[0, 0] = 1
    y = effects.delay(x, 200, RATE)
    assert y[0, 0] == 0.5
    assert y[0, 4410] == 0.25
    assert int((y != 0).sum()) == 2
    assert torch.equal(effects.delay(x[:, :100], 450, RATE), x[:, :100] / 2)  # the echo lies behind the end


def recursive_reverb(x: np.ndarray, reverberance: int, damping: int, room: int) -> np.ndarray:
    """Freeverb's recursions, sample by sample: the mean of two channels, as SoX gives it (test_sox.py)."""
    feedback, kept, scale = 1 - 0.7 * (0.02 / 0.7) ** (reverberance / 100), 0.2 + 0.3 * damping / 100, 0.1 + 0.9 * room / 100
    both = np.zeros_like(x)
    for spread in (0, 12):
        wet = np.zeros_like(x)
        for k, samples in enumerate(effects.COMBS):
            delay = int((samples + (-1) ** k * spread) * scale * RATE / 44100 + 0.5)
            line, at, low = np.zeros(delay), 0, 0.0
            for n, value in enumerate(x):
                out = line[at]
                low = out * (1 - kept) + low * kept
                line[at] = value + low * feedback
                at = (at + 1) % len(line)
                wet[n] += out
        for k, samples in enumerate(effects.ALL_PASSES):
            line, at = np.zeros(int((samples + (-1) ** k * spread) * RATE / 44100 + 0.5)), 0
            for n, value in enumerate(wet.copy()):
                held = line[at]
                wet[n] = held - value
                line[at] = value + held * 0.5
                at = (at + 1) % len(line)
        both += wet / 2
    return x + effects.WET * both


@pytest.mark.parametrize("settings", [(0, 0, 0), (99, 0, 99), (50, 80, 20)])
def test_reverb_is_freeverbs_recursion(settings):
    x = np.zeros(3000)
    x[:200] = np.random.default_rng(1).normal(0, 0.3, 200)
    got = effects.reverb(torch.from_numpy(x[None].astype(np.float32)), *([s] for s in settings), RATE)[0].numpy()
    np.testing.assert_allclose(got, recursive_reverb(x, *settings), atol=1e-3)
    np.testing.assert_allclose(got[:200], recursive_reverb(x, *settings)[:200], atol=1e-4)


def test_more_reverberance_rings_longer():
    x = torch.zeros(1, N)
    x[0, 0] = 1
    tails = [float(effects.reverb(x, [r], [50], [99], RATE)[0, 20000:].square().sum()) for r in (0, 50, 99)]
    assert tails[0] < tails[1] / 10 < tails[2] / 100


# ---- the chain
def test_defaults_are_the_published_configuration():
    s = Augmentation()
    assert [getattr(s, name) for name in STEPS] == [0.8, 0.01, 0.3, 0.8, 0.3, 0.6, 0.6]
    assert (s.noise_min, s.noise_max, s.gain_min, s.gain_max, s.pitch_cents) == (1e-4, 1e-2, -20, -1, 700)
    from configs import SSL

    readme = Augmentation(**SSL["library_readme"].values["augment"])
    assert [getattr(readme, name) for name in STEPS] == [0.8, 0.3, 0.2, 1.0, 0.5, 0.4, 0.3]


def test_what_is_drawn_has_the_probabilities_and_ranges():
    n = 4000
    plan = draw(Augmentation(noise=0.5), Randomness(0).items(range(n), "augment 0"))
    filtered = ~np.isnan(plan.high_pass) | ~np.isnan(plan.low_pass)
    shares = [plan.sign < 0, plan.noise > 0, ~np.isnan(plan.gain), filtered, plan.delay > 0, plan.cents != 0, plan.reverb]
    for share, wanted in zip(shares, (0.8, 0.5, 0.3, 0.8, 0.3, 0.6, 0.6)):
        assert share.mean() == pytest.approx(wanted, abs=0.03)
    assert np.isnan(plan.high_pass[filtered]).mean() == pytest.approx(0.5, abs=0.04)
    assert (np.nanmin(plan.high_pass), np.nanmax(plan.high_pass)) == pytest.approx((200, 1200), abs=10)
    assert (np.nanmin(plan.low_pass), np.nanmax(plan.low_pass)) == pytest.approx((2200, 4000), abs=10)
    assert (np.nanmin(plan.gain), np.nanmax(plan.gain)) == pytest.approx((-20, -1), abs=0.2)
    assert (plan.cents.min(), plan.cents.max()) == (-700, 700)
    assert set(plan.delay.tolist()) == {0, *DELAYS_MS}
    for values in (plan.reverberance, plan.damping, plan.room):
        assert (values.min(), values.max()) == (0, 99)


def test_another_probability_leaves_the_other_draws_alone():
    streams = lambda: Randomness(3).items(range(50), "augment 0")  # noqa: E731
    a, b = draw(Augmentation(), streams()), draw(Augmentation(reverb=0.0, noise=1.0), streams())
    for name in ("sign", "gain", "high_pass", "low_pass", "delay", "cents"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert not b.reverb.any()


def test_items_are_augmented_alike_in_any_batch():
    """1 x 8 == 2 x 4: by the draw, not by the place in the batch."""
    x, rng, settings = noise(8, 6000), Randomness(5, epoch=2), Augmentation(noise=0.5, delay=0.8)
    whole = apply(x, draw(settings, rng.items(range(8), "augment 0")), RATE)
    halves = [apply(x[k : k + 4], draw(settings, rng.items(range(k, k + 4), "augment 0")), RATE) for k in (0, 4)]
    torch.testing.assert_close(torch.cat(halves), whole, atol=1e-6, rtol=0)
    other_view = apply(x, draw(settings, rng.items(range(8), "augment 1")), RATE)
    other_epoch = apply(x, draw(settings, Randomness(5, epoch=3).items(range(8), "augment 0")), RATE)
    for other in (other_view, other_epoch):
        assert (other - whole).abs().amax(1).gt(1e-3).sum() >= 7


def test_nothing_is_changed_in_place_and_length_stays():
    x = noise(6)
    before = x.clone()
    y = apply(x, draw(Augmentation(), Randomness(1).items(range(6), "augment 0")), RATE)
    assert torch.equal(x, before)
    assert y.shape == x.shape
    assert torch.isfinite(y).all()
    assert torch.equal(apply(x, unchanged(6), RATE), x)


def test_silence_stays_silent():
    y = apply(torch.zeros(8, 5000), draw(Augmentation(noise=1.0), Randomness(2).items(range(8), "augment 0")), RATE)
    assert y.abs().max() < 1e-6


def test_plans_in_words():
    plan = replace(unchanged(1), gain=np.array([-7.0]), delay=np.array([250]), cents=np.array([-120]))
    assert in_words(plan, 0) == "-7.0 dB, delay 250 ms, pitch -120 cents"
    assert in_words(unchanged(1), 0) == "nothing"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pitch": 1.5}, "augment.pitch"),
        ({"gain_min": 0.0}, "gain_min"),
        ({"pitch_cents": 2000}, "octave"),
        ({"noise_min": -1.0}, "noise_min"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        Augmentation(**settings)
