"""What a table would take: its steps, which of them are done, and how long the others should run, and how large they get."""

from __future__ import annotations

import re
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from datasets.utils.terminal import Console, Text

from .engine import Done, Engine, Failed, Outcome, Pending, Unavailable
from .records import read_record
from .steps import Step

MAX_RATIO = 3.0  # by how much a step may be longer than another whose time counts for it


@dataclass(frozen=True)
class PlannedStep:
    """A step in a plan. seconds, megabytes: measured where it is done, else estimated. basis: what an estimate follows from."""

    step: Step
    key: str
    outcome: Outcome
    seconds: float
    megabytes: float
    basis: str


def make_plan(engine: Engine, steps: Sequence[Step]) -> list[PlannedStep]:
    """Return the steps and all that they need, inputs first; what no step that is to be made needs is left out.

    Estimates of a kind of step are scaled by what such steps took here, where some are done.
    """
    every = engine.wanted(steps)
    measured = _measured(engine)
    out = []
    for step in every:
        outcome = engine.state(step)
        if isinstance(outcome, Done):
            seconds, large, basis = outcome.seconds, outcome.megabytes, "last try" if outcome.continued else "measured"
        else:
            factor = time_factor(step, measured)
            scaled = "" if factor is None else f", x {factor:.2f} as such steps took here"
            seconds, large = step.estimate.seconds * (factor or 1.0), step.estimate.megabytes
            basis = f"estimated from {step.estimate.basis}{scaled}"
        out.append(PlannedStep(step, engine.keys(step), outcome, seconds, large, basis))
    return out


Measured = dict[
    tuple[str, str], list[tuple[float, float]]
]  # (script, command) -> estimated and measured seconds of each such step


def _measured(engine: Engine) -> Measured:
    """Return the seconds of all finished steps of this folder."""
    found: Measured = {}
    for folder in sorted(engine.root.iterdir()) if engine.root.is_dir() else []:
        done = read_record(folder)
        if done is not None and not done.continued and done.about.get("estimated_seconds"):
            kind = (done.about["script"], done.about["command"])
            found.setdefault(kind, []).append((float(done.about["estimated_seconds"]), done.seconds))
    return found


def time_factor(step: Step, measured: Measured) -> float | None:
    """Return the median of measured by estimated seconds of such steps; None where none was. Much shorter ones (another scale's) do not count."""
    wanted = step.estimate.seconds
    ratios = [took / thought for thought, took in measured.get((step.script, step.command), ()) if MAX_RATIO * thought >= wanted]
    return statistics.median(ratios) if ratios else None


def critical_paths(seconds: Mapping[Step, float], key: Callable[[Step], str]) -> dict[Step, float]:
    """Return, for every step, the seconds from its start until the last of those that wait for it is through, were there cores for all.

    seconds: step -> how long it takes, inputs first; inputs that are not among them are there. key: of engine.keys: one step of each.
    """
    by_key = {key(step): step for step in seconds}
    behind = dict.fromkeys(seconds, 0.0)
    out: dict[Step, float] = {}
    for step in reversed(list(seconds)):
        out[step] = behind[step] + seconds[step]
        for before in step.inputs:
            one = by_key.get(key(before))
            if one is not None:
                behind[one] = max(behind[one], out[step])
    return out


def makespan(seconds: Mapping[Step, float], key: Callable[[Step], str], jobs: int) -> float:
    """Return the seconds until all are through, `jobs` of them side by side: each begins when its inputs and a place are there, the longest
    chain first.
    """
    chains = critical_paths(seconds, key)
    by_key = {key(step): step for step in seconds}
    ends: dict[Step, float] = {}
    lanes = [0.0] * jobs
    waiting = sorted(seconds, key=lambda step: -chains[step])
    while waiting:
        ready = {step: [by_key[key(one)] for one in step.inputs if key(one) in by_key] for step in waiting}
        starts = {
            step: max((ends[one] for one in inputs), default=0.0)
            for step, inputs in ready.items()
            if all(i in ends for i in inputs)
        }
        lane = min(range(jobs), key=lanes.__getitem__)
        first = min(starts, key=lambda step: max(starts[step], lanes[lane]))  # of several the one that most waits for
        ends[first] = lanes[lane] = max(starts[first], lanes[lane]) + seconds[first]
        waiting.remove(first)
    return max(ends.values(), default=0.0)


def format_duration(seconds: float) -> str:
    """Return '45 s', '3 min', '2 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def format_size(megabytes: float) -> str:
    """Return '120 MB', '3.1 GB'."""
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB" if megabytes >= 1 else "< 1 MB"


Makespan = Callable[[Mapping[Step, float]], float]  # step -> seconds of each, to the seconds of all


def print_plan(
    title: str, plan: Sequence[PlannedStep], out_dir: str, makespan_of: Makespan, jobs: int = 1, console: Console | None = None
) -> None:
    """Print every step with its key, its state, time and disk; beneath, what is to do in all, and the disk that is free.

    Args:
        title: above the plan.
        plan: of make_plan.
        out_dir: where free disk is looked for.
        makespan_of: step -> seconds of each, to the seconds of all.
        jobs: number of steps made side by side.
        console: where it is printed; None: the terminal.
    """
    console = console or Console()
    table = Table(
        title=Text(title, style="bold"), title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("step", overflow="fold", min_width=24)
    table.add_column("key", no_wrap=True)
    table.add_column("state", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("disk", justify="right", no_wrap=True)
    states = {Done: "done", Pending: "to do", Failed: "failed", Unavailable: "not available"}
    for one in plan:
        row = [one.step.title, one.key[:8], states[type(one.outcome)], format_duration(one.seconds), format_size(one.megabytes)]
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    todo = [one for one in plan if isinstance(one.outcome, Pending)]
    unavailable = [one for one in plan if isinstance(one.outcome, Unavailable)]
    for line in dict.fromkeys(f"{re.split('[,:]', one.step.title)[0]}: {one.basis}" for one in todo):
        console.print(Text(line, style="dim"), highlight=False)
    for line in dict.fromkeys(text for one in plan if isinstance(one.outcome, Unavailable) for text in one.outcome.missing):
        console.print(Text(f"Not available on this machine: {line}"), highlight=False)
    there = sum(isinstance(one.outcome, Done) for one in plan)
    free = shutil.disk_usage(_existing_folder(out_dir)).free / 1e6
    parts = [f"{len(plan)} steps: {there} done"]
    parts += [f"{len(todo)} to do (about {_describe_sum(todo, makespan_of)})"] if todo else []
    parts += (
        [
            f"{len(unavailable)} not available on this machine (with what they want: about {_describe_sum(unavailable, makespan_of)})"
        ]
        if unavailable
        else []
    )
    console.print(
        f"{', '.join(parts)}; {describe_jobs(jobs)}, by estimates for two slow cores where nothing like it was measured here. "
        f"{format_size(free)} are free below {out_dir}.",
        highlight=False,
        markup=False,
    )


def describe_jobs(jobs: int) -> str:
    """Return '2 steps at a time (jobs=2)'."""
    return f"{jobs} {'step' if jobs == 1 else 'steps'} at a time (jobs={jobs})"


def describe_total(plan: Sequence[PlannedStep], makespan_of: Makespan) -> str:
    """Return time and disk of what is still to be made."""
    return _describe_sum([one for one in plan if isinstance(one.outcome, Pending)], makespan_of)


def _describe_sum(plan: Sequence[PlannedStep], makespan_of: Makespan) -> str:
    return f"{format_duration(makespan_of({one.step: one.seconds for one in plan}))}, {format_size(sum(one.megabytes for one in plan))}"


def _existing_folder(path: str) -> str:
    place = Path(path).resolve()
    while not place.exists():
        place = place.parent
    return str(place)
