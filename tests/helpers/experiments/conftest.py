"""A toy experiment over a typed config, in an empty folder."""

from __future__ import annotations

import logging

import pytest

from configs.naming import Named
from helpers.experiments.experiment import Experiment
from helpers.experiments.job import SEED_VARIABLE
from tests.helpers.experiments.small_schema import Outer


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in ("LOCAL_RANK", "NODE_RANK", "RANK", "SLURM_PROCID", SEED_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    handlers = logging.getLogger().handlers

    def build(body=lambda: None, **kwargs) -> Experiment:
        ex = Experiment(
            "toy",
            Outer,
            named={"big": Named("big", {"epochs": 30, "inner": {"rate": 0.9}}, "More of it.")},
            root="root",
            aliases={"core": "inner", "inner.knd": "inner.kind"},
            **kwargs,
        )
        ex.main(body)
        return ex

    yield build
    logging.getLogger().handlers = handlers
