"""Each row of shared/hard_files/README.md through models.audio, preparation, prediction and check_data: what is right comes of it in all alike.

The folder is no part of the project: skipped where it is absent. What its files stand for is made anew in tests/odd_audio.py.
"""

from __future__ import annotations

import csv
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.prepare.command import main as prepare
from datasets.store.track_store import TrackStore
from models import audio
from models.errors import AudioError
from models.export import export_model
from models.maest import MAEST
from tests.datasets.groundtruth.small_table import rows_of
from tests.sound import write

HARD = Path(__file__).resolve().parents[2] / "shared/hard_files"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HARD.is_dir(), reason="shared/hard_files is not here")]
WHOLE = {  # file -> seconds, and the files whose samples it holds
    "base.flac": (4.0, "base.flac"), "streamed.flac": (4.0, "base.flac"), "id3v1_behind.flac": (4.0, "base.flac"), "vbr.mp3": (4.0, "vbr.mp3"),
    "xing_frames_0.mp3": (4.0, "vbr.mp3"), "chained.ogg": (8.0, None),
}  # fmt: skip
CUT = {"cut_rf64.wav": 2.40, "cut.w64": 2.40, "cut.au": 2.40}  # seconds that are there of 4
TABLES = {
    "labels_with_commas.csv": {"a.mp3": ["Folk, World, & Country---Folk"], "b.mp3": ["Rock---Punk"]},
    "labels_as_lists.csv": {"a.mp3": ["pop", "rock"], "b.mp3": ["jazz"], "c.mp3": ["10", "21"]},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder with the sounds in in/, and the weights of a small network."""
    where = tmp_path_factory.mktemp("hard")
    (where / "in").mkdir()
    for name in (*WHOLE, *CUT):
        shutil.copy(HARD / name, where / "in" / name)
    torch.manual_seed(0)
    net = MAEST(input_t=125, n_classes=2, embed_dim=32, depth=2, num_heads=4, labels=["a", "b"], init_std=0.2)
    export_model(net.eval(), where / "net")
    return where


@pytest.fixture
def run(place, monkeypatch):
    """run("predict", **updates): a command of ex_maest.py, in this process."""
    monkeypatch.chdir(place)
    handlers = logging.getLogger().handlers
    import ex_maest

    yield lambda name, **updates: ex_maest.ex.run(name, config_updates=updates).result
    logging.getLogger().handlers = handlers


@pytest.mark.parametrize("name", WHOLE)
def test_read_whole(name):
    seconds, same = WHOLE[name]
    sound = audio.load(HARD / name, None)
    about = audio.info(HARD / name)
    assert (about.duration, about.frames) == (seconds, len(sound))
    assert np.array_equal(audio.load(HARD / name, None, 0.7, 0.5), sound[round(0.7 * 22050) :][:11025])
    if same:
        assert np.array_equal(sound, audio.load(HARD / same, None))
    else:
        base = audio.load(HARD / "base.flac", None)
        assert np.corrcoef(sound[:88200], base)[0, 1] > 0.99


@pytest.mark.parametrize("name", CUT)
def test_cut_off_is_said_with_both_lengths(name):
    for use in (audio.info, audio.load, lambda path: audio.load(path, None, 0.7, 0.5)):
        with pytest.raises(AudioError, match=rf"{name} is cut off: .*\(4\.00 s\) of sound, .*\({CUT[name]:.2f} s\) are there"):
            use(HARD / name)


def failed(path: Path) -> dict[str, str]:
    with open(path, newline="", encoding="utf-8") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def test_prepared(place, monkeypatch):
    monkeypatch.chdir(place)
    assert prepare(["in", "waves", "--waveform", "22050", "--jobs", "1"]) == 3
    store = TrackStore.open("waves/waveform.h5")
    assert {name: len(store.read(name)) / 22050 for name in store.names} == {
        name: seconds for name, (seconds, _) in WHOLE.items()
    }
    assert np.array_equal(store.read("streamed.flac"), store.read("base.flac"))
    reasons = failed(place / "waves/failed.csv")
    assert set(reasons) == set(CUT)
    assert all("(4.00 s)" in why and "(2.40 s)" in why for why in reasons.values())


def test_predicted(place, run):
    run("predict", **{"maest.checkpoint": str(place / "net"), "predict.audio": "in", "predict.csv": True})
    found = place / "exp_out/predictions/in"
    with open(found / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert {name: float(row["seconds"]) for name, row in rows.items()} == {name: seconds for name, (seconds, _) in WHOLE.items()}
    assert [rows["streamed.flac"][label] for label in "ab"] == [rows["base.flac"][label] for label in "ab"]
    assert [rows["xing_frames_0.mp3"][label] for label in "ab"] == [rows["vbr.mp3"][label] for label in "ab"]
    assert all(
        "(2.40 s)" in (found / "unusable.csv").read_text() and name in (found / "unusable.csv").read_text() for name in CUT
    )


def test_checked(place, run):
    (place / "t.csv").write_text("path,labels\n" + "".join(f"{name},x\n" for name in (*WHOLE, *CUT)))
    words = {"datamodule.audio_dir": "in", "datamodule.groundtruth": "t.csv", "check.out": "checked", "check.jobs": 1}
    counts = run("check_data", **words)
    assert (counts["rows"], counts["unreadable"], counts["missing"], counts["copies"]) == (9, 3, 0, 3)
    text = (place / "checked/problems.csv").read_text()
    assert "streamed.flac,copy,the same samples as base.flac" in text
    assert "id3v1_behind.flac,copy,the same samples as base.flac" in text
    assert "xing_frames_0.mp3,copy,the same samples as vbr.mp3" in text
    assert all(f'{name},unreadable,"{name} is cut off: its header promises 176400 bytes (4.00 s)' in text for name in CUT)


@pytest.mark.parametrize("name", TABLES)
def test_labels_are_as_they_stand(place, run, name):
    truth = Groundtruth.read(HARD / name)
    assert {key: sorted(labels) for key, labels in rows_of(truth).items()} == TABLES[name]
    folder = place / name.removesuffix(".csv")
    base = audio.load(HARD / "base.flac", None)
    for i, key in enumerate(TABLES[name]):
        write(folder / key, np.roll(base, 5000 * i)[:, None], 22050, format="FLAC")
    words = {
        "datamodule.audio_dir": str(folder),
        "datamodule.groundtruth": str(HARD / name),
        "check.out": f"checked {name}",
        "check.jobs": 1,
    }
    assert run("check_data", **words)["exit_code"] == 0
    clean = Groundtruth.read(place / f"checked {name}/clean.csv")
    assert {key: sorted(labels) for key, labels in rows_of(clean).items()} == TABLES[name]
