"""AudioEncoder through MAEST: layers, whole recordings, any rate, bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from models.errors import AudioError
from models.frontend import MaestMel
from models.maest import MAEST
from models.windows import plan_windows


@pytest.fixture(scope="module")
def model() -> MAEST:
    torch.manual_seed(0)
    return MAEST(input_t=125, n_classes=7, embed_dim=32, depth=3, num_heads=4).eval()


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    return (np.random.default_rng(1).standard_normal(16000 * 5) * 0.1).astype(np.float32)


def test_layers_are_ascending_distinct_and_count_from_the_end(model):
    assert model.resolve_layers([-1, 0, 2]) == (0, 2)
    assert model.resolve_layers(None) == (2,)
    with pytest.raises(ValueError, match=r"Layer 3.*0\.\.2"):
        model.resolve_layers([3])
    with pytest.raises(ValueError, match="at least one"):
        model.resolve_layers([])


def test_encode_is_differentiable_and_extract_is_not(model, wave):
    audio = torch.from_numpy(wave[None, :32000]).requires_grad_()
    out = model.encode(audio, [0, -1])
    assert out.shape[:2] == (2, 1)
    assert out.shape[3] == 32
    out.sum().backward()
    assert audio.grad.abs().sum() > 0
    assert not model.extract_embeddings(audio, [0]).requires_grad


def test_embedding_a_recording_equals_its_windows(model, wave):
    got = model.embed(wave, sample_rate=16000, layers=[1], pool="stack", batch_size=2)
    mel = MaestMel()(torch.from_numpy(wave[None]))[0]
    spans = plan_windows(mel.shape[-1], 125)
    np.testing.assert_allclose(got.times, spans / 62.5, atol=1e-4)
    with torch.no_grad():
        want = model(mel, transformer_block=1, melspectrogram_input=True)[1]
    np.testing.assert_allclose(got.vectors[:, 0], want.numpy(), atol=1e-4)
    assert got.vectors.shape == (len(spans), 1, 96)


@pytest.mark.parametrize(("pool", "place"), [("cls", 0), ("dist", 1), ("mean", 2)])
def test_pools(model, wave, pool, place):
    stacked = model.embed(wave, sample_rate=16000, layers=[2], pool="stack").vectors
    one = model.embed(wave, sample_rate=16000, layers=[2], pool=pool).vectors
    np.testing.assert_allclose(one, stacked[..., 32 * place : 32 * (place + 1)], atol=1e-6)


def test_a_file_of_another_rate_and_two_channels(model, tmp_path):
    import soxr

    t = np.arange(16000 * 5) / 16000
    wave = sum(0.1 * np.sin(2 * np.pi * f * t) for f in (110, 440, 1234, 3000)).astype(np.float32)  # below both rates' limits
    stereo = np.stack([soxr.resample(wave, 16000, 44100)] * 2, axis=1)
    soundfile.write(tmp_path / "song.flac", stereo, 44100, subtype="PCM_24")
    got = model.embed(tmp_path / "song.flac", layers=[2])
    want = model.embed(wave, sample_rate=16000, layers=[2])
    assert got.times.tolist() == want.times.tolist()
    assert np.abs(got.vectors - want.vectors).max() < 0.02 * np.abs(want.vectors).max()


def test_the_mode_is_given_back(model, wave):
    model.train()
    try:
        a = model.embed(wave, sample_rate=16000).vectors
        assert model.training
        model.eval()
        np.testing.assert_array_equal(a, model.embed(wave, sample_rate=16000).vectors)
    finally:
        model.eval()


@pytest.mark.parametrize(
    ("source", "kwargs", "error", "words"),
    [
        (np.zeros(16000, np.float32), {}, AudioError, "16000 Hz"),
        (np.zeros(16000, np.float32), {"sample_rate": 16000, "pool": "max"}, ValueError, "cls"),
        ("song.wav", {"sample_rate": 16000}, ValueError, "knows its own"),
        ("absent.wav", {}, AudioError, "absent.wav"),
        (np.zeros(0, np.float32), {"sample_rate": 16000}, ValueError, "empty"),
    ],
)
def test_refusals(model, source, kwargs, error, words):
    with pytest.raises(error, match=words):
        model.embed(source, **kwargs)


def test_undistilled_networks_have_no_dist_pool(wave):
    model = MAEST(input_t=125, n_classes=7, embed_dim=32, depth=1, num_heads=4, distilled=False)
    with pytest.raises(ValueError, match="DIST"):
        model.embed(wave, sample_rate=16000, pool="dist")


def test_a_network_can_be_built_without_memory():
    with torch.device("meta"):  # how settings are checked before work starts
        model = MAEST(input_t=125, n_classes=7, embed_dim=32, depth=1, num_heads=4)
    assert model.cls_token.is_meta
