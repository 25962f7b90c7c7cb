"""The line that a fine-tuning ends with."""

from __future__ import annotations

import shlex
from pathlib import Path

from helpers.evaluation.finetune import how_to_hear

SCRIPTS = {"mert": "ex_ssl.py", "maest": "ex_maest.py"}


def test_it_is_ready_for_a_shell():
    path = Path("exp out/it's/network.safetensors")
    command = how_to_hear(path, "mert", SCRIPTS).removeprefix("What one hears: ")
    want = ["python", "ex_ssl.py", "predict", "with", "family=mert", f"mert.checkpoint={path}", "predict.audio=FILE"]
    assert shlex.split(command) == want


def test_a_family_that_no_script_has_is_heard_in_python():
    assert how_to_hear(Path("a b.ckpt"), "toy", SCRIPTS) == "What one hears: models.load_model('a b.ckpt').tag(FILE)"
