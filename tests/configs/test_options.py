"""What every key affects: each says it, and what follows equals the two hand-kept lists that were there before (copied here)."""

from __future__ import annotations

import dataclasses

import pytest

import configs
import ex_maest
import ex_paper
import ex_ssl
import ex_tl
from configs.options import EFFECTS, opt, options, resume_rules, settings_that_affect, settings_without_effect
from helpers.experiments.config_source import docs_of
from helpers.utils.typed_config import flat

EXPERIMENTS = {"ex_maest.py": ex_maest.ex, "ex_ssl.py": ex_ssl.ex, "ex_tl.py": ex_tl.ex, "ex_paper.py": ex_paper.ex}
SCHEMAS = {name: experiment.schema for name, experiment in EXPERIMENTS.items()}

# ---- the lists of before
RESUME_FREE = (
    "ckpt_path", "predict.", "report.", "export.", "hear.", "trainer.max_epochs", "trainer.default_root_dir", "trainer.save_every_n_steps",
    "trainer.save_every_minutes", "trainer.keep_checkpoints", "trainer.num_sanity_val_steps", "trainer.reload_dataloaders_every_n_epochs",
    "trainer.gradient_checkpointing",
    "datamodule.num_workers", "datamodule.batch_size_test", "datamodule.audio_dir", "datamodule.base_dir", "datamodule.groundtruth",
    "datamodule.label_column", "datamodule.label_separator", "datamodule.split_seed", "datamodule.demo_tracks",
    "datamodule.teacher_student.teacher_target_base_dir",
)  # fmt: skip
RESUME_FREE_ENDS = (".checkpoint", ".head_checkpoint", ".checkpoint_swa_weights", ".encodec")
RESUME_SAID = {
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.precision", "trainer.sync_batchnorm",
    "trainer.log_every_n_steps", "trainer.check_val_every_n_epoch", "trainer.limit_val_batches", "datamodule.batch_size_train",
}  # fmt: skip
STEP_FREE = (
    "ckpt_path", "out_dir", "jobs", "trainer.default_root_dir", "predict.out_dir", "trainer.save_every", "trainer.keep_checkpoints",
    "trainer.gradient_checkpointing",
    "trainer.log_every_n_steps", "trainer.num_sanity_val_steps", "datamodule.num_workers", "data.memory_gb",
    "data.num_workers", "report.", "export.", "check.", "hear.",
    "compare.", "finetune.", "sweep.title", "predict.audio", "predict.top", "predict.hop", "predict.html", "predict.csv", "predict.json",
    "predict.parquet", "predict.types", "predict.reduce", "predict.center", "predict.player_minutes", "predict.scheduler", "predict.workers",
    "predict.jobs", "predict.shard_tracks",
)  # fmt: skip
STEP_TRAINING = (
    "module.", "optimizer.", "augment.", "averaging.", "trainer.max_epochs", "trainer.gradient_clip", "trainer.accumulate", "trainer.limit",
    "trainer.check_val", "trainer.reload", "trainer.sync", "datamodule.batch_size_train", "datamodule.sampler.", "datamodule.masking.",
    "datamodule.roll.", "datamodule.epoch_len", "datamodule.replace", "datamodule.teacher_student.",
)  # fmt: skip
STEP_FREE_OF = {
    "extract_embeddings": STEP_TRAINING,
    "extract_logits": (*STEP_TRAINING, "predict."),
    "main": ("predict.", "sweep.", "few_label."),
    "test": ("predict.",),
    "sweep": ("few_label.",),
    "few_label": ("sweep.",),
    "demo_music": ("scale.", "patchout_speed.", "dry", "download"),
    "patchout_speed": ("scale.", "music.", "dry", "download"),
}
PRETRAINING = ("ex_maest.py", "ex_ssl.py")

# ---- where the answer is another one, and why
# Not compared any more: how often a loss is logged, and what check_data writes, change no weight. (Both were forgotten or said needlessly.)
NOW_FREE = {"trainer.log_every_n_steps", "check.out", "check.new_split", "check.jobs"}
CHUNKS = {f"omar_rq.{key}" for key in ("chunk_seconds", "overlap", "last_chunk_ratio", "chunk_pool")}  # of extraction alone
NOW_FREE |= CHUNKS
# Warned of where nothing was said: validation in other batches has other last bits, loaders made anew at other epochs are another course.
NOW_WARNED = {"datamodule.batch_size_test", "trainer.reload_dataloaders_every_n_epochs"}
NOW_COUNTED = {("extract_logits", f"predict.{key}") for key in ("dtype", "format", "backend")}  # logits are stored with them
MUSIC2VEC_TRAINING = (
    "dropout", "layerdrop", "mask_prob", "mask_span", "top_k", "beta", "ema_start", "ema_end", "ema_steps", "guard_steps", "adam_beta2", "adam_eps",
)  # fmt: skip
NOW_IGNORED = {  # of training alone
    (command, key)
    for command in ("extract_embeddings", "extract_logits")
    for key in (
        "clmr.temperature",
        "datamodule.val_crops",
        "trainer.early_stopping",
        "omar_rq.dropout",
        "omar_rq.mask_seconds",
        "omar_rq.mask_prob",
        "omar_rq.noise",
        "omar_rq.encodec",
        "musicfm.dropout",
        "musicfm.noise_std",
        *(f"music2vec.{key}" for key in MUSIC2VEC_TRAINING),
    )
}

NOW_IGNORED |= {(command, key) for command in ("main", "test") for key in CHUNKS} | {("extract_logits", "omar_rq.chunk_pool")}
NOW_IGNORED |= {(command, "data.baselines") for command in ("main", "sweep", "few_label")}  # what stands beside changes no score


def keys(schema):
    return [key for key, _, value in options(schema) if not dataclasses.is_dataclass(value)]


@pytest.mark.parametrize("script", SCHEMAS)
def test_every_key_says_what_it_affects_and_what_it_means(script):
    commands, texts = EXPERIMENTS[script].commands, docs_of(SCHEMAS[script])
    for key, field, value in options(SCHEMAS[script]):
        if not dataclasses.is_dataclass(value):
            assert field.metadata["affects"] in EFFECTS or field.metadata["affects"] in commands, key
            assert len(field.metadata["doc"].split()) > 1, f"{key}: {field.metadata['doc']}"
        assert texts[key], f"the section {key} has no text"


def test_a_key_cannot_be_silent():
    with pytest.raises(TypeError, match="affects"):
        opt(1, "a number")


@pytest.mark.parametrize("script", PRETRAINING)
def test_a_resumed_run_may_differ_in_what_it_could_before(script):
    rules = resume_rules(SCHEMAS[script])
    free = {key for key in keys(SCHEMAS[script]) if key.startswith(RESUME_FREE) or key.endswith(RESUME_FREE_ENDS)}
    here = set(keys(SCHEMAS[script]))
    assert rules["free"] == ((free | NOW_FREE) - NOW_WARNED) & here
    assert rules["warned"] == (RESUME_SAID - NOW_FREE | NOW_WARNED) & here
    about = {k for k in free if k.startswith("datamodule.")} - {"datamodule.num_workers", "datamodule.batch_size_test"}
    assert {key for key in rules["inputs"] if key.startswith("datamodule.")} == about
    assert rules["inputs"] <= rules["free"]


@pytest.mark.parametrize(
    ("script", "command"), [(script, command) for script, commands in configs.paper.DECISIVE.items() for command in commands]
)
def test_a_step_is_new_by_the_settings_that_made_it_new_before(script, command):
    free = (*STEP_FREE, *STEP_FREE_OF[command])
    before = {key for key in keys(SCHEMAS[script]) if key.startswith(free)}
    here = {(command, key) for key in keys(SCHEMAS[script])}
    counted, ignored = ({key for _, key in changed & here} for changed in (NOW_COUNTED, NOW_IGNORED))
    assert ex_paper.ignored_keys(script, command) == (before - counted) | ignored
    assert EXPERIMENTS[script].commands[command] is not None


def test_settings_that_affect_and_those_without_effect_are_all():
    for schema in SCHEMAS.values():
        some = settings_that_affect(schema, "training", "network")
        assert (
            some | settings_without_effect(schema, ("training", "network"))
            == set(keys(schema))
            == set(flat(configs.options.defaults(schema)))
        )
