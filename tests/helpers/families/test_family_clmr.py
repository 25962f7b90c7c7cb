"""What a pre-training says about its validation: the size of its groups, chance, and where nothing was learned."""

from __future__ import annotations

import logging

import pytest

from configs.options import defaults
from configs.schema_ssl import ExSsl
from helpers.families import clmr

UNEVEN = {"val_uniformity": -1.5}


@pytest.fixture
def config():
    return defaults(ExSsl)


@pytest.mark.parametrize(
    ("n", "words"), [(6, "6 tracks, told apart in groups of 6; a loss of 2.40"), (100, "groups of 48; a loss of 4.55")]
)
def test_chance_is_said_once_before_training(config, caplog, n, words):
    with caplog.at_level(logging.INFO):
        clmr.say_validation(config, n)
    assert words in caplog.text
    assert ("cannot be compared" in caplog.text) == (n < 48)


def test_limits_of_the_validation_count(config, caplog):
    config["trainer"]["limit_val_batches"] = 1
    config["datamodule"]["batch_size_test"] = 4
    with caplog.at_level(logging.INFO):
        clmr.say_validation(config, 100)
    assert "4 tracks, told apart in groups of 4" in caplog.text


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"val_loss": 2.39, **UNEVEN}, "has not left chance"),
        ({"val_loss": 2.40, "val_uniformity": -1e-6}, "collapsed"),
        ({"val_loss": 1.9, **UNEVEN}, ""),
        ({}, ""),
    ],
)
def test_what_was_not_learned_is_said_at_the_end(config, caplog, metrics, words):
    clmr.warn_of_chance(config, 6, metrics)
    assert (words in caplog.text) if words else not caplog.text


def test_training_on_labels_says_nothing_of_it(config, caplog):
    config["clmr"]["supervised"] = True
    with caplog.at_level(logging.INFO):
        clmr.say_validation(config, 6)
        clmr.warn_of_chance(config, 6, {"val_loss": 9.0, "val_uniformity": 0.0})
    assert not caplog.text
