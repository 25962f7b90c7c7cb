"""What the commands that extract decide: the windows of what is asked for, and refusals before a weight file is read."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import configs
from helpers.commands import extract as commands
from helpers.commands.networks import Loaded
from helpers.commands.similar import similar
from helpers.families import get_family
from helpers.reports.wording import RANDOM
from models import export_model, get_model
from models.errors import ConfigError
from tests.models.small_networks import SMALL


@pytest.fixture(scope="module")
def net():
    name, settings = SMALL["clmr"]
    return get_model(name, pretrained=False, **settings).eval()


def context_of(tmp_path, checkpoint=None, **predict):
    config = configs.EX_SSL.schema(family="clmr")
    config = replace(
        config,
        clmr=replace(config.clmr, checkpoint=None if checkpoint is None else str(checkpoint)),
        predict=replace(config.predict, **{"out_dir": str(tmp_path / "out"), **predict}),
        datamodule=replace(config.datamodule, tail="drop"),
    )
    experiment = SimpleNamespace(is_set=lambda key: False)
    find_tracks = lambda roles, config: None  # noqa: E731
    return SimpleNamespace(config=config, family=get_family("clmr"), experiment=experiment, seed=0, find_tracks=find_tracks)


@pytest.mark.parametrize(("blocks", "tail"), [(None, "drop"), ((0,), "shift")])
def test_ends_of_tracks_are_kept_of_vectors_in_time_alone(net, tmp_path, monkeypatch, blocks, tail):
    """predict.frames in a shared config does not change what logits are of."""
    seen = []
    monkeypatch.setattr(commands, "_tracks_to_extract", lambda found: (SimpleNamespace(lengths=np.array([10])), None))
    monkeypatch.setattr(commands, "_extract", lambda *given: seen.append(given[-1]))
    context = context_of(tmp_path, frames=True)
    commands.extract(context, context.config, blocks, Loaded(net, RANDOM, "32"))
    assert [(one.tail, one.frames) for one in seen] == [(tail, blocks is not None)]


@pytest.mark.parametrize("command", [commands.extract_embeddings, similar])
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"format": "npy", "frames": True}, "leave format at store|predict.format=store"),
        ({"pool": "mean"}, "pool is for format npy"),
        ({"backend": "onnx", "frames": True}, "not computed by predict.backend=onnx"),
        ({"backend": "onxn"}, "no backend 'onxn'"),
        ({"out_dir": "labels.csv/out"}, "is a file, where a folder is wanted"),
        ({"jobs": 2, "scheduler": "tcp://127.0.0.1:1"}, "Give one of the two"),
    ],
)
def test_what_cannot_be_is_refused_before_the_weights_are_read(net, tmp_path, monkeypatch, command, asked, words):
    (tmp_path / "labels.csv").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "load_network", lambda *args, **more: pytest.fail("loaded"))
    checkpoint = export_model(net, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=words):
        command(context_of(tmp_path, checkpoint, audio="x.wav", **asked))


def test_layers_are_refused_before_tracks_are_looked_for(net, tmp_path):
    checkpoint = export_model(net, tmp_path / "net.safetensors")
    context = context_of(tmp_path, checkpoint, transformer_block=99)
    context.find_tracks = lambda *args, **more: pytest.fail("looked for")
    with pytest.raises(ConfigError, match=r"asks for \[99\]"):
        commands.extract_embeddings(context)


def test_chunks_that_no_graph_takes_are_refused_before_tracks_are_looked_for(tmp_path):
    pytest.importorskip("onnxruntime")
    name, settings = SMALL["omar_rq"]
    context = context_of(tmp_path, backend="onnx")
    context.family, context.find_tracks = get_family("omar_rq"), lambda *args, **more: pytest.fail("looked for")
    config = replace(context.config, omar_rq=replace(context.config.omar_rq, chunk_seconds=0.256, overlap=0.0))
    network = get_model(name, pretrained=False, **settings).eval()
    with pytest.raises(ConfigError, match="takes windows of 8192, and these are 4096"):
        commands.extract(context, config, (0,), Loaded(network, RANDOM, "32"))
