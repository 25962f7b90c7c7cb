"""The trap of a torchvision built for another torch: `import timm` works all the same, and other errors still show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_timm_comes_after_the_cure():
    files = [p for p in (ROOT / "models").rglob("*.py") if "\nimport timm" in p.read_text() or "\nfrom timm" in p.read_text()]
    assert ROOT / "models" / "maest" / "timm_names.py" in files
    for path in files:
        assert -1 < path.read_text().find("\nensure_torchvision()") < path.read_text().index("\nfrom timm"), path
