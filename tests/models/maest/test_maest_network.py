"""MAEST against numbers of the reference (tests/fixtures/maest) and its own promises."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from models.maest import MAEST, get_maest

TOL = 1e-4
PATCHOUTS = ("none", "f_indices", "t_indices", "f_interleaved", "t_interleaved", "all_idx")


def tiny(**changes) -> MAEST:
    torch.manual_seed(0)
    return MAEST(**{**dict(input_f=96, input_t=312, n_classes=400, embed_dim=32, depth=3, num_heads=4), **changes}).eval()


@pytest.fixture(scope="session")
def golden(fixtures):
    return lambda name: np.load(fixtures / "maest" / f"{name}.npz")


@pytest.fixture(scope="session")
def settings(fixtures):
    return json.loads((fixtures / "maest" / "tiny_400c.json").read_text())["outputs"]


def loaded(data, **changes) -> MAEST:
    model = tiny(**changes)
    model.load_state_dict({k[3:]: torch.from_numpy(data[k]) for k in data.files if k.startswith("sd/")}, strict=True)
    return model


def assert_close(got, want, tol=TOL):
    np.testing.assert_allclose(got.detach().numpy(), want, rtol=0, atol=tol)


# ---- golden numbers
@pytest.mark.parametrize("size", ["x312", "x200"])
@pytest.mark.parametrize("patchout", PATCHOUTS)
def test_outputs_under_every_patchout(golden, settings, patchout, size):
    data = golden("tiny_400c")
    model = loaded(data, **settings[patchout])
    x = torch.from_numpy(data[f"in/{size}"])
    logits, features = model(x)
    assert_close(logits, data[f"out/{patchout}/mean/{size}/logits"])
    assert_close(features, data[f"out/{patchout}/mean/{size}/features"])
    for k in range(3) if patchout == "none" else (1,):
        nothing, block = model(x, transformer_block=k)
        assert nothing is None
        assert_close(block, data[f"out/{patchout}/block{k}/{size}"])


@pytest.mark.parametrize("size", ["x312", "x200"])
def test_separated_heads(golden, size):
    data = golden("tiny_400c")
    got = loaded(data, distilled_type="separated")(torch.from_numpy(data[f"in/{size}"]))
    for value, field in zip(got, ("x_cls", "x_dist", "features")):
        assert_close(value, data[f"out/none/separated/{size}/{field}"])


@pytest.mark.parametrize("size", ["x312", "x200"])
def test_undistilled(golden, size):
    data = golden("tiny_undistilled_10c")
    model = loaded(data, n_classes=10, distilled=False)
    logits, features = model(torch.from_numpy(data[f"in/{size}"]))
    assert_close(logits, data[f"out/{size}/logits"])
    assert_close(features, data[f"out/{size}/features"])
    assert model(torch.from_numpy(data[f"in/{size}"]), transformer_block=1)[1].shape == (2, 64)


def test_windows_of_a_mel_keep_the_tail(golden):
    data, model = golden("tiny_1d"), loaded(golden("tiny_400c"))
    logits, _ = model(data["mel2d/in"], melspectrogram_input=True)
    assert logits.shape == (3, 400)  # 674 frames: two windows of 312 and a tail of 50
    assert_close(logits[:2], data["mel2d/logits"])


@pytest.mark.parametrize("clip", ["long", "short", "batch2d"])
def test_the_references_own_mels(golden, clip):
    data, model = golden("tiny_1d"), loaded(golden("tiny_400c"))
    mel = torch.from_numpy(data[f"mel/{clip}"].astype(np.float32))
    want = data[f"logits/{clip}"]
    got = model(mel, melspectrogram_input=True) if clip == "long" else model(mel if mel.ndim == 3 else mel[None])
    assert_close(got[0][: len(want)], want, 2e-3 if clip == "long" else TOL)  # that mel is stored as float16


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        ("discogs-maest-5s-pw-129e", "5s_400"), ("discogs-maest-10s-fs-129e", "10s_400"), ("discogs-maest-20s-pw-129e", "20s_400"),
        ("discogs-maest-30s-pw-129e", "30s_400"), ("discogs-maest-30s-pw-129e-519l", "30s_519"),
    ],
)  # fmt: skip
def test_full_size_names_shapes_and_counts(fixtures, arch, size):
    sizes = json.loads((fixtures / "maest" / "param_names.json").read_text())
    with torch.device("meta"):
        model = get_maest(arch, pretrained=False)
    want = {**sizes["10s_400"]["params"], **sizes[size].get("differs_from_10s_400", {})}
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == want
    assert sum(p.numel() for p in model.parameters()) == sizes[size]["n_params"]


# ---- promises
def test_dropped_patches_do_not_matter_and_are_not_computed():
    model = tiny(s_patchout_t_indices=[29], s_patchout_f_indices=[8])
    seen = []
    model.blocks[0].register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
    x = torch.randn(1, 96, 312)
    before = model(x)[0]
    x[:, :, 296:] = 100.0  # seen by the last column only
    x[:, 90:] = 100.0  # seen by the last row only
    assert torch.equal(model(x)[0], before)
    assert seen[0] == 2 + 8 * 29


@pytest.mark.parametrize(("name", "tokens"), [("s_patchout_t", 9 * 20), ("s_patchout_f", 30 * 4), ("u_patchout", 170)])
def test_random_patchout_acts_in_training_only(name, tokens):
    drop = {"s_patchout_t": 10, "s_patchout_f": 5, "u_patchout": 100}[name]
    model, x = tiny(**{name: drop}), torch.randn(2, 96, 312)
    assert model.tokens(x)[0].shape[1] == 2 + 270
    model.train()
    first = model.tokens(x, torch.Generator().manual_seed(1))[0]
    assert first.shape[1] == 2 + tokens
    assert torch.equal(first, model.tokens(x, torch.Generator().manual_seed(1))[0])
    assert not torch.equal(first, model.tokens(x, torch.Generator().manual_seed(2))[0])


def test_time_positions_start_anywhere_in_training_only():
    model = tiny()
    with torch.no_grad():
        model.time_new_pos_embed.copy_(torch.arange(31.0).expand(1, 32, 1, 31))
        for table in (model.freq_new_pos_embed, model.patch_embed.proj.weight, model.patch_embed.proj.bias):
            table.zero_()
    x = torch.randn(1, 96, 200)  # 19 columns of a table of 31: offsets 0..12
    assert model.tokens(x)[0][0, 2, 0] == 0
    model.train()
    offsets = {int(model.tokens(x, torch.Generator().manual_seed(s))[0][0, 2, 0]) for s in range(200)}
    assert offsets == set(range(13))


def test_blocks_in_one_pass_equal_the_published_call_and_stop_early():
    model, x = tiny(), torch.randn(2, 96, 312)
    several = model.embed_blocks(x, [1, 0, -3])
    assert several.shape == (2, 2, 3, 32)
    for k in (0, 1):
        torch.testing.assert_close(several[k].flatten(1), model(x, transformer_block=k)[1])
    model.blocks[2].register_forward_hook(lambda *_: pytest.fail("block 2 ran though block 1 was the deepest asked"))
    model.embed_blocks(x, [1])


def test_frame_level_is_the_mean_over_rows_and_its_times_are_right():
    model, x = tiny(s_patchout_t_interleaved=2), torch.randn(1, 96, 312)
    frames = model.encode_mel(x, [0, 2])
    assert frames.shape == (2, 1, 15, 32)
    pooled = model.embed_blocks(x, [0, 2])[:, :, 2]
    torch.testing.assert_close(frames.mean(dim=2), pooled)
    times = model.frame_times(312)
    np.testing.assert_allclose(times[:2], [[0, 0.256], [0.32, 0.576]], atol=1e-6)
    assert model.embedding_rate == model.eps == 6.25


def test_attention_rows_sum_to_one_and_reproduce_the_block():
    model, x = tiny(), torch.randn(1, 96, 200)
    nothing, maps = model(x, transformer_block=1, return_self_attention=True)
    assert nothing is None
    assert maps.shape == (1, 4, 173, 173)
    torch.testing.assert_close(maps.sum(-1), torch.ones(1, 4, 173))
    tokens, _ = model.tokens(x)
    block, before = model.blocks[1], model._run(tokens, [0])[0]
    value = block.attn.qkv(block.norm1(before)).reshape(1, 173, 3, 4, 8).permute(2, 0, 3, 1, 4)[2]
    mixed = block.attn.proj((maps @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(before + mixed, before + block.attn(block.norm1(before)), atol=1e-5, rtol=0)


def test_the_callers_tensor_is_untouched_and_arrays_work():
    model = tiny()
    x = torch.randn(1, 96, 312)
    kept = x.clone()
    from_tensor = model(x)[0]
    assert x.shape == kept.shape
    assert torch.equal(x, kept)
    assert torch.equal(model(x.numpy())[0], from_tensor)
    assert torch.equal(model(x[:, None])[0], from_tensor)


def test_predict_labels_weights_windows_by_valid_frames():
    model = tiny(labels=[f"style {i}" for i in range(400)])
    mel = torch.randn(96, 312 + 156)
    scores, labels = model.predict_labels(mel, melspectrogram_input=True)
    windows = model(mel, melspectrogram_input=True)[0].sigmoid().detach().numpy()
    np.testing.assert_allclose(scores, (2 * windows[0] + windows[1]) / 3, atol=1e-6)
    assert labels[7] == "style 7"
    assert not model.training


def test_frozen_stays_in_eval():
    model = tiny().freeze()
    torch.nn.Sequential(model).train()
    assert not model.training
    assert not model.blocks[0].training
    assert model.unfreeze().train().training


# ---- refusals
@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        (dict(s_patchout_t=30), "30"),
        (dict(s_patchout_f=9), "frequency"),
        (dict(u_patchout=270), "270"),
        (dict(s_patchout_t=3, s_patchout_t_indices=[1]), "same axis"),
        (dict(s_patchout_f=3, s_patchout_f_interleaved=2), "same axis"),
        (dict(s_patchout_t_indices=[30]), "30"),
        (dict(s_patchout_t_indices=[1, 1]), "different"),
        (dict(s_patchout_t=-1), "s_patchout_t"),
        (dict(distilled=False, distilled_type="separated"), "DIST"),
        (dict(distilled_type="both"), "both"),
        (dict(num_heads=5), "num_heads"),
        (dict(in_channels=3), "in_channels"),
        (dict(labels=["a"]), "labels"),
        (dict(input_t=15), "16"),
    ],
)
def test_impossible_settings_are_refused_at_construction(kwargs, words):
    with pytest.raises(ValueError, match=words):
        tiny(**kwargs)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(0), "empty"),
        (torch.full((16000,), float("nan")), "NaN"),
        (torch.zeros(16000, dtype=torch.int16), "int16"),
        (torch.zeros(1, 1, 1, 96, 100), "shape"),
        (torch.zeros(1, 2, 96, 100), "shape"),
        (torch.zeros(1, 80, 100), "80"),
        (torch.zeros(1, 1, 96, 400), "400.*312"),
        (torch.zeros(1, 96, 8), "8 mel frames"),
        ([0.0, 1.0], "list"),
        (torch.tensor(1.0), "shape"),
    ],
)
def test_unusable_input_is_refused(x, words):
    with pytest.raises(ValueError, match=words):
        tiny()(x)


@pytest.mark.parametrize("block", [-2, 3])
def test_a_block_past_the_end_is_refused(block):
    with pytest.raises(ValueError, match=r"0\.\.2"):
        tiny()(torch.zeros(1, 96, 312), transformer_block=block)


def test_an_unknown_arch_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'discogs-maest-30s-pw-129e'"):
        get_maest("discogs-maest-30s-pw129e")
