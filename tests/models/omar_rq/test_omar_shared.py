"""The rest of OMAR-RQ's golden numbers, where they stand beside the checkout: networks of samples, EnCodec, full sizes."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from torch.nn.functional import cross_entropy

from models.errors import AudioError
from models.omar_rq import CQT, Conformer, EnCodec, MelSpectrogram, Waveform, build, get_model
from models.omar_rq.archs import PRETRAINING
from models.omar_rq.representations import patches_of
from models.omar_rq.settings import Masking
from models.omar_rq.targets import make_linear
from tests.models.omar_rq.golden import Golden, close, make_folder

NO_NORM = ((r"Waveform.norm_mean = 0", "Waveform.norm_mean = None"), (r"Waveform.norm_std = [\d.]+", "Waveform.norm_std = None"))
RANDOM_CODEBOOK = (
    (r"quantizer_type = 'finite_scalar_quantizer'", "quantizer_type = 'random_codebook'"),
    (r"MaskingModel.codebook_dim = 1\b", "MaskingModel.codebook_dim = 16"),
)
MODELS = {
    "audio_18p75_infer": ("hub_audio_18p75", NO_NORM),
    "audio_18p75_norm_infer": ("hub_audio_18p75", ()),
    "audio_25hz_rq_infer": ("hub_audio_25hz_fsq", RANDOM_CODEBOOK),
    "audio_25hz_fsq_infer": ("hub_audio_25hz_fsq", ()),
}


@pytest.fixture(scope="module")
def golden(shared):
    return lambda name: Golden(shared / "golden" / "omar_rq" / f"{name}.npz")


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "golden" / "omar_rq"


@pytest.mark.parametrize("name", MODELS)
def test_networks_of_samples(golden, folder, tmp_path, name):
    g, (hub, edits) = golden(name), MODELS[name]
    net = get_model(make_folder(tmp_path / name, g.state, edits, folder / hub))
    close(net.representation(g["wave"])[..., :2000], g["input_representation"], 1e-5)
    close(net.input_patches(g["wave"]), g["patches"], 1e-5)
    for key, layers in (("emb_default", None), ("emb_1", [1]), ("emb_0_2", [0, 2]), ("emb_2_0", [2, 0])):
        close(net.extract_embeddings(g["wave"], layers), g[key], 1e-4)
    assert net.eps == g.about["eps"]
    for n, want in g.about["tokens_for_length"].items():
        if isinstance(want, str):
            with pytest.raises(AudioError, match="too short"):
                net.extract_embeddings(torch.zeros(1, int(n)))
        else:
            assert net.n_vectors(int(n)) == want


@pytest.mark.parametrize("hub", ["hub_mel_rq", "hub_audio_18p75", "hub_audio_25hz_fsq"])
def test_published_layouts(golden, folder, hub):
    expected = json.loads((folder / hub / "expected.json").read_text())
    g, net = golden(expected["golden"]), get_model(config_file=folder / hub / "config.gin")
    assert net.eps == expected["eps"]
    assert len(net.state_dict()) == expected["num_tensors"]
    close(net.extract_embeddings(g["wave"]), g["emb_default"], 2e-3 if "mel" in hub else 1e-4)


@pytest.fixture(scope="module")
def encodec(golden, tmp_path_factory):
    """A tiny seeded EnCodec as transformers saves it."""
    from transformers import EncodecConfig, EncodecModel

    import models.omar_rq  # noqa: F401 (it lets transformers import torchvision)

    g, path = golden("encodec_tiny"), tmp_path_factory.mktemp("weights") / "encodec_24khz"
    net = EncodecModel(EncodecConfig(**g.about["encodec_config"]))
    net.encoder.load_state_dict(g.state)
    net.save_pretrained(path)
    return path


def test_encodec(golden, encodec):
    g, target = golden("encodec_tiny"), EnCodec(str(encodec), patch_size=(128, 3))
    close(target(g["wave"]), g["normalised"], 1e-4)
    close(target.features(g["wave"], None), g["encoder_out"], 1e-4)
    assert not target(g["wave"]).requires_grad
    assert not any(p.requires_grad for p in target.parameters())
    for key in g.names("frames_for_"):
        n = int(key.removeprefix("frames_for_"))
        assert target.n_frames(n) == int(g[key])
        assert target(torch.zeros(1, n)).shape == (1, 128, int(g[key]))


PRETRAIN = {"audio_25hz_rq_pretrain": RANDOM_CODEBOOK, "audio_25hz_fsq_pretrain": ()}


@pytest.mark.parametrize("name", PRETRAIN)
def test_pre_training_with_three_targets(golden, folder, encodec, tmp_path, name):
    g = golden(name)
    edits = [*PRETRAIN[name], (r"Conformer.dropout = [\d.]+", "Conformer.dropout = 0.0"),
             (r"EnCodec.stats_path = '[^']*'", "EnCodec.stats_path = None")]  # fmt: skip
    where = make_folder(tmp_path / name, {"state_dict": g.state}, edits, folder / "hub_audio_25hz_fsq")
    shutil.copytree(encodec, where / "encodec_24khz")  # beside the config, whatever folder that names
    net = get_model(where, quantization_targets=True)
    for key, want in g.state.items():
        if key.startswith("quantizers."):
            assert torch.equal(net.state_dict()[key], want), key
    given, recomputed = [], net.tokens(g["wave"])
    for i, key in enumerate(sorted(g.names("target_rep"))):
        patches = patches_of(g[key], 3)
        tokens = torch.stack([quantize(patches) for quantize in net.quantizers[i]], -1)
        assert torch.equal(tokens, g[f"target_tokens_rep{i}"]), key
        given.append(tokens)
    assert torch.equal(torch.cat(given, -1), g["target_tokens"])
    assert recomputed.shape == g["target_tokens"].shape
    assert (recomputed == g["target_tokens"]).float().mean() > 0.995
    logits = net.linear(net.net(net.embedded(g["masked_patches"]))).unflatten(-1, (-1, 6))
    close(logits, g["logits"], 1e-4)
    close(cross_entropy(logits[g["mask"]], g["target_tokens"][g["mask"]]), g["loss"], 1e-4)


def test_mel_tokens_of_recomputed_features(golden, folder, tmp_path):
    g = golden("mel_rq_pretrain")
    net = get_model(make_folder(tmp_path / "mel", {"state_dict": g.state}, gin=folder / "hub_mel_rq"), quantization_targets=True)
    assert (net.tokens(g["wave"]) == g["target_tokens"]).float().mean() > 0.995


def test_a_conformer_without_deepnorm(golden):
    g = golden("conformer_no_deepnorm")
    net = Conformer(**g.about["conformer"]).eval()
    net.load_state_dict({k.removeprefix("net."): v for k, v in g.state.items() if k.startswith("net.")})
    with torch.no_grad():
        first, last = net.outputs(g["x"], (0, 1))
    close(first, g["y0"], 1e-4)
    close(last, g["y1"], 1e-4)


def test_features_at_other_rates(golden):
    g = golden("features")

    def settings(key):
        return {k: tuple(v) if isinstance(v, list) else v for k, v in g.about[key].items()}

    close(MelSpectrogram(**settings("mel24"))(g["wave24"]), g["mel24"], 1e-3)
    close(MelSpectrogram(**{**settings("mel16"), "norm_mean": None})(g["wave16"]), g["mel16_raw"], 1e-3)
    close(MelSpectrogram(**settings("mel16")).bank, g["mel_fb16"], 1e-6)
    close(MelSpectrogram(**settings("mel24")).bank, g["mel_fb24"], 1e-6)
    close(CQT(**settings("cqt16"))(g["wave16"]), g["cqt16"], 1e-2)
    bare = CQT(**{**settings("cqt24"), "power": 1, "logC": False, "norm_mean": None})
    close(bare(g["wave24"]), g["cqt24_abs"], 1e-3)
    close(Waveform(**settings("waveform"))(g["wave24"])[..., :4000], g["waveform25"], 1e-5)
    for key in g.names("cqt_frames_"):
        n, want = int(key.removeprefix("cqt_frames_")), int(g[key])
        frames = CQT(**settings("cqt24"))(torch.zeros(1, n)).shape[-1]
        assert frames == (want if want > 0 else 1 + n // 320)  # where the reference stops, octaves are cut to the shortest


def test_names_shapes_and_counts_of_the_published_networks(folder):
    params = json.loads((folder / "params.json").read_text())
    for name, about in params.items():
        settings = {}
        if "@" in name:
            settings = {"embed_dim": about["embed_dim"], "depth": about["depth"], "alpha_deepnorm": 2.21, "beta_deepnorm": 0.0026}
        with torch.device("meta"):
            net = build(re.sub("@.*", "", name), pretrained=False, **settings)
        found = {k: list(v.shape) for k, v in net.state_dict().items()}
        assert found == {k: v[0] for k, v in about["tensors"].items()}, name
        assert len(found) == about["num_tensors"]
        assert sum(p.numel() for p in net.parameters() if p.requires_grad) == about["trainable_parameters"]
        targets, masking = PRETRAINING[re.sub("@.*", "", name)]
        with torch.device("meta"):
            assert make_linear(net, Masking(**masking), len(targets)).out_features > 0
