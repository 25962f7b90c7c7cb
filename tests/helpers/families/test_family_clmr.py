"""CLMR: what a pre-training says about its validation, sizes and classes of checkpoints, and how layers are counted."""

from __future__ import annotations

import logging

import pytest
import torch

from configs import EX_SSL
from helpers.families import get_family
from models import export_model
from models.clmr import SampleCNN
from models.errors import ConfigError

FAMILY = get_family("clmr")
UNEVEN = {"val_uniformity": -1.5}
SIZE = dict(channels=[4] * 4, strides=[3] * 2)


@pytest.fixture
def config():
    return EX_SSL.schema()


@pytest.mark.parametrize(
    ("n", "words"), [(6, "6 tracks, told apart in groups of 6; a loss of 2.40"), (100, "groups of 48; a loss of 4.55")]
)
def test_chance_is_said_once_before_training(config, caplog, n, words):
    with caplog.at_level(logging.INFO):
        FAMILY.before_training(config, n)
    assert words in caplog.text
    assert ("cannot be compared" in caplog.text) == (n < 48)


def test_limits_of_the_validation_count(config, caplog):
    config.trainer.limit_val_batches = 1
    config.datamodule.batch_size_test = 4
    with caplog.at_level(logging.INFO):
        FAMILY.before_training(config, 100)
    assert "4 tracks, told apart in groups of 4" in caplog.text


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"val_loss": 2.39, **UNEVEN}, "has not left chance"),
        ({"val_loss": 2.40, "val_uniformity": -1e-6}, "collapsed"),
        ({"val_loss": 2.40, "val_uniformity": -1e-6, "step": 6.0}, "collapsed"),
        ({"val_loss": 1.9, "val_uniformity": -1e-6, "step": 5.0}, ""),  # statistics that have not settled say nothing
        ({"val_loss": 1.9, **UNEVEN}, ""),
        ({}, ""),
    ],
)
def test_what_was_not_learned_is_said_at_the_end(config, caplog, metrics, words):
    FAMILY.after_training(config, 6, metrics)
    assert (words in caplog.text) if words else not caplog.text


def test_training_on_labels_says_nothing_of_it(config, caplog):
    config.clmr.supervised = True
    with caplog.at_level(logging.INFO):
        FAMILY.before_training(config, 6)
        FAMILY.after_training(config, 6, {"val_loss": 9.0, "val_uniformity": 0.0})
    assert not caplog.text


def test_sizes_come_from_the_file(config, tmp_path):
    torch.manual_seed(0)
    net = SampleCNN(**SIZE, out_dim=None, sample_rate=16000)
    path = str(export_model(net, tmp_path / "net.safetensors"))
    config.clmr.checkpoint = path
    sized = FAMILY.like_checkpoint(config, path)
    assert (sized.clmr.channels, sized.clmr.strides, sized.clmr.sample_rate) == (SIZE["channels"], SIZE["strides"], 16000)
    assert FAMILY.network(sized, None, 0).settings == net.settings
    config.clmr.sample_rate = 8000
    with pytest.raises(ConfigError, match="clmr.sample_rate is 16000 in the file, 8000 in the config"):
        FAMILY.like_checkpoint(config, path)


def test_layers_are_counted_as_in_every_family(config):
    net = FAMILY.sketch(config)
    for asked, layers in ((-1, (10,)), (0, (0,)), ([10, -1, 3], (10, 3))):
        config.predict.transformer_block = asked
        assert FAMILY.layers(config, net) == layers
    for wrong in (-2, 11):
        config.predict.transformer_block = wrong
        with pytest.raises(ConfigError, match="blocks 0..10"):
            FAMILY.layers(config, net)
