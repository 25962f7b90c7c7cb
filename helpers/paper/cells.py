"""Scores read out of finished steps: mean and spread over probe seeds, the bootstrap's interval over tracks; and claims, tested."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from models.errors import ConfigError

from ..evaluation.few_label import saved_share
from ..metrics.scores import SystemScores, compare
from .engine import Absent, Done, Failed, Outcome
from .records import LOG
from .steps import Step
from .table import Cell, Claim, Table


@dataclass(frozen=True)
class Value:
    """What stands in a cell. scores: None where there is no score per track. why: in place of a number. unit: behind it.

    lacking: where `why` is that files are not on this machine, each of them, and how to come by it.
    """

    mean: float = math.nan
    sd: float = math.nan
    interval: tuple[float, float] | None = None
    scores: SystemScores | None = None
    why: str = ""
    metric: str = ""
    over: int = 0
    done: Done | None = None
    unit: str = ""
    lacking: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """'0.932 ± 0.001 [0.925, 0.938]', or why there is none."""
        if self.why:
            return self.why
        spread = "" if math.isnan(self.sd) else f" ± {self.sd:.3f}"
        interval = "" if self.interval is None else f" [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"
        return f"{self.mean:.2f}{self.unit}" if self.unit else f"{self.mean:.3f}{spread}{interval}"


def read_cell(cell: Cell, outcome: Callable[[Step], Outcome]) -> Value:
    """The cell's value, or why it has none."""
    if cell.step is None:
        return Value(why=cell.text)
    found = outcome(cell.step)
    if isinstance(found, Absent):
        return Value(why=found.text, lacking=found.lacking)
    if isinstance(found, Failed):
        return Value(why=f"failed: see {short_path(found.log)}")
    if not isinstance(found, Done):
        return Value(why="not made yet")
    try:
        return _READERS[cell.read](cell, found)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return Value(why=f"failed: {type(error).__name__}: {error} ({short_path(found.folder / LOG)})", done=found)


def short_path(path: Path) -> str:
    """A path below the working directory without that; others whole."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def _of(scores: SystemScores, cell: Cell, done: Done) -> Value:
    metric = scores.spec.metric(cell.metric)
    interval = scores.interval(metric) if metric.headline else None
    interval = None if interval is None or math.isnan(interval[0]) else interval  # of too few tracks
    return Value(scores.mean(metric), scores.sd(metric), interval, scores, metric=metric.name, over=len(scores.seeds), done=done)


@lru_cache(maxsize=512)
def _saved(folder: Path) -> SystemScores:
    """Scores with their bootstrap, once for all cells that read them: what a step has left does not change.

    Of classes without a score the step's log has warned; a table says below itself how many count, not once per cell.
    """
    return SystemScores.load(folder, warn=False)


@lru_cache(maxsize=64)
def _saved_share(folder: Path, share: str) -> SystemScores:
    return saved_share(folder, share)


def _probe(cell: Cell, done: Done) -> Value:
    return _of(_saved(done.output("results") / cell.part), cell, done)


def _sweep(cell: Cell, done: Done) -> Value:
    return _of(swept(done)[cell.part], cell, done)


def swept(done: Done) -> dict[str, SystemScores]:
    """Every cell of a sweep, by '<block> <tokens>'."""
    found = {}
    cells = (done.output("results").parent / "cells").glob("*/*/scores.json")
    for path in sorted(cells, key=lambda path: path.stat().st_mtime_ns):  # a kill may have left some of older embeddings
        scores = _saved(path.parent)
        found[f"{scores.settings['block']} {scores.settings['types']}"] = scores
    return found


def _few_label(cell: Cell, done: Done) -> Value:
    return _of(_saved_share(done.output("results"), cell.part), cell, done)


def _result(cell: Cell, done: Done) -> Value:
    if not isinstance(done.result, Mapping):
        raise KeyError(cell.part)
    return Value(float(done.result[cell.part]), metric=cell.metric or "", over=1, done=done, unit=cell.text)


_READERS: Mapping[str, Callable[[Cell, Done], Value]] = {
    "probe": _probe, "sweep": _sweep, "few_label": _few_label, "test": _result, "number": _result,
}  # fmt: skip


NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Verdict:
    """What became of a claim on one pair of cells: "held", "did not hold", "undecided at this scale", or NOT_TESTED.

    text: the numbers, or why there are none. lacking: as a cell's.
    """

    claim: Claim
    verdict: str
    text: str
    lacking: tuple[str, ...] = ()


def judge(claim: Claim, outcome: Callable[[Step], Outcome]) -> Verdict:
    """Compare the claim's two cells on the same tracks: the paired bootstrap's 95 % interval of the difference decides."""
    better, worse = (read_cell(cell, outcome) for cell in (claim.better, claim.worse))
    without = [value for value in (better, worse) if value.scores is None]
    if without:
        lacking = dict.fromkeys(one for value in without for one in value.lacking) if without[0].lacking else ()
        return Verdict(claim, NOT_TESTED, without[0].why or "a score without tracks", tuple(lacking))
    assert better.scores is not None
    assert worse.scores is not None
    try:
        found = compare(better.scores, worse.scores, claim.better.metric)
    except ConfigError as error:
        return Verdict(claim, NOT_TESTED, str(error))
    metric = better.scores.spec.metric(found.metric)
    sign = metric.sign
    low, high = sorted(sign * bound for bound in found.interval)
    if low > -claim.margin:
        verdict = "held"
    elif high < -claim.margin:
        verdict = "did not hold"
    else:
        verdict = "undecided at this scale"
    asked = f"; asked for: above {-claim.margin:+.3f}" if claim.margin else ""
    return Verdict(
        claim,
        verdict,
        f"{metric.title} {sign * found.mean:+.3f} (95 % {low:+.3f} to {high:+.3f}, paired over {len(better.scores.keys)} tracks{asked})",
    )


@dataclass(frozen=True)
class Filled:
    """A table with its values, row by row, and its verdicts."""

    table: Table
    values: list[list[Value]]
    verdicts: list[Verdict]

    @property
    def failed(self) -> bool:
        """Whether a cell could not be made although it was tried."""
        return any(value.why.startswith("failed") for row in self.values for value in row)


def fill(table: Table, outcome: Callable[[Step], Outcome]) -> Filled:
    """Read every cell of a table and test its claims."""
    values = [[read_cell(cell, outcome) for cell in row.cells] for row in table.rows]
    return Filled(table, values, [judge(claim, outcome) for claim in table.claims])
