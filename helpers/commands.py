"""What the command files share and Sacred does not know: which config a bare command means, and which run ckpt_path continues."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.errors import ConfigError

from .resume import CHECKPOINTS, check_same, experiment_of, newest, read_saved, run_of, run_to_continue

log = logging.getLogger(__name__)
LAST = "last"  # of ckpt_path: the newest checkpoint of this config's newest run
DATA_KEYS = ("audio_dir", "base_dir", "groundtruth", "groundtruth_train", "groundtruth_predict")


def demo_without_data(script: str, demo: str) -> Callable[[str, Mapping[str, Any], Sequence[str]], Sequence[str]]:
    """The rule by which a command of `script` without a named config and without data is the config `demo`'s."""

    def implied(command: str, updates: Mapping[str, Any], named: Sequence[str]) -> Sequence[str]:
        chosen = updates.get("datamodule", {})
        if command == "print_config" and not named:
            log.info(
                "`python %s` alone runs `with %s`; these are the recipe's values, on which all named configs build.", script, demo
            )
        if named or command == "print_config" or any(key in chosen for key in DATA_KEYS):
            return named
        return (demo,)

    return implied


def continued_by(*commands: str) -> Callable[[str, Mapping[str, Any], Sequence[str]], Path | None]:
    """The rule which run folder one of `commands` goes on in: that of ckpt_path, or for `last` this config's newest."""

    def continues(command: str, config: Mapping[str, Any], named: Sequence[str]) -> Path | None:
        chosen = config["ckpt_path"]
        if chosen is None or command not in commands:
            return None
        if chosen != LAST:
            return run_of(chosen)
        return run_to_continue(config["trainer"]["default_root_dir"], command, config, named)

    return continues


def starting_point(config: Mapping[str, Any], continued: Path | None) -> Path | None:
    """The checkpoint to continue from; None for a training from the beginning. continued: the run folder that is gone on in.

    Raises ConfigError or WeightsError, before any work, for one that is torn or belongs to another experiment.
    """
    chosen = config["ckpt_path"]
    if chosen is None:
        return None
    if chosen != LAST:
        saved = read_saved(chosen)
    else:
        saved = None if continued is None else newest(continued / CHECKPOINTS)
    if saved is None:
        where = config["trainer"]["default_root_dir"] if continued is None else continued
        log.info("There is no checkpoint of this config in %s yet: training begins.", where)
        return None
    check_same(saved, experiment_of(config), config["trainer"]["max_epochs"], say=False)
    return saved.path


def tested_checkpoint(config: Mapping[str, Any]) -> Path | None:
    """The checkpoint that `test` scores. Raises ConfigError where `last` finds none."""
    chosen, root = config["ckpt_path"], config["trainer"]["default_root_dir"]
    if chosen != LAST:
        return None if chosen is None else Path(chosen)
    folder = run_to_continue(root, "main", config)
    saved = None if folder is None else newest(folder / CHECKPOINTS)
    if saved is None:
        raise ConfigError(f"No run of this config under {root} has left a checkpoint: train it, or name one by ckpt_path=PATH.")
    return saved.path
