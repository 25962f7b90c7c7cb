"""What a fine-tuning leaves, of every family: a file that gives the network, its classes and its vectors again, to the last bit; refusals."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from models import export_model, get_model, hear, load_model
from models.encoder import AudioEncoder
from models.errors import ConfigError, WeightsError
from models.export import export_formats
from models.finetune import fine_tuned
from models.omar_rq import loading as omar_rq
from models.onnx_windows import write_graph
from models.registry import FAMILIES, family_of, family_package
from models.weights import checkpoints
from models.weights.checkpoints import read_settings, read_state
from models.weights.head_origin import weights_sha256
from models.weights.safetensors_files import read_metadata
from models.weights.task_head import head_of, without_head
from tests.models.small_networks import SMALL

LABELS = ["Lärm", "tone"]
every_family = pytest.mark.parametrize("family", FAMILIES)


def tuned(family: str, loss: str = "bce", **head) -> AudioEncoder:
    """A small random network with a head on its second layer, whose numbers are not those of its start."""
    torch.manual_seed(0)
    name, settings = SMALL[family]
    net = fine_tuned(get_model(name, pretrained=False, **settings), LABELS, 1, loss, "tags", **{"hidden": 6, **head}).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.01 * torch.randn_like(weight)
    return net


def windows(net: AudioEncoder) -> torch.Tensor:
    torch.manual_seed(1)
    return net.from_stored(torch.randn(2, net.window_length, *net.stored_item) * 0.1)


def same(one: AudioEncoder, other: AudioEncoder) -> None:
    x = windows(one)
    with torch.no_grad():
        assert torch.equal(one.window_probabilities(x), other.window_probabilities(x))
        for layer in range(one.depth):
            assert torch.equal(one.summaries(x, [layer])[0], other.summaries(x, [layer])[0])
    assert one.label_names == other.label_names == LABELS
    assert one.exclusive == other.exclusive
    assert one.saved_settings == other.saved_settings
    assert weights_sha256(one) == weights_sha256(other)


@pytest.mark.parametrize(("family", "loss"), list(zip(FAMILIES, itertools.cycle(["bce", "ce"]))))
def test_a_file_gives_the_network_again(family, loss, tmp_path):
    net = tuned(family, loss)
    assert net.exclusive == (loss == "ce")
    assert net.settings.get("exclusive", False) is False  # the family's own
    export_model(net, tmp_path / "net.safetensors")
    export_model(net, tmp_path / "folder")
    checkpoint = {"state_dict": {f"net.{k}": v for k, v in net.state_dict().items()}, "network": net.saved_settings}
    torch.save(checkpoint, tmp_path / "best.ckpt")
    for name in ("net.safetensors", "folder", "best.ckpt"):
        assert family_of(tmp_path / name) == family
        found = load_model(tmp_path / name)
        assert not found.training
        same(net, found)
        encoder = family_package(family).load(tmp_path / name)  # a family's own reader gives the family's network
        assert head_of(encoder) is None
        assert not any(key.startswith("task_head") for key in (*encoder.state_dict(), *read_state(tmp_path / name)))
        assert encoder.saved_settings == {k: v for k, v in net.saved_settings.items() if k != "task_head"}
    said = json.loads(read_metadata(tmp_path / "net.safetensors")["network"])
    assert said["family"] == family
    head = said["task_head"]
    assert (head["task"], head["layer"], head["labels"], head["exclusive"]) == ("tags", 1, LABELS, loss == "ce")
    assert (head["hidden"], head["num_layers"], head["sample_rate"]) == (6, 2, net.sample_rate)
    about = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert about["sample_rate"] == net.sample_rate


@every_family
def test_a_models_name_with_such_a_file_has_its_head(family, tmp_path, caplog):
    net, path = tuned(family), tmp_path / "net.safetensors"
    export_model(net, path)
    name, settings = SMALL[family]
    sizes = {k: v for k, v in settings.items() if k not in ("labels", "n_classes", "out_dim")} if family == "maest" else {}
    with caplog.at_level("INFO"):
        same(net, get_model(name, checkpoint=path, **sizes).eval())
        assert "left out" not in caplog.text
        assert head_of(family_package(family).build(name, checkpoint=path, **sizes)) is None
        assert "the head of its fine-tuning is left out" in caplog.text
    classes = {"n_classes": 3} if family == "maest" else {"labels": SMALL[family][1]["labels"]}
    asked = get_model(name, checkpoint=path, **sizes, **classes)
    assert head_of(asked) is None
    assert len(asked.label_names) == 3


@every_family
@pytest.mark.parametrize("averaged", [True, False])
def test_encoder_and_head_are_of_the_same_weights_and_read_once(family, averaged, tmp_path, monkeypatch):
    raw, mean = tuned(family), tuned(family)
    with torch.no_grad():
        for weight in mean.parameters():
            weight *= 1.5
    prefix = "net_swa." if family == "omar_rq" else "net_swa.module."  # its own names begin with "net."
    state = {f"net.{k}": v for k, v in raw.state_dict().items()} | {f"{prefix}{k}": v for k, v in mean.state_dict().items()}
    torch.save({"state_dict": state, "network": raw.saved_settings}, tmp_path / "best.ckpt")
    times, read = [], checkpoints.read_checkpoint
    for module in (checkpoints, omar_rq):
        monkeypatch.setattr(module, "read_checkpoint", lambda path: times.append(path) or read(path))
    same(mean if averaged else raw, load_model(tmp_path / "best.ckpt", averaged=averaged))
    assert len(times) == 1


@every_family
def test_it_tags_and_gives_vectors_as_any_network(family, tmp_path):
    net = tuned(family, "ce")
    export_model(net, tmp_path / "net.safetensors")
    wave = np.random.default_rng(0).standard_normal(int(1.2 * net.window_length / net.units_per_second * net.sample_rate)) * 0.1
    heard = load_model(tmp_path / "net.safetensors").tag(wave.astype(np.float32), net.sample_rate)
    assert heard.labels == LABELS
    assert heard.exclusive
    np.testing.assert_allclose(heard.windows.sum(1), 1, rtol=1e-5)
    model = hear.load_model(str(tmp_path / "net.safetensors"), layer=0)
    sound = torch.from_numpy(wave.astype(np.float32))[None]
    assert torch.isfinite(hear.get_scene_embeddings(sound, model)).all()


def answers(net: AudioEncoder, x: torch.Tensor) -> list[torch.Tensor]:
    """What a call of the network gives, all tensors of it."""
    mel = {"melspectrogram_input": True} if net.family == "maest" else {}
    with torch.no_grad():
        found = net(x, **mel)
    parts = [found] if isinstance(found, torch.Tensor) else found
    return [one for part in parts for one in (part.values() if isinstance(part, dict) else [part]) if torch.is_tensor(one)]


@every_family
def test_a_call_that_names_classes_names_the_heads(family):
    net = tuned(family)
    if family == "musicfm":  # a call is a step of its pre-training: a window of several masked blocks
        x = torch.randn(2, net.window_length * 4) * 0.1
    else:
        x = windows(net)
    bare = without_head(copy.deepcopy(net))
    with torch.no_grad():
        old, want = bare.window_logits(x), net.window_logits(x)
    names = any(torch.equal(old, one) for one in answers(bare, x))
    assert names == (family in ("maest", "musicnn", "clmr", "omar_rq"))
    assert any(torch.equal(want, one) for one in answers(net, x)) == names
    assert not any(torch.equal(old, one) for one in answers(net, x))


@every_family
def test_half_precision_stays(family):
    name, settings = SMALL[family]
    net = fine_tuned(get_model(name, pretrained=False, **settings).bfloat16(), LABELS, 1, hidden=4).eval()
    assert {weight.dtype for weight in net.task_head.parameters()} == {torch.bfloat16}
    if family not in ("musicfm", "omar_rq"):  # whose inputs are not of the weights' kind
        with torch.no_grad():
            assert net.window_logits(windows(net).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ["mean", "separated"])
@pytest.mark.parametrize("layer", [1, 2])
def test_a_call_of_maest_keeps_its_features(kind, layer):
    name, settings = SMALL["maest"]
    torch.manual_seed(0)
    net = fine_tuned(get_model(name, pretrained=False, distilled_type=kind, **settings), LABELS, layer, hidden=6).eval()
    x = windows(net)
    logits, features = answers(net, x)
    with torch.no_grad():
        assert torch.equal(logits, net.window_logits(x))
        wanted = without_head(net)(x, melspectrogram_input=True)[
            -1
        ]  # of CLS and DIST alone, where the head reads all of the last block
        torch.testing.assert_close(features, wanted, rtol=1e-5, atol=1e-6)


@every_family
def test_copies_are_the_network(family):
    net = tuned(family)
    for made in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert isinstance(made, type(net).bare)
        same(net, made)


@every_family
def test_the_next_fine_tuning_takes_the_encoder(family, tmp_path, caplog):
    net = tuned(family)
    export_model(net, tmp_path / "net.safetensors")
    with caplog.at_level("INFO"):
        again = fine_tuned(load_model(tmp_path / "net.safetensors"), ["a", "b", "c"], 0, "ce", hidden=4)
    assert "fine-tuned before (2 classes, tags): its encoder is taken, its head is left out" in caplog.text
    assert again.label_names == ["a", "b", "c"]
    assert again.task_head.layer == 0
    x = windows(net)
    with torch.no_grad():
        assert torch.equal(net.summaries(x, [1])[0], again.eval().summaries(x, [1])[0])
    with pytest.raises(WeightsError, match="its head of 3 classes is fresh"):
        export_model(again, tmp_path / "again.safetensors")


def test_what_it_began_with_and_its_licence_go_on(tmp_path):
    torch.manual_seed(0)
    name, settings = SMALL["clmr"]
    net = get_model(name, pretrained=False, **settings)
    from models import get_card

    net.card = get_card("maest_30s")
    net = fine_tuned(net, LABELS, hidden=4)
    assert net.card is None
    with torch.no_grad():
        net.task_head.layers[0].weight += 1
    export_model(net, tmp_path / "net")
    about = json.loads((tmp_path / "net" / "config.json").read_text())
    assert about["weights_from"] == f"{get_card('maest_30s').name}, fine-tuned"
    assert about["weights_licence"] == get_card("maest_30s").licence
    heard = load_model(tmp_path / "net").tag(np.zeros(22050, np.float32), 22050)
    assert (heard.model, heard.licence) == (None, get_card("maest_30s").licence)
    assert without_head(load_model(tmp_path / "net")).licence == get_card("maest_30s").licence
    again = fine_tuned(without_head(load_model(tmp_path / "net")), LABELS)
    assert again.task_head.licence == get_card("maest_30s").licence
    again = fine_tuned(load_model(tmp_path / "net"), LABELS)
    assert again.task_head.licence == get_card("maest_30s").licence


def test_the_block_of_the_page_runs(tmp_path, monkeypatch):
    page = Path(__file__).resolve().parents[2] / "docs" / "probes.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8").split("### What it leaves")[1], re.DOTALL)
    name, settings = SMALL["mert"]
    net = fine_tuned(get_model(name, pretrained=False, **{**settings, "num_hidden_layers": 6}), [*LABELS, "hum"], 5, hidden=4)
    with torch.no_grad():
        net.task_head.layers[0].weight += 1
    monkeypatch.chdir(tmp_path)
    export_model(net, "exp_out/tl/1/seed-0/network.safetensors")
    soundfile.write("song.mp3", np.random.default_rng(0).standard_normal(44100) * 0.1, 44100)
    names: dict = {}
    exec(compile(block, str(page), "exec"), names)
    assert {label for label, _ in names["net"].tag("song.mp3").top(3)} == {*LABELS, "hum"}


def test_predict_labels_of_maest_are_the_heads():
    net = tuned("maest")
    wave = torch.randn(int(net.max_seconds * net.sample_rate), generator=torch.Generator().manual_seed(2)) * 0.1
    found, labels = net.predict_labels(wave)
    assert labels == LABELS
    assert found.shape == (2,)


@every_family
def test_formats_that_end_in_another_head_are_refused(family, tmp_path):
    net = tuned(family)
    assert export_formats(net) == ("safetensors", "onnx")
    with pytest.raises(ConfigError, match=f"Fine-tuned networks of the family {family} are not exported as ast"):
        export_model(net, tmp_path / "out", "ast")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@every_family
def test_onnx_answers_as_the_network(family, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net = tuned(family, "ce")
    export_model(net, tmp_path / "net.onnx", "onnx")  # compared with the network there
    about = json.loads((tmp_path / "net.json").read_text())
    assert (about["family"], about["classes"]) == (family, LABELS)
    assert about["schema"]["outputs"][1]["op"] == "Softmax"
    graph = write_graph(net, None, False)
    x = windows(net)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(["activations"], {"windows": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, net.window_probabilities(x).numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layer": 7}, "reads layer 7; the encoder has 4 layers"),
        ({"layer": -1}, "layer is -1"),
        ({"labels": ["one"]}, "do not fit"),
        ({"labels": []}, "does not say labels"),
        ({"labels": "ab"}, "labels is 'ab'"),
        ({"labels": None}, "labels is None"),
        ({"hidden": 1_000_000, "num_layers": 100}, "parameters"),
        ({"activation": "system"}, "activation is 'system'"),
        ({"sample_rate": 8000}, "says the sample_rate 8000, its encoder has 22050"),
        ({"path": "/etc/passwd"}, "unknown"),
    ],
)
def test_a_head_that_is_none_is_refused(change, words, tmp_path):
    net, path = tuned("clmr"), tmp_path / "net.safetensors"
    export_model(net, path)
    said = json.loads(read_metadata(path)["network"])
    said["task_head"] = {**said["task_head"], **change}
    save_file(load_file(path), path, {"format": "pt", "network": json.dumps(said)})
    with pytest.raises(WeightsError, match=words):
        load_model(path)


def test_a_probe_of_its_vectors_is_a_head_of_clmr(tmp_path):
    net, path = tuned("clmr"), tmp_path / "net.safetensors"
    export_model(net, path)
    about = {"encoder_sha256": weights_sha256(load_model(path)), "encoder_layer": "3", "loss": "ce", "labels": "a\nb"}
    save_file({"layers.0.weight": torch.ones(2, 16), "layers.0.bias": torch.zeros(2)}, tmp_path / "head.safetensors", about)
    probed = family_package("clmr").build(checkpoint=path, head_checkpoint=tmp_path / "head.safetensors")
    assert probed.label_names == ["a", "b"]
    other = tuned("clmr", hidden=4)
    export_model(other, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="trained on embeddings of other weights"):
        family_package("clmr").build(checkpoint=tmp_path / "other.safetensors", head_checkpoint=tmp_path / "head.safetensors")


def test_files_without_the_heads_weights_and_of_the_first_version_say_so(tmp_path):
    net, path = tuned("clmr"), tmp_path / "net.safetensors"
    export_model(net, path)
    header = {"format": "pt", "network": read_metadata(path)["network"]}
    save_file({k: v for k, v in load_file(path).items() if not k.startswith("task_head.")}, path, header)
    with pytest.raises(WeightsError, match="has no weights of one"):
        load_model(path)
    old = {"finetuned": True, "layer": 1, "encoder": {"family": "clmr"}}
    torch.save({"state_dict": {"net.encoder.x": torch.ones(1)}, "network": old}, tmp_path / "old.ckpt")
    with pytest.raises(WeightsError, match="earlier version, which left no family and no labels in it: fine-tune again"):
        load_model(tmp_path / "old.ckpt")
    assert read_settings(path)["task_head"]["labels"] == LABELS
