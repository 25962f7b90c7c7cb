"""What the network refuses, how layers are asked for, what is computed and what is kept, and the lines of the published README."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from models.errors import AudioError, ConfigError
from models.omar_rq import CQT, Conformer, MelSpectrogram, OmarRQ, Waveform, get_model
from models.omar_rq.conformer import deepnorm_scales
from models.omar_rq.representations import mask_spectrum
from models.omar_rq.rotary import Rotary
from models.randomness import stream
from tests.models.omar_rq.golden import HERE, HUB, close, make_folder

SIZE = dict(embed_dim=16, depth=3, num_heads=2, beta_deepnorm=0.5)


@pytest.fixture(scope="module")
def net():
    return get_model(HUB)


def make(**settings) -> OmarRQ:
    torch.manual_seed(0)
    return OmarRQ(**{**SIZE, **settings}).eval()


# ---- audio
@pytest.mark.parametrize(("audio", "words"), [
    (torch.zeros(16000), r"\[16000\].*audio\[None\]"), (torch.zeros(1, 2, 16000), r"\[1, 2, 16000\].*average the channels"),
    (torch.zeros(1, 16000, dtype=torch.int16), r"floating point.*torch\.int16.*to_mono_float"), (torch.zeros(1, 767), "too short.*768 samples"),
    (torch.zeros(0, 16000), "too short"), (torch.full((1, 16000), float("nan")), "NaN"), (torch.full((1, 16000), float("inf")), "infinite"),
    ([torch.zeros(16000), torch.zeros(16001)], "unlike length.*16000 to 16001"), (np.zeros((1, 16000), np.float32), "got ndarray"),
])  # fmt: skip
def test_audio_that_cannot_be_used(net, audio, words):
    with pytest.raises(AudioError, match=words):
        net.extract_embeddings(audio)


def test_another_rate_is_refused_where_it_is_said(net):
    with pytest.raises(AudioError, match="44100 Hz, the network reads 16000 Hz"):
        net.extract_embeddings(torch.zeros(1, 44100), sample_rate=44100)
    assert net.extract_embeddings(torch.zeros(1, 16000), sample_rate=16000).shape[2] == 15


def test_equally_long_clips_make_a_batch(net):
    clips = [torch.randn(4000) * 0.1 for _ in range(2)]
    assert torch.equal(net.extract_embeddings(clips), net.extract_embeddings(torch.stack(clips)))


def test_longer_audio_than_was_trained_on_is_said(net, caplog):
    short = make(max_seconds=0.2)
    with caplog.at_level(logging.WARNING):
        short.extract_embeddings(torch.zeros(1, 3200))
        assert not caplog.text
        short.extract_embeddings(torch.zeros(1, 16000))
    assert "trained on 0.2 s" in caplog.text


def test_what_stands_behind_a_clip_changes_it_as_far_as_is_said():
    """15 vectors a block: padding is not harmless, and reaches no further."""
    net = make(depth=2, input={"name": "Waveform", "patch_size": [1, 40]})
    x = torch.randn(1, 40 * 80) * 0.1
    y = torch.cat([x, torch.zeros(1, 40 * 20)], 1)
    difference = (net.extract_embeddings(x) - net.extract_embeddings(y)[:, :, :80]).abs().amax((0, 1, 3))
    assert difference[:50].max() < 1e-5
    assert difference[50:].max() > 1e-3


# ---- layers
def test_layers_may_be_a_number_and_always_keep_their_axis(net):
    x = torch.randn(1, 8000) * 0.1
    want = net.extract_embeddings(x, [1])
    for layers in ((1), 1, {1}, (1,), [1, -2], [1, 1]):
        assert torch.equal(net.extract_embeddings(x, layers), want)
    assert net.extract_embeddings(x, [-1, 2, 0]).shape == (2, 1, 8, 32)
    with pytest.raises(ValueError, match="has 3 layers"):
        net.extract_embeddings(x, [3])


def test_nothing_behind_the_deepest_asked_layer_is_computed(net):
    ran = []
    hooks = [b.register_forward_hook(lambda m, i, o, k=k: ran.append(k)) for k, b in enumerate(net.net.layers)]
    net.extract_embeddings(torch.zeros(1, 8000), [0])
    for hook in hooks:
        hook.remove()
    assert ran == [0]


def test_gradients_flow_only_where_they_are_asked_for(net):
    x = torch.zeros(1, 8000)
    assert not net.extract_embeddings(x).requires_grad
    assert net.encode(x).requires_grad


def test_a_frozen_encoder_in_another_module_keeps_its_statistics():
    net = make().freeze()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    torch.nn.ModuleList([net]).train()
    net.encode(torch.randn(2, 8000))
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in before.items())


# ---- parts
def test_positions_are_exact_in_low_precision():
    rotary = Rotary(8)
    x = torch.ones(1, 1, 600, 8, dtype=torch.bfloat16)
    close(rotary(x).float(), rotary(x.float()), 1e-2)
    assert rotary(x).dtype == torch.bfloat16
    neighbours = rotary(x.float())[0, 0, 590:]
    assert (neighbours[1:] - neighbours[:-1]).abs().amax(1).min() > 0.1  # no two positions are rounded into one


def test_networks_without_rotary_positions_run():
    net = make(use_rope=False)
    assert not [name for name in net.state_dict() if "rotary" in name]
    assert net.extract_embeddings(torch.zeros(1, 8000)).shape == (1, 1, 8, 16)


def test_deepnorm_constants():
    assert deepnorm_scales(24) == pytest.approx((2.6321480259049848, 0.022386873579657126))
    assert deepnorm_scales(40) == pytest.approx((2.990697562442441, 0.019702950187566164))
    assert deepnorm_scales(16) == pytest.approx((2.378414230005442, 0.024775148229223356))


def test_the_initial_weights_are_scaled_once_by_beta():
    torch.manual_seed(1)
    plain = Conformer(16, 2, num_heads=2, beta_deepnorm=1.0)
    torch.manual_seed(1)
    scaled = Conformer(16, 2, num_heads=2, beta_deepnorm=0.25)
    a, b = plain.state_dict(), scaled.state_dict()
    small = {k for k in a if not torch.equal(a[k], b[k])}
    assert {k.split(".", 2)[2] for k in small} == {
        "ff1.module.1.weight", "ff1.module.4.weight", "ff2.module.1.weight", "ff2.module.4.weight", "attention.qkv.weight", "attention.proj.weight",
    }  # fmt: skip
    qkv = "layers.0.attention.qkv.weight"
    assert torch.equal(b[qkv][:32], a[qkv][:32])
    assert torch.equal(b[qkv][32:], a[qkv][32:] * 0.25)


@pytest.mark.parametrize(("kind", "settings", "words"), [
    (MelSpectrogram, {"stretch_factor": 1.2}, "no time stretch"), (MelSpectrogram, {"mel_scale": "htk"}, "slaney"),
    (MelSpectrogram, {"patch_size": (64, 4)}, "all 96 rows"), (MelSpectrogram, {"norm_std": 0.0}, "above 0"), (CQT, {"magnitude": False}, "complex"),
    (CQT, {"n_bins": 240}, "above half"), (Conformer, {"embed_dim": 30, "num_heads": 4}, "impossible"), (Conformer, {"dropout": 1.0}, "dropout"),
    (OmarRQ, {"input": {"name": "Mel"}}, "input is"), (OmarRQ, {"input": {"name": "CQT", "hop": 3}}, "a setting 'hop'"),
    (OmarRQ, {"input": {"name": "EnCodec"}}, "input is"), (OmarRQ, {"depth": 10**9}, "depth"), (OmarRQ, {"depth": 900, "embed_dim": 4096}, "GB"),
    (OmarRQ, {**SIZE, "max_seconds": 0.01}, "shorter than one vector"), (OmarRQ, {**SIZE, "out_dim": 2, "labels": ["a"]}, "1 labels for out_dim=2"),
])  # fmt: skip
def test_impossible_settings(kind, settings, words):
    with pytest.raises(ConfigError, match=words):
        kind(**settings)


def test_a_constant_q_of_any_length_has_as_many_frames_as_hops():
    cqt = CQT(sr=24000, n_bins=30, f_min=2000.0)
    for n in (24000 + rest for rest in (0, 256, 257, 300, 319)):
        assert cqt(torch.randn(1, n)).shape == (1, 30, 1 + n // 320)


def test_spectrum_masks_are_a_clips_own():
    mel = MelSpectrogram(freq_mask_param=60, time_mask_param=20)
    x = torch.randn(2, 16000) * 0.1
    assert torch.equal(mel(x), MelSpectrogram()(x))  # in use nothing is masked
    alone, together = mel(x[:1], [stream(0, 5)]), mel(x, [stream(0, 5), stream(0, 6)])
    assert torch.equal(alone[0], together[0])
    assert not torch.equal(alone, mel(x[:1]))
    masked = mask_spectrum(torch.ones(1, 50, 100), (30, 10), [stream(0, 1)])
    assert 0 < (masked == 0).float().mean() < 0.6


def test_audio_of_a_lower_band_is_resampled_inside():
    net = make(input={"name": "Waveform", "patch_size": [1, 960]}, audio_rate=16000, max_seconds=1.0)
    assert (net.sample_rate, net.sr, net.eps, net.window_length) == (16000, 16000, 25.0, 16000)
    assert net.stored == {"kind": "waveform", "sample_rate": 16000}
    assert net.extract_embeddings(torch.zeros(1, 16000)).shape == (1, 1, 25, 16)
    assert net.n_vectors(net.least_samples) == 1
    assert net.n_vectors(net.least_samples - 1) == 0


def test_what_it_says_of_itself(net):
    assert "sample_rate=16000 Hz, 15.625 embeddings/s, 3 layers of 32" in repr(net)


@pytest.mark.parametrize("kind", [MelSpectrogram, Waveform])
def test_half_precision_keeps_the_front_end(kind):
    net = make(input={"name": kind.__name__}).to(torch.bfloat16)
    x = torch.randn(1, 8000) * 0.1
    assert net.extract_embeddings(x).dtype == torch.bfloat16
    assert net.representation(x).dtype == torch.float32


# ---- the published README, verbatim but for the import
README_1 = """
import torch

# Embedding extraction example
x = torch.randn(1, 16000 * 4).cpu()
model_id = "mtg-upf/omar-rq-multifeature-25hz-fsq"

model = get_model(model_id=model_id, device="cpu")

embeddings = model.extract_embeddings(x, layers=[6])

timestamps = torch.arange(embeddings.shape[2]) / model.eps
"""
README_2 = """
x = torch.randn(1, 16000 * 4).cpu()

model = get_model(config_file, device="cpu")

embeddings = model.extract_embeddings(x, layers=(6))

# use the `eps` field to compute timestamps
timestamps = torch.arange(embeddings.shape[2]) / model.eps
"""


@pytest.mark.parametrize("code", [README_1, README_2])
def test_the_lines_of_the_readme(code, tmp_path, monkeypatch):
    """On a small network in the published model's place."""
    folder, deep = tmp_path / "omar-rq-multifeature-25hz-fsq", [(r"Conformer.depth = 3", "Conformer.depth = 7")]
    make_folder(folder, {}, deep, HERE / "hub_audio_25hz_fsq")
    net = get_model(folder, load_weights=False)
    make_folder(folder, net.state_dict(), deep, HERE / "hub_audio_25hz_fsq")
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    names = {"torch": torch, "get_model": get_model, "config_file": str(folder / "config.gin")}
    exec(code, names)
    assert torch.equal(names["embeddings"], net.extract_embeddings(names["x"], [6]))
    close(names["timestamps"], torch.arange(66) / 25, 1e-6)
