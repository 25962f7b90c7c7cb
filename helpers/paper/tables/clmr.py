"""CLMR's tables (arXiv 2103.09410): heads, supervised baseline, few labels; and pre-training on other music than is probed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...evaluation.comparison import MEL_STATISTICS
from .. import recipes as r
from ..citations import Quote
from ..rows import clmr_quotes, headline, main_target, probe_cells, score_columns
from ..steps import Outside, Ref, Step
from ..table import Cell, Claim, Row, Table, table, words

TAGS_ONLY = "not available: CLMR's supervised baseline is run on tags here"


@table
def table_clmr(scale: r.Scale) -> Table:
    """CLMR: linear and one-hidden-layer heads, untrained, supervised, and the score by the share of labels."""
    target, published = main_target(scale), scale["networks"] == r.PUBLISHED
    checkpoint = None if published else Ref(r.clmr_pretrained(scale), "checkpoint")
    trained = Ref(r.clmr_extracted(scale, checkpoint, target, pretrained=published), "embeddings")
    random = Ref(r.clmr_extracted(scale, None, target), "embeddings")
    linear, mlp = scale["linear"], scale["mlp"]

    def probed(name: str, embeddings: Ref, protocol: Sequence[str], head: str = "", **more: Any) -> Row:
        step = r.probe(scale, embeddings, types="t", reduce="mean", target=target, named=protocol, title=name, **more)
        return Row(name, probe_cells(scale, step), clmr_quotes(scale, head) if head else ())

    rows = [
        probed("CLMR, linear head", trained, linear, "linear"),
        probed("CLMR, one hidden layer", trained, mlp, "mlp"),
        probed("untrained, linear head", random, linear),
        probed("untrained, one hidden layer", random, mlp),
        probed("CLMR, linear head, inputs z-scored", trained, linear, **{"data.standardise": True}),
        probed("untrained, linear head, inputs z-scored", random, linear, **{"data.standardise": True}),
        Row("SampleCNN, trained on labels", _supervised(scale, target), clmr_quotes(scale, "supervised")),
    ]
    few, few_random = (_few_labels(scale, target, *of) for of in (("CLMR", trained), ("untrained", random)))
    claims = [
        Claim(
            "Contrastive pre-training helps where labels are few.",
            one.cells[0],
            other.cells[0],
            f"CLMR - untrained, {100 * share:g} %",
        )
        for share, one, other in zip(scale["shares"], few, few_random)
        if share < 1
    ]
    rows += few + few_random
    return Table(
        "table_clmr", "CLMR", "CLMR: linear evaluation, supervised baseline, label efficiency", score_columns(scale), rows,
        claims=[
            Claim("Contrastive pre-training helps.", rows[0].cells[0], rows[2].cells[0], "CLMR - untrained, linear heads"),
            Claim("Contrastive pre-training helps.", rows[4].cells[0], rows[5].cells[0], "the same, inputs z-scored"),
            Claim("A hidden layer beats a linear head.", rows[1].cells[0], rows[0].cells[0], "CLMR: one hidden layer - linear"),
            *claims,
        ],
        notes=[
            "Heads as CLMR trains them, on the vectors as they are; z-scored inputs stand beside, because they help an untrained network most.",
            "Shares of the labels: a linear head on several random draws of the training tracks; mean ± sd over draws and seeds together, the same "
            "draws for both networks.",
            "The supervised network was trained once, and its score is kept without those of its tracks: it has neither spread nor interval, and "
            "whether a frozen encoder comes near it is not tested.",
        ],
    )  # fmt: skip


def _supervised(scale: r.Scale, target: Mapping[str, Any] | None) -> list[Cell]:
    if target is not None and target["task"] != "multi-label":
        return [words(TAGS_ONLY) for _ in headline(scale)]
    if target is None:
        test = r.clmr_supervised(scale)[1]
    else:
        data: dict[str, Any] = {"datamodule.base_dir": r.waveform_store(target), "seed": scale["seed"]}
        for part in ("train", "val", "test"):
            data[f"datamodule.groundtruth_{part}"] = Outside(f"{target['metadata_dir']}groundtruth-{part}.csv", target["cure"])
        train = Step("train SampleCNN on labels", "ex_ssl.py", "main", tuple(scale["supervised"]), data, estimate=_long(target))
        test = Step(
            "test SampleCNN", "ex_ssl.py", "test", tuple(scale["supervised"]), {**data, "ckpt_path": Ref(train, "checkpoint")}
        )
    return [Cell("test", test, f"test_track_{kind}", f"macro_{kind}") for kind in ("roc", "ap")]


def _long(target: Mapping[str, Any]) -> Any:
    from ..steps import Estimate

    return Estimate(
        200 * target["tracks"] * 0.7 / 20.0, 100.0, "200 epochs of the training tracks at 20 clips/s of the published size"
    )


def _few_labels(scale: r.Scale, target: Mapping[str, Any] | None, who: str, embeddings: Ref) -> list[Row]:
    if target is not None and target["task"] != "multi-label":
        return []
    shares = {"few_label.shares": list(scale["shares"]), "few_label.draws": scale["draws"]}
    step = r.probe(
        scale,
        embeddings,
        types="t",
        reduce="mean",
        target=target,
        named=scale["linear"],
        command="few_label",
        title=f"of {who}",
        **shares,
    )
    rows = []
    for share in scale["shares"]:
        quotes = []
        if who == "CLMR" and share == 0.01 and (target is None or target["data"] == "mtt"):
            quotes = [Quote("CLMR", "CLMR, 1% of labels (259 songs)", "MTT", "PR-AUC", clips="unknown")]
        cells = [Cell("few_label", step, f"{share:g}", metric) for metric in headline(scale)]
        rows.append(Row(f"{who}, {100 * share:g} % of the labels", cells, quotes))
    return rows


DOMAINS = {"domain-a": "the other music", "domain-b": "the same music"}


@table
def table_out_of_domain(scale: r.Scale) -> Table:
    """Pre-trained on one kind of music, probed on another; beside pre-training on the same kind, and none."""
    if scale["networks"] == r.PUBLISHED:
        return _published_out_of_domain(scale)
    rows = []
    for domain, name in DOMAINS.items():
        net = r.pretrained(scale, table=domain)
        step = r.probe(scale, Ref(r.extracted(scale, net), str(scale["block"])), table="domain-b", title=f"MAEST of {domain}")
        rows.append(Row(f"MAEST, {name}", probe_cells(scale, step)))
    for domain, name in DOMAINS.items():
        clmr = r.clmr_extracted(scale, Ref(r.clmr_pretrained(scale, domain), "checkpoint"))
        step = r.probe(scale, Ref(clmr, "embeddings"), types="t", reduce="mean", table="domain-b", title=f"CLMR of {domain}")
        rows.append(Row(f"CLMR, {name}", probe_cells(scale, step)))
    random = r.extracted(scale, r.untrained(scale))
    mels = {"data.mel_dir": r.mel_store(scale)}
    step = r.probe(scale, Ref(random, str(scale["block"])), table="domain-b", title="untrained MAEST, mel statistics", **mels)
    rows.append(Row("untrained MAEST", probe_cells(scale, step)))
    rows.append(Row("mel statistics, logistic regression", probe_cells(scale, step, r.result_folder(MEL_STATISTICS))))
    claims = [
        Claim("Pre-training on other music helps.", rows[0].cells[0], rows[4].cells[0], "MAEST of the other music - untrained"),
        Claim("It costs little beside the same music.", rows[0].cells[0], rows[1].cells[0], "MAEST: other - same music", 0.02),
        Claim("It costs little beside the same music.", rows[2].cells[0], rows[3].cells[0], "CLMR: other - same music", 0.02),
    ]
    return Table(
        "table_out_of_domain", "Out of domain", "CLMR, out-of-domain transfer", score_columns(scale), rows, claims=claims,
        notes=[
            "Two halves of the demo music: led by organ or pluck (the other music), led by bell or strings (the same music, which is probed). "
            "Networks saw as many clips of either. The probe's labels, and MAEST's, are all but the instruments'. "
            "'Little' was fixed before as less than 0.02.",
            "CLMR's own numbers of this table: not available.",
        ],
    )  # fmt: skip


def _published_out_of_domain(scale: r.Scale) -> Table:
    from ..families import all_systems

    target = main_target(scale)
    rows = []
    for system in all_systems(scale, target):
        step = r.probe(scale, system.embeddings, types=system.types, reduce=system.reduce, target=target)
        where = f", pre-trained on {system.origin}" if system.origin else ""
        rows.append(Row(system.name + where, probe_cells(scale, step), system.quotes))
    notes = [
        "Published networks were pre-trained on the data that their rows name; CLMR on MagnaTagATune itself is in domain.",
        "CLMR's own numbers of this table: not available.",
    ]
    return Table("table_out_of_domain", "Out of domain", "CLMR, out-of-domain transfer", score_columns(scale), rows, notes=notes)
