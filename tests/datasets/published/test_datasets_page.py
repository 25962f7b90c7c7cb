"""docs/datasets.md: its table is the code's, its Python runs."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from datasets.mtt import MTT
from datasets.published.dataset import NAMES, get_set
from datasets.published.overview import main, overview

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "datasets.md"


def test_the_table_is_what_the_code_says():
    assert overview() in PAGE.read_text()
    assert all(f"python -m datasets.{name}`" in overview() for name in NAMES)
    assert MTT.variants["maest"].sha256 in PAGE.read_text()
    printed = subprocess.run(
        [sys.executable, "-m", "datasets", "--markdown"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert printed.stdout == overview()


def shown(*words, width=80):
    console = Console(file=io.StringIO(), width=width)
    assert main(words, console) == 0
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_a_terminal(width):
    lines = shown(width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert {line.split()[0] for line in lines if line.split()} >= set(NAMES)
    assert len(lines) < 50


@pytest.mark.parametrize("name", NAMES)
def test_a_set_tells_all_about_itself(name):
    data, text = get_set(name), " ".join(shown(name).split())
    assert max(map(len, shown(name).splitlines())) <= 80
    assert data.title in text
    assert f"python -m datasets.{name} STEP" in text
    for variant, v in data.variants.items():
        assert f"{variant} {v.about}".split()[0] in text
    for words in (data.licence, data.overlap, data.get_it):
        assert words.split()[-1] in text


def test_steps_are_passed_on_and_unknown_words_are_refused(capsys):
    assert main(["gtzan", "cite"]) == 0
    assert "@article{tzanetakis2002musical" in capsys.readouterr().out
    assert main(["gtzam"]) == 2
    assert "There is no data set 'gtzam'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in (*NAMES, "validate", "--markdown"))
    with pytest.raises(SystemExit) as stopped:
        main(["gtzan", "bogus"])
    assert stopped.value.code == 2


def test_the_python_of_the_page_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("(443, 197, 290) ['blues',")
