"""music2vec as a family: what of a config reaches network, recipe, optimiser and notes, and what fine-tuning is asked to spare."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

import configs
from configs.naming import merged
from configs.options import defaults
from helpers.evaluation.finetune import with_checkpointing
from helpers.families.base import Purpose
from helpers.families.music2vec import FAMILY
from helpers.utils.typed_config import build
from models.clmr import SampleCNN
from models.errors import ConfigError
from models.music2vec.recipe import Recipe

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [4] * 7,
    "top_k": 2,
}


def named(name: str, **section):
    script = configs.EX_SSL
    config = build(script.schema, merged(defaults(script.schema), script.named[name].values))
    return replace(config, music2vec=replace(config.music2vec, **section))


def test_the_recipe_is_the_published_one():
    config = named("music2vec_pretrain")
    net = FAMILY.sketch(config)
    assert (net.depth, net.embed_dim, net.window_length) == (12, 768, 80000)
    assert [net.settings[f"{part}_dropout"] for part in ("hidden", "attention", "activation", "feat_proj")] == [
        0.1,
        0.1,
        0.0,
        0.0,
    ]
    with torch.device("meta"):
        assert FAMILY.objective(config, net).recipe == Recipe()
    o = FAMILY.optimization(config)
    assert (o.name, o.lr, o.weight_decay, o.betas, o.eps, o.interval) == ("adamw", 5e-4, 0.01, (0.9, 0.98), 1e-6, "step")
    step = config.datamodule.batch_size_train * 16 * 80000  # samples of 16 devices
    assert step / 16000 / 60 == pytest.approx(63, abs=1)  # minutes of audio
    assert config.datamodule.sampler.epoch_len * config.trainer.max_epochs // (config.datamodule.batch_size_train * 16) == 400_000


def test_every_key_of_the_recipe_reaches_it():
    changed = {
        "mask_prob": 0.5,
        "mask_span": 4,
        "top_k": 1,
        "beta": 0.25,
        "ema_start": 0.5,
        "ema_end": 0.6,
        "ema_steps": 9,
        "layerdrop": 0.3,
    }
    config = named("music2vec_pretrain", **{**SMALL, **changed, "guard_steps": 3})
    recipe = FAMILY.objective(config, FAMILY.network(config, None, 0)).recipe
    assert {f.name: getattr(recipe, f.name) for f in fields(recipe)} == {**changed, "guard_steps": 3}


def test_sizes_dropout_and_checkpointing_reach_the_network():
    config = named("music2vec_pretrain", **SMALL, dropout=0.3, sdpa=False, gradient_checkpointing=True, max_seconds=2.0)
    nets = [FAMILY.network(config, None, seed) for seed in (0, 0, 1)]
    assert {k: nets[0].settings[k] for k in SMALL if k != "top_k"} == {k: v for k, v in SMALL.items() if k != "top_k"}
    assert [nets[0].settings[k] for k in ("hidden_dropout", "attention_dropout", "sdpa", "max_seconds")] == [0.3, 0.3, False, 2.0]
    assert nets[0].gradient_checkpointing
    same = [all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), net.parameters())) for net in nets]
    assert same == [True, True, False]


def test_impossible_settings_are_refused_before_work():
    for section, text in (
        ({"top_k": 3}, "top_k is 3"),
        ({"max_seconds": 0.1}, "holds no span"),
        ({"hidden_size": 15}, "num_attention_heads"),
    ):
        config = named("music2vec_pretrain", **{**SMALL, **section})
        config = replace(config, trainer=replace(config.trainer, accelerator="cpu", devices=1))
        with pytest.raises(ConfigError, match=text):
            FAMILY.check(config, Purpose.TRAIN)


def test_notes_say_what_collapsed():
    config = named("music2vec_demo")
    assert FAMILY.training_notes(config, {"val_loss": 1.0}) == []
    fine = FAMILY.training_notes(config, {"val_target_std": 0.5, "val_prediction_std": 0.3})
    assert fine == ["Masked vectors of the validation: targets spread 0.500, predictions 0.300."]
    flat = FAMILY.training_notes(config, {"val_target_std": 0.5, "val_prediction_std": 0.001})
    assert flat[1:] == ["Every prediction is nearly the same: the training has collapsed."]


def test_checkpointing_is_refused_where_a_family_has_none():
    assert with_checkpointing(FAMILY.network(named("music2vec_pretrain", **SMALL), None, 0)).gradient_checkpointing
    with pytest.raises(
        ConfigError, match=r"family clmr keep what the way back needs: leave finetune\.gradient_checkpointing out"
    ):
        with_checkpointing(SampleCNN(channels=(4, 4, 6, 8), strides=(3, 3), out_dim=5))
