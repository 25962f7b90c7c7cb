"""docs/new_dataset.md, done as it says: a data set outside the checkout, in fewer than 40 lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.groundtruth import Groundtruth
from datasets.store import TrackStore
from tests.sound import tune, write

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "new_dataset.md").read_text()
MODULES = dict(re.findall(r"^`([\w/]+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))
COMMANDS = re.search(r"```bash\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The page's files written, the set's folder filled, and the page's commands run: what each printed."""
    folder = tmp_path_factory.mktemp("new")
    for name, content in MODULES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    rows = ["file,genre,split,artist"]
    for i, split in enumerate(["train"] * 4 + ["validation"] * 2 + ["test"] * 2):
        write(folder / "toy_data" / "audio" / f"{i}.wav", tune(1.0, 16000, 1, seed=i), 16000)
        rows.append(f"{i}.wav,{('rock', 'jazz')[i % 2]},{split},artist {i // 2}")
    (folder / "toy_data" / "labels.csv").write_text("\n".join(rows) + "\n")
    env, printed = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}, []
    for line in COMMANDS:
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            env[name] = value
            continue
        words = line.partition("#")[0].split()
        run = subprocess.run([sys.executable, *words[1:]], cwd=folder, env=env, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr
        printed.append(run.stdout + run.stderr)
    return folder, printed


def test_the_page_needs_fewer_than_40_lines():
    assert len(MODULES) == 2
    lines = [line for content in MODULES.values() for line in content.splitlines() if line.strip()]
    assert len(lines) < 40


def test_it_is_listed_and_tells_all_about_itself(done):
    listed, about, _ = done[1]
    assert re.search(r"^\s*toy +recordings of 1 s, two genres +single-label +not known +by hand", listed, re.MULTILINE)
    assert re.search(r"^\s*gtzan ", listed, re.MULTILINE)
    assert "Toy: recordings of 1 s, two genres" in about


def test_all_steps_are_done_and_nothing_differs(done):
    folder, (_, _, steps) = done
    assert "4/2/2 tracks (train/validation/test), 2 labels" in steps
    assert "all 8 audio files are in" in steps
    truth = Groundtruth.read(folder / "toy_data/groundtruth/toy-official/groundtruth-all.csv")
    assert truth.labels == ["jazz", "rock"]
    assert {name: len(part) for name, part in truth.splits.items()} == {"train": 4, "val": 2, "test": 2}
    assert list(TrackStore.open(folder / "toy_data/melspec/mel.h5").names) == [f"{i}.wav" for i in range(8)]
    assert sorted(path.name for path in folder.iterdir()) == ["my_sets", "toy_data"]
