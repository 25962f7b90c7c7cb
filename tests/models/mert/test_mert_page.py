"""docs/mert.md: its table is the cards', its snippet runs on a tiny local network."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import models
from helpers.experiments.experiment import CommandError
from models.weights.__main__ import main
from models.weights.card_table import COLUMNS, card_table
from tests.models.mert.tiny import WAVE, folder, hubert, state_of

PAGE = (Path(__file__).parents[3] / "docs" / "mert.md").read_text()
SERIES = ("mert-v1-330m", "mert-v1-95m", "mert-v0-public", "mert-v0", "music2vec-v1")


def test_its_table_is_what_the_cards_say():
    table = card_table([models.get_card(name) for name in SERIES])
    assert table in PAGE
    assert table.count("not for commercial use") == len(SERIES)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert rows[0] == list(COLUMNS)
    assert rows[2][:9] == ["mert-v1-330m", "MLM", "160000", "5", "330M", "24-1024", "75", "24000", "2023-03-17"]
    assert rows[6][:9] == ["music2vec-v1", "BYOL", "1000", "5", "95M", "12-768", "50", "16000", "2022-10-30"]


def test_list_models_has_it_for_all(capsys):
    table = models.list_models(table=True)
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == models.list_models()
    assert main(["list", "mert*"]) == 0
    assert capsys.readouterr().out.strip() == models.list_models("mert*", table=True)
    assert main(["list", "nothing*"]) == 2
    for name in models.list_models():
        licence = models.get_card(name).licence
        assert "NC" not in licence or "commercial" in licence


def test_its_snippet_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    folder(tmp_path / "mert-v1-95m", state_of(hubert()), {"do_normalize": True, "sampling_rate": 24000})
    soundfile.write("song.mp3", np.random.default_rng(0).uniform(-0.1, 0.1, 44100 * 6), 44100)
    code, tiny = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    scope = {"wav": WAVE, "input_values": WAVE}
    exec(code.replace("layers=[6, 11]", "layers=[1, 2]").replace("layers=[6]", "layers=[1]"), scope)  # a network of three blocks
    assert [tuple(state.shape) for state in scope["states"]] == [(2, 37, 32)] * 4
    assert torch.equal(scope["vectors"], torch.stack([scope["states"][2], scope["states"][3]]))
    assert scope["track"].shape == (2, 1, 32)
    assert len(scope["outputs"].hidden_states) == 4
    exec(tiny, {})
    assert models.load_model("tiny-mert").extract_embeddings(WAVE, layers=[1]).shape == (1, 2, 37, 48)


def test_training_is_refused(tmp_path, monkeypatch):
    import ex_ssl

    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match="MERT is not pre-trained by this suite"):
        ex_ssl.ex.run("main", named_configs=("mert_inference_smoke",))
