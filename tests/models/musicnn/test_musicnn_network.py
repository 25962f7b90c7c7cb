"""The network against the published tool's numbers, its layers and windows."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from models import load_model
from models.errors import AudioError, ConfigError
from models.musicnn import MusiCNN
from models.weights.cards import get_card, load_labels
from models.weights.locate import local_weights

PUBLISHED = {"MTT_musicnn": "musicnn-mtt", "MSD_musicnn": "musicnn-msd"}
SMALL = dict(n_classes=4, timbral=5, temporal=4, middle=6, hidden=8)
RECORDINGS = [
    "brahms_22k_mono.mp3", "brahms_44k_stereo.flac", "fishin_22k_mono_f32.wav", "fishin_44k_stereo.wav", "outfoxing_44k_stereo.mp3",
    "outfoxing_vbr_noxing_44k_stereo.mp3", "sonicpi_guit_em9.flac", "sonicpi_loop_garzul.flac", "speech_libri_16k_mono.ogg",
    "sugarplum_44k_stereo.ogg", "trumpet_44k_stereo.ogg", "vibeace_22k_mono.ogg", "vibeace_48k_stereo.opus",
]  # fmt: skip


@pytest.fixture
def golden(fixtures: Path) -> dict[str, np.ndarray]:
    return dict(np.load(fixtures / "musicnn" / "published.npz"))


@cache
def published(model: str) -> MusiCNN:
    """The published network, where its wheel is on this machine (`make setup` fetches it)."""
    name = PUBLISHED[model]
    if local_weights(get_card(name)) is None:
        pytest.skip(f"the wheel of {name} is not on this machine")
    return load_model(name)


def small(**settings) -> MusiCNN:
    torch.manual_seed(0)
    return MusiCNN(**{**SMALL, **settings}).eval()


# ---- numbers
@pytest.mark.parametrize("model", PUBLISHED)
@torch.no_grad()
def test_every_layer_gives_the_published_tools_numbers(golden, model):
    net = published(model)
    x = np.float32(1.5) * np.abs(np.random.default_rng(0).standard_normal((3, 187, 96)).astype("float32"))
    mel = torch.from_numpy(x).transpose(1, 2)
    want = {key.split("/")[-1]: value for key, value in golden.items() if key.startswith(f"{model}/random/")}
    front, *cnn, pooled, penultimate = net.summaries(mel, range(6))
    found = {
        "timbral": front[:, :408],
        "temporal": front[:, 408:],
        **{f"cnn{k + 1}": h[..., None] for k, h in enumerate(cnn)},
        "max_pool": pooled[:, ::2],
        "mean_pool": pooled[:, 1::2],
        "penultimate": penultimate,
        "logits": net.window_logits(mel),
        "probabilities": net.window_probabilities(mel),
    }
    assert set(found) == set(want)
    for name, value in want.items():
        got = found[name].numpy()
        np.testing.assert_allclose(got, value, atol=1e-4, rtol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("model", PUBLISHED)
@pytest.mark.parametrize("name", RECORDINGS)
def test_the_whole_chain_gives_the_published_tools_tags(golden, shared, model, name):
    heard = published(model).tag(shared / "audio" / "music" / name)
    want = golden[f"{model}/{name}/taggram"]
    n = len(want)
    np.testing.assert_allclose(heard.windows[:n], want, atol=0.005)
    assert heard.top(1)[0][0] == heard.labels[want.mean(0).argmax()]


def test_names_of_the_classes():
    assert load_labels("magnatagatune_50")[:3] == ("guitar", "classical", "slow")
    assert load_labels("msd_50")[:3] == ("rock", "pop", "alternative")
    assert {"female vocalist", "female vocalists"} <= set(load_labels("msd_50"))
    assert [len(set(load_labels(name))) for name in ("magnatagatune_50", "msd_50")] == [50, 50]


# ---- shapes
@pytest.mark.parametrize("frames", [1, 2, 64, 187, 400])
@torch.no_grad()
def test_windows_of_any_length(frames):
    net = small()
    mel = torch.rand(2, 96, frames)
    assert net(mel).shape == (2, 4)
    layers = net.summaries(mel, range(6))
    assert [x.shape[1] for x in layers] == list(net.widths) == [22, 6, 6, 6, 80, 8]
    assert [x.shape for x in net.outputs(mel, [0, 3])] == [(2, 22, frames), (2, 6, frames)]


@torch.no_grad()
def test_a_track_is_encoded_window_by_window():
    net = small()
    wave = torch.rand(1, 2 * 187 * 256 + 50 * 256) - 0.5
    assert net.encode(wave, [1, 2]).shape == (2, 1, 424, 6)
    assert net.encode(wave).shape == (1, 1, 3, 8)
    with pytest.raises(ValueError, match=r"unlike shape \(0: 22 per frame, 5: 8 per window\)"):
        net.encode(wave, [0, 5])
    with pytest.raises(ValueError, match="unlike widths"):
        net.pooled(torch.rand(1, 96, 187), [0, 1], "mean")
    assert net.encode(torch.rand(1, 100)).shape == (1, 1, 1, 8)


def test_a_window_hears_nothing_of_the_others():
    net = small()
    mel = torch.rand(3, 96, 187)
    torch.testing.assert_close(net(mel)[1:2], net(mel[1:2]), atol=1e-6, rtol=1e-6)


def test_dropout_and_batch_statistics_are_for_training_only():
    net = small()
    mel = torch.rand(4, 96, 50)
    assert torch.equal(net(mel), net(mel))
    net.train()
    assert not torch.equal(net(mel), net(mel))


# ---- refusals
def test_sizes_and_inputs_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="timbral is 0"):
        MusiCNN(timbral=0)
    with pytest.raises(ConfigError, match="3 labels for n_classes=4"):
        small(labels=["a", "b", "c"])
    with pytest.raises(ConfigError, match="longest window"):
        small(input_t=20000)
    for wrong in (torch.rand(2, 90, 187), torch.rand(96, 187), torch.rand(2, 96, 0), torch.zeros(2, 96, 187, dtype=torch.int16)):
        with pytest.raises(AudioError, match="log-mels"):
            small()(wrong)
