"""The same rules in ex_maest.py and ex_ssl.py: what only one of them had, or had otherwise, before commands and families were one thing."""

from __future__ import annotations

import logging
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

import configs
import ex_maest
import ex_ssl
from configs.naming import Catalogue, FamilyConfigs, Named
from configs.ssl import ALIASES, make_script
from datasets.store import TrackStore
from helpers.experiments.config_source import nested
from helpers.utils.spellings import translated
from helpers.utils.typed_config import flat
from tests.sound import tune, write

N = 16
COMMON = {"trainer.accelerator": "cpu", "trainer.precision": "32", "trainer.max_epochs": 1, "seed": 3}
TRACKS = {"datamodule.batch_size_train": 4, "datamodule.batch_size_test": 8}
MAEST = {
    "maest.embed_dim": 16, "maest.depth": 2, "maest.num_heads": 2, "datamodule.clip_length": 0.5, "datamodule.sampler.epoch_len": 8,
    "datamodule.masking.do": False, "predict.transformer_block": 1,
}  # fmt: skip
CLMR = {"clmr.channels": [4, 4, 6, 6], "clmr.strides": [3, 3], "clmr.supervised": True, "augment.do": False}
SIZES = ("maest.embed_dim", "maest.depth", "maest.num_heads", "clmr.channels", "clmr.strides")
SCRIPTS = {"maest": (ex_maest.ex, MAEST), "clmr": (ex_ssl.ex, CLMR)}
# the rule is one function's: quick in one script, slow in the other
QUICK_MAEST = ["maest", pytest.param("clmr", marks=pytest.mark.slow)]
QUICK_CLMR = ["clmr", pytest.param("maest", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Mels and samples of the same tracks, two of them silent, and their labels in tables that differ in the order, or the names, of columns."""
    folder = tmp_path_factory.mktemp("both")
    rng = np.random.default_rng(0)
    mels = {"kind": "mel", "sample_rate": 16000, "hop": 256, "front_end": "maest-essentia"}
    for name, shape, attrs, n in (
        ("mels", (96,), mels, 60),
        ("samples", (), {"kind": "waveform", "sample_rate": 22050}, 500),
    ):
        with TrackStore.create(folder / f"{name}.h5", shape, "float32", attrs) as writer:
            for i in range(N):
                writer.append(f"{i}.wav", rng.random((n, *shape)).astype(np.float32) * (i not in (1, 2)))
            writer.seal()
    y = rng.integers(0, 2, (N, 2))
    y[::4], y[1::4] = (1, 0), (0, 1)
    split = ["train"] * 8 + ["val"] * 4 + ["test"] * 4
    for table, names, columns in (("labels", "xy", (0, 1)), ("turned", "yx", (1, 0)), ("others", "xz", (0, 1))):
        rows = [f"{i}.wav,{split[i]},{y[i, columns[0]]},{y[i, columns[1]]}" for i in range(N)]
        (folder / f"{table}.csv").write_text("\n".join([f"path,split,{names[0]},{names[1]}", *rows]))
    return folder


@pytest.fixture
def run(place, monkeypatch):
    """run("clmr", "test", ckpt_path=...): a command in this process, in the shared folder."""
    monkeypatch.chdir(place)
    handlers = logging.getLogger().handlers

    def command(family: str, name: str = "main", *, sized: bool = True, table: str = "labels", **updates):
        ex, own = SCRIPTS[family]
        own = own if sized else {key: value for key, value in own.items() if key not in SIZES}
        data = {"datamodule.base_dir": "mels.h5" if family == "maest" else "samples.h5", "datamodule.groundtruth": f"{table}.csv"}
        return ex.run(
            name, config_updates={**COMMON, **TRACKS, **own, **data, "trainer.default_root_dir": family, **updates}
        ).result

    yield command
    logging.getLogger().handlers = handlers


@pytest.fixture
def trained(run, place):
    """family -> the last checkpoint of a training on labels.csv, made once."""

    def checkpoint(family: str) -> str:
        path = place / family / "1" / "checkpoints" / "last.ckpt"
        if not path.is_file():
            run(family)
        return str(path)

    return checkpoint


@pytest.mark.parametrize("family", SCRIPTS)
def test_a_test_takes_sizes_and_the_order_of_labels_from_the_checkpoint(run, trained, family):
    path = trained(family)
    usual = run(family, "test", ckpt_path=path)
    assert run(family, "test", ckpt_path=path, sized=False) == usual
    turned = run(family, "test", ckpt_path=path, table="turned")
    assert {k: v for k, v in turned.items() if "roc" in k or "ap" in k} == {
        k: v for k, v in usual.items() if "roc" in k or "ap" in k
    }
    with pytest.raises(ValueError, match="only one of the two has 'y', 'z'"):
        run(family, "test", ckpt_path=path, table="others")


@pytest.mark.parametrize("family", SCRIPTS)
def test_sizes_that_contradict_the_checkpoint_are_refused(run, trained, family):
    wrong = {"maest": {"maest.depth": 3}, "clmr": {"clmr.channels": [4, 4, 6, 8]}}[family]
    with pytest.raises(ValueError, match="holds another network than the config asks for"):
        run(family, "test", ckpt_path=trained(family), **wrong)


@pytest.mark.parametrize("family", QUICK_CLMR)
def test_silent_tracks_are_said_before_training(run, caplog, family):
    run(family, **{"trainer.default_root_dir": "silent"})
    assert "2 of 8 training tracks are silent" in caplog.text


@pytest.mark.parametrize("family", QUICK_CLMR)
def test_training_ends_early(run, place, family):
    rate = {"module.optimizer.lr": 1e-12, "module.do_swa": False}
    run(family, **rate, **{"trainer.max_epochs": 6, "trainer.early_stopping": 2, "trainer.default_root_dir": f"early_{family}"})
    assert (place / f"early_{family}" / "1" / "history.json").read_text().count('"epoch"') < 6


@pytest.mark.parametrize("family", QUICK_MAEST)
def test_neighbours_are_found(run, trained, family):
    used = {f"{family}.checkpoint": trained(family), "predict.out_dir": f"near_{family}", "predict.top": 3}
    found = run(family, "similar", sized=False, **used, **{"predict.audio": "5.wav"})
    assert len(found) == 3
    assert "5.wav" not in found


@pytest.mark.parametrize("family", QUICK_MAEST)
def test_speed_is_measured(run, family):
    assert min(run(family, "model_speed_test").values()) > 0
    assert set(run(family, "machine").values()) == {"32-true"}  # MAEST_MACHINE=off: nothing is measured in tests


@pytest.mark.parametrize("family", SCRIPTS)
def test_a_collection_is_checked(run, place, family):
    for i in range(N):
        write(place / "AUDIO" / f"{i}.wav", tune(0.3, 16000, 1, i), 16000)
    where = {"datamodule.audio_dir": "AUDIO", "datamodule.base_dir": None, "check.out": f"checked_{family}", "check.jobs": 1}
    assert run(family, "check_data", **where)["kept"] == N


# ---- names
def keys(kind, prefix=""):
    for f in fields(kind):
        value = getattr(kind(), f.name)
        yield from keys(type(value), f"{prefix}{f.name}.") if is_dataclass(value) else [prefix + f.name]


def test_common_keys_have_one_name():
    maest, ssl = (set(keys(script.schema)) for script in (configs.EX_MAEST, configs.EX_SSL))
    own = ("clmr.", "augment.", "hear.", "omar_rq.", "musicfm.", "music2vec.", "mert.")
    assert {key for key in ssl - maest if not key.startswith(own)} == {
        "module.optimizer.warm_up_steps", "module.optimizer.total_steps",
    }  # fmt: skip
    assert {"family", "musicnn.arch"} <= ssl & maest


def test_earlier_spellings_stay():
    given = {
        "optimizer.lr": 1.0, "optimizer.name": "adam",
        "optimizer.schedule": "cosine", "optimizer.early_stopping": 3, "averaging.ema_decay": 0.9, "averaging.start_epoch": 2,
        "datamodule.half_overlap": True, "datamodule.epoch_len": 5, "datamodule.replace": True, "inference.top": 2,
    }  # fmt: skip
    found = translated(nested(given), ALIASES)
    assert set(found) == {"module", "trainer", "dataset", "datamodule", "predict"}
    assert flat(found) == {
        "module.optimizer.lr": 1.0, "module.optimizer.name": "auto",
        "module.optimizer.schedule_mode": "cosine", "trainer.early_stopping": 3, "module.ema_decay": 0.9,
        "module.do_swa": True, "module.swa_epoch_start": 2, "dataset.half_overlapped_inference": True, "datamodule.sampler.epoch_len": 5,
        "datamodule.sampler.sampler_replace": True, "predict.top": 2,
    }  # fmt: skip


def test_an_average_that_was_off_stays_off():
    assert flat(translated(nested({"averaging.ema_decay": None}), ALIASES)) == {"module.ema_decay": None}


def test_parts_of_one_name_are_refused():
    family = FamilyConfigs("one", {"one": Catalogue}, Catalogue())
    with pytest.raises(ValueError, match="named one: each family"):
        make_script([family, family], first="one", demo="demo")


def test_a_named_config_of_another_family_is_refused():
    named = Catalogue({"demo": Named("demo", {"family": "two"}, "A demo.")})
    with pytest.raises(ValueError, match="demo of the family one must set it: family=one"):
        make_script([FamilyConfigs("one", {"one": Catalogue}, named)], first="one", demo="demo")
