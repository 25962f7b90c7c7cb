"""MusicFM's network: golden numbers, what the reference got wrong, and the audio that is refused."""

from __future__ import annotations

import inspect
import logging
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import adaptive_avg_pool1d

import models
from models.errors import AudioError, ConfigError
from models.musicfm import MusicFM25Hz, frame_pool, sequence_pool
from models.musicfm.mel import htk_filterbank
from models.musicfm.network import FEATURE
from tests.models.musicfm.golden import DEPTH, IO, MASK_SEED, META, SIZES, STATE, STATS, WAVE, close, loaded, make, published


@pytest.fixture(scope="module")
def net() -> MusicFM25Hz:
    return loaded()


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


# ---- golden numbers
def test_front_end_stem_and_tokens(net):
    close(net.preprocessor(WAVE), IO["mel_db"], 2e-4)  # of -18 to 30 dB; six numbers are off by more than 1e-4
    close(make().preprocessor(WAVE), IO["mel_db"], 5e-3)  # with a filter bank of its own
    bank = f"preprocessor_{FEATURE}.mel_stft.mel_scale.fb"
    close(torch.from_numpy(htk_filterbank(24000, 2048, 128)), STATE[bank], 2e-5)
    close(net.conv(net.mel(WAVE)), IO["conv_out"], 1e-4)
    assert torch.equal(net.get_targets(WAVE)[FEATURE], IO["tokens"])
    own = make().state_dict()
    for name in ("random_projection", "codebook"):
        key = f"quantizer_{FEATURE}_0.{name}"
        assert torch.equal(own[key], STATE[key])


@pytest.mark.parametrize("is_flash", [False, True])
def test_hidden_states_and_logits(is_flash):
    net = loaded(is_flash=is_flash)
    logits, hidden = net.get_predictions(WAVE)
    assert len(hidden) == DEPTH + 1
    close(logits[FEATURE], IO["logits"], 1e-4)
    for i, states in enumerate(hidden):
        close(states, IO[f"latent_{i}"], 1e-4)
        assert torch.equal(net.get_latent(WAVE, layer_ix=i), states)
        close(net.get_latent(WAVE[1:], layer_ix=i), states[1:], 1e-5)  # a batch of one is the row of a batch
    assert torch.equal(net.get_latent(WAVE), hidden[-1])
    close(net.extract_embeddings(WAVE, [0, 2], sample_rate=24000), torch.stack([IO["latent_1"], IO["latent_3"]]), 1e-4)


def test_a_pre_training_step(net):
    torch.manual_seed(MASK_SEED)
    _, indices = net.masking(WAVE)
    assert torch.equal(indices, IO["masked_indices"])
    torch.manual_seed(MASK_SEED)
    logits, hidden, losses, accuracies = net(WAVE)
    assert float(losses[FEATURE]) == pytest.approx(META["loss_masked"], abs=1e-4)
    assert float(accuracies[FEATURE]) == META["acc_masked"]
    close(hidden[-1], IO["masked_last_hidden"], 1e-4)
    assert float(logits[FEATURE].mean()) == pytest.approx(float(IO["masked_logits_mean"]), abs=1e-4)


# ---- what the reference got wrong
def test_the_full_forward_and_several_codebooks_work():
    torch.manual_seed(0)
    net = make(num_codebooks=2)
    assert net.get_targets(WAVE)[FEATURE].shape == (2, 50, 2)
    assert net.get_predictions(WAVE)[0][FEATURE].shape == (2, 50, 256, 2)
    assert not torch.equal(net.quantizers[0].codebook, net.quantizers[1].codebook)
    assert torch.isfinite(net(WAVE)[2][FEATURE])


def test_building_leaves_the_random_state_alone_and_follows_the_users_seed():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        state = random.getstate()
        drawn.append(make().conv.linear.weight)
        assert random.getstate() == state
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_embeddings_are_the_same_each_time_in_either_attention():
    net = loaded(is_flash=True, conformer={**META["conformer"], "attention_dropout": 0.5, "hidden_dropout": 0.5})
    assert torch.equal(net.get_latent(WAVE, 2), net.get_latent(WAVE, 2))
    net.train()
    assert not torch.equal(net.get_latent(WAVE, 2), net.get_latent(WAVE, 2))


def test_bands_hop_and_heads_are_free():
    conformer = {**META["conformer"], "num_attention_heads": 3, "num_conv_pos_embedding_groups": 1}
    net = make(n_mels=30, hop_length=120, encoder_dim=18, conformer=conformer)
    assert net.embedding_rate == 50
    assert net.get_latent(WAVE).shape == (2, 100, 18)
    assert net.quantizers[0].random_projection.shape == (120, 16)


@pytest.mark.parametrize("extra", [1, 333, 959])
def test_lengths_that_are_no_whole_tokens(net, extra):
    wave = WAVE[:, : 24000 + extra]
    torch.manual_seed(0)
    logits, hidden, losses, _ = net(wave)
    assert hidden[-1].shape[1] == logits[FEATURE].shape[1] == net.n_vectors(wave.shape[1])
    assert net.get_targets(wave)[FEATURE].shape[1] == 25
    assert torch.isfinite(losses[FEATURE])


def test_a_loss_where_nothing_was_drawn_and_a_refusal_where_nothing_could_be():
    net = loaded(mask_prob=1e-6)
    assert len(net.masking(WAVE)[1]) == 10
    assert torch.isfinite(net(WAVE)[2][FEATURE])
    with pytest.raises(AudioError, match=r"8640 samples hold no block to mask: 9600 \(0.4 s\)"):
        net(WAVE[:, :8640])


def test_no_block_behind_the_asked_layer_is_computed(net, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("computed")

    monkeypatch.setattr(net.conformer.layers[2], "forward", never)
    close(net.get_latent(WAVE, layer_ix=2), IO["latent_2"], 1e-4)
    with pytest.raises(AssertionError, match="computed"):
        net.get_latent(WAVE)


def test_parts_that_no_pass_uses_are_kept_but_not_trained(net):
    trained = {name for name, p in net.named_parameters() if p.requires_grad}
    unused = {name for name in STATE if "pos_conv_embed" in name or name == "cls_token"}
    assert len(unused) == 4
    assert not trained & unused
    assert set(net.state_dict()) == set(STATE)


def test_pooling_is_over_time():
    vectors = IO["latent_3"]
    close(sequence_pool(vectors), torch.from_numpy(vectors.numpy().mean(1)), 1e-6)
    for n in (6, 12, 100):
        want = torch.stack([adaptive_avg_pool1d(vectors[:, :, d], n) for d in range(vectors.shape[2])], -1)
        close(frame_pool(vectors, n), want, 1e-6)
    assert frame_pool(vectors, 10).shape == (2, 10, 32)
    with pytest.raises(ConfigError, match="n_frame is 0"):
        frame_pool(vectors, 0)
    with pytest.raises(ConfigError, match=r"\[B, T, D\]"):
        sequence_pool(vectors[0])


# ---- precision
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_the_front_end_the_positions_and_the_quantisers(dtype):
    net = loaded(is_flash=True)
    half = loaded(is_flash=True).to(dtype)
    got = half.get_latent(WAVE.to(dtype), layer_ix=2)
    assert got.dtype == dtype
    size = float(IO["latent_2"].abs().max())
    close(got.float(), IO["latent_2"], (0.02 if dtype == torch.float16 else 0.1) * size)
    assert torch.equal(half.conformer.embed_positions.inv_freq, net.conformer.embed_positions.inv_freq)
    assert torch.equal(half.get_targets(WAVE)[FEATURE], IO["tokens"])
    for length in (12000, 48000):  # positions are made anew for each length and type
        assert half.get_latent(WAVE[:, :length].to(dtype)).isfinite().all()
    close(half.float().preprocessor(WAVE), IO["mel_db"], 2e-4)


# ---- what is refused
def test_bad_audio(net):
    for wave, text in (
        (WAVE[0], r"audio\[None\]"),
        (WAVE[:, None], r"average the channels"),
        (WAVE[:, :1024], r"1025 samples \(42.7 ms at 24000 Hz\)"),
        ((WAVE * 1000).int(), "floating point"),
        (WAVE / 0, "NaN or infinite"),
        ([WAVE[0], WAVE[1, :9000]], "attention looks both ways"),
        (np.zeros((1, 24000), np.float32), "torch.from_numpy"),
    ):
        with pytest.raises(AudioError, match=text):
            net.get_latent(wave)
    for call in (net.get_latent, net.extract_embeddings):
        with pytest.raises(AudioError, match="said to be at 16000 Hz, the network reads 24000 Hz"):
            call(WAVE, sample_rate=16000)


def test_impossible_settings(net):
    for layer in (DEPTH + 1, -2, 1.5, True):
        with pytest.raises(ConfigError, match=r"0 \(the stem's output\) to 3"):
            net.get_latent(WAVE, layer_ix=layer)
    for changes, text in (
        ({"encoder_dim": 30}, "num_attention_heads"),
        ({"mask_hop": 0.05}, "whole number of tokens"),
        ({"mask_prob": 0.0}, "mask_prob is 0.0"),
        ({"max_seconds": 0.05, "hop_length": 240, "n_mels": 2}, "n_mels is 2"),
        ({"conformer": {"layers": 3}}, "unknown"),
        ({"conformer": {**META["conformer"], "conv_depthwise_kernel_size": 30}}, "odd number"),
        ({"encoder_dim": 65536, "encoder_depth": 1000}, "parameters"),
        ({"stat_path": None, "norm_std": 0.0}, "deviation of 0.0"),
        ({"out_dim": 2, "labels": ["a"]}, "1 labels"),
    ):
        with pytest.raises(ConfigError, match=text):
            make(**changes)


# ---- the README's snippets
@pytest.mark.parametrize(("n", "dtype"), [(0, torch.float32), (1, torch.float16)])
def test_readme_snippets_run_verbatim_but_for_the_import_and_the_gpu(n, dtype, tmp_path, monkeypatch, caplog):
    """On a small network in the published files' places, under its sizes as defaults."""
    small = {**SIZES, "conv_dim": 2, "encoder_dim": 8, "encoder_depth": 6}
    small["conformer"] = {**META["conformer"], "num_attention_heads": 2, "intermediate_size": 8}
    (tmp_path / "data").mkdir()
    published(tmp_path / "data" / "pretrained_fma.pt", state=make(**small).state_dict())
    (tmp_path / "data" / "fma_stats.json").write_bytes(STATS.read_bytes())
    parameters = list(inspect.signature(MusicFM25Hz.__init__).parameters.values())[1:]
    monkeypatch.setattr(MusicFM25Hz.__init__, "__defaults__", tuple(small.get(p.name, p.default) for p in parameters))
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[3] / "docs" / "musicfm.md"
    snippets = [part.split("```")[0] for part in page.read_text().split("```python\n")[1:]]
    code = [code for code in snippets if "MusicFM25Hz(" in code][n]
    found: dict = {}
    with caplog.at_level(logging.WARNING):
        # one second: float16 takes minutes of a processor for the snippet's thirty
        exec(code.replace(".cuda()", "").replace("24000 * 30", "24000 * 1"), found)
    assert found["emb"].shape == (4, 25, 8)
    assert ("float16 on the CPU" in caplog.text) == (dtype == torch.float16)
    assert found["emb"].isfinite().all()
    assert found["emb"].dtype == dtype


def test_the_small_network_of_the_page_is_saved_and_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "musicfm.md").read_text()
    (code,) = [part for part in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "export_model" in part]
    exec(code, {})
    assert models.load_model("small-musicfm").extract_embeddings(WAVE, layers=[1]).shape == (1, 2, 50, 64)
