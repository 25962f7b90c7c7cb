"""Commands over files of the published layouts, which say little of themselves: MusicFM's, music2vec's and MERT's."""

from __future__ import annotations

import pytest

from tests.models.musicfm.golden import DEPTH, STATS, published
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
