"""What every family keeps: the same tests over all registered families (a small network of each) and all registered cards.

A new family adds one entry to small_networks.py; nothing here names one.
"""

from __future__ import annotations

import copy
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import models
from models import hear, registry
from models.encoder import AudioEncoder
from models.errors import AudioError, ConfigError
from models.export import export_formats, export_model
from models.windows import stream_windows
from tests.models.small_networks import LABELS, SMALL

EXACT_IN = ("safetensors",)  # formats that give every weight back bit by bit


def make(family: str) -> AudioEncoder:
    name, settings = SMALL[family]
    torch.manual_seed(3)
    net = registry.family_package(family).build(name, pretrained=False, **settings)
    with torch.no_grad():  # statistics of its own, where it has any
        net.train().window_logits(torch.randn(4, *net.stored_item, net.window_length))
    return net.eval()


@pytest.fixture(scope="module", params=registry.FAMILIES)
def net(request) -> AudioEncoder:
    return make(request.param)


def seconds_per_window(net: AudioEncoder) -> float:
    return net.window_length / net.units_per_second


def wave(net: AudioEncoder, windows: float, sounds: int | None = None) -> torch.Tensor:
    """Noise of so many windows [N] or [sounds, N], silent around the windows' borders, so that no front end sees over them."""
    n, length = round(windows * seconds_per_window(net) * net.sample_rate), round(seconds_per_window(net) * net.sample_rate)
    x = torch.from_numpy(np.random.default_rng(0).uniform(-0.5, 0.5, (sounds or 1, n)).astype(np.float32))
    for border in range(0, n + 1, length):
        x[:, max(border - length // 40, 0) : border + length // 40] = 0
    return x if sounds else x[0]


def windows_of(net: AudioEncoder, x: torch.Tensor) -> torch.Tensor:
    """The windows of a recording, as `pooled` and `summaries` take them."""
    blocks = net.window_blocks(iter(x.numpy().reshape(5, -1) if len(x) % 5 == 0 else [x.numpy()]))
    return torch.from_numpy(np.stack([w for w, _, _ in stream_windows(blocks, net.window_length, silence=net.silence)]))


def stored_windows(net: AudioEncoder, windows: torch.Tensor) -> torch.Tensor:
    """What a store holds of these windows: samples, or raw log-mels with time first."""
    s = net.mel_settings
    return windows if s is None else (windows * s.std_divisor + s.mean).transpose(1, 2)


def outputs(net: AudioEncoder) -> list[torch.Tensor]:
    """What it answers to two windows."""
    with torch.no_grad():
        windows = windows_of(net, wave(net, 2))
        return [net.window_logits(windows), *net.summaries(windows, range(net.depth))]


def same_outputs(got: AudioEncoder, want: AudioEncoder, atol: float = 0.0) -> None:
    for a, b in zip(outputs(got), outputs(want), strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=0)


# ---- families and cards
def test_every_family_has_a_small_network_here():
    assert set(SMALL) == set(registry.FAMILIES)


def test_its_class_says_the_family(net):
    assert registry.FAMILIES.count(net.family) == 1
    package = registry.family_package(net.family)
    for name in ("build", "load", "recognise"):
        assert callable(getattr(package, name))
    assert package.recognise(net.state_dict(), {})
    others = [registry.family_package(name) for name in registry.FAMILIES if name != net.family]
    assert not any(other.recognise(net.state_dict(), {}) for other in others)
    assert isinstance(net, AudioEncoder)
    assert net.card is None


@pytest.mark.parametrize("name", models.list_models())
def test_cards_are_sane_and_build(name):
    card = models.get_card(name)
    assert (card.name, card.family in registry.FAMILIES) == (name, True)
    assert all(models.get_card(alias) is card for alias in card.aliases)
    assert re.fullmatch(r"https://\S+", card.url)
    assert card.file == Path(card.file).name
    assert card.licence.strip()
    assert card.sha256 is None or re.fullmatch(r"[0-9a-f]{8,64}", card.sha256)
    assert card.sample_rate > 0
    assert card.max_seconds > 0
    assert card.n_classes >= 0
    assert card.encoder is None or models.get_card(card.encoder).family == card.family
    with torch.device("meta"):
        net = registry.family_package(card.family).build(name, pretrained=False)
    assert net.family == card.family
    if card.n_classes == 0:  # what its row of list_models(table=True) says
        assert card.parameters in (None, pytest.approx(sum(p.numel() for p in net.parameters()), rel=0.05))
        assert card.depth in (None, net.depth)
        assert card.embed_dim in (None, net.embed_dim)
        assert card.embedding_rate in (None, pytest.approx(net.embedding_rate))
    assert net.card is None  # random weights
    json.dumps(net.saved_settings)
    if card.labels is not None:
        assert len(net.label_names) == len(set(net.label_names)) == card.n_classes
    if card.labels is not None or card.n_classes == 0:  # not a training start, which was another network's
        assert net.sample_rate == card.sample_rate
        assert net.max_seconds == pytest.approx(card.max_seconds, rel=0.01)
        front_end = "waveform" if net.mel_settings is None else net.mel_settings.name
        assert front_end == card.front_end


# ---- the network is what its settings say
def test_settings_build_it_again(net):
    settings = json.loads(json.dumps(net.settings))
    assert settings == net.settings
    assert "family" not in settings
    assert net.saved_settings == {"family": net.family, **settings}
    again = type(net)(**settings).eval()
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}
    assert again.settings == settings
    again.load_state_dict(net.state_dict())
    same_outputs(again, net)


def test_it_is_pickled_and_copied(net):
    for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert again.saved_settings == net.saved_settings
        same_outputs(again, net)


def test_frozen_it_stays_in_eval_mode(net):
    net = copy.deepcopy(net)
    assert net.freeze() is net
    torch.nn.ModuleList([net]).train()
    assert not any(module.training for module in net.modules())
    assert not any(p.requires_grad for p in net.parameters())
    net.unfreeze().train()
    assert all(module.training for module in net.modules())
    assert all(p.requires_grad for p in net.parameters())


# ---- layers
def test_layers_are_ascending_distinct_and_count_from_the_end(net):
    assert net.resolve_layers(None) == net.resolve_layers([-1]) == (net.depth - 1,)
    assert net.resolve_layers([-1, 0, net.depth - 1]) == (0, net.depth - 1)
    for wrong in ([net.depth], [-net.depth - 1], []):
        with pytest.raises(ValueError, match=r"[Ll]ayer"):
            net.resolve_layers(wrong)
    assert net.resolve_layers([net.transfer_layer if net.transfer_layer < net.depth else -1])
    assert net.block_list is None or len(net.get_submodule(net.block_list)) == net.depth


# ---- audio to vectors, whichever way
@pytest.mark.parametrize("layer", [0, -1])
def test_stored_windows_encoded_waves_and_embedded_recordings_agree(net, layer):
    (k,), x = net.resolve_layers([layer]), wave(net, 3)
    with torch.no_grad():
        windows = windows_of(net, x)
        assert len(windows) == 3
        stored = net.from_stored(stored_windows(net, windows))
        torch.testing.assert_close(stored, windows, atol=1e-5, rtol=0)
        (summary,) = net.summaries(stored, [k])
        shape = net.summary_shapes([k])[k]
        assert summary.shape == (3, *shape)
        mean = summary.reshape(3, -1, shape[-1])[:, -1]  # of several vectors the last one is the mean over time
        torch.testing.assert_close(net.pooled(windows, [k], "mean")[0], mean, atol=1e-5, rtol=1e-5)
        encoded = net.encode(x.reshape(3, -1), [k])
        assert encoded.shape[:2] == (1, 3)
        assert encoded.shape[3] == shape[-1]
        torch.testing.assert_close(encoded[0].mean(dim=1), mean, atol=1e-4, rtol=1e-4)
    extracted = net.extract_embeddings(x.reshape(3, -1), [k])
    torch.testing.assert_close(extracted, encoded)
    found = net.embed(x.numpy(), net.sample_rate, [layer], batch_size=2)
    assert found.layers == (k,)
    np.testing.assert_allclose(found.vectors[:, 0], mean.numpy(), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(found.times[:, 0], np.arange(3) * seconds_per_window(net), rtol=1e-5)


def test_vectors_come_at_the_rate_that_it_names(net):
    x = wave(net, 1, sounds=1)
    found = net.extract_embeddings(x).shape[2]
    assert found == pytest.approx(net.embedding_rate * x.shape[1] / net.sample_rate, abs=1)
    assert net.eps == net.embedding_rate
    assert net.window_range[0] <= net.window_length <= net.window_range[1]
    assert net.max_seconds == pytest.approx(seconds_per_window(net))
    json.dumps([net.stored, net.about_extraction])


def test_encoding_is_differentiable_and_extraction_is_not(net):
    x = wave(net, 1, sounds=2).requires_grad_()
    net.encode(x, [-1]).sum().backward()
    assert x.grad.abs().sum() > 0
    net.zero_grad()
    net.train()
    assert not net.extract_embeddings(x).requires_grad
    assert net.training  # its mode is given back
    net.eval()


# ---- tags
def test_it_tags(net):
    x = wave(net, 2)
    found = net.tag(x.numpy(), net.sample_rate)
    assert found.labels == net.label_names == LABELS
    assert found.windows.shape == (2, 3)
    with torch.no_grad():
        want = net.window_probabilities(windows_of(net, x)).numpy()
    np.testing.assert_allclose(found.windows, want, atol=1e-5)
    assert ((found.windows >= 0) & (found.windows <= 1)).all()
    np.testing.assert_allclose(
        found.times, [[0, seconds_per_window(net)], [seconds_per_window(net), 2 * seconds_per_window(net)]], rtol=1e-3
    )
    assert found.overview.shape[0] > 0
    assert {name for name, _ in found.top(3)} == set(LABELS)


# ---- files
@pytest.mark.parametrize("name", ["folder", "one.safetensors", "own.ckpt", "plain.pt"])
def test_files_give_it_back(net, tmp_path, name):
    path = tmp_path / name
    if name == "own.ckpt":  # a training checkpoint
        torch.save({"state_dict": {f"net.{k}": v for k, v in net.state_dict().items()}, "network": net.saved_settings}, path)
    elif name == "plain.pt":
        torch.save(net.state_dict(), path)
    else:
        assert export_model(net, path) == path
    assert registry.family_of(path) == net.family
    if name == "plain.pt":  # says nothing but shapes
        return
    back = models.load_model(path)
    assert not back.training
    assert back.saved_settings == net.saved_settings
    assert all(torch.equal(v, back.state_dict()[k]) for k, v in net.state_dict().items())
    same_outputs(back, net)


def test_formats_that_it_has_are_written_and_others_refused(net, tmp_path):
    known = {name for family in registry.FAMILIES for name in ("onnx", *getattr(registry.family_package(family), "FORMATS", {}))}
    offered = export_formats(net)
    assert offered[0] == "safetensors"
    assert set(offered) <= {*known, "safetensors"}
    for format in known - set(offered):
        with pytest.raises(ConfigError, match=rf"family {net.family} are not exported as {format}: choose safetensors"):
            export_model(net, tmp_path / format, format)
    for format in set(offered) - {"safetensors", "onnx"}:
        back = models.load_model(export_model(net, tmp_path / format, format))
        assert back.saved_settings == net.saved_settings
        same_outputs(back, net, atol=1e-4)


@pytest.mark.slow
def test_its_onnx_file_says_what_it_says(net, tmp_path):
    if "onnx" not in export_formats(net):
        pytest.skip(f"{net.family} has no ONNX graph")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export_model(net, tmp_path / "net.onnx", "onnx")
    about = json.loads((tmp_path / "net.json").read_text())
    assert (about["family"], about["classes"]) == (net.family, LABELS)
    (given,) = about["schema"]["inputs"]
    x = wave(net, 2).reshape(2, -1)[:, : given["shape"][1]]
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    activations = session.run(["activations"], {given["name"]: x.numpy()})[0]
    with torch.no_grad():
        want = net.window_probabilities(torch.cat([windows_of(net, one) for one in x]))
    np.testing.assert_allclose(activations, want.numpy(), atol=1e-4)


# ---- HEAR
@pytest.mark.parametrize("windows", [0.3, 1.0, 2.5])
def test_hear(net, tmp_path, windows):
    export_model(net, tmp_path / "net")
    model = hear.load_model(str(tmp_path / "net"), layer=-1)
    assert model.sample_rate in hear.RATES
    model.sample_rate = net.sample_rate  # sounds are given at the network's own rate here, with nothing to resample
    x = wave(net, windows, sounds=2)
    scenes = hear.get_scene_embeddings(x, model)
    assert scenes.shape == (2, model.scene_embedding_size)
    vectors, times = hear.get_timestamp_embeddings(x, model)
    assert vectors.shape == (2, times.shape[1], model.timestamp_embedding_size)
    assert scenes.dtype == vectors.dtype == times.dtype == torch.float32
    assert not vectors.requires_grad
    assert torch.equal(times[0], times[1])
    assert (times[0].diff() > 0).all()
    assert times.min() >= 0
    assert times.max() <= 1000 * x.shape[1] / net.sample_rate
    alone = x[1:]
    torch.testing.assert_close(hear.get_scene_embeddings(alone, model), scenes[1:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(hear.get_timestamp_embeddings(alone, model)[0], vectors[1:], atol=1e-5, rtol=1e-5)
    if windows == 1.0:
        torch.testing.assert_close(vectors, net.extract_embeddings(x, [-1])[0], atol=1e-4, rtol=1e-4)
        with torch.no_grad():
            (summary,) = net.summaries(torch.cat([windows_of(net, one) for one in x]), [net.depth - 1])
        torch.testing.assert_close(scenes, summary.flatten(1), atol=1e-4, rtol=1e-4)
    with pytest.raises(AudioError, match="HEAR's audio"):
        hear.get_scene_embeddings(x[0], model)


def test_hear_takes_the_layer_of_its_authors(net):
    assert hear.HearModel(net).layer == min(net.transfer_layer, net.depth - 1) % net.depth
    assert hear.HearModel(net, 0).layer == 0
