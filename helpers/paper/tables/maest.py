"""The MAEST paper's tables (arXiv 2309.16418, section 4): initial weights, input length, teacher and student, tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...metrics.tasks import metric_title
from ..families import maest
from ..recipes import START, ProbeSettings, demo_data, probe
from ..rows import headline, probe_row, score_columns
from ..scale import Scale
from ..steps import Estimate, Ref, Step
from ..table import Cell, Claim, Row, Table, table

STARTS = (  # name, the arch whose weights a training begins with (none: random), the published network that came of it
    ("random weights", None, ("maest_10s_random_weights_inference", "discogs-maest-10s-fs-129e")),
    ("DeiT (ImageNet)", "passt_deit_bd_p16_384", ("maest_10s_from_deit_inference", "discogs-maest-10s-dw-75e")),
    ("PaSST (AudioSet)", "passt_s_swa_p16_128_ap476", ("maest_10s_from_passt_inference", "discogs-maest-10s-pw-129e")),
)
PUBLISHED_BLOCK = 7
TEACHER_STUDENT = ("maest_30s_from_passt_teacher_student_inference", "discogs-maest-30s-pw-73e-ts")


@table
def table_initial_weights(scale: Scale) -> Table:
    """Section 4.2: does a start from DeiT's or PaSST's weights help? Probes on networks that differ in their start."""
    rows, deit = [], "DeiT - random"
    for name, arch, (config, card) in STARTS:
        if scale.published:
            own, net = scale, maest.published(config, card, 10.0)
        else:
            own = replace(scale, tracks=scale.start_tracks, depth=12)
            net = _trained_from(own, name, arch)
        step = maest.extracted(own, net, [PUBLISHED_BLOCK], own.target)
        rows.append(probe_row(own, name, Ref(step, str(PUBLISHED_BLOCK))))
    notes = [maest.NO_TABLE]
    if not scale.published:
        notes.append(
            f"Networks of the published size on {scale.start_tracks} tracks of the demo music, for a few dozen steps (named config "
            "paper_start of ex_maest.py): far less than a start needs to show itself in full. A row whose weights are not on this machine is not "
            "made with others."
        )
    else:
        deit = "DeiT, 75 epochs - random, 129 epochs"
        notes.append(
            "The published network that began with DeiT's weights was pre-trained for 75 epochs, the others for 129: it differs in both."
        )
    return Table(
        "table_initial_weights", "Initial weights", "MAEST, section 4.2", score_columns(scale), rows,
        claims=[
            Claim("A start from AudioSet's weights beats one from random weights.", rows[2].cells[0], rows[0].cells[0], "PaSST - random"),
            Claim("A start from ImageNet's weights beats one from random weights.", rows[1].cells[0], rows[0].cells[0], deit),
        ],
        notes=notes,
    )  # fmt: skip


def _trained_from(scale: Scale, name: str, arch: str | None) -> maest.Network:
    """Return a network of the published size, trained for a short while from a start."""
    shape: dict[str, Any] = {"seed": scale.seed}
    named = tuple(scale.named_configs["start"])
    net = maest.Network(f"MAEST from {name}", named, shape, clip=5.0, width=768, depth=12, stride=10)
    weights = {} if arch is None else {"maest.arch": arch, "maest.pretrained": True}
    seconds = START + 0.7 * 3 * 192 * net.products / net.rate
    step = Step(
        f"train from {name}, published size", "ex_maest.py", "main", named,
        {**demo_data(scale), **shape, **weights}, weights=() if arch is None else (arch,),
        estimate=Estimate(seconds, 2100.0, "192 clips, half of their patches, 3 x 24 G products each, and Adam"),
    )  # fmt: skip
    return replace(net, checkpoint=Ref(step, "checkpoint"))


def _block(scale: Scale, extraction: Step) -> Ref:
    """Return the block of an extraction that the scale's tables probe."""
    return Ref(extraction, str(scale.block))


@table
def table_sequence_length(scale: Scale) -> Table:
    """Section 4.3: does longer input help? One network per length, pre-trained on as many clips, probed on all windows of a track."""
    rows = []
    for seconds in scale.lengths:
        if scale.published:
            card = f"discogs-maest-{seconds:g}s-pw-129e"
            net = maest.published(f"maest_{seconds:g}s_from_passt_inference", card, seconds)
            step = maest.extracted(scale, net, [scale.block], scale.target)
        else:
            step = maest.extracted(scale, maest.pretrained(scale, clip=seconds))
        rows.append(probe_row(scale, f"{seconds:g} s", _block(scale, step)))
    longest, shortest = rows[-1], rows[0]
    notes = [maest.NO_TABLE]
    if not scale.published:
        notes.append(
            "The paper has 5, 10, 20 and 30 s of 30 s tracks and more; the demo's tracks are 6.5 to 9 s long, so that lengths here are its analogue. "
            "All networks saw as many clips: a longer clip is also more sound. A track's vector is the mean over its windows: all lengths "
            "are judged on whole tracks."
        )
    return Table(
        "table_sequence_length", "Input length", "MAEST, section 4.3", score_columns(scale), rows,
        claims=[Claim("Longer input helps.", longest.cells[0], shortest.cells[0], f"{longest.name} - {shortest.name}")], notes=notes,
    )  # fmt: skip


@table
def table_teacher_student(scale: Scale) -> Table:
    """Does a student that learns labels and a teacher's logits, with two heads, embed better than its teacher? By token."""
    if scale.published:
        teacher, student = maest.main_network(scale), maest.published(*TEACHER_STUDENT, 30.0)
        steps = [maest.extracted(scale, net, [scale.block], scale.target) for net in (teacher, student)]
        between = "student, 73 epochs - teacher, 129 epochs, stacked"
        note = (
            "Same size; the published teacher was pre-trained for 129 epochs, the student, which had its logits besides, for 73."
        )
    else:
        teacher = maest.main_network(scale)
        distilled: dict[str, Any] = {
            "maest.distilled_type": "separated",
            "datamodule.teacher_student.do": True,
            "datamodule.teacher_student.teacher_target_base_dir": Ref(maest.logits(scale, teacher), "logits"),
        }
        student = maest.pretrained(scale, "MAEST student", **distilled)
        steps = [maest.extracted(scale, net) for net in (teacher, student)]
        between = "student - teacher, stacked"
        note = "Teacher and student have the same size and saw as many clips; the student had the teacher's logits besides."
    rows = []
    for who, step in zip(("teacher", "student"), steps):
        for types, name in (("c", "CLS"), ("d", "DIST"), ("t", "mean of the others"), ("cdt", "all three stacked")):
            rows.append(probe_row(scale, f"{who}, {name}", _block(scale, step), ProbeSettings(types)))
    return Table(
        "table_teacher_student", "Teacher and student", "MAEST, teacher-student training", score_columns(scale), rows,
        claims=[Claim("The student embeds better than its teacher.", rows[7].cells[0], rows[3].cells[0], between)],
        notes=[maest.NO_TABLE, note],
    )  # fmt: skip


TOKENS = (
    ("c", "mean", "CLS"), ("d", "mean", "DIST"), ("t", "mean", "mean of the others"), ("cd", "stack", "CLS, DIST stacked"),
    ("ct", "stack", "CLS, mean stacked"), ("dt", "stack", "DIST, mean stacked"), ("cdt", "stack", "all three stacked"),
    ("cdt", "mean", "all three averaged"),
)  # fmt: skip


@table
def table_tokens(scale: Scale) -> Table:
    """Section 4.4: which of a block's tokens to take, alone, stacked or averaged."""
    net = maest.main_network(scale)
    step = maest.extracted(scale, net, [scale.block], scale.target) if scale.published else _all_blocks(scale)
    rows = [probe_row(scale, name, _block(scale, step), ProbeSettings(types, reduce)) for types, reduce, name in TOKENS]
    rows[6] = replace(rows[6], citations=maest.cited(scale))
    best = rows[6].cells[0]
    return Table(
        "table_tokens", "Tokens", "MAEST, section 4.4", score_columns(scale), rows,
        claims=[
            Claim("The three tokens stacked beat each of them alone.", best, row.cells[0], f"stacked - {row.name}") for row in rows[:3]
        ],
        notes=[maest.NO_TABLE, maest.describe_main(scale)],
    )  # fmt: skip


def _all_blocks(scale: Scale) -> Step:
    """Return the extraction of every block of the main MAEST, which several tables take."""
    return maest.extracted(scale, maest.main_network(scale), None, scale.target)


@table
def figure_blocks(scale: Scale) -> Table:
    """Which block knows most of a target? Score per block and kind of token, as the paper's figure."""
    swept = ProbeSettings(command="sweep", title="over blocks and tokens", updates={"sweep.types": "c,d,t,cdt"})
    sweep = probe(scale, Ref(_all_blocks(scale), "blocks"), swept, scale.target)
    blocks = list(range(scale.depth))
    names = {"c": "CLS", "d": "DIST", "t": "mean of the others", "cdt": "all three stacked"}
    rows = [
        Row(name, [Cell("sweep", sweep, f"{block} {kind}", headline(scale)[0]) for block in blocks])
        for kind, name in names.items()
    ]
    stacked, middle = rows[3].cells, scale.block
    claims = [
        Claim(
            "Middle blocks are best.", stacked[middle], stacked[one], f"{names['cdt']}: block {middle} - block {one}, the {place}"
        )
        for one, place in ((blocks[-1], "last"), (0, "first"))
    ]
    return Table(
        "figure_blocks", f"Blocks: {metric_title(headline(scale)[0])}", "MAEST, figure of the score by block", [f"block {b}" for b in blocks], rows,
        claims=claims, x_label="block (0-based)", copies=[(sweep, f"sweep.{kind}") for kind in ("html", "png", "svg", "csv")],
        notes=[
            maest.NO_TABLE, maest.describe_main(scale),
            f"Block {middle} and the stacked tokens are the scale's, not chosen by these scores.",
        ],
    )  # fmt: skip


PATCHOUT = ("none", "t2", "t3", "f2", "t2 f2")


def patchout_updates(amount: str) -> Mapping[str, Any]:
    """Return the settings of ex_maest.py: of 't2 f3' those that keep every 2nd column of time and every 3rd row of frequency."""
    parts = () if amount == "none" else amount.split()
    return {f"maest.s_patchout_{part[0]}_interleaved": int(part[1:]) for part in parts}


def _patchout_name(amount: str) -> str:
    parts = {"t": "columns of time", "f": "rows of frequency"}
    if amount == "none":
        return "all patches"
    return " and ".join(f"1 of {word[1:]} {parts[word[0]]}" for word in amount.split())


@table
def table_patchout_inference(scale: Scale) -> Table:
    """Patches left out at inference: what it costs in score, and how much faster the network then is."""
    net = maest.main_network(scale)
    model = net.checkpoint if net.checkpoint is not None else net.weights[0]
    speed_estimate = Estimate(START + 8 * 4 * 16 * net.products / net.rate, 0.1, "8 rounds of 5 amounts, 16 windows each")
    speed = Step(
        "speed by amounts of patchout, in turns", "ex_paper.py", "patchout_speed", (),
        {"patchout_speed.model": model, "patchout_speed.amounts": list(PATCHOUT), "patchout_speed.seconds": net.clip},
        net.weights, estimate=speed_estimate, exclusive=True,
    )  # fmt: skip
    rows = []
    for amount in PATCHOUT:
        if amount == "none" and not scale.published:
            step = _all_blocks(scale)
        else:
            step = maest.extracted(scale, net, [scale.block], scale.target, **patchout_updates(amount))
        row = probe_row(scale, _patchout_name(amount), _block(scale, step))
        rows.append(replace(row, cells=[*row.cells, Cell("number", speed, amount, text=" x")]))
    return Table(
        "table_patchout_inference", "Patchout at inference", "MAEST, inference with patchout", [*score_columns(scale), "speed"], rows,
        claims=[
            Claim("Half of the patches left out at inference cost little.", rows[1].cells[0], rows[0].cells[0], "1 of 2 columns - all", 0.02),
        ],
        notes=[
            maest.NO_TABLE,
            "Speed: windows per second beside those with all patches, measured in turns in one process, median of the rounds; embeddings up to the "
            "last block. 'Little' was fixed before as less than 0.02.",
            maest.describe_main(scale),
            *(["The paper's networks were trained with patchout, the demo's was not."] if not scale.published else []),
        ],
    )  # fmt: skip
