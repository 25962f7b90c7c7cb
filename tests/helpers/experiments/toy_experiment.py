"""A small experiment under Sacred, and its run in another process: `python toy_experiment.py SACRED'S WORDS`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from configs.naming import Named
from configs.options import opt, section
from helpers.experiments.experiment import Experiment
from helpers.experiments.job import metric_logger, run_folder


@dataclass
class Inner:
    rate: float = opt(0.5, "share", affects="nothing")


@dataclass
class Outer:
    root: str = opt("runs", "folder", affects="nothing")
    epochs: int = opt(3, "epochs", affects="nothing")
    wait: bool = opt(False, "stay until standard input ends", affects="nothing")
    fail: bool = opt(False, "raise", affects="nothing")
    inner: Inner = section(Inner)


def build() -> Experiment:
    named = {"big": Named("big", {"epochs": 30, "inner": {"rate": 0.9}}, "More of it.")}
    ex = Experiment("toy", Outer, named=named, root="root")

    @ex.main
    def main(_run, _config):
        for epoch in range(_config["epochs"]):
            metric_logger(_run)("val_ap", 0.5 - 0.1 * abs(epoch - 1), epoch)
            metric_logger(_run)("val_loss", 0.3 + 0.1 * abs(epoch - 1), epoch)
        (run_folder(_run, _config["root"]) / "kept.txt").write_text("x")
        if _config["fail"]:
            raise KeyError("surprise")
        if _config["wait"]:
            print("waiting", flush=True)
            sys.stdin.read()
        return {"val_ap": 0.5}

    return ex


if __name__ == "__main__":
    build().run_commandline(sys.argv)
