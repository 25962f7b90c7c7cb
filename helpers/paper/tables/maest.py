"""The MAEST paper's tables (arXiv 2309.16418, section 4): initial weights, input length, teacher and student, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...metrics.tasks import metric_title
from .. import recipes as r
from ..rows import (
    NO_MAEST_TABLE,
    TEACHER_STUDENT,
    about,
    headline,
    maest_quotes,
    main_maest,
    main_target,
    probe_row,
    score_columns,
)
from ..steps import Estimate, Ref, Step
from ..table import Cell, Claim, Row, Table, table

STARTS = (  # name, the arch whose weights a training begins with (none: random), the published network that came of it
    ("random weights", None, ("maest_10s_random_weights_inference", "discogs-maest-10s-fs-129e")),
    ("DeiT (ImageNet)", "passt_deit_bd_p16_384", ("maest_10s_from_deit_inference", "discogs-maest-10s-dw-75e")),
    ("PaSST (AudioSet)", "passt_s_swa_p16_128_ap476", ("maest_10s_from_passt_inference", "discogs-maest-10s-pw-129e")),
)
PUBLISHED_BLOCK = 7


@table
def table_initial_weights(scale: r.Scale) -> Table:
    """Section 4.2: does a start from DeiT's or PaSST's weights help? Probes on networks that differ in their start."""
    rows, deit = [], "DeiT - random"
    for name, arch, (config, card) in STARTS:
        if scale["networks"] == r.PUBLISHED:
            net = r.published(config, card, 10.0)
            rows.append(
                probe_row(scale, name, r.extracted(scale, net, [PUBLISHED_BLOCK], main_target(scale)), block=PUBLISHED_BLOCK)
            )
        else:
            small = {**scale, "tracks": scale["start_tracks"], "depth": 12}
            rows.append(
                probe_row(small, name, r.extracted(small, _start(small, name, arch), [PUBLISHED_BLOCK]), block=PUBLISHED_BLOCK)
            )
    notes = [NO_MAEST_TABLE]
    if scale["networks"] == r.TRAINED:
        notes.append(
            f"Networks of the published size on {scale['start_tracks']} tracks of the demo music, for a few dozen steps (named config "
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


def _start(scale: r.Scale, name: str, arch: str | None) -> r.Network:
    """A network of the published size, trained for a short while from a start."""
    shape: dict[str, Any] = {"seed": scale["seed"]}
    net = r.Network(f"MAEST from {name}", tuple(scale["start"]), shape, clip=5.0, width=768, depth=12, stride=10)
    weights = {} if arch is None else {"maest.arch": arch, "maest.pretrained": True}
    seconds = r.START + 0.7 * 3 * 192 * net.products / net.rate
    step = Step(
        f"train from {name}, published size", "ex_maest.py", "main", tuple(scale["start"]),
        {**r.demo_data(scale), **shape, **weights}, weights=() if arch is None else (arch,),
        estimate=Estimate(seconds, 2100.0, "192 clips, half of their patches, 3 x 24 G products each, and Adam"),
    )  # fmt: skip
    return replace(net, checkpoint=Ref(step, "checkpoint"))


@table
def table_sequence_length(scale: r.Scale) -> Table:
    """Section 4.3: does longer input help? One network per length, pre-trained on as many clips, probed on all windows of a track."""
    rows = []
    for seconds in scale["lengths"]:
        if scale["networks"] == r.PUBLISHED:
            card = f"discogs-maest-{seconds:g}s-pw-129e"
            net = r.published(f"maest_{seconds:g}s_from_passt_inference", card, seconds)
            step = r.extracted(scale, net, [scale["block"]], main_target(scale))
        else:
            step = r.extracted(scale, r.pretrained(scale, clip=seconds))
        rows.append(probe_row(scale, f"{seconds:g} s", step, block=scale["block"]))
    longest, shortest = rows[-1], rows[0]
    notes = [NO_MAEST_TABLE]
    if scale["networks"] == r.TRAINED:
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
def table_teacher_student(scale: r.Scale) -> Table:
    """Does a student that learns labels and a teacher's logits, with two heads, embed better than its teacher? By token."""
    if scale["networks"] == r.PUBLISHED:
        teacher, student = main_maest(scale), r.published(*TEACHER_STUDENT, 30.0)
        steps = [r.extracted(scale, net, [scale["block"]], main_target(scale)) for net in (teacher, student)]
        between = "student, 73 epochs - teacher, 129 epochs, stacked"
        note = (
            "Same size; the published teacher was pre-trained for 129 epochs, the student, which had its logits besides, for 73."
        )
    else:
        teacher = main_maest(scale)
        student = r.pretrained(
            scale,
            "MAEST student",
            **{
                "maest.distilled_type": "separated",
                "datamodule.teacher_student.do": True,
                "datamodule.teacher_student.teacher_target_base_dir": Ref(r.logits(scale, teacher), "logits"),
            },
        )
        steps = [r.extracted(scale, net) for net in (teacher, student)]
        between, note = (
            "student - teacher, stacked",
            "Teacher and student have the same size and saw as many clips; the student had the teacher's logits besides.",
        )
    rows = []
    for who, step in zip(("teacher", "student"), steps):
        for types, name in (("c", "CLS"), ("d", "DIST"), ("t", "mean of the others"), ("cdt", "all three stacked")):
            rows.append(probe_row(scale, f"{who}, {name}", step, block=scale["block"], types=types))
    return Table(
        "table_teacher_student", "Teacher and student", "MAEST, teacher-student training", score_columns(scale), rows,
        claims=[Claim("The student embeds better than its teacher.", rows[7].cells[0], rows[3].cells[0], between)],
        notes=[NO_MAEST_TABLE, note],
    )  # fmt: skip


TOKENS = (
    ("c", "mean", "CLS"), ("d", "mean", "DIST"), ("t", "mean", "mean of the others"), ("cd", "stack", "CLS, DIST stacked"),
    ("ct", "stack", "CLS, mean stacked"), ("dt", "stack", "DIST, mean stacked"), ("cdt", "stack", "all three stacked"),
    ("cdt", "mean", "all three averaged"),
)  # fmt: skip


@table
def table_tokens(scale: r.Scale) -> Table:
    """Section 4.4: which of a block's tokens to take, alone, stacked or averaged."""
    step = (
        all_blocks(scale)
        if scale["networks"] == r.TRAINED
        else r.extracted(scale, main_maest(scale), [scale["block"]], main_target(scale))
    )
    rows = [probe_row(scale, name, step, block=scale["block"], types=types, reduce=reduce) for types, reduce, name in TOKENS]
    rows[6] = replace(rows[6], quotes=maest_quotes(scale))
    best = rows[6].cells[0]
    return Table(
        "table_tokens", "Tokens", "MAEST, section 4.4", score_columns(scale), rows,
        claims=[
            Claim("The three tokens stacked beat each of them alone.", best, row.cells[0], f"stacked - {row.name}") for row in rows[:3]
        ],
        notes=[NO_MAEST_TABLE, about(scale)],
    )  # fmt: skip


def all_blocks(scale: r.Scale) -> Step:
    """Every block of the main MAEST, which several tables take."""
    return r.extracted(scale, main_maest(scale), None, main_target(scale))


@table
def figure_blocks(scale: r.Scale) -> Table:
    """Which block knows most of a target? Score per block and kind of token, as the paper's figure."""
    sweep = r.probe(
        scale, Ref(all_blocks(scale), "blocks"), target=main_target(scale), command="sweep", title="over blocks and tokens",
        **{"sweep.types": "c,d,t,cdt"},
    )  # fmt: skip
    blocks = list(range(scale["depth"]))
    names = {"c": "CLS", "d": "DIST", "t": "mean of the others", "cdt": "all three stacked"}
    rows = [
        Row(name, [Cell("sweep", sweep, f"{block} {kind}", headline(scale)[0]) for block in blocks])
        for kind, name in names.items()
    ]
    stacked, middle = rows[3].cells, scale["block"]
    claims = [
        Claim(
            "Middle blocks are best.",
            stacked[middle],
            stacked[blocks[-1]],
            f"{names['cdt']}: block {middle} - block {blocks[-1]}, the last",
        ),
        Claim("Middle blocks are best.", stacked[middle], stacked[0], f"{names['cdt']}: block {middle} - block 0, the first"),
    ]
    return Table(
        "figure_blocks", f"Blocks: {metric_title(headline(scale)[0])}", "MAEST, figure of the score by block", [f"block {b}" for b in blocks], rows,
        claims=claims, notes=[NO_MAEST_TABLE, about(scale), f"Block {middle} and the stacked tokens are the scale's, not chosen by these scores."],
        copies=[(sweep, f"sweep.{kind}") for kind in ("html", "png", "svg", "csv")], x_label="block (0-based)",
    )  # fmt: skip


PATCHOUT = ("none", "t2", "t3", "f2", "t2 f2")


def patchout_updates(amount: str) -> Mapping[str, Any]:
    """'t2 f3' -> settings of ex_maest.py: every 2nd column of time and every 3rd row of frequency is kept."""
    words = () if amount == "none" else amount.split()
    return {f"maest.s_patchout_{word[0]}_interleaved": int(word[1:]) for word in words}


def _patchout_name(amount: str) -> str:
    parts = {"t": "columns of time", "f": "rows of frequency"}
    if amount == "none":
        return "all patches"
    return " and ".join(f"1 of {word[1:]} {parts[word[0]]}" for word in amount.split())


@table
def table_patchout_inference(scale: r.Scale) -> Table:
    """Patches left out at inference: what it costs in score, and how much faster the network then is."""
    net = main_maest(scale)
    model = net.checkpoint if net.checkpoint is not None else net.weights[0]
    amounts: Sequence[str] = PATCHOUT
    speed = Step(
        "speed by amounts of patchout, in turns", "ex_paper.py", "patchout_speed", (),
        {"patchout_speed.model": model, "patchout_speed.amounts": list(amounts), "patchout_speed.seconds": net.clip},
        net.weights, estimate=Estimate(r.START + 8 * 4 * 16 * net.products / net.rate, 0.1, "8 rounds of 5 amounts, 16 windows each"),
        alone=True,
    )  # fmt: skip
    rows = []
    for amount in amounts:
        if amount == "none" and scale["networks"] == r.TRAINED:
            step = all_blocks(scale)
        else:
            step = r.extracted(scale, net, [scale["block"]], main_target(scale), **patchout_updates(amount))
        row = probe_row(scale, _patchout_name(amount), step, block=scale["block"])
        rows.append(replace(row, cells=[*row.cells, Cell("number", speed, amount, text=" x")]))
    return Table(
        "table_patchout_inference", "Patchout at inference", "MAEST, inference with patchout", [*score_columns(scale), "speed"], rows,
        claims=[
            Claim("Half of the patches left out at inference cost little.", rows[1].cells[0], rows[0].cells[0], "1 of 2 columns - all", 0.02),
        ],
        notes=[
            NO_MAEST_TABLE,
            "Speed: windows per second beside those with all patches, measured in turns in one process, median of the rounds; embeddings up to the "
            "last block. 'Little' was fixed before as less than 0.02.",
            about(scale),
            *(["The paper's networks were trained with patchout, the demo's was not."] if scale["networks"] == r.TRAINED else []),
        ],
    )  # fmt: skip
