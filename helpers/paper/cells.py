"""Scores read out of finished steps: mean and spread over probe seeds, the interval; and claims, tested."""

from __future__ import annotations

import math
import statistics
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from models.errors import ConfigError

from ..evaluation.few_label import saved_share
from ..extraction.made_of import read_made_of
from ..metrics.differences import Difference, as_one, compare
from ..metrics.intervals import holm
from ..metrics.metric import Metric
from ..metrics.scores import SystemScores
from .citations import CitedScore, find_score
from .engine import Done, Failed, Outcome, Unavailable
from .records import LOG
from .steps import Step
from .table import COSTS, Cell, Claim, Table

NOT_SAID, TAKEN_UP = "not known", "not known: in parts"


@dataclass(frozen=True)
class CellValue:
    """What stands in a cell.

    Args:
        mean: over seeds.
        sd: over seeds.
        interval: of 95 %.
        scores: per track; None where there are none.
        reason: why there is no number.
        metric: its name.
        over: number of results that the mean is over.
        done: the step that it was read from.
        unit: behind it.
        cited: a paper's number that stands in place of one that was made.
        missing: where `reason` is that files are not on this machine, each of them, and how to come by it.
    """

    mean: float = math.nan
    sd: float = math.nan
    interval: tuple[float, float] | None = None
    scores: SystemScores | None = None
    reason: str = ""
    metric: str = ""
    over: int = 0
    done: Done | None = None
    unit: str = ""
    missing: tuple[str, ...] = ()
    cited: CitedScore | None = None

    @property
    def text(self) -> str:
        """Return '0.932 ± 0.001 [0.925, 0.938]', a paper's number as it has it, or why there is none."""
        if self.reason:
            return self.reason
        if self.cited is not None:
            return f"{self.cited.value:g}"
        spread = "" if math.isnan(self.sd) else f" ± {self.sd:.3f}"
        interval = "" if self.interval is None else f" [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"
        return _amount(self.mean) + self.unit if self.unit else f"{self.mean:.3f}{spread}{interval}"


def _amount(x: float) -> str:
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def read_cell(cell: Cell, outcome: Callable[[Step], Outcome]) -> CellValue:
    """Read a cell's value, or why it has none."""
    if cell.citation is not None:
        return CellValue(cited=find_score(cell.citation))
    if cell.step is None:
        return CellValue(reason=cell.text)
    found = outcome(cell.step)
    if isinstance(found, Unavailable):
        return CellValue(reason=found.text, missing=found.missing)
    if isinstance(found, Failed):
        return CellValue(reason=f"failed: see {short_path(found.log)}")
    if not isinstance(found, Done):
        return CellValue(reason="not made yet")
    try:
        return _READERS[cell.read](cell, found)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return CellValue(reason=f"failed: {type(error).__name__}: {error} ({short_path(found.folder / LOG)})", done=found)


def short_path(path: Path) -> str:
    """Return a path without the working directory, where it is below that."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def read_cells(cells: Sequence[Cell], outcome: Callable[[Step], Outcome]) -> CellValue:
    """Read a cell of as many networks as were pre-trained, as one value: the mean over them. Cells that are all the same are of none of them."""
    values = [read_cell(cell, outcome) for cell in dict.fromkeys(cells)]
    if len(values) == 1:
        return values[0]
    if absent := [value for value in values if value.reason]:
        return absent[0]
    done = values[0].done
    assert done is not None
    scores = [value.scores for value in values if value.scores is not None]
    if len(scores) == len(values):
        return _of(as_one(scores, "network"), cells[0], done)
    means = [value.mean for value in values]
    return replace(values[0], mean=statistics.mean(means), sd=statistics.stdev(means), over=len(values))


def _of(scores: SystemScores, cell: Cell, done: Done) -> CellValue:
    metric = scores.spec.metric(cell.metric)
    interval = scores.interval(metric) if metric.headline else None
    interval = None if interval is None or math.isnan(interval[0]) else interval  # of too few tracks
    return CellValue(
        scores.mean(metric), scores.sd(metric), interval, scores, metric=metric.name, over=len(scores.seeds), done=done
    )


@lru_cache(maxsize=512)
def _saved(folder: Path) -> SystemScores:
    """Read scores with their scores on parts of the tracks, once for all cells that read them: what a step has left does not change.

    Of classes without a score the step's log has warned; a table says below itself how many count, not once per cell.
    """
    return SystemScores.load(folder, warn=False)


@lru_cache(maxsize=64)
def _saved_share(folder: Path, share: str) -> SystemScores:
    return saved_share(folder, share)


def _probe(cell: Cell, done: Done) -> CellValue:
    return _of(_saved(done.output("results") / cell.part), cell, done)


def _sweep(cell: Cell, done: Done) -> CellValue:
    return _of(swept(done)[cell.part], cell, done)


def swept(done: Done) -> dict[str, SystemScores]:
    """Read every cell of a sweep, by '<block> <tokens>'."""
    found = {}
    cells = (done.output("results").parent / "cells").glob("*/*/scores.json")
    for path in sorted(cells, key=lambda path: path.stat().st_mtime_ns):  # a kill may have left some of older embeddings
        scores = _saved(path.parent)
        found[f"{scores.settings['block']} {scores.settings['types']}"] = scores
    return found


def _few_label(cell: Cell, done: Done) -> CellValue:
    return _of(_saved_share(done.output("results"), cell.part), cell, done)


def _result(cell: Cell, done: Done) -> CellValue:
    if not isinstance(done.result, Mapping):
        raise KeyError(cell.part)
    return CellValue(float(done.result[cell.part]), metric=cell.metric or "", over=1, done=done, unit=cell.text)


def _cost(cell: Cell, done: Done) -> CellValue:
    """What a step took. Of one that was ended and taken up again it is known of the last try alone, and not shown."""
    if cell.part == COSTS[0]:
        return (
            CellValue(reason=TAKEN_UP)
            if done.continued
            else CellValue(done.seconds, metric=cell.read, over=1, done=done, unit=" s")
        )
    found = read_made_of(done.output(cell.text))
    amounts = {} if found is None else {COSTS[1]: (found.seconds, 1e3, " ms"), COSTS[2]: (found.parameters, 1e-6, " M")}
    amount, factor, unit = amounts.get(cell.part, (None, 1.0, ""))
    if amount is None:
        return CellValue(reason=NOT_SAID)
    return CellValue(amount * factor, metric=cell.read, over=1, done=done, unit=unit)


_READERS: Mapping[str, Callable[[Cell, Done], CellValue]] = {
    "probe": _probe, "sweep": _sweep, "few_label": _few_label, "test": _result, "number": _result,
    "cost": _cost,
}  # fmt: skip


NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Verdict:
    """How a claim was decided on one pair of cells: "held", "did not hold", "undecided at this scale", or NOT_TESTED.

    text: the numbers, or why there are none. missing: as a cell's. networks: how many pre-trainings of each side it is over.
    """

    claim: Claim
    verdict: str
    text: str
    missing: tuple[str, ...] = ()
    networks: int = 1

    @property
    def scope(self) -> str:
        """Return what it speaks of."""
        return "on this one network" if self.networks == 1 else f"over {self.networks} pre-trained networks"


@dataclass(frozen=True)
class _Tested:
    """A claim's difference, better minus worse, whatever direction is better."""

    metric: Metric
    found: Difference
    n_tracks: int
    networks: int


def check_claims(claims: Sequence[Sequence[Claim]], outcome: Callable[[Step], Outcome]) -> list[Verdict]:
    """Compare the two cells of each claim on the same tracks. Of all claims of a table together, a false one is found in 5 % at most (Holm).

    claims: of each claim the same one of every network that was pre-trained.
    """
    tested = [_difference(each, outcome) for each in claims]
    known = [(i, one) for i, one in enumerate(tested) if isinstance(one, _Tested)]
    sure = holm([one.found.p_value(-one.metric.sign * claims[i][0].margin) for i, one in known])
    verdicts: dict[int, Verdict] = {i: one for i, one in enumerate(tested) if isinstance(one, Verdict)}
    for (i, one), decided in zip(known, sure):
        verdicts[i] = _verdict(claims[i][0], one, decided)
    return [verdicts[i] for i in range(len(claims))]


def _difference(claims: Sequence[Claim], outcome: Callable[[Step], Outcome]) -> _Tested | Verdict:
    claim = claims[0]
    better, worse = (read_cells(cells, outcome) for cells in ([one.better for one in claims], [one.worse for one in claims]))
    without = [value for value in (better, worse) if value.scores is None]
    if without:
        missing = dict.fromkeys(one for value in without for one in value.missing) if without[0].missing else ()
        return Verdict(claim, NOT_TESTED, without[0].reason or "a score without tracks", tuple(missing))
    assert better.scores is not None
    assert worse.scores is not None
    try:
        found = compare(better.scores, worse.scores, claim.better.metric)
    except ConfigError as error:
        return Verdict(claim, NOT_TESTED, str(error))
    if found.known is None:
        return Verdict(claim, NOT_TESTED, found.why)
    networks = max(len(set(one.scores.factors.get("network", [0]))) for one in (better, worse) if one.scores is not None)
    return _Tested(better.scores.spec.metric(found.metric), found, len(better.scores.keys), networks)


def _verdict(claim: Claim, tested: _Tested, sure: bool) -> Verdict:
    sign = tested.metric.sign
    mean, (low, high) = sign * tested.found.mean, sorted(sign * bound for bound in tested.found.interval)
    verdict = "undecided at this scale" if not sure else "held" if mean > -claim.margin else "did not hold"
    asked = f"; asked for: above {-claim.margin:+.3f}" if claim.margin else ""
    text = f"{tested.metric.title} {mean:+.3f} (95 % {low:+.3f} to {high:+.3f}, paired over {tested.n_tracks} tracks{asked})"
    return Verdict(claim, verdict, text, networks=tested.networks)


@dataclass(frozen=True)
class FilledTable:
    """A table with its values, row by row, and its verdicts. networks: how many times everything was pre-trained."""

    table: Table
    values: list[list[CellValue]]
    verdicts: list[Verdict]
    networks: int = 1

    @property
    def failed(self) -> bool:
        """Return whether a cell could not be made although it was tried."""
        return any(value.reason.startswith("failed") for row in self.values for value in row)


def fill_table(tables: Sequence[Table], outcome: Callable[[Step], Outcome]) -> FilledTable:
    """Read every cell of a table and test its claims. tables: the same table of every network that is pre-trained."""
    values = [
        [read_cells(cells, outcome) for cells in zip(*(row.cells for row in rows))] for rows in zip(*(one.rows for one in tables))
    ]
    verdicts = check_claims(list(zip(*(one.claims for one in tables))), outcome)
    return FilledTable(tables[0], values, verdicts, len(tables))
