"""Whether two runs are the same training: which settings a run that is resumed may differ in, and how a difference is shown."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.errors import ConfigError

from ..utils.spellings import Aliases, renamed
from ..utils.typed_config import flat
from .resume import Saved

log = logging.getLogger(__name__)
BATCH = "items per batch, over all processes"
DATA = "tracks and labels"
ABOUT_DATA = "data: "  # begins keys that say what the data are, where those differ; they are not compared by themselves


@dataclass(frozen=True)
class ResumeRules:
    """What a resumed run may differ in, by the dotted keys of its config.

    Attributes:
        free: keys that are not compared.
        warned: keys that may differ, with a warning: results may then differ slightly from an unbroken run's.
        inputs: keys, free ones, that say where data and first weights lie. The data themselves are compared, and the weights are in the checkpoint.
        aliases: earlier spellings of keys, by which runs of then are compared too.
    """

    free: frozenset[str] = frozenset()
    warned: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()
    aliases: Aliases = field(default_factory=dict)

    def experiment_of(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a command's nested config, by their dotted names, that a resumed run is compared by."""
        return {key: value for key, value in _plain(config).items() if key not in self.free}

    def inputs_of(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a command's nested config that say where data and first weights lie."""
        return {key: value for key, value in _plain(config).items() if key in self.inputs}

    def about_data(self, config: Mapping[str, Any], summary: Mapping[str, int | str]) -> dict[str, Any]:
        """Return what a run says of its data, to be told apart from others': the settings that name them, and their `summary`."""
        named = {key: value for key, value in self.inputs_of(config).items() if key.startswith("datamodule.")}
        return {ABOUT_DATA + key: value for key, value in {**summary, **named}.items()}

    def changes(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """Return 'key was A, is B' of what differs: what would make it another training, and what is only warned of."""
        before = renamed(before, self.aliases)
        refused: list[str] = []
        warned: list[str] = []
        for key in sorted(set(before) & set(now)):
            if before[key] == now[key] or key.startswith(ABOUT_DATA):
                continue
            if key == DATA:
                refused.append(_other_data(before, now))
            else:
                (warned if key in self.warned else refused).append(f"{key} was {before[key]!r}, is {now[key]!r}")
        return refused, warned

    def identity(self, config: Mapping[str, Any], about: Mapping[str, Any]) -> TrainingIdentity:
        """Return what a run of a nested config has in common with those that continue it. about: more that is compared, by name."""
        return TrainingIdentity({**self.experiment_of(config), **about}, self)


@dataclass(frozen=True)
class TrainingIdentity:
    """What a training is, to be told from others: a run that continues a checkpoint must have it in common with the checkpoint's.

    Attributes:
        settings: plain values by name; they are written into every checkpoint.
        rules: in which of them a resumed run may differ.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    rules: ResumeRules = ResumeRules()

    def check(self, saved: Saved, max_epochs: int, warn: bool = True) -> None:
        """Raise ConfigError where continuing `saved` would be another training; with `warn`, log what may make it differ slightly."""
        refused, warned = self.rules.changes(saved.experiment, self.settings)
        if refused:
            raise ConfigError(
                f"{saved.path} belongs to another training; to continue it would be neither this one nor that:\n  "
                + "\n  ".join(refused)
                + "\nSet these back; or leave ckpt_path out and begin anew, with the old weights if you like (they are what the key "
                "`checkpoint` of the network's section takes)."
            )
        for change in warned if warn else ():
            log.warning("Going on with another setting: %s. Results may differ slightly from an unbroken run's.", change)
        if saved.epoch + 1 > max_epochs:
            raise ConfigError(
                f"{saved.path} has come to epoch {saved.epoch + 1}, counted from 1, and trainer.max_epochs is {max_epochs}: raise it to go on."
            )


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, as JSON gives it back: tuples are lists, Sacred's containers builtins."""
    return flat(json.loads(json.dumps(config)))


def _other_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what is known of the difference between two data."""
    known = [key for key in before if key.startswith(ABOUT_DATA) and key in now]
    other = [key for key in known if before[key] != now[key]]
    differ = [f"{key.removeprefix(ABOUT_DATA)} was {before[key]!r}, is {now[key]!r}" for key in other]
    if all(key.startswith(f"{ABOUT_DATA}datamodule.") for key in other):  # no figure does
        differ.append("names of tracks, or which labels they have" if known else "names, lengths or labels")
    return f"the {DATA} are others: " + "; ".join(differ)
