"""Rows of families: found below the package and below the folders of MAEST_FAMILIES, in the order that they ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ex_paper

TOY = """
from helpers.paper import recipes
from helpers.paper.families import System, family
from helpers.paper.steps import Ref


@family("{name}")
def systems(scale, target):
    step = recipes.music(scale)
    return [System("{title}", Ref(step, "mels")), System("untrained {title}", Ref(step, "mels"), trained=False)]
"""
ROWS = """
import ex_paper
from helpers.paper.families import all_systems

scale = ex_paper.build_scale(ex_paper.resolve("ex_paper.py", ["demo"], {}))
print("|".join(f"{system.family}:{system.name}" for system in all_systems(scale)))
"""


def rows_with(*folders: Path) -> list[str]:
    """Families and rows of a new process that has `folders` in MAEST_FAMILIES."""
    env = {**os.environ, "MAEST_FAMILIES": os.pathsep.join(map(str, folders)), "PYTHONPATH": str(ex_paper.ROOT)}
    done = subprocess.run([sys.executable, "-c", ROWS], cwd=ex_paper.ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split("|")


def test_a_family_outside_the_checkout_has_rows_where_it_brings_them(tmp_path):
    own = ["maest:MAEST", "clmr:CLMR", "music2vec:music2vec", "musicfm:MusicFM", "musicnn:musicnn (published)", "omar_rq:OMAR-RQ"]
    own += ["maest:untrained MAEST", "clmr:untrained SampleCNN", "music2vec:untrained music2vec", "musicfm:untrained MusicFM"]
    own += ["musicnn:untrained musicnn", "omar_rq:untrained OMAR-RQ"]
    (tmp_path / "silent" / "models").mkdir(parents=True)  # a family without rows
    for name in ("zoo", "abc"):
        place = tmp_path / name / "helpers" / "paper" / "families"
        place.mkdir(parents=True)
        (place / f"{name}.py").write_text(TOY.format(name=name, title=name.title()))
    assert rows_with(tmp_path / "silent") == own
    assert rows_with(tmp_path / "zoo", tmp_path / "silent", tmp_path / "abc") == [
        "maest:MAEST", "abc:Abc", "clmr:CLMR", "music2vec:music2vec", "musicfm:MusicFM", "musicnn:musicnn (published)", "omar_rq:OMAR-RQ",
        "zoo:Zoo", "maest:untrained MAEST", "abc:untrained Abc", "clmr:untrained SampleCNN", "music2vec:untrained music2vec",
        "musicfm:untrained MusicFM", "musicnn:untrained musicnn", "omar_rq:untrained OMAR-RQ", "zoo:untrained Zoo",
    ]  # fmt: skip
