"""The demo music's labels in groups: what several probes ask of it, and kinds of music to pre-train on apart.

Tables are csv files of path, labels, split, as datasets/demo writes its own. `demo`: all labels. One table per family of labels (timbre, rhythm,
...). `domain-a` and `domain-b`: the tracks of two lead instruments each, with all labels but the instruments'. `grades`: tempo as a grade of 1 to 3.
`tonics`: the note that each track's melody is built on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from datasets.demo.labels import FAMILIES, SPLITS, TrackPlan, plan_track
from datasets.demo.render import tonic
from datasets.demo.writer import TRACKS, sizes
from datasets.utils.files import atomic

TASKS = ("timbre", "rhythm", "tempo", "mode", "articulation", "dynamics")  # families that table_downstream probes
DOMAINS = {"domain-a": ("organ", "pluck"), "domain-b": ("bell", "strings")}


def write_groups(folder: Path, n_tracks: int | None = None, seed: int = 0) -> dict[str, Path]:
    """Write the tables into `folder` and return name -> path. Needs no audio: what a track is follows from its number."""
    plans = [plan_track(seed, split, i) for split, n in sizes(n_tracks or TRACKS).items() for i in range(n)]
    found = {"demo": _table(folder / "demo.csv", plans, None)}
    for family in TASKS:
        found[family] = _table(folder / f"{family}.csv", plans, set(FAMILIES[family]))
    others = {label for family, labels in FAMILIES.items() if family != "timbre" for label in labels}
    for name, instruments in DOMAINS.items():
        own = [plan for plan in plans if plan.values["timbre"] in instruments]
        found[name] = _table(folder / f"{name}.csv", own, others)
    found["grades"] = _values(
        folder / "grades.csv", plans, "grade", lambda plan: 1 + FAMILIES["tempo"].index(plan.values["tempo"])
    )
    found["tonics"] = _values(folder / "tonics.csv", plans, "label", lambda plan: tonic(plan))
    return found


def _values(path: Path, plans: list[TrackPlan], column: str, value: Callable[[TrackPlan], int | str]) -> Path:
    """Write a table of one value per track."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", column, "split"))
    for plan in sorted(plans, key=lambda plan: (SPLITS.index(plan.split), plan.index)):
        rows.writerow((plan.name, value(plan), plan.split))
    with atomic(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
    return path


def _table(path: Path, plans: list[TrackPlan], labels: set[str] | None) -> Path:
    """Write a table of tracks. labels: those that count; None: all."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "labels", "split"))
    for plan in sorted(plans, key=lambda plan: (SPLITS.index(plan.split), plan.index)):
        rows.writerow((plan.name, "|".join(label for label in plan.labels if labels is None or label in labels), plan.split))
    with atomic(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
    return path
