"""MERT's network: transformers' own HuBERT is what it is compared with."""

from __future__ import annotations

import pytest
import torch

from models.errors import AudioError, ConfigError
from models.mert import MERT
from tests.models.mert.tiny import SHAPE, WAVE, hubert

LARGE = {"do_stable_layer_norm": True}


def made(**changes) -> tuple[MERT, object]:
    theirs = hubert(**changes)
    net = MERT(**SHAPE, **changes, normalize=False).eval()
    net.load_state_dict(theirs.state_dict())  # the same names, none left
    return net, theirs


@pytest.mark.parametrize(
    "changes", [{}, LARGE, {"feat_extract_norm": "layer", "conv_bias": True}, {"feat_proj_layer_norm": False}]
)
@torch.no_grad()
def test_hidden_states_are_those_of_transformers(changes):
    net, theirs = made(**changes)
    want = theirs(WAVE, output_hidden_states=True)
    found = net(WAVE, output_hidden_states=True)
    assert len(found.hidden_states) == 4
    for got, wanted in zip(found.hidden_states[:-1], want.hidden_states):
        torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-6)
    # the large network's last state is behind its last layer norm, as transformers 4 gave it: version 5 does so for last_hidden_state alone
    torch.testing.assert_close(found.last_hidden_state, want.last_hidden_state, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(net(WAVE), want.last_hidden_state, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_layers_are_hidden_states_from_1_on_and_none_behind_is_computed(monkeypatch):
    net, _ = made(**LARGE)
    states = net(WAVE, output_hidden_states=True).hidden_states
    torch.testing.assert_close(net.extract_embeddings(WAVE, [0, 2]), torch.stack([states[1], states[3]]))
    calls = []
    for number, layer in enumerate(net.encoder.layers):
        layer.register_forward_hook(lambda *_, number=number: calls.append(number))
    net.encode(WAVE, [1])
    assert calls == [0, 1]


@torch.no_grad()
def test_clips_are_normalised_as_by_transformers_processor():
    from transformers import Wav2Vec2FeatureExtractor

    net, _ = made()
    own = MERT(**SHAPE).eval()
    own.load_state_dict(net.state_dict())
    processor = Wav2Vec2FeatureExtractor(feature_size=1, sampling_rate=24000, padding_value=0.0, do_normalize=True)
    x = processor(list(WAVE.numpy()), sampling_rate=24000, return_tensors="pt").input_values
    torch.testing.assert_close(own(WAVE), net(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own(x), own(WAVE), atol=1e-5, rtol=1e-5)  # given what the processor made, it is the same
    assert (own(WAVE) - net(WAVE)).abs().max() > 1e-3


@torch.no_grad()
def test_attention_either_way_is_the_same():
    net, _ = made()
    plain = MERT(**SHAPE, normalize=False, sdpa=False).eval()
    plain.load_state_dict(net.state_dict())
    torch.testing.assert_close(plain(WAVE), net(WAVE), atol=1e-5, rtol=1e-5)


def test_rates_and_numbers_of_vectors():
    v1, v0 = MERT(**SHAPE), MERT(**SHAPE, sample_rate=16000)
    assert (v1.embedding_rate, v0.embedding_rate) == (75.0, 50.0)
    assert (v1.window_length, v0.window_length) == (120_000, 80_000)
    for n in (400, 719, 720, 16000, 24000, 120_000):
        assert v1(torch.zeros(1, n)).shape[1] == v1.n_vectors(n)
    assert (v1.n_vectors(24000), v1.n_vectors(120_000)) == (74, 374)
    assert v1.moment_times(2, 24000, 0) == pytest.approx([200 / 24000, 520 / 24000])


@torch.no_grad()
def test_a_clip_is_what_it_is_beside_others_and_padding_changes_it():
    net, _ = made()
    torch.testing.assert_close(net(WAVE[1:]), net(WAVE)[1:], atol=1e-6, rtol=1e-5)
    padded = torch.nn.functional.pad(WAVE[:1], (0, 3200))
    assert (net(padded)[:, :30] - net(WAVE[:1])[:, :30]).abs().max() > 1e-3
    with pytest.raises(AudioError, match="marks padding: .* changes its vectors"):
        net(padded, attention_mask=torch.tensor([[1] * 12000 + [0] * 3200]))
    torch.testing.assert_close(net(WAVE, attention_mask=torch.ones(2, 12000, dtype=torch.long)), net(WAVE))


@pytest.mark.parametrize(
    ("audio", "said"),
    [
        (torch.zeros(1, 399), "one vector takes 400 samples"),
        (torch.zeros(400), "One clip: audio"),
        (torch.zeros(1, 400, dtype=torch.int16), "floating point"),
        (torch.full((1, 400), torch.nan), "NaN"),
        ([torch.zeros(400), torch.zeros(500)], "unlike length"),
    ],
)
def test_audio_that_cannot_be_used(audio, said):
    with pytest.raises(AudioError, match=said):
        MERT(**SHAPE).encode(audio)


def test_another_rate_is_refused():
    with pytest.raises(AudioError, match="16000 Hz, the network reads 24000 Hz"):
        MERT(**SHAPE).extract_embeddings(WAVE, sample_rate=16000)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sample_rate": 44100}, "sample_rate is 44100; wanted 16000 or 24000"),
        ({"conv_dim": [8] * 6}, "one each per convolution"),
        ({"num_attention_heads": 5}, "set num_attention_heads"),
        ({"num_conv_pos_embedding_groups": 3}, "set num_conv_pos_embedding_groups"),
        ({"max_seconds": 0.02, "conv_kernel": [1000] * 7}, "one vector takes"),
        ({"hidden_size": 65_536, "num_conv_pos_embedding_groups": 1}, "parameters"),
        ({"deepnorm": True}, "unknown"),
        ({"labels": ["a"], "out_dim": 2}, "1 labels for out_dim=2"),
    ],
)
def test_settings_that_cannot_work(settings, said):
    with pytest.raises(ConfigError, match=said):
        MERT(**{**SHAPE, **settings})
