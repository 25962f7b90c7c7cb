"""MusicFM's files: every published form loads, every other is refused by what is wrong with it."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from safetensors.torch import save_file

import models
from models.errors import ConfigError, WeightsError, WeightsNotFoundError
from models.musicfm import MusicFM25Hz, load
from models.musicfm.files import MSD_STATS
from tests.models.musicfm.golden import IO, META, SIZES, STATE, STATS, WAVE, close, make, published

OLD = {
    k.replace("parametrizations.weight.original0", "weight_g")
    .replace("parametrizations.weight.original1", "weight_v")
    .replace("_2048_0.", "_2048."): v
    for k, v in STATE.items()
}


@pytest.mark.parametrize("form", ["model.", "bestrq.model.", "", "old names", "flat", "safetensors"])
def test_published_forms(tmp_path, form):
    path = tmp_path / ("pretrained_msd.safetensors" if form == "safetensors" else "pretrained_msd.pt")
    if form == "safetensors":
        save_file({f"model.{k}": v.contiguous() for k, v in STATE.items()}, path)
    elif form == "flat":
        torch.save(STATE, path)
    elif form == "old names":
        published(path, state=OLD)
    else:
        published(path, form)
    (tmp_path / "msd_stats.json").write_bytes(STATS.read_bytes())
    net = models.load_model(path, conformer=META["conformer"]) if form == "model." else load(path)  # sizes are told by the shapes
    assert (net.settings["norm_mean"], net.settings["norm_std"]) == MSD_STATS
    with torch.no_grad():
        close(net.get_latent(WAVE), IO["latent_3"], 1e-4)
        if form == "bestrq.model.":
            close(make(model_path=path).get_latent(WAVE), IO["latent_3"], 1e-4)


def test_both_variants_by_their_names(tmp_path, monkeypatch):
    """In MAEST_WEIGHTS and in one folder, as the hub has them."""
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    for variant, mean in (("fma", 5.0), ("msd", 6.0)):
        folder = tmp_path / f"musicfm-{variant}"
        folder.mkdir()
        published(folder / f"pretrained_{variant}.pt")
        (folder / f"{variant}_stats.json").write_text(json.dumps({"melspec_2048_mean": mean, "melspec_2048_std": 17.0}))
        net = models.get_model(f"musicfm-{variant}")
        assert (net.settings["norm_mean"], net.card.name, net.card.sample_rate) == (mean, f"musicfm-{variant}", 24000)
        assert load(folder).settings == net.settings


def test_random_weights_take_statistics_too():
    small = {**SIZES, "encoder_depth": 1}
    for given in ({"statistics": STATS}, {"statistics": json.loads(STATS.read_text())}, {"stat_path": STATS}):
        net = models.get_model("musicfm-msd", pretrained=False, **given, **small)
        assert (net.settings["norm_mean"], net.settings["norm_std"]) == MSD_STATS
    with pytest.raises(WeightsNotFoundError, match="There is no stats file /none.json"):
        models.get_model("musicfm-msd", pretrained=False, statistics="/none.json", **small)
    with pytest.raises(ConfigError, match="leave norm_mean out, or statistics"):
        models.get_model("musicfm-msd", pretrained=False, statistics=STATS, norm_mean=1.0, **small)


def test_without_its_files_it_stops_and_names_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsNotFoundError, match=r"no data/fma_stats.json and no data/pretrained_fma.pt.*minzwon/MusicFM"):
        MusicFM25Hz()
    published(tmp_path / "own.pt")
    with pytest.raises(WeightsNotFoundError, match="place stats.json or fma_stats.json or msd_stats.json"):
        load(tmp_path / "own.pt")
    (tmp_path / "pretrained_fma.pt").write_bytes((tmp_path / "own.pt").read_bytes())
    (tmp_path / "msd_stats.json").write_bytes(STATS.read_bytes())
    with pytest.raises(ConfigError, match=r"was trained with fma_stats.json.*another training's"):
        load(tmp_path / "pretrained_fma.pt", statistics=tmp_path / "msd_stats.json")


def test_names_known_to_be_wrong_are_said(tmp_path, monkeypatch, caplog):
    (tmp_path / "data").mkdir()
    published(tmp_path / "data" / "musicfm_25hz_FMA_330m_500k.pt")
    (tmp_path / "data" / "fma_classic_stats.json").write_bytes(STATS.read_bytes())
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        make(stat_path="./data/fma_stats.json", model_path="./data/pretrained_fma.pt")
    assert "took back as wrong" in caplog.text
    assert "Get pretrained_fma.pt of" in caplog.text
    assert "Get fma_stats.json of" in caplog.text


def test_random_weights_need_no_statistics_and_the_log_says_what_was_taken(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    small = {k: v for k, v in SIZES.items() if k != "codebook_dim"}
    with caplog.at_level(logging.INFO):
        net = MusicFM25Hz(model_path=None, **small)
    assert (net.settings["norm_mean"], net.settings["norm_std"]) == MSD_STATS
    assert "Million Song Dataset's mean 6.768 dB and deviation 18.418 dB; the weights are random" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        MusicFM25Hz(**net.settings)  # nothing is left open
        with torch.device("meta"):
            MusicFM25Hz(model_path=None, **small)  # a sketch
        MusicFM25Hz(model_path=None, stat_path=None, norm_mean=1.0, norm_std=2.0, **small)
    assert "Million Song" not in caplog.text
    with pytest.raises(WeightsNotFoundError, match=r"no own.json.*MusicFM25Hz\(model_path=None, stat_path=None\)"):
        MusicFM25Hz(model_path=None, stat_path="own.json", **small)
    weights = published(tmp_path / "own.pt")
    with pytest.raises(ConfigError, match=r"own.pt without statistics.*stat_path=FILE, or norm_mean= and norm_std="):
        make(stat_path=None, model_path=weights)
    assert make(stat_path=None, model_path=weights, norm_mean=1.0, norm_std=2.0).settings["norm_mean"] == 1.0
    with pytest.raises(ConfigError, match="leave norm_mean and norm_std out"):
        make(norm_mean=1.0)


def test_files_of_old_names_load_with_their_old_statistics_and_a_warning(tmp_path, caplog):
    path = published(tmp_path / "musicfm_25hz_FMA_330m_500k.pt")
    (tmp_path / "fma_classic_stats.json").write_text(json.dumps({"melspec_2048_mean": 5.0, "melspec_2048_std": 17.0}))
    for read, source in ((models.load_model, path), (load, tmp_path)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert read(source).settings["norm_mean"] == 5.0
        assert "Get pretrained_fma.pt of" in caplog.text
        assert "Get fma_stats.json of" in caplog.text
    (tmp_path / "fma_stats.json").write_text(json.dumps({"melspec_2048_mean": 6.0, "melspec_2048_std": 17.0}))
    assert load(path).settings["norm_mean"] == 6.0  # the right ones, where they are


def test_statistics_as_a_dict(tmp_path):
    path = published(tmp_path / "own.pt")
    net = load(path, statistics={"melspec_2048_mean": 5.0, "melspec_2048_std": 17.0, "cqt_cnt": 1})
    assert (net.settings["norm_mean"], net.settings["norm_std"]) == (5.0, 17.0)
    with pytest.raises(ConfigError, match="These statistics lack melspec_2048_mean"):
        load(path, statistics={})
    with pytest.raises(ConfigError, match="statistics is 7; wanted the path of a file"):
        load(path, statistics=7)
    for name in ("stat_path", "model_path"):
        with pytest.raises(ConfigError, match=rf"{name} is {{}}; wanted the path of a file"):
            make(**{name: {}})


@pytest.mark.parametrize("prefix", ["model.", "bestrq.model.", ""])
def test_an_entry_that_is_no_part_of_it_is_named(tmp_path, prefix):
    path, stats = tmp_path / "pretrained_msd.pt", tmp_path / "msd_stats.json"
    stats.write_bytes(STATS.read_bytes())
    torch.save({"state_dict": {**{prefix + k: v for k, v in STATE.items()}, "probe.weight": torch.zeros(3)}}, path)
    for read in (models.load_model, lambda p: make(model_path=p)):
        with pytest.raises(WeightsError, match=r"what is no part of it: probe\.weight|unknown: probe\.weight"):
            read(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "no readable json"),
        ("[]", "stats.json lacks melspec_2048_mean and melspec_2048_std"),
        ('{"melspec_2048_mean": 6.7}', "stats.json lacks melspec_2048_std"),
        ('{"melspec_2048_mean": "6.7", "melspec_2048_std": 18}', "are numbers"),
        ('{"melspec_2048_mean": 6.7, "melspec_2048_std": 0}', "no log-mels'"),
        ('{"melspec_2048_mean": 1e9, "melspec_2048_std": 18}', "no log-mels'"),
        ('{"melspec_2048_mean": NaN, "melspec_2048_std": 18}', "no log-mels'"),
    ],
)
def test_statistics_that_cannot_be(tmp_path, content, text):
    path = tmp_path / "stats.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=text):
        make(stat_path=path)


def test_weights_that_do_not_fit(tmp_path):
    lost = "conformer.layers.1.ffn1.output_dense.weight"
    cases = {
        "missing: conformer.layers.1.ffn1.output_dense.weight": {k: v for k, v in STATE.items() if k != lost},
        "unknown: conformer.layers.9": {**STATE, lost.replace("layers.1", "layers.9"): STATE[lost]},
        r"shape: linear.bias \[3\]": {**STATE, "linear.bias": torch.zeros(3)},
    }
    for text, state in cases.items():
        path = published(tmp_path / "own.pt", state=state)
        with pytest.raises(WeightsError, match=text):
            make(model_path=path)
    (tmp_path / "stats.json").write_bytes(STATS.read_bytes())
    with pytest.raises(WeightsError, match="no whole MusicFM"):
        load(published(tmp_path / "own.pt", state={k: v for k, v in STATE.items() if "ffn1" not in k}))


def test_a_files_settings_name_no_further_files(tmp_path):
    """What a file says is not what is read next."""
    net = make()
    settings = {**net.saved_settings, "model_path": "/etc/passwd"}
    torch.save({"state_dict": {f"net.{k}": v for k, v in net.state_dict().items()}, "network": settings}, tmp_path / "own.ckpt")
    with pytest.raises(WeightsError, match="model_path is '/etc/passwd'"):
        models.load_model(tmp_path / "own.ckpt")
