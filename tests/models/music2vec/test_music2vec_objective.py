"""music2vec's pre-training: golden targets, loss and decay; whose randomness is whose, how the teacher follows, how collapse is found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import AudioError, ConfigError
from models.music2vec import data2vec_loss, ema_decay, teacher_targets
from models.music2vec.objective import Data2Vec
from models.music2vec.recipe import CollapseError, Recipe, frame_losses, span_mask, spread
from models.randomness import Randomness
from tests.models.music2vec.golden import DEPTH, IO, META, NO_DROPOUT, STATE, WAVE, close, make

SMALL = {
    "conv_dim": [4] * 7,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "intermediate_size": 24,
    "max_seconds": 1.0,
    **NO_DROPOUT,
}
RECIPE = Recipe(top_k=2, layerdrop=0.0)


def objective(recipe: Recipe = RECIPE, **changes) -> Data2Vec:
    torch.manual_seed(0)
    return Data2Vec(make(**{**SMALL, **changes}), recipe)


def golden() -> Data2Vec:
    """The golden network and its prediction layer."""
    one = Data2Vec(make(**NO_DROPOUT), Recipe(top_k=META["top_k"], layerdrop=0.0))
    one.net.load_state_dict(STATE)
    one.teacher.load_state_dict(one.net.encoder.state_dict())
    with torch.no_grad():
        one.final_proj.weight.copy_(IO["final_proj_weight"])
        one.final_proj.bias.copy_(IO["final_proj_bias"])
    return one


def batch(n: int = 4, samples: int = 16000) -> dict[str, torch.Tensor]:
    x = torch.stack([torch.randn(samples, generator=torch.Generator().manual_seed(k)) * 0.1 for k in range(n)])
    index = torch.arange(n)
    return {"x": x, "draw": index, "index": index, "window": index * 0, "valid": index * 0 + samples}


# ---- golden numbers
def test_targets_loss_spreads_and_decay():
    one = golden().train()
    with torch.no_grad():
        features, _ = one.net.features(WAVE)
        found = one.targets(features)
        close(found, IO["teacher_targets"])
        close(teacher_targets(list(IO["ffn_outputs"]), META["top_k"]), IO["teacher_targets"])
        predicted = one._predicted(one.net, features, IO["mask"])
        wanted = IO["teacher_targets"][IO["mask"]]
        close((predicted - wanted).square().sum(1), IO["per_token_sse"], 1e-4)
        loss = frame_losses(predicted, found[IO["mask"]])
    assert float(loss.mean()) == pytest.approx(META["loss_per_masked_token"], rel=1e-5)
    assert float(loss.sum()) == pytest.approx(META["loss_sum_scaled"], rel=1e-5)
    assert len(loss) == META["n_masked"]
    assert float(spread(wanted)) == pytest.approx(META["target_std"], rel=1e-5)
    assert float(spread(predicted)) == pytest.approx(META["pred_std"], rel=1e-4)
    for step, decay in META["ema_decay"].items():
        assert ema_decay(int(step)) == pytest.approx(decay, abs=2e-8)


def test_targets_are_of_the_last_blocks_and_not_normalised_again():
    ffn = list(IO["ffn_outputs"])
    close(teacher_targets([torch.full_like(ffn[0], 7.0), *ffn[1:]], 3), teacher_targets(ffn, 3), 0)
    assert float(teacher_targets(ffn, 1).std()) == pytest.approx(1.0, abs=0.02)
    assert float(teacher_targets(ffn, 5).std()) < 0.9
    for k in (0, DEPTH + 1):
        with pytest.raises(ConfigError, match=rf"last {k} blocks"):
            teacher_targets(ffn, k)


def test_the_loss_is_squared_or_smooth():
    mask, zeros = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, 4)
    assert float(data2vec_loss(zeros + 2, zeros, mask)) == pytest.approx(4 * 4 / 2)
    assert float(data2vec_loss(zeros + 2, zeros, mask, beta=1.0)) == pytest.approx(4 * 1.5 / 2)
    with pytest.raises(ConfigError, match="No vector is masked"):
        data2vec_loss(zeros, zeros, ~mask)


# ---- masks
@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.floats(0.01, 1.0), st.integers(1, 20), st.integers(0, 1000))
def test_masks_are_spans_and_at_least_one(length, prob, span, seed):
    if length < span:
        with pytest.raises(AudioError, match="holds no span"):
            span_mask(length, prob, span, np.random.default_rng(seed))
        return
    mask = span_mask(length, prob, span, np.random.default_rng(seed))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    runs = edges[1::2] - edges[::2]
    assert len(mask) == length
    assert len(runs) >= 1
    assert runs.min() >= span
    assert mask.sum() <= span * min(int(prob * length / span) + 1, length)


def test_the_published_masks_cover_about_half_of_a_crop():
    found = [span_mask(249, 0.65, 10, np.random.default_rng(k)).mean() for k in range(400)]
    assert np.mean(found) == pytest.approx(0.494, abs=0.01)  # data2vec then cuts a batch down to its smallest mask: 0.47


def test_a_clips_mask_and_loss_do_not_depend_on_its_batch():
    one = objective().train()
    rng = Randomness(5, 1, 0)
    whole = one.masks(rng.items(range(4), "mask"), 49)
    parts = [one.masks(rng.items([k], "mask"), 49) for k in range(4)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(whole, one.masks(Randomness(5, 2, 0).items(range(4), "mask"), 49))
    with torch.no_grad():
        losses = [float(one.training_step({k: v[i : i + 1] for k, v in batch().items()}, rng)["loss"]) for i in range(4)]
        together = float(one.training_step(batch(), rng)["loss"])
    weights = whole.sum(1).double().numpy()
    assert together == pytest.approx(float(np.average(losses, weights=weights)), rel=1e-5)


# ---- the teacher
def test_the_teacher_follows_its_blocks_and_copies_its_positions():
    one = objective(Recipe(top_k=2, ema_start=0.9, ema_end=0.95, ema_steps=10))
    before = {k: v.clone() for k, v in one.teacher.state_dict().items()}
    with torch.no_grad():
        for weight in one.net.parameters():
            weight.add_(1.0)
    one.after_optimizer_step(5)
    own = one.net.encoder.state_dict()
    for name, weight in one.teacher.state_dict().items():
        decay = 0.0 if name.startswith("pos_conv_embed.") else 0.925
        torch.testing.assert_close(weight, decay * before[name] + (1 - decay) * own[name], atol=1e-6, rtol=1e-6)
    assert {name.split(".")[0] for name in one.state_dict()} == {"net", "teacher", "final_proj"}  # resumed exactly


def test_the_teacher_is_never_trained_and_never_drops(monkeypatch):
    one = objective(hidden_dropout=0.5, attention_dropout=0.5).train()
    assert not any(module.training for module in one.teacher.modules())
    features = one.net.features(batch()["x"])[0].detach()
    assert torch.equal(one.targets(features), one.targets(features))
    found = one.training_step(batch(), Randomness(5))
    found["loss"].backward()
    trained = {name for name, p in one.named_parameters() if p.requires_grad}
    assert {name for name, p in one.named_parameters() if p.grad is not None} == trained
    assert "net.masked_spec_embed" in trained
    assert not [name for name in trained if name.startswith("teacher")]
    groups = [p for group in one.param_groups() for p in group["params"]]
    assert len(groups) == len(trained)


def test_the_target_does_not_see_the_mask():
    """Whatever stands in place of masked vectors, the teacher reads all of the audio."""
    one = objective().eval()
    first = one.training_step(batch(), Randomness(5))["target_std"]
    with torch.no_grad():
        one.net.masked_spec_embed.mul_(100)
    assert float(one.training_step(batch(), Randomness(5))["target_std"]) == float(first)


def test_blocks_are_left_out_by_the_step_alone():
    """transformers draws them from torch's generator, each process its own."""
    one = objective(Recipe(top_k=2, layerdrop=0.9)).train()
    with torch.no_grad():
        losses = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            losses.append([float(one.training_step(batch(), Randomness(5, 0, step))["loss"]) for step in range(3)])
    assert losses[0] == losses[1]
    one = objective(Recipe(top_k=2, layerdrop=0.0)).train()
    with torch.no_grad():
        assert float(one.training_step(batch(), Randomness(5))["loss"]) != losses[0][0]


# ---- collapse
def test_a_collapsed_training_is_ended_behind_its_first_updates():
    one = objective(Recipe(top_k=2, layerdrop=0.0, guard_steps=7)).train()
    with torch.no_grad():
        for weight in one.final_proj.parameters():
            weight.zero_()
    one.training_step(batch(), Randomness(5, 0, 7))
    with pytest.raises(CollapseError, match=r"After 8 updates the targets spread 0\.\d+ .* and the predictions 0\.0010"):
        one.training_step(batch(), Randomness(5, 0, 8))
    one = objective(Recipe(top_k=2, layerdrop=0.0, guard_steps=7)).train()
    with torch.no_grad():
        for layer in one.teacher.layers:
            layer.feed_forward.output_dense.weight.zero_()
    with pytest.raises(CollapseError, match=r"targets spread 0\.0010"):
        one.training_step(batch(), Randomness(5, 0, 8))


def test_spread_is_unbiased_over_all_vectors():
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    assert float(spread(x)) == pytest.approx(float((x.var(0) + 1e-6).sqrt().mean()), rel=1e-6)
    assert float(spread(x[:1])) == pytest.approx(1e-3, rel=1e-3)


# ---- validation, settings
def test_validation_is_the_same_however_it_is_batched():
    one = objective().eval()
    with torch.no_grad():
        whole = one.validate(batch(4))
        parts = [one.validate({k: v[i : i + 1] for k, v in batch(4).items()}) for i in range(4)]
        mask = whole["count"].sum()
    for key, value in whole.items():
        torch.testing.assert_close(torch.cat([part[key] for part in parts]), value, atol=1e-4, rtol=1e-5)
    scores = one.summarise({k: v.numpy() for k, v in whole.items()})
    assert set(scores) == {"loss", "target_std", "prediction_std"}
    assert scores["loss"] == pytest.approx(float(whole["loss"].sum() / mask))
    assert 0.1 < scores["target_std"] < 1.1


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ({"mask_prob": 0.0}, "mask_prob is 0"),
        ({"layerdrop": 1.0}, "layerdrop is 1"),
        ({"ema_start": 0.99, "ema_end": 0.9}, r"ema_start \(0.99\) is at most ema_end"),
        ({"mask_span": 0}, "1 or more"),
        ({"top_k": 4}, "top_k is 4: the network has 3 blocks"),
        ({"mask_span": 50}, "training crop of 49 vectors holds no span of 50"),
    ],
)
def test_impossible_recipes(recipe, text):
    with pytest.raises(ConfigError, match=text):
        objective(Recipe(**{"top_k": 2, **recipe}))
