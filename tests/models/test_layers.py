"""What names a layer, for every network that is asked for some."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.extraction.extract import ExtractionSettings, extract_embeddings
from models.errors import ConfigError
from models.layers import layer_numbers, resolved
from models.maest import MAEST


@pytest.mark.parametrize("wrong", [["1"], "1", [0.7], 0.7, [1.0], [True], True, [None], [[0]], b"1", {}, {1: 2}])
def test_what_only_looks_like_a_layer_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"Layers are whole numbers, .*such as layers=\[0, 6, -1\]; got"):
        resolved(wrong, 3)


@pytest.mark.parametrize(
    "wrong", [torch.tensor([True]), torch.tensor(True), [torch.tensor(False)], np.array([True]), [np.bool_(True)]]
)
def test_flags_of_arrays_and_tensors_are_no_layers(wrong):
    with pytest.raises(ConfigError, match="Layers are whole numbers"):
        layer_numbers(wrong)


@pytest.mark.parametrize("asked", [1, [1], (1, -2), {1}, range(1, 2), np.int64(1), np.array([1]), torch.tensor([1]), iter([1])])
def test_whole_numbers_of_any_kind_are_layers(asked):
    assert resolved(asked, 3) == (1,)
    assert all(type(k) is int for k in resolved([np.int64(0), torch.tensor(2)], 3))


def test_networks_and_extraction_go_by_it(tmp_path):
    torch.manual_seed(0)
    net = MAEST(input_t=100, n_classes=3, embed_dim=32, depth=2, num_heads=2).eval()
    for ask in (
        lambda layers: net.resolve_layers(layers),
        lambda layers: net.embed(np.zeros(16000, np.float32), 16000, layers),
        lambda layers: net.summary_shapes(layers),
        lambda layers: extract_embeddings(net, tmp_path / "no store is opened", tmp_path, layers, ExtractionSettings()),
    ):
        for wrong in (["1"], [0.7]):
            with pytest.raises(ConfigError, match="Layers are whole numbers"):
                ask(wrong)
    assert layer_numbers([1, -1, 1]) == [1, -1, 1]
