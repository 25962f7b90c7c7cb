"""Scales: what is refused, how a changed one is named; and the flags of ex_paper.py."""

from __future__ import annotations

import re

import pytest

import ex_paper
from models.errors import ConfigError


def test_scales_that_cannot_be_are_refused():
    for change, words in (({"targets": ["mtx"]}, "mtx.*mtt"), ({"networks": "published"}, "scale.targets")):
        scale = {**ex_paper.resolve("ex_paper.py", ["demo"], {})["scale"], **change}
        with pytest.raises(ValueError, match=words):
            ex_paper.build_scale({"scale": scale})


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (["t", "with", "demo", "--dry"], ["t", "with", "demo", "dry=True", "--unobserved"]),
        (["t", "--dry", "with", "demo"], ["t", "with", "demo", "dry=True", "--unobserved"]),
        (["t", "--dry"], ["t", "with", "dry=True", "--unobserved"]),
        (["t", "with", "demo"], ["t", "with", "demo"]),
    ],
)
def test_dry_is_a_flag(words, want):
    assert ex_paper.parse_arguments(words) == want


@pytest.mark.parametrize(
    ("scale", "updates", "words"),
    [
        ("demo", {"block": 9}, r"scale\.block=9, wanted 0 to 3 \(depth=4\)"),
        ("demo", {"block": -1}, r"scale\.block=-1"),
        ("demo", {"lengths": []}, r"scale\.lengths=\[\], wanted one or more"),
        ("demo", {"seeds": [0, 0]}, r"scale\.seeds=\[0, 0\], wanted different"),
        ("demo", {"draws": 0, "tracks": 3}, r"scale\.tracks=3, wanted 12 or more.*scale\.draws=0"),
        ("demo", {"shares": [0.0, 1.0]}, r"scale\.shares"),
        ("demo", {"maest": ["demi"]}, r"scale\.maest has 'demi', no named config of ex_maest\.py \(Did you mean 'demo'\?\)"),
        ("demo", {"depth": 9}, r"scale\.depth=9, and the networks of demo have 4 blocks"),
        ("mtt", {"lengths": [7.0]}, r"scale\.lengths=\[7\.0\]: published networks hear 5, 10, 20, 30 s"),
    ],
)
def test_a_scale_of_which_no_table_can_be_made_is_refused(scale, updates, words):
    config = ex_paper.resolve("ex_paper.py", [scale], {f"scale.{key}": value for key, value in updates.items()})
    with pytest.raises(ConfigError, match=words):
        ex_paper.build_scale(config)


def test_a_changed_scale_has_a_title_and_a_folder_of_its_own():
    usual, changed = (
        ex_paper.build_scale(ex_paper.resolve("ex_paper.py", ["demo"], updates)) for updates in ({}, {"scale.tracks": 40})
    )
    assert (usual.name, usual.title) == ("demo", "demo")
    assert re.fullmatch(r"demo-[0-9a-f]{6}", changed.name)
    assert changed.title == "demo with tracks=40"
