"""music2vec's network: golden numbers, padding, precision, what the reference got wrong, and the audio that is refused."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.errors import AudioError, ConfigError
from models.music2vec import LayerAverage, Music2Vec, Processor, time_mean
from models.music2vec.processor import normalized
from tests.models.music2vec.golden import CONFIG, DEPTH, HIDDEN, IO, META, NO_DROPOUT, WAVE, close, loaded, make, published


@pytest.fixture(scope="module")
def net() -> Music2Vec:
    return loaded()


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


# ---- golden numbers
@pytest.mark.parametrize("sdpa", [True, False])
def test_hidden_states(sdpa):
    net = loaded(sdpa=sdpa)
    close(normalized(WAVE), IO["input_values"])
    close(net.hidden_states(WAVE), HIDDEN)
    close(net.hidden_states(WAVE[1:]), HIDDEN[:, 1:])  # a batch of one is the row of a batch
    close(net.hidden_states(WAVE * 0.25), HIDDEN, 5e-3)  # clips are normalised
    close(net.extract_embeddings(WAVE, [3, 1], sample_rate=16000), HIDDEN[[2, 4]])
    close(net(WAVE, mask=IO["mask"]), IO["student_last_hidden"])
    last, every = net(IO["input_values"], output_hidden_states=True)
    close(torch.stack(every), HIDDEN)
    assert torch.equal(last, every[-1])


def test_means_over_time_and_layers(net):
    close(net.time_reduced(WAVE), IO["time_mean"])
    average = LayerAverage(DEPTH + 1)
    close(average(IO["time_mean"]), IO["time_mean"].mean(0), 1e-6)  # it begins as the plain mean
    average.weight.copy_(IO["weighted_avg_logits"])
    close(average(IO["time_mean"]), IO["weighted_avg"])


def test_the_cards_average_is_a_convolution_with_a_bias():
    card, own = nn.Conv1d(DEPTH + 1, 1, 1), LayerAverage(DEPTH + 1, "conv")
    assert sum(p.numel() for p in own.parameters()) == DEPTH + 2
    close(own(IO["time_mean"]), IO["time_mean"].mean(0), 1e-6)
    own.weight.copy_(card.weight[0, :, 0])
    own.bias.copy_(card.bias)
    close(own(IO["time_mean"]), card(IO["time_mean"].transpose(0, 1))[:, 0], 1e-6)
    assert own(HIDDEN).shape == HIDDEN.shape[1:]
    for wrong in (lambda: LayerAverage(0), lambda: LayerAverage(3, "mean"), lambda: own(HIDDEN[1:])):
        with pytest.raises(ConfigError, match=r"average"):
            wrong()


@pytest.mark.parametrize(("samples", "vectors"), [(16000, 49), (80000, 249), (93680, 292), (96000, 299), (480000, 1499)])
def test_number_of_vectors(net, samples, vectors):
    """The card's 292 are of 5.855 s, not of 6."""
    assert net.n_vectors(samples) == vectors


def test_published_size():
    with torch.device("meta"):
        net = Music2Vec(None)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(93.16e6, abs=5e3)
    assert (net.depth, net.embed_dim, net.embedding_rate, net.receptive_field, net.max_seconds) == (12, 768, 50.0, 400, 5.0)
    np.testing.assert_allclose(net.moment_times(3, 80000, 0), [0.0125, 0.0325, 0.0525])


# ---- padding
def test_a_padded_clip_has_the_vectors_of_the_unpadded_one(net):
    """In transformers' own loop its last vectors have others: padding comes back through the convolutions of positions."""
    short, n = WAVE[:1, :9000], net.n_vectors(9000)
    padded = torch.cat([torch.nn.functional.pad(short, (0, 7000)), WAVE[1:]])
    alone, together = net.hidden_states(short), net.hidden_states(padded, lengths=[9000, 16000])
    close(together[:, :1, :n], alone, 1e-5)
    close(together[:, 1:], HIDDEN[:, 1:], 1e-5)
    assert float((net.hidden_states(padded)[:, :1, :n] - alone).abs().max()) > 0.01
    close(net.time_reduced(padded, lengths=[9000, 16000])[:, :1], alone.mean(2), 1e-5)
    close(time_mean(together, torch.tensor([n, 49]))[:, 1], HIDDEN[:, 1].mean(1), 1e-5)
    inputs = Processor()([padded[0, :9000], WAVE[1]], 16000, padding=True)
    close(net(**inputs)[:1, :n], alone[-1], 1e-5)
    close(loaded(sdpa=False).encode(padded, [0], torch.tensor([9000, 16000]))[0, :1, :n], alone[1], 1e-5)


def test_impossible_lengths(net):
    for lengths in ([16000], [399, 16000], [16001, 16000], [1.5, 2.5]):
        with pytest.raises(AudioError, match="lengths"):
            net.encode(WAVE, lengths=lengths)


# ---- the processor
def test_the_processor_normalises_each_clip_and_needs_no_file(monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("read")

    monkeypatch.setattr("builtins.open", never)
    found = Processor.from_pretrained("facebook/data2vec-audio-base-960h")(
        WAVE[0].numpy(), sampling_rate=16000, return_tensors="pt"
    )
    close(found["input_values"], IO["input_values"][:1])
    both = Processor()([WAVE[0], WAVE[1, :9000]], padding=True)
    assert both["attention_mask"].sum(1).tolist() == [16000, 9000]
    close(both["input_values"][0], IO["input_values"][0])
    close(both["input_values"][1, :9000], normalized(WAVE[1:, :9000])[0], 1e-6)
    assert not both["input_values"][1, 9000:].any()


def test_what_the_processor_refuses():
    nan = WAVE[0].clone()
    nan[7] = float("nan")
    for call, text in (
        (lambda: Processor()(WAVE[0], 44100), "at 44100 Hz, the network reads 16000 Hz"),
        (lambda: Processor()((WAVE[0] * 1000).short()), "floating point"),
        (lambda: Processor()(WAVE), r"mono samples \[N\]"),
        (lambda: Processor()([]), r"mono samples \[N\]"),
        (lambda: Processor()(nan), "NaN or infinite"),
        (lambda: Processor()([WAVE[0], WAVE[1, :500]]), "padding=True"),
        (lambda: Processor()(WAVE[0], return_tensors="np"), "torch's tensors"),
    ):
        with pytest.raises(ValueError, match=text):
            call()


# ---- what the reference got wrong
def test_no_block_behind_the_asked_layer_is_computed(net, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("computed")

    monkeypatch.setattr(net.encoder.layers[2].feed_forward, "forward", never)
    close(net.encode(WAVE, [0, 1]), HIDDEN[1:3])
    with pytest.raises(AssertionError, match="computed"):
        net.encode(WAVE)


def test_one_clip_or_one_layer_keeps_its_dimensions(net):
    assert net.hidden_states(WAVE[:1]).shape == (DEPTH + 1, 1, 49, 32)
    assert net.time_reduced(WAVE[:1]).shape == (DEPTH + 1, 1, 32)
    assert LayerAverage(1)(HIDDEN[:1, :1]).shape == (1, 49, 32)


def test_in_training_mode_nothing_is_masked_or_dropped_unasked():
    """transformers' own model masks by itself and leaves blocks out."""
    torch.manual_seed(0)
    net = loaded(**NO_DROPOUT).train()
    for _ in range(3):
        close(net.hidden_states(WAVE), HIDDEN)


def test_building_leaves_python_and_numpys_random_states_alone_and_follows_the_users_seed():
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states = random.getstate(), np.random.get_state()[1].tolist()
        drawn.append(make().masked_spec_embed)
        assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_checkpointing_changes_no_gradient():
    def gradients(on: bool):
        torch.manual_seed(0)
        net = loaded().train()
        net.gradient_checkpointing = on
        torch.manual_seed(1)
        with torch.enable_grad():
            net.encode(WAVE).square().mean().backward()
        return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}

    plain, again = gradients(False), gradients(True)
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_normalises_in_float32(dtype):
    net = loaded().to(dtype)
    loud = net.encode((WAVE * 1000).to(dtype))  # squares of such samples are beyond float16
    assert loud.dtype == dtype
    close(loud[0].float(), HIDDEN[-1], (0.02 if dtype == torch.float16 else 0.15) * float(HIDDEN[-1].abs().max()))


# ---- what is refused
def test_bad_audio(net):
    for wave, text in (
        (WAVE[0], r"audio\[None\]"),
        (WAVE[:, None], r"average the channels"),
        (WAVE[:, :399], r"400 samples \(25.0 ms at 16000 Hz\)"),
        ((WAVE * 1000).int(), "floating point"),
        (WAVE / 0, "NaN or infinite"),
        ([WAVE[0], WAVE[1, :9000]], "lengths="),
        (np.zeros((1, 16000), np.float32), "torch.from_numpy"),
    ):
        with pytest.raises(AudioError, match=text):
            net.hidden_states(wave)
    with pytest.raises(AudioError, match="said to be at 44100 Hz, the network reads 16000 Hz"):
        net.extract_embeddings(WAVE, sample_rate=44100)
    for mask in (IO["mask"][:1], IO["mask"].float()):
        with pytest.raises(ConfigError, match=r"A mask of these clips is bool \[2, 49\]"):
            net(WAVE, mask=mask)


def test_silence_and_the_shortest_clip_have_vectors(net):
    assert net.hidden_states(torch.zeros(1, 400)).isfinite().all()
    assert net.hidden_states(WAVE[:, :400]).shape == (DEPTH + 1, 2, 1, 32)


def test_impossible_settings():
    for changes, text in (
        ({"hidden_size": 30}, "num_attention_heads"),
        ({"num_conv_pos_embedding_groups": 3}, "num_conv_pos_embedding_groups"),
        ({"conv_stride": [5, 2]}, "one each per convolution"),
        ({"hidden_act": "step"}, "gelu or relu or swish"),
        ({"max_seconds": 0.02}, r"one vector takes 0.0250 s"),
        ({"layers": 3}, "unknown"),
        ({"hidden_size": 65536, "num_attention_heads": 4, "num_hidden_layers": 1000}, "parameters"),
        ({"out_dim": 2, "labels": ["a"]}, "1 labels"),
    ):
        with pytest.raises(ConfigError, match=text):
            make(**changes)


# ---- the card's snippet
def test_the_cards_snippet_runs_but_for_the_import_the_path_and_the_data(tmp_path):
    published(tmp_path / "tiny", num_hidden_layers=DEPTH)
    page = Path(__file__).parents[3] / "docs" / "music2vec.md"
    snippets = [part.split("```")[0] for part in page.read_text().split("```python\n")[1:]]
    (code,) = (code for code in snippets if "aggregator" in code)
    wave = np.tile(WAVE[0].numpy(), 6)[:93680]
    dataset = [{"audio": {"array": wave}}]
    code = code.replace("in_channels=13", f"in_channels={DEPTH + 1}").replace("m-a-p/music2vec-v1", str(tmp_path / "tiny"))
    found: dict = {"dataset": dataset, "sampling_rate": 16000}
    exec(code, found)
    assert found["all_layer_hidden_states"].shape == (DEPTH + 1, 292, 32)
    assert found["time_reduced_hidden_states"].shape == (DEPTH + 1, 32)
    assert found["weighted_avg_hidden_states"].shape == (32,)
    want = loaded().time_reduced(torch.from_numpy(wave)[None])[:, 0]
    close(found["time_reduced_hidden_states"], want, 1e-5)


def test_golden_meta_is_of_this_network():
    assert META["config"]["hidden_size"] == CONFIG["hidden_size"] == 32
