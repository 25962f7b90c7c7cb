"""Which config a bare command means, which run ckpt_path continues, and which checkpoint a test scores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from models.errors import ConfigError

from ..experiments.earlier_runs import run_of, run_to_continue, seed_of
from ..runtime.place import is_first_process
from ..training.resume import CHECKPOINTS, Saved, newest, read_saved
from ..training.same_training import BATCH, ResumeRules

log = logging.getLogger(__name__)
LAST = "last"  # of ckpt_path: the newest checkpoint of this config's newest run
DATA_KEYS = ("audio_dir", "base_dir", "groundtruth", "groundtruth_train", "groundtruth_predict")
TRAINS = ("main", "report")  # commands that are about a config's training, which the weight file only begins
Raw = Mapping[str, Any]  # a config as Sacred hands it to its hooks
Continues = Callable[[str, Raw, Sequence[str]], tuple[Path | None, int | None]]


def demo_without_data(script: str, demo: str, families: Sequence[str]) -> Callable[[str, Raw, Sequence[str]], Sequence[str]]:
    """Return the rule by which a command of `script` without a named config and without data is the config `demo`'s.

    A command that uses a network as its weight file says, named in the section of one of `families`, is the recipe's, and so is predict with audio:
    the demo has sizes of its own.
    """

    def implied(command: str, updates: Raw, named: Sequence[str]) -> Sequence[str]:
        chosen = updates.get("datamodule", {})
        if command == "print_config" and not named:
            log.info(
                "`python %s` alone runs `with %s`; these are the recipe's values, on which all named configs build.", script, demo
            )
        own = command not in TRAINS and any(updates.get(family, {}).get("checkpoint") for family in families)
        heard = command == "predict" and "audio" in updates.get("predict", {})
        if named or own or heard or command == "print_config" or any(key in chosen for key in DATA_KEYS):
            return named
        return (demo,)

    return implied


def continued_by(rules: ResumeRules, *commands: str) -> Continues:
    """Return the rule which run folder one of `commands` goes on in (that of ckpt_path, or for `last` this config's newest), and with which seed.

    `test` goes on in none: it takes the seed of the training that `last` means. rules: what a resumed run may differ in.
    """

    def continues(command: str, config: Raw, named: Sequence[str]) -> tuple[Path | None, int | None]:
        chosen = config["ckpt_path"]
        if command == "test" and chosen == LAST:  # Sacred draws another seed for it than for the training that it means
            trained = run_to_continue(config["trainer"]["default_root_dir"], "main", config, rules, named)
            return None, None if trained is None else seed_of(trained)
        if chosen is None or command not in commands:
            return None, None
        if chosen != LAST:
            folder, seed = run_of(chosen), read_saved(chosen).experiment.get("seed")
        else:
            folder = run_to_continue(config["trainer"]["default_root_dir"], command, config, rules, named)
            seed = None if folder is None else seed_of(folder)
        if is_first_process():  # refused before the folder is touched
            starting_point({"seed": seed, **config}, folder, rules, warn=False)
        return folder, seed

    return continues


def starting_point(config: Raw, continued: Path | None, rules: ResumeRules, warn: bool = True) -> Path | None:
    """Return the checkpoint to continue from; None for a training from the beginning. continued: the run folder that is gone on in.

    Raises ConfigError or WeightsError, before any work, for one that is torn or belongs to another experiment.
    """
    chosen = config["ckpt_path"]
    if chosen is None:
        return None
    saved: Saved | None = None
    if chosen != LAST:
        saved = read_saved(chosen)
    elif continued is not None:
        saved = newest(continued / CHECKPOINTS)
    if saved is None:
        if not warn:
            return None
        where = config["trainer"]["default_root_dir"] if continued is None else continued
        log.info("There is no checkpoint of this config in %s yet: training begins.", where)
        return None
    from ..runtime.devices import count_processes  # late: it needs torch, and only a training that goes on counts them

    items = config["datamodule"]["batch_size_train"] * count_processes(SimpleNamespace(**config["trainer"]))
    rules.identity(config, {BATCH: items}).check(saved, config["trainer"]["max_epochs"], warn=False)
    return saved.path


def tested_checkpoint(config: Raw, rules: ResumeRules) -> Path | None:
    """Return the checkpoint that `test` scores. Raises ConfigError where `last` finds none."""
    chosen, root = config["ckpt_path"], config["trainer"]["default_root_dir"]
    if chosen != LAST:
        return None if chosen is None else Path(chosen)
    folder = run_to_continue(root, "main", config, rules)
    saved = None if folder is None else newest(folder / CHECKPOINTS)
    if saved is None:
        raise ConfigError(f"No run of this config under {root} has left a checkpoint: train it, or name one by ckpt_path=PATH.")
    return saved.path
