"""Commands over files of the published layouts, which say little of themselves: MusicFM's, music2vec's and MERT's."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import models
from configs import EX_SSL
from datasets.store.track_store import TrackStore
from helpers.families.musicfm import FAMILY
from models.errors import ConfigError, WeightsError
from models.mert import MERT
from models.music2vec import Music2Vec
from models.musicfm import MusicFM25Hz
from models.musicfm import load as load_musicfm
from tests.models.mert.tiny import folder as mert_folder
from tests.models.mert.tiny import hubert, state_of
from tests.models.music2vec.golden import published as music2vec_folder
from tests.models.musicfm.golden import DEPTH, STATS, published
from tests.sound import folder_of
from tests.ssl_runs import commands_in


@pytest.fixture
def run(tmp_path, monkeypatch):
    with commands_in(tmp_path, monkeypatch) as command:
        yield command


@pytest.fixture
def musicfm(tmp_path):
    """A small MusicFM as it is published, with its statistics beside it."""
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "msd_stats.json").write_bytes(STATS.read_bytes())
    return published(tmp_path / "w" / "pretrained_msd.pt")


@pytest.mark.parametrize("frames", [False, True])
def test_layers_of_a_file_that_does_not_say_its_depth_are_refused_before_work(run, musicfm, tmp_path, frames):
    asked = {"musicfm.checkpoint": str(musicfm), "predict.transformer_block": DEPTH, "predict.frames": frames}
    with pytest.raises(ValueError, match=rf"transformer_block asks for \[{DEPTH}\]: this network has blocks 0\.\.{DEPTH - 1}"):
        run("extract_embeddings", "musicfm_inference", **asked)
    assert not (tmp_path / "exp_out").exists()  # neither the demo music nor an output was begun


def test_vectors_in_time_of_what_is_one_vector_per_window_are_refused_before_work(run, tmp_path):
    import ex_maest

    asked = {"predict": {"frames": True, "transformer_block": -1}}
    with pytest.raises(ValueError, match="name blocks, 0 and up"):
        ex_maest.ex.run("extract_embeddings", config_updates=asked, named_configs=("demo",), options={"--loglevel": "INFO"})
    assert not (tmp_path / "exp_out").exists()


def test_a_command_gives_a_file_its_statistics(musicfm, tmp_path):
    (tmp_path / "w" / "msd_stats.json").rename(tmp_path / "elsewhere.json")
    for stats in (None, str(tmp_path / "elsewhere.json")):
        config = EX_SSL.schema(family="musicfm")
        config = replace(config, musicfm=replace(config.musicfm, checkpoint=str(musicfm), stats=stats))
        if stats is None:
            with pytest.raises(WeightsError, match=r"in a command: musicfm\.stats=FILE"):
                FAMILY.network(config, None, 0)
        else:
            assert FAMILY.network(config, None, 0).settings["norm_mean"] == pytest.approx(6.768445)
    (tmp_path / "w" / "msd_stats.json").write_bytes((tmp_path / "elsewhere.json").read_bytes())
    own = str(models.export_model(load_musicfm(musicfm), tmp_path / "own.safetensors"))
    for stats in ("/nonexistent/none.json", str(tmp_path / "elsewhere.json")):  # an own file says its statistics
        config = replace(config, musicfm=replace(config.musicfm, checkpoint=own, stats=stats))
        with pytest.raises(
            ConfigError, match=r"own\.safetensors says its own statistics: leave statistics \(in a command: musicfm\.stats\) out"
        ):
            FAMILY.network(config, None, 0)


@pytest.fixture
def folders(tmp_path):
    """Folders as transformers writes them: a MERT, a music2vec, and a network of speech that is neither."""
    music2vec = music2vec_folder(tmp_path / "a-music2vec")
    mert = mert_folder(tmp_path / "a-mert", state_of(hubert()), {"do_normalize": True})
    speech = mert_folder(tmp_path / "speech", state_of(hubert()), None, model_type="wav2vec2")
    return {"music2vec": music2vec, "mert": mert, "speech": speech}


@pytest.mark.parametrize("wanted", ["mert", "music2vec", "musicfm"])
@pytest.mark.parametrize("part", [".", "weights"])
def test_a_folder_of_another_family_says_what_it_is_and_who_takes_it(run, folders, wanted, part):
    for found, path in folders.items():
        if found in (wanted, "speech"):
            continue
        file = path if part == "." else next(p for p in path.iterdir() if p.suffix in (".bin", ".safetensors"))
        text = rf"of the family {found}, {wanted} is wanted\. In Python models\.load_model\(.*{found}\.checkpoint=.*named config of {found}"
        if part == "weights" and wanted == "musicfm":
            text = "is no whole MusicFM: it lacks conv.conv.0.conv1.weight"  # the file alone names no family
        with pytest.raises(ValueError, match=text):
            run("extract_embeddings", f"{wanted}_inference", **{f"{wanted}.checkpoint": str(file)})
        with pytest.raises(WeightsError, match=text):
            models.registry.family_package(wanted).load(file)
        assert models.load_model(path).family == found  # the cure


@pytest.mark.parametrize("name", ["maest_10s", "omar-rq-base", "clmr-magnatagatune", "musicnn-msd"])
def test_families_with_files_of_their_own_refuse_other_folders_so_too(folders, name):
    for found in ("mert", "music2vec"):
        with pytest.raises(WeightsError, match=f"holds a network of the family {found}, "):
            models.get_model(name, checkpoint=folders[found])


def test_a_process_that_imports_one_family_knows_the_others_folders(folders):
    code = "import sys, models.mert; assert 'models.music2vec' not in sys.modules; models.mert.load(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, folders["music2vec"]], capture_output=True, text=True)
    assert "holds a network of the family music2vec, mert is wanted" in done.stderr
    assert "says nothing of the network" not in done.stderr


@pytest.mark.parametrize(("wanted", "known"), [("mert", "MERT's is mert_model"), ("music2vec", "music2vec's is data2vec-audio")])
def test_a_network_of_another_type_is_named_by_its_type(run, folders, wanted, known):
    for file in (folders["speech"], folders["speech"] / "pytorch_model.bin"):
        with pytest.raises(ValueError, match=rf"config\.json says the model type 'wav2vec2', and {known}"):
            run("extract_embeddings", f"{wanted}_inference", **{f"{wanted}.checkpoint": str(file)})


@pytest.mark.parametrize("family", ["musicfm", "music2vec", "mert"])
def test_what_is_said_of_random_weights_can_be_typed(run, monkeypatch, family):
    """The messages of absent weights name a call, and it gives a network."""
    name = {"musicfm": "musicfm-msd", "music2vec": "music2vec-v1", "mert": "mert-v1-95m"}[family]
    with pytest.raises(WeightsError, match="For random weights") as refused:
        models.get_model(name)
    (call,) = re.findall(r"For random weights: (models\.get_model\(.*?\))", str(refused.value))
    with torch.device("meta"):
        assert eval(call, {"models": models}).family == family
    assert f"{family}.pretrained=False" in str(refused.value)


@pytest.mark.parametrize("make", [MERT, Music2Vec, lambda **more: Music2Vec(None, **more)])
def test_what_classes_do_not_take_is_refused_with_who_takes_it(run, make):
    with pytest.raises(
        ConfigError, match=r"'pretrained', which is unknown.*argument of models\.get_model\(NAME, pretrained=False\)"
    ):
        make(pretrained=False)


def test_the_classes_messages_name_their_own_calls(run):
    with pytest.raises(WeightsError, match=r"For random weights: Music2Vec\(None\)"):
        Music2Vec("no-such-name")
    with pytest.raises(WeightsError, match=r"For random weights: MusicFM25Hz\(model_path=None, stat_path=None\)"):
        MusicFM25Hz()
    with torch.device("meta"):
        assert Music2Vec(None).depth == MusicFM25Hz(model_path=None, stat_path=None).depth == 12


def test_vectors_in_time_reach_to_the_end_of_a_track(run, musicfm, tmp_path, caplog):
    """Windows of this file's length and a half: their end was left out by the scripts' default."""
    folder = folder_of(tmp_path / "AUDIO", 1, 45.0, 8000)
    asked = {
        "musicfm.checkpoint": str(musicfm),
        "predict.transformer_block": 0,
        "predict.frames": True,
        "datamodule.audio_dir": str(folder),
    }
    ends = {}
    for tail in (None, "drop"):
        where = {"predict.out_dir": f"out-{tail}", **({} if tail is None else {"datamodule.tail": tail})}
        run("extract_embeddings", "musicfm_inference", **asked, **where)
        assert ("The ends of 1 of 1 tracks, behind their last whole window, are left out" in caplog.text) == (tail == "drop")
        times = TrackStore.open(tmp_path / f"out-{tail}" / "frames" / "0" / "times")
        ends[tail] = times.read(times.names[0])[-1, 1]
    assert ends[None] == pytest.approx(45, abs=0.1)
    assert ends["drop"] == pytest.approx(30, abs=0.1)
