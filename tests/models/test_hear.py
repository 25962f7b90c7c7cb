"""The HEAR interface: what its validator checks, restated, from 0.1 s to 20 minutes; the times are where things happen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import hear
from models.audio import resample
from models.clmr import SampleCNN
from models.errors import AudioError
from models.maest import MAEST

SIZE = dict(n_classes=5, embed_dim=16, depth=2, num_heads=2)


@pytest.fixture(scope="module")
def model() -> hear.HearModel:
    torch.manual_seed(0)
    return hear.HearModel(MAEST(input_t=312, **SIZE)).eval()


def noise(sounds, seconds):
    return torch.rand(sounds, round(16000 * seconds), generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_loads_from_a_file(tmp_path):
    net = MAEST(input_t=312, n_classes=5, embed_dim=128, depth=9, num_heads=2)
    torch.save(net.state_dict(), tmp_path / "w.ckpt")
    model = hear.load_model(str(tmp_path / "w.ckpt"))
    assert not model.training
    assert model.layer == 7
    assert isinstance(model.sample_rate, int)
    assert model.sample_rate in (16000, 22050, 32000, 44100, 48000)  # the rates that HEAR offers
    assert (model.scene_embedding_size, model.timestamp_embedding_size) == (384, 128)
    assert hear.load_model(str(tmp_path / "w.ckpt"), layer=-1).layer == 8
    audio = noise(2, 1)
    scene, moments = hear.get_scene_embeddings(audio, model), hear.get_timestamp_embeddings(audio, model)[0]
    with torch.no_grad():
        mel = model.net.melspectrogram(audio)
        torch.testing.assert_close(scene, model.net.embed_blocks(mel, [7])[0].flatten(1), atol=1e-5, rtol=0)
        torch.testing.assert_close(moments, model.net.encode_mel(mel, [7])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.256, 1.0, 4.99, 5.0, 5.1, 12.34, 61.0])
def test_what_the_validator_checks(model, seconds):
    audio = noise(3, seconds)
    before = audio.clone()
    embeddings, times = hear.get_timestamp_embeddings(audio, model)
    assert embeddings.dtype == times.dtype == torch.float32
    assert embeddings.shape == (3, times.shape[1], model.timestamp_embedding_size)
    assert not embeddings.requires_grad
    assert torch.isfinite(embeddings).all()
    assert (times[0] == times[1]).all()
    assert times.min() > 0
    assert times.max() < 1000 * seconds
    if times.shape[1] > 1:
        assert set(times[0].diff().tolist()) == {160.0}
        assert times[0, 0] == 120.0
        assert 1000 * seconds - times[0, -1] < 160 + 130  # nothing left out that would fill a column
    scene = hear.get_scene_embeddings(audio, model)
    assert scene.dtype == torch.float32
    assert scene.shape == (3, model.scene_embedding_size)
    assert torch.equal(audio, before)


@pytest.mark.slow
def test_twenty_minutes(model):
    embeddings, times = hear.get_timestamp_embeddings(noise(1, 1200), model)
    assert times[0].tolist() == [120.0 + 160 * j for j in range(embeddings.shape[1])]
    assert times[0, -1] > 1_199_700
    assert hear.get_scene_embeddings(noise(1, 1200), model).shape == (1, 48)


def test_a_short_sound_is_where_it_is(model):
    """0.1 s stands centred in its one column: the time is the sound's middle, to half a mel frame's centre."""
    times = hear.get_timestamp_embeddings(noise(1, 0.1), model)[1]
    assert times.shape == (1, 1)
    assert abs(times.item() - 50) <= 8


@pytest.mark.parametrize("column", [3, 40, 65])
def test_times_are_where_things_happen(model, monkeypatch, column):
    """A click at a column's centre is loudest in that column, and as loud before it as behind, also beyond the first piece."""
    monkeypatch.setattr(
        MAEST, "encode_mel", lambda net, mel, layers: mel.unfold(2, 16, 10).mean(dim=(1, 3))[None, ..., None]
    )  # the columns' own frames
    audio = torch.zeros(1, 16000 * 12)
    audio[0, round((120 + 160 * column) * 16)] = 0.5
    loud, times = hear.get_timestamp_embeddings(audio, model)
    assert times[0, column] == 120 + 160 * column
    loud = loud[0, :, 0]
    assert loud.argmax() == column
    assert loud[column - 1] == pytest.approx(loud[column + 1].item(), abs=1e-6)


def test_the_scene_of_one_piece_is_the_networks_own(model):
    audio = noise(1, 4.9)
    with torch.no_grad():
        want = model.net.embed_blocks(model.net.melspectrogram(audio), [1])[0].flatten(1)
    torch.testing.assert_close(hear.get_scene_embeddings(audio, model), want, atol=1e-5, rtol=0)


def test_sounds_of_a_batch_do_not_see_each_other(model):
    audio = noise(2, 7)
    both = hear.get_timestamp_embeddings(audio, model)[0]
    torch.testing.assert_close(both[1:], hear.get_timestamp_embeddings(audio[1:], model)[0], atol=1e-5, rtol=0)


def test_interleaved_patchout_keeps_its_times():
    torch.manual_seed(0)
    model = hear.HearModel(MAEST(input_t=316, s_patchout_t_interleaved=2, **SIZE)).eval()
    embeddings, times = hear.get_timestamp_embeddings(noise(1, 4), model)
    assert embeddings.shape[1] == times.shape[1]
    assert set(times[0].diff().tolist()) == {320.0}


@pytest.mark.parametrize(
    "audio", [torch.zeros(16000), torch.zeros(0, 16000), torch.zeros(1, 0), torch.zeros(1, 16000, dtype=torch.int16), [0.0]]
)
def test_refusals(model, audio):
    with pytest.raises(AudioError):
        hear.get_scene_embeddings(audio, model)


# ---- networks that read samples
def test_moments_of_samples_are_where_they_are():
    """Windows of 9 samples, three vectors each; the end's and a short sound's silence gives none."""
    net = SampleCNN([1, 1, 1], [3], out_dim=None, sample_rate=16000).eval()
    model = hear.HearModel(net, layer=0)
    per_ms = 16.0
    for samples, want in ((9, [1.5, 4.5, 7.5]), (18, [1.5, 4.5, 7.5, 10.5, 13.5, 16.5]), (12, [1.5, 4.5, 7.5, 10.5]), (1, [0.5])):
        x = torch.rand(2, samples, generator=torch.Generator().manual_seed(0))
        vectors, times = hear.get_timestamp_embeddings(x, model)
        assert (times[0] * per_ms).tolist() == pytest.approx(want), samples
        with torch.no_grad():
            if samples % 9 == 0:
                torch.testing.assert_close(vectors, net.encode(x, [0])[0])
    scene = hear.get_scene_embeddings(torch.cat([x := torch.rand(1, 9), x], dim=1), model)
    torch.testing.assert_close(scene, hear.get_scene_embeddings(x, model))


@pytest.mark.parametrize(("rate", "asked"), [(16000, 16000), (24000, 48000), (20000, 22050), (96000, 48000)])
def test_a_rate_that_no_task_has_is_resampled_from_one_that_they_have(rate, asked, caplog):
    net = SampleCNN([1, 1, 1], [3], out_dim=None, sample_rate=rate).eval()
    with caplog.at_level("INFO"):
        model = hear.HearModel(net)
    assert model.sample_rate == asked
    assert (f"reads {rate} Hz, which HEAR does not offer" in caplog.text) == (rate != asked)
    x = torch.rand(2, 9 * asked // rate * 4, generator=torch.Generator().manual_seed(0)) - 0.5
    own = x if rate == asked else torch.from_numpy(np.stack([resample(one, asked, rate) for one in x.numpy()]))
    again = hear.HearModel(net)
    again.sample_rate = rate  # given at its own rate
    torch.testing.assert_close(hear.get_scene_embeddings(x, model), hear.get_scene_embeddings(own, again))
    found, times = hear.get_timestamp_embeddings(x, model)
    want, moments = hear.get_timestamp_embeddings(own, again)
    torch.testing.assert_close(found, want)
    assert torch.equal(times, moments)
    assert times.max() <= 1000 * x.shape[1] / asked


def test_without_a_name_it_is_the_default(monkeypatch):
    asked = []
    monkeypatch.setattr(hear, "load_network", lambda name: asked.append(name) or MAEST(input_t=100, **SIZE))
    hear.load_model()
    assert asked == ["discogs-maest-30s-pw-129e"]
