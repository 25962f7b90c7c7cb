"""The learning rate of every epoch of every named training is the one of docs/training.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import configs
from configs.naming import merged
from configs.options import defaults
from helpers.families.optimization import averaging, optimization
from helpers.training.lightning_module import LitObjective
from helpers.utils.typed_config import build

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
BEHIND = {"mini_train", "as_described", "as_released", "library_readme", "lars"}  # stand behind a training, and are none
ROW = re.compile(r"^\| (?P<names>`[^|]+`) \| (?P<points>(?:update )?\d+: [^|]+) \|$", re.MULTILINE)
SCRIPTS = (configs.EX_MAEST, configs.EX_SSL)


def trainings() -> set[str]:
    """Names of the configs that train, without twins and aliases."""
    named = {n: c for script in SCRIPTS for n, c in script.named.items() if c.group in ("Experiments", "Demo")}
    plain = {n for n, c in named.items() if not n.endswith("_smoke") and not c.doc.startswith("Published name")}
    return plain - BEHIND


def module(words: str) -> tuple[LitObjective, int]:
    """What trains under "NAME as_released", with a network of no size; and its number of epochs."""
    names = words.split()
    script = next(script for script in SCRIPTS if names[0] in script.named)
    values = defaults(script.schema)
    for name in names:
        values = merged(values, script.named[name].values)
    config = build(script.schema, values)
    o = optimization(config.module.optimizer, config.trainer, config.datamodule.batch_size_train)
    return LitObjective(torch.nn.Identity(), o, averaging=averaging(config.module)), config.trainer.max_epochs


def rates(words: str, at: np.ndarray) -> np.ndarray:
    """The rates that run, [n], at epochs or updates."""
    trained, _ = module(words)
    return np.array([trained.optimization.lr * trained.multiplier(int(step)) for step in at])


def page() -> dict[str, str]:
    """Words of a training -> its points as they stand on the page."""
    return {name: row["points"] for row in ROW.finditer(PAGE.read_text()) for name in re.findall(r"`([^`]+)`", row["names"])}


def test_every_training_stands_on_the_page():
    on_it = page()
    assert {words for words in on_it if " " not in words} == trainings()
    assert "maest_30s_from_passt_pretrain as_released" in on_it


@pytest.mark.parametrize("words", page())
def test_the_rate_that_runs_is_the_page_s(words):
    points = page()[words]
    at, wanted = np.array([[float(x) for x in point.split(": ")] for point in points.removeprefix("update ").split(", ")]).T
    trained, epochs = module(words)
    by_update = trained.optimization.interval == "step"
    assert by_update == points.startswith("update ")
    if trained.optimization.plateau is not None:
        assert (trained.optimization.lr, len(at)) == (wanted[0], 1)  # how it goes on, the validation decides
        return
    if not by_update:
        at, wanted = np.arange(epochs), np.interp(np.arange(epochs), at, wanted)
    found = rates(words, at)
    print(words, dict(zip(at.tolist(), found.tolist())))
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


def test_as_released_averages_every_epoch_from_50_on_at_its_rate():
    released, described = module("maest_30s_from_passt_pretrain as_released")[0], module("maest_30s_from_passt_pretrain")[0]
    assert (released.averaging.start_epoch, released.averaging.every_epochs) == (50, 1)
    assert (described.averaging.start_epoch, described.averaging.every_epochs) == (50, 5)
    assert [2e-5 * released.multiplier(e) for e in (50, 75, 100, 129)] == pytest.approx([2e-5] * 4)
    assert [2e-5 * described.multiplier(e) for e in (50, 75, 100, 129)] == pytest.approx([2e-5, 1.01e-5, 2e-7, 2e-7])
