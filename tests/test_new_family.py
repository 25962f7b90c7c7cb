"""docs/new_family.md, followed: a family in a folder outside the checkout, through every command, with no file of the project changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "new_family.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS = re.search(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)[1].strip().splitlines()
HEAR = """
import torch, models
from models import hear
assert models.load_model("toy").tag({audio!r}).top(1)[0][0]
net = hear.load_model("toy")
sound = torch.zeros(2, 20000)
assert hear.get_scene_embeddings(sound, net).shape == (2, net.scene_embedding_size)
assert hear.get_timestamp_embeddings(sound, net)[0].shape[0] == 2
"""


def test_the_page_has_three_files_and_the_family_fewer_than_60_lines():
    assert [name for name, _ in BLOCKS] == [
        "models/toy/archs.py", "models/toy/__init__.py", "configs/toy.py", "helpers/families/toy.py",
    ]  # fmt: skip
    code = [line for _, text in BLOCKS for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(code) < 60, len(code)


@pytest.mark.slow
def test_the_family_works_by_the_ordinary_commands(tmp_path):
    folder, place = tmp_path / "own", tmp_path / "work"
    place.mkdir()
    for name, text in BLOCKS:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    env = {**os.environ, "MAEST_FAMILIES": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    before = {path: path.stat().st_mtime_ns for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    outputs = []
    for line in COMMANDS:
        words = line.split("#")[0].split()
        assert words[0] == "python"
        command = [sys.executable, str(ROOT / words[1]), *words[2:]]
        done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{line}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
        outputs.append(done.stdout)
    assert "macro ROC-AUC" in outputs[1]
    assert (place / "exp_out/ssl/0/embeddings.h5").is_file()
    assert (place / "exp_out/ssl/predictions/audio/index.html").is_file()
    assert (place / "toy/model.safetensors").is_file()
    assert (place / "toy.onnx").is_file()
    page = next(place.glob("exp_logs/*/report.html")).read_text(encoding="utf-8")
    assert "mel statistics" in page
    audio = next((place / "exp_out/demo_data-40/audio").rglob("*.flac"))
    done = subprocess.run(
        [sys.executable, "-c", HEAR.format(audio=str(audio))], cwd=place, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
