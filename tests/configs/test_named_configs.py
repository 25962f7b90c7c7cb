"""Every named config: known keys, right types, the values that the published suite has, a smoke twin."""

from __future__ import annotations

import pytest

import configs
from configs.maest import ExMaest
from configs.naming import Catalogue, merged
from configs.options import defaults
from configs.schema_probe import ExTl
from helpers.experiments.config_source import docs_of
from helpers.utils.typed_config import check
from models.registry import list_models

PUBLISHED = [
    "maest_10s_random_weights", "maest_10s_from_deit", "maest_10s_from_passt", "maest_5s_from_passt", "maest_20s_from_passt",
    "maest_30s_from_passt", "maest_30s_from_passt_teacher_student",
]  # fmt: skip
README = [
    "maest_discogs_5sec_pretrain", "maest_discogs_10sec_pretrain", "maest_discogs_20sec_pretrain", "maest_discogs_30sec_pretrain",
    "maest_30s_teacher_student_pretrain", "maest_30s_from_passt_infer", "maest_30s_519l", "mini_train", "target_mtt", "folder", "demo",
]  # fmt: skip


CATALOGUES = {ExMaest: configs.MAEST, configs.EX_SSL.schema: configs.SSL, ExTl: configs.PROBE}


@pytest.mark.parametrize(("schema", "name"), [(schema, name) for schema, catalogue in CATALOGUES.items() for name in catalogue])
def test_named_configs_fit_their_schema(schema, name):
    named = CATALOGUES[schema][name]
    check(schema, merged(defaults(schema), named.values), extra=("seed",))
    assert named.doc


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_published_run_has_both_configs_and_their_smoke_twins(name):
    for kind in ("pretrain", "inference"):
        assert f"{name}_{kind}" in configs.MAEST
        assert f"{name}_{kind}_smoke" in configs.MAEST
    assert configs.MAEST[f"{name}_inference"].values["predict"]["transformer_block"] == 7


@pytest.mark.parametrize("name", README)
def test_names_of_the_published_readme(name):
    assert name in configs.MAEST


def test_all_archs_are_registered_models():
    for named in configs.MAEST.values():
        arch = named.values.get("maest", {}).get("arch")
        assert arch is None or arch in list_models()


@pytest.mark.parametrize(
    ("name", "patchout"),
    [("maest_10s_random_weights", 30), ("maest_5s_from_passt", 15), ("maest_20s_from_passt", 60), ("maest_30s_from_passt", 90)],
)
def test_patchout_of_the_recipes(name, patchout):
    assert configs.MAEST[f"{name}_pretrain"].values["maest"]["s_patchout_t"] == patchout


def test_the_recipe_of_the_paper_is_the_default():
    d = defaults(ExMaest)
    want = {
        ("trainer", "max_epochs"): 130, ("module", "do_swa"): True, ("module", "swa_epoch_start"): 50, ("module", "swa_lrs"): 2e-5,
        ("module", "swa_freq"): 5, ("module", "mixup_alpha"): 0.3, ("datamodule", "batch_size_train"): 12, ("datamodule", "clip_length"): 10,
        ("datamodule", "batch_size_test"): 20, ("maest", "n_classes"): 400, ("maest", "pretrained"): False, ("predict", "transformer_block"): 11,
        ("predict", "out_dir"): "exp_out/", ("dataset", "n_bands"): 96, ("trainer", "default_root_dir"): "exp_logs",
    }  # fmt: skip
    assert {k: d[k[0]][k[1]] for k in want} == want
    o = d["module"]["optimizer"]
    assert (o["lr"], o["weight_decay"], o["warm_up_len"], o["ramp_down_start"], o["ramp_down_len"], o["last_lr_value"]) == (
        2e-5,
        1e-4,
        5,
        50,
        50,
        0.01,
    )
    m, s = d["datamodule"]["masking"], d["datamodule"]["sampler"]
    assert (m["time_mask_param"], m["freq_mask_param"], m["p"], m["iid_masks"], m["time_masks"], m["freq_masks"]) == (
        8,
        5,
        0.2,
        True,
        20,
        8,
    )
    assert (s["sample_weight_offset"], s["sample_weight_sum"], s["sampler_replace"], s["epoch_len"]) == (100, True, False, 200000)
    assert d["datamodule"]["roll"] == {"do": False, "axis": -1, "shift": None, "shift_range": 50}
    t = defaults(ExTl)
    assert (t["trainer"]["max_epochs"], t["optimizer"]["max_lr"], t["optimizer"]["weight_decay"], t["model"]["drop_out"]) == (
        60,
        1e-4,
        1e-3,
        0.5,
    )
    assert (t["data"]["batch_size"], t["data"]["types"], t["data"]["reduce"], t["model"]["hidden_units"]) == (
        128,
        "c",
        "mean",
        512,
    )


@pytest.mark.parametrize("schema", [ExMaest, ExTl])
def test_every_key_is_documented(schema):
    def keys(tree, prefix=""):
        for key, value in tree.items():
            yield from keys(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]

    assert set(keys(defaults(schema))) <= set(docs_of(schema))


def test_two_configs_of_one_name_are_refused():
    catalogue = Catalogue()

    def twice():
        """Text."""
        return {}

    catalogue.add()(twice)
    with pytest.raises(ValueError, match="twice"):
        catalogue.add()(twice)


def test_merging_changes_nothing_in_place():
    a = {"x": {"y": 1}}
    assert merged(a, {"x": {"z": 2}}) == {"x": {"y": 1, "z": 2}}
    assert a == {"x": {"y": 1}}
