"""OMAR-RQ against numbers of the reference: every part, from the golden arrays that the project carries."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from models.omar_rq import (
    CQT,
    FiniteScalarQuantizer,
    MelSpectrogram,
    RandomProjectionQuantizer,
    aggregate_embeddings,
    chunk_offsets,
    get_model,
    mask_patches,
    resample,
)
from models.omar_rq.representations import Waveform, patches_of
from models.omar_rq.rotary import Rotary
from models.omar_rq.spans import span_length
from tests.models.omar_rq.golden import HERE, HUB, carried, close, make_folder

FEATURES, FSQ, MASKING = carried("features"), carried("fsq"), carried("masking")
ASKED = {"emb_default": None, "emb_1": [1], "emb_0_2": {0, 2}, "emb_2_0": [2, 0]}


@pytest.fixture(scope="module")
def infer():
    return carried("mel_infer")


@pytest.fixture(scope="module")
def net():
    return get_model(str(HUB))


# ---- inference
@pytest.mark.parametrize("key", ASKED)
def test_embeddings(net, infer, key):
    found = net.extract_embeddings(infer["wave"], layers=ASKED[key])
    close(found, infer[key], 2e-3)
    assert not found.requires_grad


def test_each_part_of_a_block(net, infer):
    block, found = net.net.layers[0], {}
    for name in ("ff1", "attention", "norm1", "conv_block", "ff2", "norm2"):
        getattr(block, name).register_forward_hook(lambda m, i, out, name=name: found.update({name: out}))
    with torch.no_grad():
        net.net.outputs(infer["embedded"], (0,))
    for name, value in found.items():
        close(value, infer[f"block0/{name}"], 1e-4)


@pytest.mark.parametrize("samples", [768, 1024, 16000, 33111, 480000])
def test_number_of_vectors(net, infer, samples):
    want = infer.about["tokens_for_length"][str(samples)]
    assert net.n_vectors(samples) == want
    if samples < 40000:
        assert net.extract_embeddings(torch.zeros(1, samples), [0]).shape == (1, 1, want, 32)
    assert net.eps == infer.about["eps"] == 15.625


# ---- features
def settings(key: str) -> dict:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in FEATURES.about[key].items()}


def test_log_mel():
    close(MelSpectrogram(**settings("mel16"))(FEATURES["wave16"]), FEATURES["mel16"], 1e-3)


def test_constant_q():
    cqt = CQT(**settings("cqt24"))
    close(cqt(FEATURES["wave24"]), FEATURES["cqt24"], 1e-2)
    from models.omar_rq.cqt import octave_filters

    sizes = [(hop, 2 * (f.shape[1] - 1)) for _, hop, f in octave_filters(*cqt.bins)]
    assert sizes == [tuple(row) for row in FEATURES["cqt24_nfft_hop"].tolist()] or sizes == [
        tuple(row[::-1]) for row in FEATURES["cqt24_nfft_hop"].tolist()
    ]


@pytest.mark.parametrize(("key", "wave", "rates"), [
    ("resample16_24", "wave16", (16000, 24000)), ("resample2_1", "wave24", (2, 1)), ("resample44_24", "wave16", (44100, 24000)),
])  # fmt: skip
def test_resampling(key, wave, rates):
    x = FEATURES[wave][:, :8000] if key == "resample44_24" else FEATURES[wave]
    found = resample(x, *rates)
    close(found[:, :2000], FEATURES[key], 1e-5)
    assert found.shape[1] == -(-x.shape[1] * rates[1] // rates[0])


def test_rotary_positions():
    rope = carried("rope")
    for dim in (8, 128):
        rotary = Rotary(dim)
        close(rotary(rope[f"q{dim}"]), rope[f"rot{dim}"], 1e-5)
        close(rotary.freqs, rope[f"freqs{dim}"], 1e-7)


def test_patches_have_rows_slow_and_time_fast():
    x = torch.arange(2 * 3 * 7).reshape(2, 3, 7)
    found = patches_of(x, 2)
    assert found.shape == (2, 3, 6)
    for patch in range(3):
        for row in range(3):
            for t in range(2):
                assert found[1, patch, row * 2 + t] == x[1, row, patch * 2 + t]


# ---- quantisers
def test_random_projections_are_those_of_the_seed_and_so_are_tokens():
    golden = carried("rq")
    for entry in [e for e in golden.about["entries"] if e["dim"] == 384][:2]:
        quantize = RandomProjectionQuantizer(384, 16, entry["size"], entry["seed"])
        for name, key in (("random_projection", "sha256_projection"), ("codebook", "sha256_codebook")):
            own = getattr(quantize, name).numpy()
            assert hashlib.sha256(own.tobytes()).hexdigest() == entry[key]
        assert torch.equal(quantize(golden["patches_384"]), golden[f"tokens_384_8192_seed{entry['seed']}"])
    differences = RandomProjectionQuantizer(384, 16, 8192, 0, diff_input=True)
    assert torch.equal(differences(golden["patches_384"]), golden["tokens_diff_384_8192_seed0"])


@pytest.mark.parametrize("case", FSQ.about["cases"], ids=lambda case: case["tag"])
def test_finite_scalars(case):
    quantize, tag = FiniteScalarQuantizer(case["levels"], case["dim"], case["preserve_symmetry"], case["seed"]), case["tag"]
    for name in FSQ.names(f"{tag}/project_in"):
        assert torch.equal(quantize.state_dict()[name.removeprefix(f"{tag}/")], FSQ[name])
    x = FSQ[f"{tag}/input"]
    close(quantize.projected(x), FSQ[f"{tag}/projected"], 1e-5)
    close(quantize.codes(x), FSQ[f"{tag}/codes"], 1e-5)
    assert torch.equal(quantize(x), FSQ[f"{tag}/indices"])
    assert not any(p.requires_grad for p in quantize.parameters())


def test_building_quantisers_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    RandomProjectionQuantizer(8, 4, 16, 0)
    FiniteScalarQuantizer([4, 4], 8, seed=0)
    assert torch.equal(torch.rand(3), want)


# ---- masking
@pytest.mark.parametrize("noise", ["random_normal", "shuffled_input"])
@pytest.mark.parametrize("case", MASKING.about["cases"], ids=lambda case: case["tag"])
def test_masks(case, noise):
    patches = torch.randn(3, case["T"], 8, generator=torch.Generator().manual_seed(case["patches_seed"]))
    before = patches.clone()
    generator = torch.Generator().manual_seed(case["mask_seed"])
    masked, mask = mask_patches(patches, case["window_tokens"], 0.6, noise, generator)
    assert torch.equal(mask, MASKING[f"{case['tag']}/{noise}/mask"])
    want = MASKING[f"{case['tag']}/{noise}/masked"]
    close(masked[: want.shape[0], : want.shape[1]], want, 1e-6)
    assert torch.equal(patches, before)


def test_span_lengths():
    spans = [span_length(0.4, one) for one in (MelSpectrogram(), Waveform(patch_size=(1, 1280)), Waveform(patch_size=(1, 960)))]
    assert spans == [6, 7, 10]


# ---- the objective
@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The network with targets, its weights of a Lightning checkpoint; dropout 0, so that a training step can be compared."""
    golden = carried("mel_pretrain")
    edits = [(r"Conformer.dropout = [\d.]+", "Conformer.dropout = 0.0")]
    folder = make_folder(tmp_path_factory.mktemp("golden") / "pretrain", {"state_dict": golden.state, "epoch": 3}, edits)
    return golden, folder


def predict(net, golden):
    logits = net.linear(net.net(net.embedded(golden["masked_patches"]))).unflatten(-1, (-1, golden["target_tokens"].shape[-1]))
    mask = golden["mask"]
    return logits, cross_entropy(logits[mask], golden["target_tokens"][mask])


def test_logits_loss_and_tokens(pretrained):
    golden, folder = pretrained
    net = get_model(folder, quantization_targets=True)
    for name, want in golden.state.items():
        if name.startswith("quantizers."):
            assert torch.equal(net.state_dict()[name], want), name
    tokens = torch.stack([quantize(golden["patches"]) for quantize in net.quantizers[0]], -1)
    assert torch.equal(tokens, golden["target_tokens"])
    with torch.no_grad():
        logits, loss = predict(net, golden)
    close(logits, golden["logits"], 1e-4)
    close(loss, golden["loss"], 1e-4)
    hits = (logits.argmax(2) == golden["target_tokens"])[golden["mask"]].float().mean()
    close(hits, golden["acc"], 1e-6)


def test_a_training_step(pretrained):
    golden, folder = pretrained
    net = get_model(folder, quantization_targets=True).train()
    logits, loss = predict(net, golden)
    loss.backward()
    close(loss, golden["train/loss"], 1e-4)
    close(logits, golden["train/logits"], 5e-4)
    own = dict(net.named_parameters())
    for name in golden.names("train/grad/"):
        close(own[name.removeprefix("train/grad/")].grad, golden[name], 1e-4, 1e-3)
    for name in golden.names("train/bn_mean_after/"):
        close(net.state_dict()[name.removeprefix("train/bn_mean_after/")], golden[name], 1e-5, 1e-4)
    torch.optim.AdamW([p for p in own.values() if p.requires_grad], lr=1e-4, weight_decay=1e-2).step()
    close(own["embedding_layer.weight"], golden["train/after_adamw/embedding_layer.weight"], 2e-5)


# ---- chunks and what is made of them
CHUNKS = json.loads((HERE / "schedule_and_chunks.json").read_text())


def test_chunks():
    for case in CHUNKS["chunks"]:
        found = chunk_offsets(case["num_samples"], case["sr"], case["n_seconds"], case["overlap"], case["last_chunk_ratio"])
        assert len(found) == case["n_chunks"]
        assert np.abs(np.array(found) - case["offsets"]).max() <= 1


@pytest.mark.parametrize("layers", ["mean", "sum", "concat", "none"])
@pytest.mark.parametrize("granularity", ["chunk", "clip"])
def test_aggregation(layers, granularity):
    golden = carried("aggregation")
    emb, want = golden["emb"], golden[f"{layers}/{granularity}/mean"]
    found = aggregate_embeddings(emb[:1] if layers == "none" else emb, layers, granularity)
    close(found.reshape(want.shape), want, 1e-6)


def test_aggregation_that_the_reference_cannot_do():
    emb = torch.randn(2, 3, 5, 4)
    frames = aggregate_embeddings(emb, "concat", "frame")
    assert torch.equal(frames[7], torch.cat([emb[0, 1, 2], emb[1, 1, 2]]))
    assert torch.equal(aggregate_embeddings(emb, "max", "clip", "max"), emb.amax((0, 1, 2))[None])
    assert torch.equal(aggregate_embeddings(emb, "max", "chunk", "max"), emb.amax((0, 2)))
