"""Papers' numbers, each with its source and protocol: data/paper_tables.json, carried whole. What is not there is not printed.

Papers write shares (0.493) or per cent (35.6); what is printed here are shares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models.bounded_files import read_json

FILE = Path(__file__).parent / "data" / "paper_tables.json"
PER_CENT = ("CLMR", "MuQ", "JukeMIR", "Won", "EVAR", "MARBLE")  # papers that write per cent, by how their names begin
CERTAINTY = {
    "verbatim-seed": "as its authors' README has it",
    "verbatim-stored": "as the page or file that is named has it",
    "image-transcribed": "read by eye from an image in its authors' repository",
    "derived": "computed here from its authors' files; not necessarily the digits that the paper prints",
}


@dataclass(frozen=True)
class Citation:
    """Which number of which paper: its first five fields name exactly one cell of the file.

    Args:
        paper: how the paper's name begins.
        row: of the paper's table.
        dataset: as the file has it.
        metric: as the file has it.
        protocol: how it begins.
        clips: of MagnaTagATune, where untagged clips are kept in some papers and removed in others: "kept", "removed" (and how that is known) or
            "unknown"; the number never stands without it.
        unlike: what else of it is not as in the cells that it stands beside.
    """

    paper: str
    row: str
    dataset: str
    metric: str
    protocol: str = ""
    clips: str = ""
    unlike: str = ""


@dataclass(frozen=True)
class CitedScore:
    """A paper's number as it is printed. value: a share. The others: as the file has them."""

    citation: Citation
    value: float
    source: str
    protocol: str
    certainty: str
    note: str

    @property
    def short(self) -> str:
        """Return 'MTT mAP 0.493 (untagged clips removed)'."""
        clips = {"": "", "unknown": " (whether untagged clips are kept is not said)"}.get(
            self.citation.clips, f" (untagged clips {self.citation.clips})"
        )
        unlike = f" ({self.citation.unlike}: not comparable)" if self.citation.unlike else ""
        return f"{self.citation.dataset} {self.citation.metric} {self.value:.3f}{clips}{unlike}"

    @property
    def long(self) -> str:
        """Return everything that is known of it."""
        note = f" {self.note.rstrip('.')}." if self.note else ""
        protocol = f"protocol: {self.protocol}; " if self.protocol else ""
        sure = CERTAINTY.get(self.certainty, self.certainty)
        return f"{self.citation.paper}, {self.citation.row}: {self.short}; {protocol}source: {self.source}; {sure}.{note}"


@cache
def read_entries() -> tuple[Mapping[str, Any], ...]:
    """Return all cells of the file."""
    return tuple(read_json(FILE))


def find_score(citation: Citation) -> CitedScore:
    """Return the number that a citation names. Raises LookupError where there is none, or where there are several."""
    found = [
        one
        for one in read_entries()
        if one["paper"].startswith(citation.paper)
        and (one["row"], one["dataset"], one["metric"]) == (citation.row, citation.dataset, citation.metric)
        and one["protocol"].startswith(citation.protocol)
    ]
    if len({json.dumps(one["value"]) for one in found}) != 1:
        raise LookupError(f"{len(found)} numbers of {FILE.name} are {citation}; wanted one.")
    value = float(found[0]["value"])
    share = value / 100 if citation.paper.startswith(PER_CENT) else value
    known = {key: str(found[0].get(key, "")) for key in ("source", "protocol", "certainty", "note")}
    return CitedScore(citation, share, **known)
