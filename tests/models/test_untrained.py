"""What names classes refuses a network any part of whose used head its file did not fill; vectors are given all the same."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.extraction.extract import extract_logits
from models import export_model, get_maest, load_model
from models.clmr import SampleCNN, load_checkpoint
from models.errors import WeightsError
from models.maest import MAEST
from models.untrained import check_trained, untrained
from models.weights.checkpoints import read_state

SMALL = {"embed_dim": 16, "depth": 1, "num_heads": 2, "input_t": 64}
WAVE = np.random.default_rng(0).standard_normal(64 * 256).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An export of a small network with 18 named classes."""
    torch.manual_seed(0)
    names = [f"style {i}" for i in range(18)]
    return export_model(MAEST(**SMALL, n_classes=18, labels=names), tmp_path_factory.mktemp("own") / "net")


def start(own, **settings):
    return get_maest("discogs-maest-30s-pw-129e-519l", checkpoint=own, **{**SMALL, **settings}).eval()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n_classes": 519}, "519 classes started fresh.* has 18"),
        ({"checkpoint_discard_head": True, "n_classes": 18}, "head started fresh"),
        ({"input_t": 128}, "trained on windows of 6 time columns.* 12"),
        ({"n_classes": 7, "distilled_type": "separated"}, "7 classes started fresh"),
    ],
)
def test_what_answers_with_an_untrained_head_is_refused(own, tmp_path, given, words):
    net = start(own, **given)
    for use in (
        lambda: net.tag(WAVE, 16000),
        lambda: net.predict_labels(WAVE),
        lambda: export_model(net, tmp_path / "out"),
        lambda: extract_logits(net, tmp_path / "no store", tmp_path / "logits"),
        lambda: copy.deepcopy(net).tag(WAVE, 16000),
        lambda: pickle.loads(pickle.dumps(net)).half().float().tag(WAVE, 16000),
    ):
        with pytest.raises(WeightsError, match=words):
            use()
    assert list(tmp_path.iterdir()) == []
    assert net.embed(WAVE, 16000).vectors.size  # vectors do not need the head
    with torch.no_grad():  # what has been trained answers
        for name, value in net.named_parameters():
            if name.startswith("head") or name.endswith("pos_embed"):
                value.add_(0.01)
    check_trained(net, "tag")
    assert len(net.tag(WAVE, 16000).labels) == net.n_classes


@pytest.mark.parametrize("given", [{}, {"n_classes": 18}, {"n_classes": None}])
def test_labels_survive_every_number_that_is_the_file_s(own, given):
    net = start(own, **given)
    assert net.label_names == [f"style {i}" for i in range(18)]
    assert untrained(net) == []
    assert load_model(own).label_names == net.label_names


def test_a_head_that_nothing_answers_with_may_be_fresh(own, tmp_path):
    """AST's format has no head for DIST: a network that answers with both cannot do without it."""
    folder = export_model(load_model(own), tmp_path / "ast", "ast")
    assert load_model(folder).tag(WAVE, 16000).labels[0] == "style 0"
    with pytest.raises(WeightsError, match="cannot tag"):
        load_model(folder, distilled_type="separated").tag(WAVE, 16000)


def test_an_encoder_without_a_head_answers_nothing(tmp_path):
    torch.save(SampleCNN(channels=[4] * 4, strides=[3, 3], out_dim=None).state_dict(), tmp_path / "encoder.pt")
    net = load_checkpoint(tmp_path / "encoder.pt", out_dim=3)
    with pytest.raises(WeightsError, match="3 classes started at 0"):
        net.tag(WAVE, 22050)
    MAEST(**SMALL).predict_labels(WAVE)  # built without weights: its maker said so


@pytest.fixture(scope="module")
def state(own):
    return read_state(own)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_weights_that_are_not_finite_are_refused(state, tmp_path_factory, data):
    """Wherever the number stands, whatever the form of the file: state dict, training checkpoint, averaged weights."""
    name = data.draw(st.sampled_from(sorted(state)))
    value = data.draw(st.sampled_from([float("nan"), float("inf"), float("-inf")]))
    kept = state[name].clone()
    kept.view(-1)[data.draw(st.integers(0, kept.numel() - 1))] = value
    prefix = data.draw(st.sampled_from(["", "net.", "net_swa.module."]))
    content = {f"{prefix}{name}": kept}
    content = {"state_dict": content} if prefix else content
    path = tmp_path_factory.getbasetemp() / "not_finite.ckpt"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="not finite"):
        read_state(path)
    path.unlink()
