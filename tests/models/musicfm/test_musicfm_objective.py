"""MusicFM's pre-training: whose randomness is whose, what is masked, what is trained, how it is validated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.families.musicfm import _statistics
from models.errors import ConfigError
from models.musicfm.objective import MaskedAudioObjective
from models.randomness import Randomness
from tests.models.musicfm.golden import IO, META, make

SMALL = {"conv_dim": 4, "encoder_dim": 16, "encoder_depth": 2, "codebook_size": 16, "num_codebooks": 2, "max_seconds": 1.0}
BLOCKS = {
    **META["conformer"],
    "intermediate_size": 24,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}
BLOCKS["conformer_conv_dropout"] = 0.0


def objective(**changes) -> MaskedAudioObjective:
    torch.manual_seed(0)
    noise = changes.pop("noise_std", 0.1)
    return MaskedAudioObjective(make(**{**SMALL, "conformer": BLOCKS, **changes}), noise)


def batch(n=4, samples=24000) -> dict[str, torch.Tensor]:
    x = torch.stack([torch.randn(samples, generator=torch.Generator().manual_seed(k)) * 0.1 for k in range(n)])
    index = torch.arange(n)
    return {"x": x, "draw": index, "index": index, "window": index * 0, "valid": index * 0 + samples}


def masked(one: MaskedAudioObjective, wave: torch.Tensor, first=0) -> tuple[torch.Tensor, torch.Tensor]:
    items = [torch.Generator().manual_seed(first + k) for k in range(len(wave))]
    return one._masked(wave, items, torch.Generator())


def test_masks_of_a_clip_do_not_depend_on_its_batch_and_their_tokens_are_the_samples():
    one, wave = objective(), batch(6)["x"]
    noisy, mask = masked(one, wave)
    assert mask.shape == (6, 25)
    parts = [masked(one, wave[k : k + 1], k) for k in range(6)]
    assert torch.equal(torch.cat([m for m, _ in parts]), noisy)
    assert torch.equal((noisy != wave).unflatten(1, (25, 960)).all(-1), mask)
    assert torch.equal((noisy != wave).unflatten(1, (25, 960)).any(-1), mask)
    std = float(noisy[mask.repeat_interleave(960, 1)].std())
    assert std == pytest.approx(0.1, rel=0.02)
    assert mask.float().mean() == pytest.approx(0.6, abs=0.2)


def test_the_tail_is_masked_too_each_clip_has_a_mask_and_the_noises_level_is_free():
    """The published way never masks what stands behind the last whole block of 0.4 s."""
    wave = torch.full((200, 24000), 0.5)  # two blocks and a half
    _, mask = masked(objective(), wave)
    assert 0.4 < mask[:, 20:].all(1).float().mean() < 0.8
    noisy, mask = masked(objective(mask_prob=1e-6, noise_std=0.02), wave)
    assert mask.any(1).all()
    assert float(noisy[mask.repeat_interleave(960, 1)].std()) == pytest.approx(0.02, rel=0.02)
    with pytest.raises(ConfigError, match=r"one masked block of 0.4 s"):
        objective(max_seconds=0.3)


def test_everything_that_is_trained_gets_a_gradient_and_the_step_is_repeatable():
    one = objective().train()
    found = one.training_step(batch(), Randomness(5))
    found["loss"].backward()
    trained = {name for name, p in one.named_parameters() if p.requires_grad}
    assert {name for name, p in one.named_parameters() if p.grad is not None} == trained
    assert not [name for name in trained if "quantizer" in name or "preprocessor" in name or "pos_conv" in name]
    assert float(found["loss"].detach()) == pytest.approx(np.log(16), rel=0.5)
    one.eval()
    with torch.no_grad():
        losses = [float(one.training_step(batch(), Randomness(5, 0, step))["loss"]) for step in (1, 1)]
        other = float(one.training_step(batch(), Randomness(6, 0, 1))["loss"])
    assert losses[0] == losses[1] != other


def test_validation_is_the_same_however_it_is_batched():
    one = objective().eval()
    with torch.no_grad():
        whole = one.validate(batch(4))
        parts = [one.validate({k: v[i : i + 1] for k, v in batch(4).items()}) for i in range(4)]
    for key, value in whole.items():
        torch.testing.assert_close(torch.cat([part[key] for part in parts]), value, atol=1e-4, rtol=1e-5)
    scores = one.summarise({k: v.numpy() for k, v in whole.items()})
    assert {"loss", "accuracy", "majority", "perplexity_melspec_2048_0", "perplexity_melspec_2048_1"} <= set(scores)
    assert 1 <= scores["perplexity"] <= 16


def test_statistics_are_of_all_values():
    mel = IO["mel_db"]
    found = _statistics([mel[:1], mel[1:]])
    assert found["melspec_2048_cnt"] == mel.numel()
    assert found["melspec_2048_mean"] == pytest.approx(float(mel.mean()), rel=1e-5)
    assert found["melspec_2048_std"] == pytest.approx(float(mel.std()), rel=1e-4)
    with pytest.raises(ConfigError, match="no audio"):
        _statistics([])
