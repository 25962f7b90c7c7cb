"""README and docs: every command on them is one that exists, with keys that exist; the ones of the training section run, one after the other."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SMOKE = [
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "maest.embed_dim=48",
    "maest.depth=3",
    "trainer.accelerator=cpu",
    "trainer.precision=32",
]


def commands(page: Path) -> list[str]:
    """Command lines of a page's bash blocks: continued lines joined, comments gone."""
    out = []
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if (line := line.split(" #")[0].strip()) and not line.startswith("#"):
                out.append(line)
    return out


def launched(command: str) -> str:
    """The command that torchrun or srun starts; others as they are."""
    return re.sub(r"^(torchrun|srun) .*?(?:python )?(?=ex_\w+\.py)", "python ", command)


ALL = [(page.name, command) for page in PAGES for command in commands(page)]
EXPERIMENTS = list(dict.fromkeys(launched(command) for _, command in ALL if re.match(r"python ex_\w+\.py", launched(command))))


def test_there_are_commands():
    assert len(EXPERIMENTS) > 10


@pytest.mark.parametrize(("page", "command"), ALL)
def test_every_command_is_known(page, command):
    words = shlex.split(launched(command))
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[0] == "python" and words[1] == "-m":
        module = ROOT / words[2].replace(".", "/")
        here = module.with_suffix(".py").exists() or (module / "__main__.py").exists() or words[2] == "venv"
        assert here or f"{words[2].replace('.', '/')}/__main__.py" in (ROOT / "docs" / page).read_text()  # the page makes it
    else:
        assert words[0] in ("python", "cd", "source", "pip", "export") or words[0].startswith(".venv")
        assert words[0] != "python" or (ROOT / words[1]).exists()


# quick: the README's, and the first of every page
FIRST = {launched(command) for page, command in ALL if page == "README.md"} | {
    next((one for one in map(launched, commands(page)) if one in EXPERIMENTS), "") for page in PAGES
}


@pytest.mark.parametrize("command", [c if c in FIRST else pytest.param(c, marks=pytest.mark.slow) for c in EXPERIMENTS])
def test_experiments_name_commands_configs_and_keys_that_exist(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    import ex_maest
    import ex_paper
    import ex_ssl
    import ex_tl
    from helpers.experiments.command_line import without_options

    handlers = logging.getLogger().handlers
    words = ex_paper.parse_arguments([w for w in shlex.split(command) if w != "..."])
    ex = {"ex_maest.py": ex_maest.ex, "ex_ssl.py": ex_ssl.ex, "ex_tl.py": ex_tl.ex, "ex_paper.py": ex_paper.ex}[words[1]]
    before, after = (words[2 : words.index("with")], words[words.index("with") :]) if "with" in words else (words[2:], [])
    for name in without_options(ex, before):
        assert name in ex.commands, f"no command {name}"
    try:
        ex.run_commandline([words[1], "print_config", *after])  # checks named configs, keys and types
    finally:
        logging.getLogger().handlers = handlers


def label_table(audio: Path, table: Path) -> None:
    """Twenty short files of two sounds, and their labels."""
    rng = np.random.default_rng(0)
    audio.mkdir()
    rows = [("path", "labels")]
    for i in range(20):
        t = np.arange(16000 * 6) / 16000
        wave = 0.3 * np.sin(2 * np.pi * 440 * t) if i % 2 else 0.1 * rng.standard_normal(len(t))
        soundfile.write(audio / f"{i}.wav", wave, 16000)
        rows.append((f"{i}.wav", "tone|steady" if i % 2 else "noise|steady" if i % 4 else "noise"))
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.slow
def test_the_training_section_runs_as_it_stands(tmp_path):
    label_table(tmp_path / "AUDIO", tmp_path / "labels.csv")
    readme = commands(ROOT / "README.md")
    first = next(c for c in readme if "with folder" in c)
    whole = " ".join(w for w in shlex.split(first) if w.startswith("datamodule."))
    wanted = [
        c
        for c in readme
        if re.search(r"with folder|ex_tl.py with data.base_dir", c) and "report" not in c and "maest.embed_dim" not in c
    ]
    assert len(wanted) == 5  # train, continue, test, extract, probe
    for command in wanted:
        words = shlex.split(command.replace("...", whole))[1:]
        smoke = ["trainer.max_epochs=1", "data.token_size=48"] if words[0] == "ex_tl.py" else SMOKE
        script, *rest = words
        done = subprocess.run(
            [sys.executable, str(ROOT / script), *rest, *smoke],
            cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "2"}, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
    assert (tmp_path / "exp_out" / "tl" / "1" / "scores.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("folds", [0, 3])
def test_the_report_command_runs(tmp_path, folds):
    label_table(tmp_path / "AUDIO", tmp_path / "labels.csv")
    words = [
        "report",
        "with",
        "folder",
        "datamodule.audio_dir=AUDIO",
        "datamodule.groundtruth=labels.csv",
        "report.path=page.html",
        *SMOKE,
    ]
    words += ["report.trainer.max_epochs=2", f"report.folds={folds}", "report.repeats=1", "predict.transformer_block=1"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "ex_maest.py"), *words], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "page.html").read_text()
    for system in ("pre-trained", "untrained", "mel statistics"):
        assert system in page
        assert system in done.stdout
    assert "http://" not in page.replace("http://www.w3.org", "")
    steps = json.loads((tmp_path / "exp_logs" / "1" / "metrics.json").read_text())
    curves = [name for name in steps if name.endswith("train_loss")]
    assert curves == ([f"fold{k}.train_loss" for k in range(folds)] if folds else ["train_loss"])
    assert all(len(set(told["steps"])) == len(told["steps"]) for told in steps.values())
