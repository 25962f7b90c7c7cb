"""Typed configuration of ex_ssl.py: what self-supervised families share. Each family's module adds its own sections (naming.FamilyConfigs)."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass

from . import schema
from .naming import Alias, Catalogue, FamilyConfigs, Script
from .options import BATCH, FROM_0, RATE, opt, section
from .schema_commands import Predict, Report

FILE = "ex_ssl.py"


@dataclass
class Optimizer(schema.Optimizer):
    """Optimiser and learning rate."""

    lr: float | None = opt(
        3e-4,
        "learning rate that the schedule multiplies; none: 0.3 x clips per step over all devices / 256, LARS's rule",
        affects="training",
        bounds=RATE,
    )
    adamw: bool = opt(False, "optimise by AdamW; false: by Adam (of name auto)", affects="training")
    weight_decay: float = opt(
        0.0, "weight decay, of biases and norms too, except under lars", affects="training", bounds="[0, 1000]"
    )
    schedule_mode: str = opt(
        "constant",
        "course of the learning rate: constant; cosine goes to 0 over max_epochs, per epoch; plateau goes down when val_loss does not; exp_lin is an "
        "exponential warm-up, flat, then linear down; cos_cyc are cosine cycles; warmup_cosine goes by updates: a line up over warm_up_steps, half a "
        "cosine down to last_lr_value at total_steps; tri_stage too: over 3 % of total_steps a line up from a hundredth, flat over 90 %, then "
        "exponentially down to last_lr_value",
        ("constant", "cosine", "plateau", "exp_lin", "cos_cyc", "warmup_cosine", "tri_stage"),
        affects="training",
    )
    warm_up_steps: int = opt(30_000, "updates of warm-up of warmup_cosine", affects="training", bounds="[0, 1e9]")
    total_steps: int = opt(
        400_000,
        "update at which warmup_cosine and tri_stage are down; the rate stays there",
        affects="training",
        bounds="[1, 1e9]",
    )


@dataclass
class Module(schema.Module):
    """Training of the network."""

    do_swa: bool = opt(False, "keep averaged weights beside the trained ones, validate and save both", affects="training")
    swa_epoch_start: int = opt(0, "first epoch whose weights are averaged", affects="training", bounds=FROM_0)
    swa_lrs: float | None = opt(
        None,
        "learning rate while averaging, in place of lr (the schedule still multiplies it); none: lr stays",
        affects="training",
        bounds=RATE,
    )
    optimizer: Optimizer = section(Optimizer)


@dataclass
class DataModule(schema.DataModule):
    """Tracks, and labels where there are any: pre-training takes their splits only."""

    batch_size_train: int = opt(48, "tracks that each process takes in a training step", affects="course", bounds=BATCH)
    batch_size_test: int = opt(
        48,
        "crops or windows that each process takes at once in validation, test and extraction",
        affects="numerics",
        bounds=BATCH,
    )
    tail: str = opt(
        "drop",
        "end of a track in test and extraction: pad the last window, shift it back to end with the track, or drop it; a track "
        "without a whole window is one window. With predict.frames shift, unless it is set",
        ("pad", "shift", "drop"),
        affects="network",
    )


@dataclass
class SslPredict(Predict):
    """Extraction and prediction (alias of the section: inference)."""

    transformer_block: int | list[int] = opt(
        -1,
        "block whose output is stored, or as [5,6,7] several in one pass; -1: the last, the representation",
        affects="embeddings",
        bounds="[-1, 1000]",
    )
    out_dir: str = opt("exp_out/ssl/", "folder that output goes to, below it <block>/", affects="nothing")


@dataclass
class SslReport(Report):
    """The command `report`: pre-train, extract, probe beside the untrained encoder and mel statistics, one page of it all."""

    title: str = opt("Self-supervised, pre-trained here", "title of the page", affects="report")
    batch_size: int = opt(48, "number of tracks in a step of the probe", affects="report", bounds=BATCH)


# earlier spelling -> key; the published spellings of MAEST are the common ones
ALIASES: dict[str, str | Alias] = {
    "inference": "predict",
    "optimizer.schedule": "module.optimizer.schedule_mode",
    "optimizer.name": Alias("module.optimizer.name", values={"adam": "auto"}),
    "optimizer.early_stopping": "trainer.early_stopping",
    "optimizer": "module.optimizer",
    "averaging.ema_decay": Alias("module.ema_decay", {"module.do_swa": True}),
    "averaging.start_epoch": "module.swa_epoch_start",
    "datamodule.half_overlap": "dataset.half_overlapped_inference",
    "datamodule.epoch_len": "datamodule.sampler.epoch_len",
    "datamodule.replace": "datamodule.sampler.sampler_replace",
}


def make_script(families: list[FamilyConfigs], first: str, demo: str) -> Script:
    """Return ex_ssl.py over these families.

    Args:
        families: with their sections and named configs.
        first: the family of a config that names none.
        demo: the named config of a bare command.

    Raises:
        ValueError: two families have a section or a named config of one name; a named config is not of its family.
    """
    names = tuple(family.name for family in families)
    text = "family of the network, whose section of this config describes it"
    fields: list[tuple[str, type, object]] = [("family", str, opt(first, text, names, affects="network"))]
    fields += [(name, kind, section(kind)) for family in families for name, kind in family.sections.items()]
    common = {"module": Module, "datamodule": DataModule, "predict": SslPredict, "report": SslReport}
    sections = [name for family in families for name in family.sections] + list(common)
    if twice := sorted({name for name in sections if sections.count(name) > 1}):
        raise ValueError(
            f"Two parts of ex_ssl.py's config are named {', '.join(twice)}: each family's section needs a name of its own."
        )
    fields += [(name, kind, section(kind)) for name, kind in common.items()]
    kind = make_dataclass(
        "ExSsl", fields, bases=(schema.Run,), namespace={"__doc__": "All of ex_ssl.py.", "__module__": __name__}
    )
    globals().setdefault("ExSsl", kind)  # where pickle looks for it: the script's own, made first
    named = Catalogue()
    for family in families:
        family.check_named(first)
        for config in family.named.values():
            named.put(config)
    commands = {family.name: family.commands for family in families}
    aliases = {**ALIASES, **{other: ours for family in families for other, ours in family.aliases.items()}}
    return Script("self_supervised", FILE, kind, named, aliases, demo, commands)
