"""A step: one command of ours with its inputs, and the name that follows from everything that decides its result.

A step's key is the SHA-256 of canonical JSON: script, command, the whole resolved config less what no number depends on, the keys of the steps whose
outputs it takes, and what external files hold. Not the code: records say which version made them, and tables say it where versions differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..utils.json_values import plain
from ..utils.typed_config import flat
from .identity import content_id

Resolve = Callable[
    [str, Sequence[str], Mapping[str, Any]], Mapping[str, Any]
]  # (script, named configs, updates) -> nested config
Ignored = Callable[[str, str], Collection[str]]  # (script, command) -> dotted keys that no result of the command depends on
KEY_DIGITS = 16
ROOTED = ("ex_tl.py", "ex_paper.py")  # scripts that train no network that goes on, and have their runs in `out_dir`


@dataclass(frozen=True)
class Ref:
    """An output of another step, as the value of a setting: "checkpoint", "logits", the number of a block, ... (records.py)."""

    step: Step
    output: str


@dataclass(frozen=True)
class ExternalPath:
    """A file or folder that no step makes, as the value of a setting. cure: how to come by it."""

    path: str
    cure: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a step is thought to take on two cores, before it was ever run. basis: what the figures follow from."""

    seconds: float
    megabytes: float
    basis: str


@dataclass(frozen=True, eq=False)
class Step:
    """One command, `python <script> <command> with <named> <updates>`.

    Args:
        title: what it does, in a few words.
        script: a script of the suite, ex_*.py.
        command: "main" where none is named.
        named: named configs.
        updates: dotted keys -> values, Refs, or ExternalPaths.
        weights: cards of published weights that it loads.
        about: plain values that decide its result beside its settings.
        estimate: what it takes, before it was ever run.
        exclusive: whether it measures time, so that nothing else of ours may run beside it.
        deterministic: whether it is the same to the last bit when it is made again, so that what was made of it stays.
    """

    title: str
    script: str
    command: str
    named: tuple[str, ...] = ()
    updates: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    estimate: Estimate = Estimate(10.0, 1.0, "the start of a process")
    exclusive: bool = False
    deterministic: bool = False

    @property
    def inputs(self) -> list[Step]:
        """Return the steps whose outputs it takes."""
        return list(dict.fromkeys(value.step for value in self.updates.values() if isinstance(value, Ref)))

    @property
    def external(self) -> list[ExternalPath]:
        """Return the files that must be there."""
        return [value for value in self.updates.values() if isinstance(value, ExternalPath)]

    @property
    def trains(self) -> bool:
        """Return whether it is a training that can be continued from its checkpoints."""
        return self.command == "main" and self.script not in ROOTED


class Keys:
    """Names of steps.

    Args:
        resolve: (script, named configs, updates) -> the nested config that the command would run with.
        ignored: (script, command) -> dotted keys that no result of the command depends on.
        identify: path of a file or folder -> what it holds, as a text.
    """

    def __init__(self, resolve: Resolve, ignored: Ignored, identify: Callable[[Path], str] = content_id):
        self.resolve, self.ignored, self._identify = resolve, ignored, identify
        self._keys: dict[Step, str] = {}
        self._found: dict[str, str] = {}

    def settings(self, step: Step) -> dict[str, Any]:
        """Return dotted keys -> values that decide the step's result; inputs and external files stand as what they hold."""
        updates = {key: self._content_of(value) for key, value in step.updates.items()}
        found = flat(self.resolve(step.script, step.named, updates))
        ignored = self.ignored(step.script, step.command)
        return {key: value for key, value in found.items() if key not in ignored}

    def __call__(self, step: Step) -> str:
        """Return the step's key."""
        if step not in self._keys:
            content = {
                "script": step.script,
                "command": step.command,
                "settings": self.settings(step),
                "inputs": {
                    key: self._content_of(value) for key, value in step.updates.items() if isinstance(value, (Ref, ExternalPath))
                },
                "weights": {name: self._weights_id(name) for name in step.weights},
                "about": dict(step.about),
            }
            text = json.dumps(plain(content), sort_keys=True, separators=(",", ":"))
            self._keys[step] = hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]
        return self._keys[step]

    def _content_of(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return f"output {value.output} of step {self(value.step)}"
        if isinstance(value, ExternalPath):
            return self._path_id(Path(value.path))
        return value

    def _weights_id(self, name: str) -> str:
        from models.registry import get_card
        from models.weights.locate import local_weights

        found = local_weights(get_card(name))
        return "absent" if found is None else self._path_id(found)

    def _path_id(self, path: Path) -> str:
        if str(path) not in self._found:
            self._found[str(path)] = self._identify(path) if path.exists() else f"absent: {path}"
        return self._found[str(path)]


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Return the steps with all that they need, each once, inputs before those who take them."""
    out: dict[Step, None] = {}

    def add(step: Step) -> None:
        for before in step.inputs:
            add(before)
        out.setdefault(step)

    for step in steps:
        add(step)
    return list(out)
