"""What is said of a network before it is trained or scored: whose it is, whether it names its classes, whether it is untrained."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.commands.networks import check_trainable, warn_of_random
from helpers.families import get_family
from models.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


def net(family="clmr", has_classes=True, labels=("a", "b")):
    return SimpleNamespace(family=family, has_classes=has_classes, label_names=list(labels))


@pytest.mark.parametrize(("given", "labels"), [(net(), ["a", "b"]), (net(has_classes=False, labels=()), ["a", "b"]), (net(), [])])
def test_a_network_that_fits_is_trained(given, labels):
    check_trainable(get_family("clmr"), given, labels)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (net(family=""), "family is '', and the family's name is 'clmr'"),
        (net(labels=()), "label_names has 0 names, and the data have 2 labels"),
    ],
)
def test_checkpoints_that_could_not_be_used_are_not_trained(given, words):
    with pytest.raises(ConfigError, match=words):
        check_trainable(get_family("clmr"), given, ["a", "b"])


@pytest.mark.parametrize(("weights", "said"), [(None, True), ("best.ckpt", False)])
def test_random_weights_are_said(caplog, weights, said):
    with caplog.at_level(logging.WARNING):
        warn_of_random(weights)
    assert ("RANDOM" in caplog.text) == said


@pytest.mark.parametrize(("variable", "package"), [("MAEST_FAMILIES", "models"), ("MAEST_DATASETS", "datasets")])
def test_a_folder_that_is_not_there_is_named(variable, package):
    env = {**os.environ, variable: "nowhere"}
    done = subprocess.run([sys.executable, "-c", f"import {package}"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert f"{variable} names 'nowhere', which is not a folder" in done.stderr


@pytest.mark.parametrize(("variable", "package"), [("MAEST_FAMILIES", "models"), ("MAEST_DATASETS", "datasets")])
def test_a_folder_one_level_too_deep_is_told_so(tmp_path, variable, package):
    (tmp_path / package / "mine").mkdir(parents=True)
    env = {**os.environ, variable: str(tmp_path / package)}
    done = subprocess.run([sys.executable, "-c", f"import {package}"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert f"{variable} names" in done.stderr
    assert "name the folder above those" in done.stderr


def test_a_relative_folder_of_families_stays_found_when_the_working_directory_changes(tmp_path):
    for place in ("configs", "models", "helpers/families", "helpers/paper/families"):
        (tmp_path / "mine" / place).mkdir(parents=True)
        (tmp_path / "mine" / place / "elsewhere_too.py").write_text("found = True\n")
    env = {**os.environ, "MAEST_FAMILIES": "mine", "PYTHONPATH": str(ROOT)}
    packages = ("configs", "models", "helpers.families", "helpers.paper.families")
    names = ", ".join(f"{package}.elsewhere_too" for package in packages)
    code = f"import os, {', '.join(packages)}; os.chdir('/'); import {names}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_makes_a_family_is_said():
    with pytest.raises(ConfigError, match=r"no family 'mini'.*models/mini/ with archs.py.*MAEST_FAMILIES"):
        get_family("mini")


def test_a_family_without_a_section_is_told_so():
    with pytest.raises(ConfigError, match="no section of that name"):
        get_family("maest").section(SimpleNamespace())
