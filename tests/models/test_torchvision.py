"""The trap of a torchvision built for another torch: `import timm` works all the same, and other errors still show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BROKEN = """
import torch
torch.library.register_fake("torchvision::nms")(lambda dets, scores, threshold: dets)  # as torchvision does at import: needs the operator
"""
FINE = "value = 1\n"


def run(tmp_path, content: str, code: str) -> subprocess.CompletedProcess:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(content)
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n" + code
    return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)


FAILS = "try:\n    import torchvision\nexcept RuntimeError as error:\n    print(error)\n"
CALL = "from models._torchvision import ensure_torchvision; ensure_torchvision(); ensure_torchvision(); import torchvision; print('in')"


def test_a_torchvision_without_its_operators_is_imported(tmp_path):
    """Though it fails without the cure, and where it failed before."""
    done = run(tmp_path, BROKEN, FAILS + CALL)
    failed, cured = done.stdout.strip().splitlines()
    assert "torchvision::nms does not exist" in failed
    assert cured == "in", done.stderr


def test_a_torchvision_that_fits_is_imported(tmp_path):
    done = run(tmp_path, FINE, CALL)
    assert done.stdout.strip() == "in", done.stderr


def test_other_errors_are_not_hidden(tmp_path):
    done = run(tmp_path, "raise RuntimeError('something else')", CALL)
    assert "something else" in done.stderr
    assert done.returncode == 1


def python_blocks() -> list[str]:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    return [code for page in pages for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]


def test_on_pages_transformers_comes_after_the_cure():
    found = [code for code in python_blocks() if re.search(r"^(from|import) transformers", code, re.MULTILINE)]
    assert found
    for code in found:
        ours = re.search(r"^(from|import) models\.", code, re.MULTILINE)
        assert ours is not None, code
        assert ours.start() < re.search(r"^(from|import) transformers", code, re.MULTILINE).start(), code


@pytest.mark.slow
@pytest.mark.parametrize("first", ["models.music2vec", "models.mert", "models.musicfm"])
def test_what_pages_import_first_lets_transformers_models_in(first):
    """Whatever torchvision is here, or none."""
    page = next((code for code in python_blocks() if first == "models.music2vec" and "import Data2VecAudioConfig" in code), "")
    code = f"import {first}\n{page}\nfrom transformers import ASTForAudioClassification, Data2VecAudioModel, HubertModel\nprint('in')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "in", done.stderr


def test_timm_comes_after_the_cure():
    files = [p for p in (ROOT / "models").rglob("*.py") if "\nimport timm" in p.read_text() or "\nfrom timm" in p.read_text()]
    assert ROOT / "models" / "maest" / "timm_names.py" in files
    for path in files:
        assert -1 < path.read_text().find("\nensure_torchvision()") < path.read_text().index("\nfrom timm"), path
