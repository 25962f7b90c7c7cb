"""What many tables share: columns, the row of a probe, the scale's main network and data, papers' numbers of published networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..metrics.tasks import get_task, metric_title
from . import recipes as r
from .citations import Quote
from .steps import Ref, Step
from .table import Cell, Row

KEEP_UNTAGGED = ("maest", "marble")  # variants of MagnaTagATune's groundtruth
NO_MAEST_TABLE = "The MAEST paper's numbers of this table: not available (none of its result tables could be read)."
MAIN = ("maest_30s_from_passt_inference", "discogs-maest-30s-pw-129e")
TEACHER_STUDENT = ("maest_30s_from_passt_teacher_student_inference", "discogs-maest-30s-pw-73e-ts")


def main_target(scale: r.Scale) -> Mapping[str, Any] | None:
    """Facts of the data set that a table is about; None: the demo music."""
    return scale["targets"][0] if scale["networks"] == r.PUBLISHED else None


def headline(scale: r.Scale, target: Mapping[str, Any] | None = None) -> Sequence[str]:
    """The two scores of a table's task."""
    target = target or main_target(scale)
    return [metric.name for metric in get_task("multi-label" if target is None else target["task"]).headline]


def score_columns(scale: r.Scale) -> list[str]:
    """Their names."""
    return [metric_title(metric) for metric in headline(scale)]


def main_maest(scale: r.Scale) -> r.Network:
    """The MAEST that most tables are about."""
    return r.published(*MAIN, 30.0) if scale["networks"] == r.PUBLISHED else r.pretrained(scale)


def about(scale: r.Scale) -> str:
    """Which network and block."""
    if scale["networks"] == r.PUBLISHED:
        return f"Network: {MAIN[1]}, block {scale['block']} (0-based) unless said otherwise."
    size = f"{scale['depth']} blocks, {max(scale['lengths']):g} s"
    return f"Network: the demo's MAEST ({size}), block {scale['block']} (0-based) unless said otherwise."


def probe_cells(scale: r.Scale, step: Step, part: str = "", target: Mapping[str, Any] | None = None) -> list[Cell]:
    """The two scores of a probe."""
    return [Cell("probe", step, part, metric) for metric in headline(scale, target)]


def probe_row(
    scale: r.Scale,
    name: str,
    extraction: Step,
    block: int | None = None,
    types: str = "cdt",
    reduce: str = "stack",
    quotes: Sequence[Quote] = (),
    **more: Any,
) -> Row:
    """A row with the two scores of a probe on a block's tokens (block None: the only output)."""
    step = r.probe(
        scale,
        Ref(extraction, "embeddings" if block is None else str(block)),
        types=types,
        reduce=reduce,
        target=main_target(scale),
        **more,
    )
    return Row(name, probe_cells(scale, step), quotes)


_MGPHOT = "MGPHot autotagging benchmark"
_CLMR_ROWS = {
    "linear": "SampleCNN/CLMR 48/10000, linear",
    "mlp": "SampleCNN/CLMR 48/10000, MLP",
    "supervised": "SampleCNN (supervised)",
}


def maest_quotes(scale: r.Scale) -> list[Quote]:
    """What others than the MAEST paper report for a MAEST's embeddings on the scale's data."""
    data = _data(scale)
    if data in ("demo", "mtt"):
        target = main_target(scale)
        kept = target is not None and target["variant"] in KEEP_UNTAGGED
        unlike = "here they are kept, where nothing else is said" if kept else ""
        return [
            Quote(_MGPHOT, "MAEST", "MTT (50 tags)", "mAP (mean of 5 seeds)", clips="removed, to go by the level", unlike=unlike)
        ]
    if data == "mtg_jamendo":
        return [
            Quote(
                _MGPHOT,
                "MAEST",
                "MTG-Jamendo (183 tags)",
                "mAP (mean of 5 seeds)",
                unlike="183 tags together, other labels than here",
            )
        ]
    return []


def clmr_quotes(scale: r.Scale, head: str) -> list[Quote]:
    """What CLMR's authors (or, for other data, JukeMIR's) report. head: linear, mlp or supervised."""
    data = _data(scale)
    if data in ("demo", "mtt"):
        return [Quote("CLMR", _CLMR_ROWS[head], "MTT", metric, clips="unknown") for metric in ("ROC-AUC", "PR-AUC")]
    if data == "msd" and head == "supervised":
        return [Quote("CLMR", _CLMR_ROWS[head], "MSD", "ROC-AUC", unlike="which split is not said")]
    others = {"gtzan": [("GTZAN fault-filtered", "acc")], "giantsteps_key": [("GiantSteps key", "weighted acc")]}
    others["emomusic"] = [("EmoMusic", "R2 arousal"), ("EmoMusic", "R2 valence")]
    if head == "supervised":
        return []
    return [Quote("JukeMIR", "CLMR (contrastive)", dataset, metric) for dataset, metric in others.get(data, [])]


def _data(scale: r.Scale) -> str:
    target = main_target(scale)
    return "demo" if target is None else target["data"]
