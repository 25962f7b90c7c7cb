"""The mel front end against Essentia's output, the reference's torch module and librosa's bank, and the properties callers rely on."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import AudioError
from models.frontend import MAEST, MaestMel, essentia_filterbank, frames_of, mel_blocks, normalise, slaney_filterbank


@pytest.fixture(scope="module")
def golden(fixtures):
    return np.load(fixtures / "maest/mel_frontend.npz")


def noise(n, seed=0):
    return 0.1 * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def test_bank_is_essentias_bit_for_bit(fixtures):
    want = np.load(fixtures / "maest/mel_filterbank.npz")["essentia"]
    bank = essentia_filterbank()
    assert bank.dtype == np.float32
    assert np.array_equal(bank, want)


def test_bank_for_torch_edges_is_librosas():
    import librosa

    want = librosa.filters.mel(sr=16000, n_fft=512, n_mels=96, fmin=0, fmax=8000).T
    np.testing.assert_allclose(slaney_filterbank(), want, atol=4e-9, rtol=0)


def test_equals_essentia(golden):
    mel = MaestMel(normalize=False)(torch.from_numpy(golden["wave"])[None])[0].T.numpy()
    assert mel.shape == golden["essentia"].shape
    assert np.abs(mel - golden["essentia"]).max() <= 2e-5
    # As stored: at most 0.1 % of the float16 values differ, by one unit in the last place.
    ours, theirs = mel.astype(np.float16), golden["essentia"].astype(np.float16)
    assert (ours != theirs).mean() <= 1e-3
    assert np.abs(ours.view(np.int16).astype(int) - theirs.view(np.int16)).max() <= 1


def test_torch_edges_equal_the_reference_module(golden):
    mel = MaestMel(edges="torch")(torch.from_numpy(golden["wave"])[None])[0].numpy()
    assert mel.shape == golden["ref_torch_znorm"].shape
    assert np.abs(mel - golden["ref_torch_znorm"]).max() <= 1e-5


@pytest.mark.parametrize("name", ["long", "short", "batch2d"])
def test_torch_edges_equal_the_reference_pipeline(fixtures, name):
    tiny = np.load(fixtures / "maest/tiny_1d.npz")
    wave = torch.from_numpy(tiny[f"audio/{name}"].astype(np.float32))
    want = tiny[f"mel/{name}"].astype(np.float32)
    got = MaestMel(edges="torch")(wave if wave.ndim == 2 else wave[None]).numpy().reshape(want.shape)
    np.testing.assert_allclose(got, want, atol=2e-3 if tiny[f"mel/{name}"].dtype == np.float16 else 1e-4, rtol=0)


def test_silence_is_zero_and_normalised_by_twice_the_deviation():
    silence = torch.zeros(1, 16000)
    assert torch.equal(MaestMel(normalize=False)(silence), torch.zeros(1, 96, 64))
    assert MaestMel()(silence).unique().item() == pytest.approx(-2.06755686098554 / (2 * 1.268292820667291))
    x = torch.tensor([2.06755686098554, 2.06755686098554 + 2 * 1.268292820667291])
    assert torch.allclose(normalise(x), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize(("seconds", "frames"), [(5, 312), (10, 625), (20, 1250), (30, 1875), (0, 0), (4.992, 312)])
def test_frames_of_seconds(seconds, frames):
    assert frames_of(seconds) == frames


@given(n=st.integers(1, 3000))
@settings(max_examples=40, deadline=None)
def test_frame_counts(n):
    wave = torch.zeros(1, n)
    assert MaestMel()(wave).shape == (1, 96, -(-n // 256) + 1)
    if n > 256:
        assert MaestMel("torch")(wave).shape == (1, 96, n // 256 + 1)
    assert MAEST.n_frames(0) == 0


def test_a_batch_equals_its_rows():
    waves = torch.stack([noise(20000, seed) for seed in range(3)])
    mel = MaestMel()
    assert torch.equal(mel(waves), torch.cat([mel(wave[None]) for wave in waves]))


@given(n=st.integers(257, 9000), cuts=st.lists(st.integers(0, 9000), max_size=6), edges=st.sampled_from(["essentia", "torch"]))
@settings(max_examples=60, deadline=None)
def test_blocks_equal_the_whole_bit_for_bit(n, cuts, edges):
    wave = noise(n, seed=n)
    bounds = sorted({0, n, *(cut for cut in cuts if cut < n)})
    pieces = [wave[a:b] for a, b in itertools.pairwise(bounds)]
    mel = MaestMel(edges, normalize=False)
    got = list(mel_blocks(mel, pieces, frames_per_block=4))
    assert all(piece.shape[1] <= 4 for piece in got)
    assert torch.equal(torch.cat(got, 1), mel(wave[None])[0])


def test_blocks_hold_only_a_bounded_part():
    """The generator asks for more audio only once it has given what it can: it does not gather the signal first."""
    asked = []

    def source():
        for k in range(50):
            asked.append(k)
            yield noise(2560, k)

    frames = mel_blocks(MaestMel(), source(), frames_per_block=20)
    next(frames)
    assert len(asked) <= 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_answer_is_float32_whatever_comes(dtype):
    wave = noise(4000).to(dtype)
    out = MaestMel()(wave[None])
    assert out.dtype == torch.float32
    assert torch.equal(out, MaestMel()(wave.float()[None]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_stays_exact_inside_a_model_of_another_precision(dtype):
    wave = noise(4000)[None]
    model = torch.nn.Sequential(MaestMel("torch")).to(dtype)
    assert model[0].bank.dtype == torch.float32
    assert torch.equal(model(wave), MaestMel("torch")(wave))
    assert model.state_dict() == {}


def test_built_on_the_meta_device_it_still_works():
    wave = noise(4000)[None]
    with torch.device("meta"):
        model = torch.nn.Sequential(MaestMel(), torch.nn.LayerNorm(16))
    model.to_empty(device="cpu")
    assert torch.equal(model[0](wave), MaestMel()(wave))


def test_two_front_ends_share_no_memory():
    one, two = MaestMel(), MaestMel()
    one.window.zero_()
    assert two.window.any()
    assert MaestMel().window.any()


def test_autocast_and_reduced_matmul_precision_change_nothing():
    wave, mel = noise(16000)[None], MaestMel()
    want = mel(wave)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mel(wave), want)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert torch.equal(mel(wave), want)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_agrees_even_under_autocast():
    wave, mel = noise(32000)[None], MaestMel(normalize=False)
    want = mel(wave)
    with torch.autocast("cuda", dtype=torch.float16):
        got = mel.cuda()(wave.cuda())
    assert got.dtype == torch.float32
    assert (got.cpu() - want).abs().max() <= 2e-5


def test_gradient_reaches_the_wave_and_input_stays_untouched():
    wave = noise(2000)[None].requires_grad_()
    copy = wave.detach().clone()
    MaestMel()(wave).sum().backward()
    assert wave.grad is not None
    assert torch.isfinite(wave.grad).all()
    assert wave.grad.abs().sum() > 0
    assert torch.equal(wave, copy)


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (torch.zeros(1, 0), "empty"),
        (torch.zeros(0, 100), "empty"),
        (torch.zeros(100), r"\[B, N\].*\[100\]"),
        (torch.zeros(1, 1, 100), r"\[B, N\]"),
        (torch.zeros(1, 100, dtype=torch.int16), "int16.*to_mono_float"),
        (torch.full((1, 100), float("nan")), "NaN or infinite"),
        (torch.full((1, 100), float("inf")), "NaN or infinite"),
    ],
)
def test_what_cannot_be_used_is_named(wave, message):
    with pytest.raises(AudioError, match=message):
        MaestMel()(wave)


def test_torch_edges_need_something_to_mirror():
    MaestMel("torch")(torch.zeros(1, 257))
    with pytest.raises(AudioError, match="257 samples; got 256"):
        MaestMel("torch")(torch.zeros(1, 256))
    with pytest.raises(AudioError, match="257 samples; got 200"):
        list(mel_blocks(MaestMel("torch"), [torch.zeros(100), torch.zeros(100)]))


def test_blocks_refuse_like_the_front_end():
    for pieces, message in [
        ([], "empty"),
        ([torch.zeros(5, 5)], r"\[n\]"),
        ([torch.zeros(9), torch.tensor([float("nan")])], "NaN"),
    ]:
        with pytest.raises(AudioError, match=message):
            list(mel_blocks(MaestMel(), pieces))


def test_unknown_edges_are_refused():
    with pytest.raises(AudioError, match="essentia or torch"):
        MaestMel(edges="librosa")


def test_settings_say_what_a_store_was_made_with():
    assert MaestMel().settings.name == "maest-essentia"
    assert MaestMel("torch").settings.name == "maest-torch"
    assert (MAEST.sample_rate, MAEST.hop, MAEST.n_mels) == (16000, 256, 96)
    with pytest.raises(dataclasses.FrozenInstanceError):
        MAEST.hop = 1


def test_the_module_brings_no_state_into_checkpoints():
    assert MaestMel().state_dict() == {}


@pytest.mark.slow
def test_importing_models_does_not_import_torch():
    code = "import models, models.audio, sys; assert 'torch' not in sys.modules and 'av' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
