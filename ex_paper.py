"""Papers' tables by their names: what is missing of a table is pre-trained, extracted and probed, then it is printed beside the paper's numbers.

python ex_paper.py table_tokens with demo                      from nothing, on two cores
python ex_paper.py table_families with demo --dry              the plan: steps, estimated time and disk; nothing is made
python ex_paper.py table_clmr with mtt                         published networks on a published data set
python ex_paper.py print_named_configs | help COMMAND
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import configs
from configs.naming import merged
from configs.options import EFFECTS, defaults, settings_without_effect
from configs.schema_paper import ExPaper
from configs.schema_probe import ExTl
from datasets.utils.terminal import begin_in_utf8
from helpers.experiments.config_source import nested
from helpers.experiments.experiment import Experiment, Run
from helpers.experiments.job import run_folder, work_begins
from helpers.experiments.provenance import project_sources
from helpers.paper.scale import PUBLISHED, Scale, Target
from helpers.paper.table import RegisteredTable, load_tables

if TYPE_CHECKING:
    from helpers.paper.cells import FilledTable
    from helpers.paper.engine import Engine, Outcome
    from helpers.paper.plan import Makespan, PlannedStep

ROOT = Path(__file__).parent
FAILED, NOTHING = 1, 3  # exit codes: a step failed; no cell has a number, since something is not on this machine
EXPERIMENTS = {  # script -> its schema and named configs
    "ex_maest.py": (configs.EX_MAEST.schema, configs.MAEST),
    "ex_ssl.py": (configs.EX_SSL.schema, configs.SSL),
    "ex_tl.py": (ExTl, configs.PROBE),
    "ex_paper.py": (ExPaper, configs.PAPER),
}

NAMED_IN_SCALE = {
    "ex_maest.py": ("maest", "start"),
    "ex_ssl.py": ("clmr", "supervised", "omar_rq", "music2vec", "musicfm"),
    "ex_tl.py": ("probe", "linear", "mlp", "frames"),
}
PUBLISHED_SECONDS = (5, 10, 20, 30)
FEWEST = 12  # tracks that a demo can be made of

ex = Experiment(
    "papers_tables",
    ExPaper,
    named=configs.PAPER,
    root="out_dir",
    base_dir=str(ROOT),
)
ex.store_sources(project_sources(ROOT))


# ---- config -> objects
def resolve(script: str, named: Sequence[str], updates: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested config that a command of `script` runs with."""
    schema, catalogue = EXPERIMENTS[script]
    return merged(defaults(schema), *(catalogue[name].values for name in named), nested(updates))


@cache
def ignored_keys(script: str, command: str) -> frozenset[str]:
    """Return the dotted keys that no result of a command depends on. Of a command that configs/paper.py does not list, few are known to be such."""
    others = (*(set(EFFECTS) - {"nothing", "checkpoint"}), command)
    return settings_without_effect(EXPERIMENTS[script][0], configs.paper.DECISIVE[script].get(command, others))


def build_scale(config: Mapping[str, Any]) -> Scale:
    """Build the config's scale, with facts in place of the names of its data sets. Raises ConfigError where no table can be made of it."""
    from models.errors import ConfigError, nearest

    values = dict(config["scale"])
    for name in values["targets"]:
        if name not in configs.TARGETS:
            raise ConfigError(
                f"scale.targets has '{name}', which is no data set of configs/targets.py.{nearest(name, configs.TARGETS)}"
            )
    if values["networks"] == PUBLISHED and not values["targets"]:
        raise ConfigError(
            "Published networks are probed on published data: name them in scale.targets, or take a scale such as mtt."
        )
    check_scale(values)
    name, title = name_scale(values)
    named_configs = {key: tuple(values.pop(key)) for keys in NAMED_IN_SCALE.values() for key in keys}
    values |= {key: tuple(values[key]) for key in ("pretraining_seeds", "seeds", "lengths", "shares")}
    values["seed"] = values["pretraining_seeds"][0]
    values |= {"name": name, "title": title, "targets": tuple(map(describe_target, values["targets"]))}
    return Scale(named_configs=named_configs, **values)


def name_scale(values: Mapping[str, Any]) -> tuple[str, str]:
    """Return a scale's name and title; both say what was changed of the named config."""
    name = values["name"]
    named = configs.PAPER.get(name)
    usual = {} if named is None else {**defaults(ExPaper)["scale"], **named.values.get("scale", {})}
    changed = {key: value for key, value in values.items() if usual and usual[key] != value}
    if not changed:
        return name, name
    listed = ", ".join(f"{key}={value}" for key, value in changed.items())
    mark = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:6]
    return f"{name}-{mark}", f"{name} with {listed}"


def check_scale(scale: Mapping[str, Any]) -> None:
    """Raise ConfigError for a scale of which no table can be made."""
    from models.errors import ConfigError, nearest

    depth, shares, lengths = scale["depth"], scale["shares"], scale["lengths"]
    asked = [(key, bool(scale[key]), "one or more") for key in ("pretraining_seeds", "seeds", "lengths", "shares")]
    asked += [(key, scale[key] is None or scale[key] >= FEWEST, f"{FEWEST} or more") for key in ("tracks", "start_tracks")]
    asked += [
        *((key, len(set(scale[key])) == len(scale[key]), "different ones") for key in ("pretraining_seeds", "seeds")),
        ("block", 0 <= scale["block"] < depth, f"0 to {depth - 1} (depth={depth})"),
        ("shares", all(0 < share <= 1 for share in shares), "above 0 and 1 at most"),
        ("lengths", all(seconds > 0 for seconds in lengths), "above 0 s"),
        ("draws", scale["draws"] >= 1, "1 or more"),
    ]
    wrong = [f"{key}={scale[key]}, wanted {what}" for key, right, what in asked if not right]
    for script, keys in NAMED_IN_SCALE.items():
        known = EXPERIMENTS[script][1]
        for key, name in [(one, name) for one in keys for name in scale[one] if name not in known]:
            like = nearest(name, known).strip()
            wrong.append(f"{key} has '{name}', no named config of {script}{f' ({like})' if like else ''}")
    if wrong:
        raise ConfigError(f"The scale cannot be made: {'; '.join(f'scale.{one}' for one in wrong)}.")
    if scale["networks"] == "published":
        if odd := [seconds for seconds in lengths if seconds not in PUBLISHED_SECONDS]:
            raise ConfigError(f"scale.lengths={odd}: published networks hear {', '.join(map(str, PUBLISHED_SECONDS))} s.")
        return
    made = resolve("ex_maest.py", scale["maest"], {})["maest"]["depth"]
    if made != depth:
        raise ConfigError(
            f"scale.depth={depth}, and the networks of {', '.join(scale['maest'])} have {made} blocks: let them agree."
        )


def describe_target(name: str) -> Target:
    """Return where the data of a target are, how they are made, and how large they are."""
    target = configs.TARGETS[name]
    tracks, seconds = configs.paper.SIZES[target.data]
    cure = f"python -m datasets.{target.data}" if target.data != "mtt" else "cd datasets/mtt && python preprocess.py"
    return Target(
        target.data, target.variant, target.task, target.about, config=f"target_{name}_tl", base_dir=target.base_dir,
        metadata_dir=target.metadata_dir, data_dir=f"datasets/{target.data}/data/", tracks=tracks, seconds=seconds, cure=cure,
    )  # fmt: skip


def build_engine(config: Mapping[str, Any]) -> Engine:
    """Build the engine of the steps below `out_dir`. Raises ConfigError for a folder that cannot be written, or no jobs."""
    from helpers.paper.engine import Engine
    from helpers.paper.steps import Keys
    from models.errors import ConfigError

    place = next(one for one in (Path(config["out_dir"]).absolute(), *Path(config["out_dir"]).absolute().parents) if one.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(
            f"out_dir={config['out_dir']}: {place} is {'a folder that may not be written' if place.is_dir() else 'no folder'}."
        )
    if config["jobs"] < 1:
        raise ConfigError(f"jobs={config['jobs']}: it is the number of steps made side by side, 1 or more.")

    return Engine(Path(config["out_dir"]), ROOT, Keys(resolve, ignored_keys), config["download"])


# ---- commands
def make_table(registered: RegisteredTable, _run: Run, _config: Mapping[str, Any]) -> dict[str, Any]:
    """Make what is missing of a table, print it, write it into <out_dir>/tables/<table>-<scale>/."""
    from datasets.utils.terminal import Console
    from helpers.paper.cells import fill_table
    from helpers.paper.engine import Pending
    from helpers.paper.plan import make_plan, makespan, print_plan
    from helpers.paper.progress import StepProgress
    from helpers.paper.records import LOG
    from helpers.paper.render import TableView, print_table, write_table
    from helpers.paper.scheduler import make_steps

    scale, engine, console = build_scale(_config), build_engine(_config), Console()
    makespan_of = partial(makespan, key=engine.keys, jobs=_config["jobs"])
    tables = [registered.make(one) for one in scale.each_network]
    table, steps = tables[0], list(dict.fromkeys(step for one in tables for step in one.steps))
    if _config["dry"]:
        plan = make_plan(engine, steps)
        print_plan(f"{table.title} ({scale.name}): the plan", plan, _config["out_dir"], makespan_of, _config["jobs"], console)
        return {"exit_code": 0, "steps": len(plan), "to_do": sum(isinstance(one.outcome, Pending) for one in plan)}
    engine.fetch(steps)
    plan = make_plan(engine, steps)
    missing = {one.step: one.seconds for one in plan if isinstance(one.outcome, Pending)}
    print(describe_start(scale.name, plan, makespan_of, _config["jobs"]))
    work_begins(_run)
    with StepProgress(missing, lambda step: engine.folder(step) / LOG, makespan_of) as progress:
        outcomes = make_steps(engine, steps, progress.update, _config["jobs"], missing)
    view = TableView(fill_table(tables, engine.state), scale, engine.commits(steps), engine.commit)
    written = write_table(view, Path(_config["out_dir"]) / "tables" / f"{table.name}-{scale.name}", engine)
    print_table(view, console)
    exit_code = report_failures(view.filled, outcomes.values())
    print(f"Table: {', '.join(map(str, written))}")
    for row, values in zip(table.rows, view.filled.values):
        for column, value in zip(table.columns, values):
            if not math.isnan(value.mean):
                _run.log_scalar(f"{column}.{row.name}", value.mean, 0)
    return {"exit_code": exit_code, "steps": len(outcomes), "made": len(missing)}


def report_failures(filled: FilledTable, outcomes: Iterable[Outcome]) -> int:
    """Print which steps of a table failed, or that it has no number. Returns the exit code."""
    from helpers.paper.engine import failures

    failed = failures(outcomes)
    for one in failed:
        print(f"Failed, exit code {one.exit_code}: see {one.log}")
    if filled.failed or failed:
        return FAILED
    if any(not math.isnan(value.mean) for values in filled.values for value in values):
        return 0
    print("No cell has a number. Place or make what stands under the table; published weights are fetched with download=True.")
    return NOTHING


def describe_start(scale: str, plan: Sequence[PlannedStep], makespan_of: Makespan, jobs: int) -> str:
    """Return what a table is about to do, in a line.

    Args:
        scale: its name.
        plan: of make_plan.
        makespan_of: step -> seconds of each, to the seconds of all.
        jobs: number of steps made side by side.
    """
    from helpers.paper.engine import Done, Pending, Unavailable
    from helpers.paper.plan import describe_jobs, describe_total

    there, todo, absent = (sum(isinstance(one.outcome, kind) for one in plan) for kind in (Done, Pending, Unavailable))
    parts = [f"{there} are done"]
    parts += [f"{todo} to make (about {describe_total(plan, makespan_of)}, {describe_jobs(jobs)})"] if todo else []
    parts += [f"{absent} cannot be made, since something is not on this machine"] if absent else []
    parts += [] if todo or absent else ["nothing to make"]
    goes_on = " Ended before, the same command goes on." if todo else ""
    return f"Scale {scale}: of {len(plan)} steps {', '.join(parts)}.{goes_on}"


def _command(registered: RegisteredTable) -> Callable[..., dict[str, Any]]:
    def command(_run: Run, _config: Mapping[str, Any]) -> dict[str, Any]:
        return make_table(registered, _run, _config)

    command.__name__, command.__doc__ = registered.name, registered.doc
    return command


for _table in load_tables().values():
    ex.command(_command(_table))


@ex.main
def main(_config: Mapping[str, Any]) -> None:
    """List the tables and the scales."""
    print("Tables: python ex_paper.py TABLE with SCALE [--dry]    (no SCALE: demo)")
    width = shutil.get_terminal_size().columns
    for registered in load_tables().values():
        print(
            textwrap.fill(
                registered.doc.splitlines()[0], width, initial_indent=f"  {registered.name:27} ", subsequent_indent=" " * 30
            )
        )
    print(textwrap.fill(f"Scales: {', '.join(configs.PAPER)}", width, subsequent_indent=" " * 8))


@ex.command
def demo_music(_run: Run, _config: Mapping[str, Any]) -> dict[str, str]:
    """Make and prepare the embedded music, and its labels in groups (tables of path, labels, split): a step of the tables."""
    from datasets.demo.events import KINDS
    from datasets.demo.writer import ANNOTATIONS
    from helpers.data.find import demo_data
    from helpers.paper.label_groups import write_groups

    m = _config["music"]
    found = {"mels": demo_data(m["tracks"])[0]}
    if m["waveform"] is not None:
        found[f"samples-{m['waveform']}"] = demo_data(m["tracks"], m["waveform"])[0]
    groups = write_groups(run_folder(_run, _config["out_dir"]) / "groups", m["tracks"])
    annotations = demo_data(m["tracks"])[1].parent / ANNOTATIONS
    groups |= {kind: annotations / kind for kind in KINDS}
    return {name: str(path.resolve()) for name, path in {**found, **groups}.items()}


@ex.command
def patchout_speed(_config: Mapping[str, Any]) -> dict[str, float]:
    """Time how much faster a network is with patches left out at inference, several amounts in turns: a step of a table."""
    from helpers.paper.patchout_speed import patchout_speed
    from helpers.paper.tables.maest import patchout_updates
    from models.errors import ConfigError

    s = _config["patchout_speed"]
    if s["model"] is None:
        raise ConfigError("patchout_speed.model names the network: a registered model, or a weight file. It is not set.")
    settings = {amount: {k.removeprefix("maest."): v for k, v in patchout_updates(amount).items()} for amount in s["amounts"]}
    found = patchout_speed(s["model"], settings, s["seconds"], s["batch"], s["rounds"])
    print(", ".join(f"{amount}: {ratio:.2f} x" for amount, ratio in found.items()))
    return found


def parse_arguments(argv: Sequence[str]) -> list[str]:
    """Return the command line with `--dry` as the setting that it is. Ends the program where it names two scales: each replaces the other whole."""
    words = [word for word in argv if word != "--dry"]
    scales = [word for word in words if word in configs.PAPER]
    if len(scales) > 1:
        sys.exit(f"Two scales: {', '.join(scales)}. A table has one; name one, or run the table once for each.")
    if "--dry" not in argv:
        return words
    return [*words, *([] if "with" in words else ["with"]), "dry=True", "--unobserved"]  # a plan leaves no run folder


if __name__ == "__main__":
    begin_in_utf8()
    done = ex.run_commandline(parse_arguments(sys.argv))
    if done is not None and isinstance(done.result, Mapping):
        sys.exit(done.result.get("exit_code", 0))
