"""Augmentation: what it does to each item, that it never touches its input, and that layouts of devices see the same."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ConfigError
from models.maest.augment import Masking, Mix, Roll, draw_mix, mask, roll
from models.randomness import Randomness

RNG = Randomness(seed=3, epoch=1, step=7)


def mels(b: int = 6, f: int = 16, t: int = 200) -> torch.Tensor:
    return 1.0 + torch.rand(b, f, t, generator=torch.Generator().manual_seed(b))


# ---- roll
def test_roll_shifts_each_item_by_its_own_number_of_frames():
    x = mels(8)
    got = roll(x, Roll(do=True, shift_range=50), range(8), RNG)
    shifts = []
    for before, after in zip(x, got):
        fits = [s for s in range(-50, 51) if torch.equal(torch.roll(before, s, -1), after)]
        assert len(fits) == 1
        shifts += fits
    assert len(set(shifts)) > 4


def test_roll_by_a_fixed_number_and_along_the_bands():
    x = mels()
    assert torch.equal(roll(x, Roll(do=True, shift=7), range(6), RNG), torch.roll(x, 7, -1))
    assert torch.equal(roll(x, Roll(do=True, axis=-2, shift=-3), range(6), RNG), torch.roll(x, -3, -2))


def test_rolls_reach_both_ends_of_their_range():
    x = torch.zeros(400, 1, 20)
    x[:, :, 5] = 1.0
    at = roll(x, Roll(do=True, shift_range=4), range(400), RNG)[:, 0].argmax(1) - 5
    assert sorted(set(at.tolist())) == list(range(-4, 5))


# ---- masking
def _runs(hidden: np.ndarray) -> list[int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_masks_are_whole_frames_and_bands_filled_with_zero():
    x = mels(32)
    got = mask(x, Masking(), range(32), RNG)
    zero = got == 0
    frames, bands = zero.all(1), zero.all(2)
    assert torch.equal(zero, frames[:, None, :] | bands[:, :, None])
    assert torch.equal(got[~zero], x[~zero])
    assert frames.any(1).float().mean() > 0.95
    assert bands.any(1).float().mean() > 0.9
    assert len({tuple(row.tolist()) for row in frames}) == 32  # every item has its own


def test_a_mask_is_0_to_its_parameter_minus_1_wide_all_equally_likely():
    one = Masking(time_masks=1, time_mask_param=8, freq_masks=0)
    got = mask(mels(4000, 2, 100), one, range(4000), RNG)
    hidden = (got == 0).all(1).numpy()
    widths = hidden.sum(1)
    counts = np.bincount(widths, minlength=8)  # torchaudio: floor(u * 8), u in [0, 1)
    assert len(counts) == 8
    assert (np.abs(counts / 4000 - 1 / 8) < 0.02).all()
    assert all(len(_runs(row)) <= 1 for row in hidden)
    assert hidden[:, 0].any()
    assert hidden[:, -1].any()


def test_no_time_mask_is_wider_than_its_share_of_the_clip():
    got = mask(mels(300, 4, 20), Masking(time_masks=1, time_mask_param=50, freq_masks=0, p=0.2), range(300), RNG)
    assert (got == 0).all(1).sum(1).max() == 3  # below 0.2 * 20


def test_masks_may_be_shared_by_the_batch():
    hidden = mask(mels(), Masking(iid_masks=False), range(6), RNG) == 0
    assert hidden.any()
    assert (hidden == hidden[:1]).all()
    other = mask(mels(), Masking(iid_masks=False), range(6, 12), RNG) == 0  # another process of the same step
    assert torch.equal(hidden, other)


def test_bands_fewer_than_a_mask_is_wide():
    got = mask(mels(50, 3, 40), Masking(freq_mask_param=9, time_masks=0), range(50), RNG)
    assert ((got == 0).all(2).sum(1) <= 3).all()


# ---- mixup
def test_mixing_is_what_it_says_for_inputs_and_targets():
    mix = draw_mix(0.3, range(6), RNG, None, torch.device("cpu"))
    assert ((mix.lam >= 0.5) & (mix.lam <= 1)).all()
    assert sorted(mix.partner.tolist()) == list(range(6))
    x, y = mels(), torch.eye(6)
    lam = mix.lam[:, None]
    torch.testing.assert_close(mix(y), lam * y + (1 - lam) * y[mix.partner])
    torch.testing.assert_close(mix(x), lam[..., None] * x + (1 - lam[..., None]) * x[mix.partner])
    torch.testing.assert_close(mix(y).sum(1), torch.ones(6))


def test_lambdas_follow_their_distribution():
    lam = draw_mix(0.3, range(3000), RNG, None, torch.device("cpu")).lam.double().numpy()
    want = np.random.default_rng(0).beta(0.3, 0.3, 200_000)
    want = np.maximum(want, 1 - want)
    np.testing.assert_allclose(np.quantile(lam, [0.1, 0.5, 0.9]), np.quantile(want, [0.1, 0.5, 0.9]), atol=0.02)


def test_partners_are_drawn_anew_for_each_group_and_epoch():
    first = draw_mix(0.3, range(12), RNG, None, torch.device("cpu")).partner
    assert not torch.equal(first, draw_mix(0.3, range(12, 24), RNG, None, torch.device("cpu")).partner)
    assert not torch.equal(first, draw_mix(0.3, range(12), Randomness(3, 2, 7), None, torch.device("cpu")).partner)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5), st.integers(1, 4), st.permutations(range(4)))
def test_groups_mix_the_same_whatever_batch_they_stand_in(size, n_groups, order):
    draws = list(range(size * n_groups))
    whole = draw_mix(0.3, draws, RNG, size, torch.device("cpu"))
    for g in [g for g in order if g < n_groups]:
        mine = draws[g * size : (g + 1) * size]
        mine = mine[1:] + mine[:1]  # the place in the batch does not matter either
        part = draw_mix(0.3, mine, RNG, size, torch.device("cpu"))
        partner = {d: mine[p] for d, p in zip(mine, part.partner.tolist())}
        assert partner == {d: int(whole.partner[d]) for d in mine}
        assert torch.equal(part.lam, whole.lam[mine])


# ---- all
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inputs_are_never_changed_and_results_are_new(dtype):
    x = mels().to(dtype)
    before = x.clone()
    mix = Mix(torch.full((6,), 0.7), torch.arange(6).flip(0))
    for got in (roll(x, Roll(do=True), range(6), RNG), mask(x, Masking(), range(6), RNG), mix(x)):
        assert got.dtype == dtype
        got.zero_()
        assert torch.equal(x, before)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Roll(axis=0),
        lambda: Roll(shift_range=-1),
        lambda: Masking(time_masks=-1),
        lambda: Masking(freq_mask_param=-2),
        lambda: Masking(p=1.5),
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"roll\.|masking\."):
        wrong()
