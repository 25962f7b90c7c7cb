"""docs/datasets.md: its table is the code's, its Python runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from datasets.mtt import MTT
from datasets.sets import NAMES, overview

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "datasets.md"


def test_the_table_is_what_the_code_says():
    assert overview() in PAGE.read_text()
    assert all(f"python -m datasets.{name}`" in overview() for name in NAMES)
    assert MTT.variants["maest"].sha256 in PAGE.read_text()
    printed = subprocess.run(
        [sys.executable, "-m", "datasets"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert printed.stdout == overview()


def test_the_python_of_the_page_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("(443, 197, 290) ['blues',")
