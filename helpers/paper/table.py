"""What a table is: rows of cells, each of which says where its score is read; what is to be tested; and the register of tables."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .citations import Quote
from .steps import Step


@dataclass(frozen=True)
class Cell:
    """A place of a table: its text, or where it is read.

    read: "probe" (what ex_tl.py scored; part: the sub-folder of a system beside the first), "sweep" (part: block and tokens, "2 c"), "few_label"
    (part: the share), "test" (of a trained network; the result's name is the metric), "number" (of a result, under the name `part`), or "text".
    metric: of the task; none: its first.
    """

    read: str
    step: Step | None = None
    part: str = ""
    metric: str | None = None
    text: str = ""


def words(text: str) -> Cell:
    """A cell that says why there is no score."""
    return Cell("text", text=text)


@dataclass(frozen=True)
class Row:
    """A row: its name, a cell per column, and what papers report for the same system."""

    name: str
    cells: Sequence[Cell]
    quotes: Sequence[Quote] = ()


@dataclass(frozen=True)
class Claim:
    """A finding that this table can test: the score of `better` is above that of `worse` by more than -margin, on the same tracks.

    text: the finding as its paper has it. margin: in score units; 0: better must be better.
    """

    text: str
    better: Cell
    worse: Cell
    between: str
    margin: float = 0.0


@dataclass(frozen=True)
class Table:
    """A table before any of it is made.

    paper: which table or figure of which paper. columns: of scores, without the first (the rows' names).
    needs: steps beside those of the cells. copies: (step, file of its results) that are laid beside the table. x_label: of a
    figure, whose x are the columns and whose lines are the rows. notes: what a reader has to know.
    """

    name: str
    title: str
    paper: str
    columns: Sequence[str]
    rows: Sequence[Row]
    claims: Sequence[Claim] = ()
    notes: Sequence[str] = ()
    needs: Sequence[Step] = ()
    copies: Sequence[tuple[Step, str]] = ()
    x_label: str = ""

    @property
    def steps(self) -> list[Step]:
        """All steps that are named in it, in the order of the rows."""
        cells = [cell for row in self.rows for cell in row.cells] + [
            c for claim in self.claims for c in (claim.better, claim.worse)
        ]
        return list(dict.fromkeys([*(cell.step for cell in cells if cell.step is not None), *self.needs]))


Maker = Callable[[Mapping[str, Any]], Table]


@dataclass(frozen=True)
class Registered:
    """A table by its name: make(scale) -> Table; doc: one line of help."""

    name: str
    make: Maker
    doc: str


TABLES: dict[str, Registered] = {}


def table(function: Maker) -> Maker:
    """Register a table under its function's name: a module of tables/ with such a function is all that a new table takes."""
    if function.__name__ in TABLES:
        raise ValueError(f"There are two tables '{function.__name__}'.")
    TABLES[function.__name__] = Registered(function.__name__, function, (function.__doc__ or "").strip())
    return function


def load_tables() -> dict[str, Registered]:
    """All tables: every module of tables/ is imported, in the order of their names."""
    from . import tables

    for module in sorted(pkgutil.iter_modules(tables.__path__), key=lambda found: found.name):
        importlib.import_module(f"{tables.__name__}.{module.name}")
    return TABLES
