"""Git, lock and packages as they are recorded with every run."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
from importlib import metadata

import pytest

from helpers.experiments.provenance import git_state, lock_state, packages
from tests.helpers.experiments import toy_experiment


@pytest.fixture
def repository(tmp_path):
    def git(*words):
        return subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "code.py").write_text("a = 1\n")
    git("add", ".")
    git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "one")
    return tmp_path, git


def test_commit_and_changes(repository):
    folder, git = repository
    clean = git_state(folder)
    assert clean == {"url": f"file://{folder.resolve()}", "commit": git("rev-parse", "HEAD"), "dirty": False}
    (folder / "new.txt").write_text("not tracked")
    assert git_state(folder) == clean
    (folder / "code.py").write_text("a = 2\n")
    assert git_state(folder) == {**clean, "dirty": True}
    git("add", "code.py")
    assert git_state(folder)["dirty"]


def test_a_password_in_the_address_is_left_out(repository):
    folder, git = repository
    git("remote", "add", "origin", "https://user:secret@host.org/x.git")
    assert git_state(folder)["url"] == "https://host.org/x.git"


def test_no_repository_no_lock(tmp_path):
    assert git_state(tmp_path) is None
    assert lock_state(tmp_path) is None
    assert {p.split("==")[0] for p in packages(tmp_path)} == {"numpy", "torch"}


def test_the_lock_is_known_by_its_hash_and_what_differs_from_it(tmp_path):
    numpy = metadata.version("numpy")
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"# a comment\nnumpy=={numpy}\n    # via x\ntorch==0.0.1\nno-such-package[x]==1.0 ; python_version > '3'\n")
    found = lock_state(tmp_path)
    assert found["sha256"] == hashlib.sha256(lock.read_bytes()).hexdigest()
    assert found["differs"] == {"torch": metadata.version("torch").partition("+")[0], "no-such-package": None}


def test_a_run_says_all_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handlers = logging.getLogger().handlers
    try:
        toy_experiment.build().run(config_updates={"seed": 5})
    finally:
        logging.getLogger().handlers = handlers
    run = json.loads((tmp_path / "runs" / "1" / "run.json").read_text())
    assert run["experiment"]["mainfile"] == "toy_experiment.py"
    assert any(source[0] == "toy_experiment.py" for source in run["experiment"]["sources"])
    assert {"hostname", "os", "python_version", "cpu", "process", "lock"} <= set(run["host"])
    assert any(p.startswith("torch==") for p in run["experiment"]["dependencies"])
    assert len(run["experiment"]["repositories"]) <= 1
    assert json.loads((tmp_path / "runs" / "1" / "config.json").read_text())["seed"] == 5
