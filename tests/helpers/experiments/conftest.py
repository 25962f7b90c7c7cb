"""A toy experiment over a typed config, in an empty folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from configs.naming import Named
from configs.options import opt, section
from helpers.experiments.experiment import Experiment
from helpers.experiments.job import SEED_VARIABLE


@dataclass
class Inner:
    rate: float = opt(0.5, "share", affects="nothing")
    kind: str = opt("a", "which", ("a", "b"), affects="nothing")
    blocks: int | list[int] = opt(7, "block or blocks", affects="nothing")


@dataclass
class Outer:
    root: str = opt("runs", "folder", affects="nothing")
    epochs: int = opt(3, "epochs", affects="nothing")
    name: str | None = opt(None, "a name", affects="nothing")
    flag: bool = opt(False, "a flag", affects="nothing")
    inner: Inner = section(Inner)


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
