"""Settings that files and callers bring: odd values, sizes that are not the tensors', json of any kind. One sentence, before anything is built."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from models import export_model, get_maest, load_model
from models.clmr import SampleCNN
from models.errors import ConfigError, WeightsError
from models.maest import MAEST
from models.maest.ast_config import settings_of
from models.maest.sizes import RULES
from models.settings import check_size

SMALL = {"embed_dim": 16, "depth": 1, "num_heads": 2, "input_t": 64, "n_classes": 3}
CASES = settings(max_examples=300, deadline=None, derandomize=True, database=None)
odd = st.one_of(
    st.sampled_from([0, -1, 10**9, 10**12, 1e12, math.nan, math.inf, -math.inf, "text", "", None, True, [], {}, [0], "\x1b[2J", 10**400]),
    st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=3),
    st.recursive(st.none(), lambda inner: st.lists(inner, max_size=2), max_leaves=40),
)  # fmt: skip


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    where = tmp_path_factory.mktemp("exports")
    net = MAEST(**SMALL, labels=["x", "y", "z"])
    found = {kind: export_model(net, where / kind, kind) for kind in ("safetensors", "ast")}
    found["clmr"] = export_model(SampleCNN(channels=[4] * 4, strides=[3, 3], out_dim=3), where / "clmr")
    return found


def one_sentence(error):
    text = str(error)
    assert "\n" not in text
    assert len(text) < 1500


@pytest.mark.slow
@CASES
@given(kind=st.sampled_from(["safetensors", "ast", "clmr"]), data=st.data())
def test_config_files_with_odd_settings(exports, tmp_path_factory, kind, data):
    """A network that loads has the file's tensors, and whatever else is refused in one sentence."""
    folder = tmp_path_factory.getbasetemp() / "odd_config"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(exports[kind], folder)
    config = json.loads((folder / "config.json").read_text())
    section = data.draw(st.sampled_from([None, *[k for k, v in config.items() if isinstance(v, dict)]]))
    place = config if section is None else config[section]
    name = data.draw(st.sampled_from(sorted(place)))
    place[name] = data.draw(odd)
    (folder / "config.json").write_text(json.dumps(config))
    try:
        net = load_model(folder)
    except WeightsError as error:
        one_sentence(error)
    except ConfigError as error:
        one_sentence(error)
    else:
        assert net.embed_dim in (4, 16)
        assert net.n_classes == 3


@CASES
@given(name=st.sampled_from(sorted(RULES)), value=odd)
def test_odd_arguments(name, value):
    try:
        net = MAEST(**{**SMALL, name: value})
    except ConfigError as error:
        one_sentence(error)
    else:
        assert sum(p.numel() for p in net.parameters()) < 1e8


@pytest.mark.parametrize("name", ["depth", "embed_dim", "input_t", "n_classes"])
@pytest.mark.parametrize("value", [10**9, 10**12, 0, -1, 40])
@pytest.mark.parametrize("form", ["checkpoint", "header"])
def test_sizes_of_checkpoints_and_headers(tmp_path, name, value, form):
    if (name, value) == ("input_t", 40):
        return  # a length that the position table is stretched to
    net = MAEST(**SMALL)
    said = {**net.saved_settings, name: value}
    if form == "checkpoint":
        torch.save({"state_dict": {f"net.{k}": v for k, v in net.state_dict().items()}, "network": said}, tmp_path / "a.ckpt")
    else:
        save_file(net.state_dict(), tmp_path / "a.safetensors", metadata={"network": json.dumps(said)})
    (path,) = tmp_path.iterdir()
    for load in (load_model, lambda p: get_maest("discogs-maest-5s-pw-129e", checkpoint=p, embed_dim=16, depth=1, num_heads=2)):
        with pytest.raises(WeightsError, match=name) as caught:
            load(path)
        one_sentence(caught.value)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"network": ' * 100_000, "null", "[]", "{", "\x00", '{"network": {"depth": 1e999}}']
)
def test_json_of_another_kind(exports, tmp_path, text):
    folder = tmp_path / "net"
    shutil.copytree(exports["safetensors"], folder)
    (folder / "config.json").write_text(text)
    with pytest.raises(WeightsError) as caught:
        load_model(folder)
    one_sentence(caught.value)


def test_networks_beyond_measure():
    for given_size in (
        {"embed_dim": 16384, "depth": 1000, "num_heads": 16},
        {"mlp_ratio": 64.0, "depth": 1000, "embed_dim": 4096, "num_heads": 16},
    ):
        with pytest.raises(ConfigError, match="GB"):
            MAEST(**given_size)
    with pytest.raises(ConfigError, match="beyond measure"):
        check_size(math.inf, "It")
    with pytest.raises(ConfigError, match="parameters"):
        SampleCNN(channels=[65536] * 4, strides=[3, 3])


def test_half_a_character_is_no_label():
    with pytest.raises(ConfigError, match="labels") as refused:
        MAEST(**{**SMALL, "n_classes": 2}, labels=["x", "\ud800"])
    one_sentence(refused.value)


AST_KEYS = {  # key of an AST's config.json -> a value that another network has
    "hidden_act": "relu", "layer_norm_eps": 1e-12, "patch_size": 8, "qkv_bias": False, "num_mel_bins": 128, "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "frequency_stride": 16, "time_stride": 5, "max_length": 626, "intermediate_size": 128,
    "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.5, "problem_type": "single_label_classification",
    "id2label": {"0": "x", "1": "z", "2": "y"}, "label2id": {"x": 0, "y": 2, "z": 1}, "maest": 3,
}  # fmt: skip


@CASES
@given(name=st.sampled_from(sorted(AST_KEYS)), own=st.booleans(), value=odd, other=st.booleans())
def test_an_ast_config_is_obeyed_or_refused(exports, name, own, value, other):
    """Whatever one key says otherwise than the network's own, with our block beside or without, is refused; what says the same is taken."""
    config = json.loads((exports["ast"] / "config.json").read_text())
    value, whole = AST_KEYS[name] if other else value, settings_of(config)
    if not own and name != "maest":
        del config["maest"]
    alike = name in config and value == config[name] and type(value) is type(config[name])
    config[name] = value
    try:
        found = settings_of(config)
    except (ValueError, TypeError) as error:
        one_sentence(error)
        assert not alike
    else:
        assert all(found[key] == whole[key] for key in found if key != "labels" and (own or key != "input_t")) or not own


@pytest.mark.parametrize("name", sorted(AST_KEYS))
def test_an_ast_that_says_otherwise_is_refused(exports, tmp_path, name):
    folder = tmp_path / "ast"
    shutil.copytree(exports["ast"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, name: AST_KEYS[name]}))
    with pytest.raises(WeightsError) as caught:
        load_model(folder)
    one_sentence(caught.value)


@pytest.mark.parametrize("change", [{"network": 3}, {"model_type": 3}, {"network": {"depth": 2}}, {"network": []}])
def test_a_config_beside_weights_that_say_otherwise_is_refused(exports, tmp_path, change):
    folder = tmp_path / "net"
    shutil.copytree(exports["safetensors"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(WeightsError) as caught:
        load_model(folder)
    one_sentence(caught.value)


def test_a_config_that_says_nothing_is_said(exports, tmp_path, caplog):
    folder = tmp_path / "net"
    shutil.copytree(exports["safetensors"], folder)
    (folder / "model.safetensors").unlink()
    save_file(MAEST(**SMALL).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text('{"netwrok": {}}')
    assert load_model(folder, num_heads=2).n_classes == 3
    assert "says nothing of the network" in caplog.text


def test_a_file_that_says_pretrained_is_not_told_of_an_argument(tmp_path):
    """The hint is for those who call: in a file the name is one unknown word more."""
    net = MAEST(**SMALL)
    said = {**net.saved_settings, "pretrained": True}
    torch.save({"state_dict": {f"net.{k}": v for k, v in net.state_dict().items()}, "network": said}, tmp_path / "odd.ckpt")
    with pytest.raises(WeightsError, match="odd.ckpt has a setting 'pretrained', which is unknown") as refused:
        load_model(tmp_path / "odd.ckpt")
    assert "get_model" not in str(refused.value)
