"""Which earlier run a command goes on in, by the run folders that Sacred's observer left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bounded_files import read_json
from models.errors import ConfigError

from ..training.resume import CHECKPOINTS, whole_and_torn
from ..training.same_training import ResumeRules


def run_to_continue(
    root: str | Path, command: str, config: Mapping[str, Any], rules: ResumeRules, named: Sequence[str] | None = None
) -> Path | None:
    """Return the newest run folder under `root` whose run had this command and config; None where there is none, and a first run begins.

    Of several, those with the same inputs (paths of data and first weights) come first.

    Args:
        root: folder of the numbered run folders.
        command: name of the command.
        config: its nested config.
        rules: what a resumed run may differ in.
        named: the named configs of the command. Raises ConfigError where their newest run had other settings, listing them.
    """
    now, inputs = rules.experiment_of(config), rules.inputs_of(config)
    same: list[tuple[bool, int, Path]] = []
    other: tuple[Path, list[str]] | None = None
    for folder in _numbered(root):
        known = _known(folder)
        if known is None or known.command != command:
            continue
        refused, _ = rules.changes(rules.experiment_of(known.config), now)
        if not refused:
            same.append((rules.inputs_of(known.config) == inputs, int(folder.name), folder))
        elif other is None and named is not None and known.named == list(named):
            other = folder, refused
    if other is not None and not same:
        raise ConfigError(
            f"{other[0]} is the newest run of this config, and had other settings:\n  "
            + "\n  ".join(other[1])
            + "\nSet these back to continue it, or begin anew: without ckpt_path, or under another trainer.default_root_dir."
        )
    return max(same)[-1] if same else None


def run_of(path: str | Path) -> Path | None:
    """Return the run folder whose newest whole checkpoint is `path`: a run that goes on from there goes on in it. None for any other file."""
    path = Path(path).resolve()
    folder = path.parent.parent
    if path.parent.name != CHECKPOINTS or _known(folder) is None:
        return None
    whole, _ = whole_and_torn(path.parent)
    return folder if whole and whole[-1].path.resolve() == path else None


def seed_of(folder: Path) -> int | None:
    """Return the seed of a run folder's run: Sacred draws one where the command gives none, and who continues it goes on with that."""
    known = _known(folder)
    return None if known is None else known.config.get("seed")


@dataclass(frozen=True)
class _Known:
    command: str
    named: list[str]
    config: dict[str, Any]


def _known(folder: Path) -> _Known | None:
    try:
        run, config = (read_json(folder / name) for name in ("run.json", "config.json"))
        return _Known(run["command"], list(run["meta"].get("named_configs", [])), config)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _numbered(root: str | Path) -> list[Path]:
    root = Path(root)
    found = [p for p in root.iterdir() if p.is_dir() and p.name.isdigit()] if root.is_dir() else []
    return sorted(found, key=lambda p: int(p.name), reverse=True)
