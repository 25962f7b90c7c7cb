"""The registered tables of papers, made at a scale."""

from __future__ import annotations

import ex_paper
from helpers.paper.steps import Keys
from helpers.paper.table import Table, load_tables

TABLES = load_tables()
NAMES = [
    "table_initial_weights", "table_sequence_length", "table_teacher_student", "table_tokens", "figure_blocks", "table_patchout_inference",
    "table_downstream", "table_families", "table_clmr", "table_out_of_domain",
]  # fmt: skip
KEYS = Keys(ex_paper.resolved, ex_paper.ignored)


def made(name: str, scale: str) -> Table:
    return TABLES[name].make(ex_paper.scale_of(ex_paper.resolved("ex_paper.py", [scale], {})))
