"""Masked token prediction: whose randomness is whose, what is frozen, what is scored, and what targets must fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import ConfigError
from models.omar_rq import OmarRQ
from models.omar_rq.archs import PRETRAINING, published, waveform
from models.omar_rq.objective import MaskedTokenObjective
from models.omar_rq.representations import MelSpectrogram
from models.omar_rq.settings import Masking
from models.omar_rq.statistics import feature_statistics, normalised, read_statistics
from models.randomness import Randomness
from models.tokens.masking import mask_by_item
from models.tokens.objective import token_usage, usage_perplexity

SAMPLES = {"name": "Waveform", "sr": 16000, "norm_mean": None, "patch_size": [1, 16]}
MEL = {"name": "MelSpectrogram", "n_mel": 8, "hop_len": 80, "win_len": 160, "patch_size": [8, 2]}


def make(read=SAMPLES, targets=None, **masking) -> MaskedTokenObjective:
    torch.manual_seed(0)
    net = OmarRQ(16, 2, 2, dropout=0.0, beta_deepnorm=0.5, input=read, max_seconds=0.05)
    settings = {"codebook_size": 16, "codebook_dim": 4, "num_codebooks": 2, "mask_seconds": 0.004, **masking}
    return MaskedTokenObjective(net, targets or [read], Masking(**settings))


def batch(n=4, samples=800, first=0) -> dict[str, torch.Tensor]:
    x = torch.stack([torch.randn(samples, generator=torch.Generator().manual_seed(first + k)) * 0.1 for k in range(n)])
    index = torch.arange(first, first + n)
    return {"x": x, "draw": index, "index": index, "window": index * 0, "valid": index * 0 + samples}


def test_frozen_parts_are_in_no_optimiser_and_no_checkpoint():
    objective = make(quantizer_type="finite_scalar_quantizer", codebook_size=16, levels=(4, 4)).train()
    trained = {id(p) for group in objective.param_groups() for p in group["params"]}
    frozen = [p for part in (objective.quantizers, objective.targets) for p in part.parameters()]
    assert frozen
    assert not any(id(p) in trained for p in frozen)
    assert id(objective.linear.weight) in trained
    assert set(objective.unsaved_modules) == {"quantizers", "targets"}
    assert not objective.quantizers.training
    loss = objective.training_step(batch(), Randomness(0))["loss"]
    loss.backward()
    assert all(p.grad is not None for p in objective.parameters() if p.requires_grad)


def test_masks_of_a_clip_do_not_depend_on_its_batch():
    """Two halves, each by a process of its own, are the whole; the next step has other masks."""
    seen = []

    def masks(draws, step=0):
        objective = make()
        net = objective.net.net
        original = net.outputs
        net.outputs = lambda x, layers: (seen.append(x.detach()), original(x, layers))[1]
        whole = batch(4)
        objective.training_step({k: v[draws] for k, v in whole.items()}, Randomness(5, 0, step))
        return seen[-1]

    whole, first, second = masks([0, 1, 2, 3]), masks([0, 1]), masks([2, 3])
    torch.testing.assert_close(torch.cat([first, second]), whole, atol=1e-6, rtol=0)
    objective = make()
    one = objective.training_step(batch(), Randomness(5, 0))["loss"]
    other = objective.training_step(batch(), Randomness(5, 1))["loss"]
    again = objective.training_step(batch(), Randomness(5, 0))["loss"]
    assert float(one) == float(again) != float(other)


def test_a_clip_without_a_masked_span_gets_one():
    patches = torch.zeros(50, 3, 2)
    generators = [torch.Generator().manual_seed(k) for k in range(50)]
    masked, mask = mask_by_item(patches, 2, 0.01, "random_normal", generators, torch.Generator())
    assert mask.any(1).all()
    assert torch.equal((masked != 0).any(-1), mask)
    torch.manual_seed(0)
    assert torch.isfinite(make(mask_prob=0.001).training_step(batch(), Randomness(0))["loss"])


def test_the_loss_is_of_masked_positions_alone():
    objective = make().eval()
    net, found = objective.net, {}

    def outputs(x, layers):
        found["x"] = x
        return [torch.zeros(*x.shape[:2], 16)]

    net.net.outputs = outputs
    net.net.forward = lambda x: outputs(x, ())[0]
    with torch.no_grad():
        objective.linear.weight.zero_()
        objective.linear.bias.zero_()
        loss = objective.training_step(batch(), Randomness(0))["loss"]
    assert float(loss) == pytest.approx(np.log(16))


def test_logits_have_codes_slow_and_streams_fast():
    objective = make().eval()
    with torch.no_grad():
        objective.linear.weight.zero_()
        objective.linear.bias.zero_()
        objective.linear.bias[3 * 2 + 1] = 5.0  # code 3 of stream 1
        logits = objective._predicted(objective.net, torch.zeros(1, 4, 16), torch.ones(1, 4, dtype=torch.bool))
    assert logits.shape == (4, 16, 2)
    assert (logits[:, 3, 1] == 5).all()
    assert logits.sum() == 20


def test_validation_is_the_same_however_it_is_batched():
    objective = make().eval()
    with torch.no_grad():
        whole = objective.validate(batch(5))
        parts = [objective.validate({k: v[i : i + 1] for k, v in batch(5).items()}) for i in range(5)]
    joined = {k: torch.cat([part[k] for part in parts]) for k in whole}
    for key, value in whole.items():
        torch.testing.assert_close(joined[key], value, atol=1e-4, rtol=1e-5)
    scores = objective.summarise({k: v.numpy() for k, v in whole.items()})
    assert scores["loss"] == pytest.approx(float(whole["nll"].sum() / whole["count"].sum()))
    assert {"accuracy", "majority", "perplexity", "codes", "perplexity_Waveform_0", "perplexity_Waveform_1"} <= set(scores)
    assert 1 <= scores["perplexity"] <= 16


def test_perplexity_says_how_evenly_codes_are_used():
    tokens = np.stack([np.arange(64) % 8, np.zeros(64, int), np.arange(64) % 2], axis=1)
    used = token_usage(tokens[None], 8)
    assert used.tolist()[1] == [64, 0, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(usage_perplexity(used), [8, 1, 2])


def test_the_input_may_be_a_target_and_targets_are_cut_to_the_shortest():
    read = {"name": "Waveform", "sr": 16000, "norm_mean": None, "patch_size": [1, 160]}
    objective = make(read, [read, MEL], mask_seconds=0.02)
    out = objective.training_step(batch(2, 3279), Randomness(0))  # 20 patches of samples, 20 of mels
    assert torch.isfinite(out["loss"])
    patches, tokens = objective._prepared(objective.net, batch(2, 3279)["x"], None)
    assert patches.shape[1] == tokens.shape[1] == 20
    assert tokens.shape[2] == 4


def test_targets_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"100 patches/s, the input 1000"):
        make(SAMPLES, [MEL])
    with pytest.raises(ConfigError, match=r"reads 24000 Hz, the input 16000"):
        make(SAMPLES, [{**SAMPLES, "sr": 24000, "patch_size": [1, 24]}])
    with pytest.raises(ConfigError, match="a masked span has 1 patch or more"):
        make(mask_seconds=1e-5)


def test_published_pre_trainings():
    """Input, streams and codes of the five; the head of each has codes x streams outputs."""
    streams = {}
    for name, (targets, masking) in PRETRAINING.items():
        m = Masking(**masking)
        streams[name] = ([t["name"] for t in targets], m.num_codebooks * len(targets), m.codebook_size)
    assert streams["omar-rq-base"] == (["MelSpectrogram"], 1, 8192)
    assert streams["omar-rq-multicodebook"] == (["MelSpectrogram"], 4, 8192)
    assert streams["omar-rq-multifeature"] == (["MelSpectrogram", "CQT", "EnCodec"], 6, 8196)
    assert streams["omar-rq-multifeature-25hz"] == (["CQT", "EnCodec", "MelSpectrogram"], 6, 8196)
    assert streams["omar-rq-multifeature-25hz-fsq"] == (["CQT", "EnCodec", "MelSpectrogram"], 6, 7776)
    assert published(waveform(960))["input"]["norm_std"] == 0.1908563740990311


def test_statistics(tmp_path):
    objective = make(MEL, num_codebooks=1, mask_seconds=0.02)
    wave = batch(3, 1600)["x"]
    raw = objective.net.representation.features(wave, None)
    want = {"mean": float(raw.mean((1, 2)).mean()), "std": float(raw.flatten(1).std(1).mean())}
    found = feature_statistics({"MelSpectrogram": objective.net.representation}, [wave[:2], wave[2:]])
    assert found["MelSpectrogram"] == pytest.approx({**want, "sr": 16000, "hop_len": 80}, rel=1e-5)
    with pytest.raises(ConfigError, match="no audio"):
        feature_statistics({}, [])
    for content in ("", "[]", '{"MelSpectrogram": {"mean": 1}}'):
        (tmp_path / "s.json").write_text(content)
        with pytest.raises(ConfigError, match="holds no statistics"):
            read_statistics(tmp_path / "s.json")


def test_statistics_are_of_what_the_network_reads():
    mel = {"name": "MelSpectrogram", "sr": 16000, "hop_len": 256, "patch_size": [96, 4]}
    measured = {"MelSpectrogram": {"mean": 1.5, "std": 2.0, "sr": 16000, "hop_len": 256}}
    want = {**mel, "norm_mean": 1.5, "norm_std": 2.0}
    assert normalised(mel, measured, "s.json") == normalised(mel, {"MelSpectrogram": {"mean": 1.5, "std": 2.0}}, "s.json") == want
    with pytest.raises(ConfigError, match=r"s.json: .* measured at sr 16000, and the network has sr 24000"):
        normalised({**mel, "sr": 24000}, measured, "s.json")
    with pytest.raises(ConfigError, match=r"s.json has statistics of MelSpectrogram, none of CQT"):
        normalised({"name": "CQT", "sr": 16000}, measured, "s.json")


@pytest.mark.parametrize(("masks", "computed"), [({}, 1), ({"freq_mask_param": 3}, 2)])
def test_an_input_that_is_a_target_too_is_computed_once(masks, computed, monkeypatch):
    """Unless the input is masked in training: its tokens are of the whole."""
    calls, features = [], MelSpectrogram.features
    monkeypatch.setattr(MelSpectrogram, "features", lambda *given: (calls.append(0), features(*given))[1])
    objective = make({**MEL, **masks}, mask_seconds=0.02)
    patches, tokens = objective._prepared(objective.net, batch()["x"], None)
    assert len(calls) == computed
    apart = torch.stack([quantize(patches) for quantize in objective.quantizers[0]], dim=-1)
    assert torch.equal(tokens, apart)
