"""A script over families of models: Sacred's experiment, with the commands that every family has and those that only one has."""

from __future__ import annotations

import ast
import atexit
import gc
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from models.bounded_files import read_text
from models.errors import ConfigError

from ..experiments.experiment import Experiment, Run
from ..experiments.provenance import project_sources
from ..training.same_training import ResumeRules
from ..utils.typed_config import build
from .continuing import continued_by, demo_without_data

ROOT = Path(__file__).resolve().parents[2]
# command -> module with a function of the name. Modules are imported when their command runs, and their texts read without: that keeps torch out of
# `print_config` and `help`
COMMANDS = {
    "main": "helpers.commands.train",
    "test": "helpers.commands.test",
    "extract_embeddings": "helpers.commands.extract",
    "extract_logits": "helpers.commands.extract",
    "predict": "helpers.commands.predict",
    "similar": "helpers.commands.similar",
    "report": "helpers.commands.report",
    "export": "helpers.commands.export",
    "check_data": "helpers.commands.check_data",
    "model_speed_test": "helpers.commands.speed",
    "machine": "helpers.commands.machine",
}
# command -> module whose `begin(config)` gives a block of work that needs no torch: it is under way while a second of imports goes by
BEGINNINGS = {"predict": "helpers.prediction.files"}
TRAINING = ("main", "report")  # commands that can go on from a checkpoint


class Script(Protocol):
    """What configs/ says of a script.

    Attributes:
        name: of the experiment. file: of the script. schema: dataclass of its configs. named: named configs. aliases: published or earlier
        spelling of a key -> the key. demo: the named config of a bare command. families: name -> commands that only that family has.
    """

    name: str
    file: str
    schema: type
    named: Mapping[str, Any]
    aliases: Mapping[str, Any]
    demo: str
    families: Mapping[str, tuple[str, ...]]

    @property
    def resume_rules(self) -> Mapping[str, frozenset[str]]:
        """See Attributes."""


def make_experiment(script: Script, doc: str) -> Experiment:
    """Return the experiment of a script, with its commands. doc: the script's own text."""
    rules = ResumeRules(**script.resume_rules, aliases=script.aliases)
    ex = Experiment(
        script.name,
        script.schema,
        file=ROOT / script.file,
        base_dir=str(ROOT),
        named=script.named,
        root="trainer.default_root_dir",
        aliases=script.aliases,
        implied=demo_without_data(script.file, script.demo, tuple(script.families)),
        continues=continued_by(rules, *TRAINING),
    )
    ex.doc = doc
    ex.store_sources(project_sources(ROOT))
    modules = {name: dict.fromkeys(script.families, module) for name, module in COMMANDS.items()}
    for family, commands in script.families.items():
        for name in commands:
            if name in COMMANDS:
                raise ValueError(f"The family {family} brings a command {name}, which every family has: give it another name.")
            modules.setdefault(name, {})[family] = f"helpers.families.{family}"
    for name in modules:
        _add(ex, script, name, modules[name], rules)
    return ex


def _add(ex: Experiment, script: Script, name: str, modules: Mapping[str, str], rules: ResumeRules) -> None:
    """Add a command. modules: family that has it -> module of its function. rules: what a resumed run may differ in."""

    def command(_run: Run, _config: Mapping[str, Any], seed: int) -> Any:
        config = build(script.schema, _config)
        begin = importlib.import_module(BEGINNINGS[name]).begin(config) if name in BEGINNINGS else nullcontext()
        with begin as begun:
            from ..families import get_family
            from .context import Context

            chosen = _config.get("family", next(iter(script.families)))
            if chosen not in modules:
                raise ConfigError(
                    f"The command {name} is for family={' or '.join(modules)}; this config is of the family {chosen}."
                )
            _refuse_other_weights(_config, chosen, script.families)
            context = Context(ex, get_family(chosen), _run, config, seed, rules, begun)
            function: Callable[[Context], Any] = getattr(importlib.import_module(modules[chosen]), name)
            return function(context)

    command.__name__ = command.__qualname__ = name
    command.__doc__ = docstring(next(iter(modules.values())), name)
    if name == "main":
        ex.main(command)
    else:
        ex.command(command)


def _refuse_other_weights(config: Mapping[str, Any], chosen: str, families: Iterable[str]) -> None:
    """Raise ConfigError for weights that are named for another family than the config's: a network of random weights would run in their place."""
    for family in families:
        if family != chosen and (named := config.get(family, {}).get("checkpoint")) is not None:
            raise ConfigError(
                f"{family}.checkpoint={named} names weights of {family}, and this config is of the family {chosen}: begin with one of its named "
                f"configs (with {family}_inference {family}.checkpoint=...), or set family={family}."
            )


def docstring(module: str, function: str) -> str:
    """Return a function's docstring, from its module's source."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    tree = ast.parse(read_text(spec.origin))
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return ast.get_docstring(found) or ""


@cache
def _end_quickly() -> None:
    """Have this process end a quarter of a second earlier: what hangs in cycles is let go of once, and Python does not look for more, as it would
    several times, among all of torch's objects.
    """
    atexit.register(gc.freeze)
    atexit.register(gc.collect)  # runs first


def run(ex: Experiment, argv: list[str]) -> int:
    """Run a command line; return the exit code."""
    _end_quickly()
    done = ex.run_commandline(argv)
    result = None if done is None else done.result
    return int(result.get("exit_code", 0)) if isinstance(result, Mapping) else 0
