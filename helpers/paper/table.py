"""What a table is: rows of cells, each of which says where its score is read; what is to be tested; and the registry of tables."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .citations import Citation
from .scale import Scale
from .steps import Step


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, or where its score is read.

    Args:
        read: "probe" (what ex_tl.py scored), "sweep", "few_label", "test" (of a trained network), "number" (of a step's result), "cost"
            (what a step took), "cited" (a paper's number), or "text" (why there is none).
        step: that is read.
        part: of "probe" the sub-folder of a system beside the first, of "sweep" block and tokens ("2 c"), of "few_label" the share, of "test" and
            "number" the name in the result, of "cost" one of COSTS.
        metric: of the task; None: its first.
        text: of "text" the cell, of "number" the unit, of "cost" the output of an extraction.
        citation: of "cited" which number.
    """

    read: str
    step: Step | None = None
    part: str = ""
    metric: str | None = None
    text: str = ""
    citation: Citation | None = None


COSTS = ("seconds", "ms per track", "million weights")  # of a step; of an extraction: of the network too


def text_cell(text: str) -> Cell:
    """Return a cell that says why there is no score."""
    return Cell("text", text=text)


def cited_cell(citation: Citation | None, without: str) -> Cell:
    """Return a cell of a paper's own row: its number; without: the text where it has none."""
    return text_cell(without) if citation is None else Cell("cited", citation=citation)


@dataclass(frozen=True)
class Row:
    """A row: its name, a cell per column, and what papers report for the same system."""

    name: str
    cells: Sequence[Cell]
    citations: Sequence[Citation] = ()

    @property
    def of_paper(self) -> bool:
        """Return whether the row is a paper's own: its cells are what the paper reports."""
        return any(cell.read == "cited" for cell in self.cells)


@dataclass(frozen=True)
class Claim:
    """A finding that this table can test: the score of `better` is above that of `worse` by more than -margin, on the same tracks.

    Args:
        text: the finding as its paper has it.
        better: cell of the better score.
        worse: cell of the other.
        between: names of the two, for people: "student - teacher".
        margin: in score units; 0: better must be better.
    """

    text: str
    better: Cell
    worse: Cell
    between: str
    margin: float = 0.0


@dataclass(frozen=True)
class Table:
    """A table before any of it is made.

    Args:
        name: its command.
        title: for people.
        paper: which table or figure of which paper.
        columns: of scores, without the first (the rows' names).
        rows: each with a cell per column.
        claims: findings that are tested.
        notes: what a reader has to know.
        needs: steps beside those of the cells.
        copies: (step, file of its results) that are laid beside the table.
        x_label: of a figure, whose x are the columns and whose lines are the rows.
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
        """Return all steps that are named in it, in the order of the rows."""
        cells = [cell for row in self.rows for cell in row.cells] + [
            c for claim in self.claims for c in (claim.better, claim.worse)
        ]
        return list(dict.fromkeys([*(cell.step for cell in cells if cell.step is not None), *self.needs]))


TableMaker = Callable[[Scale], Table]


@dataclass(frozen=True)
class RegisteredTable:
    """A table by its name: make(scale) -> Table; doc: one line of help."""

    name: str
    make: TableMaker
    doc: str


TABLES: dict[str, RegisteredTable] = {}


def table(function: TableMaker) -> TableMaker:
    """Register a table under its function's name: a module of tables/ with such a function is all that a new table takes."""
    if function.__name__ in TABLES:
        raise ValueError(f"There are two tables '{function.__name__}'.")
    TABLES[function.__name__] = RegisteredTable(function.__name__, function, (function.__doc__ or "").strip())
    return function


def load_tables() -> dict[str, RegisteredTable]:
    """Import every module of tables/, in the order of their names, and return all tables."""
    from . import tables

    for module in sorted(pkgutil.iter_modules(tables.__path__), key=lambda found: found.name):
        importlib.import_module(f"{tables.__name__}.{module.name}")
    return TABLES
