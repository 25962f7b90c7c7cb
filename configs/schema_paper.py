"""Typed configuration of ex_paper.py: at which scale a table is made. A scale is a named config of configs/paper.py."""

from __future__ import annotations

from dataclasses import dataclass

from .options import opt, section


@dataclass
class Scale:
    """Where data are, which networks, which probe."""

    name: str = opt("demo", "of the scale: part of the table's folder, and of its title")
    networks: str = opt(
        "trained", "trained: pre-trained here, on the demo music; published: the published weights", ("trained", "published")
    )
    targets: list[str] = opt(
        [], "of published networks: data sets that are probed (names of configs/targets.py), the first in every table"
    )
    tracks: int | None = opt(None, "size of the demo music; none: the whole of it")
    start_tracks: int = opt(240, "size of the demo music where networks have the published size (table_initial_weights)")
    seed: int = opt(0, "of pre-training and of random weights")
    seeds: list[int] = opt([0, 1, 2], "a probe is trained with each; scores are their mean and spread")
    maest: list[str] = opt(
        ["demo"], "named configs of ex_maest.py that pre-train a MAEST, or of all data that published ones are extracted with"
    )
    start: list[str] = opt(["paper_start"], "the same at the published size, which published starts need")
    clmr: list[str] = opt(["clmr_demo"], "named configs of ex_ssl.py that pre-train a CLMR")
    supervised: list[str] = opt(["clmr_demo", "paper_supervised"], "named configs of ex_ssl.py that train SampleCNN on labels")
    probe: list[str] = opt(["paper_probe"], "named configs of ex_tl.py: the probe of every table")
    linear: list[str] = opt(["clmr_linear"], "of table_clmr: CLMR's linear evaluation")
    mlp: list[str] = opt(["clmr_mlp"], "of table_clmr: the same with a hidden layer")
    depth: int = opt(4, "blocks of a MAEST")
    block: int = opt(2, "the block that is probed, where one is")
    lengths: list[float] = opt([1.25, 2.5, 5], "s, input lengths of table_sequence_length")
    shares: list[float] = opt([0.01, 0.1, 1.0], "of the training labels, in table_clmr")
    draws: int = opt(3, "samples of each share below 1")


@dataclass
class Music:
    """The command `demo_music`: the embedded music with its labels in groups, a step of the other tables."""

    tracks: int | None = opt(None, "of the demo data; none: the whole of it")
    waveform: int | None = opt(None, "Hz: prepare samples at this rate too")


@dataclass
class PatchoutSpeed:
    """The command `patchout_speed`: how much faster a network is with patches left out at inference, a step of table_patchout_inference."""

    model: str | None = opt(None, "a registered model, or a weight file")
    seconds: float = opt(5.0, "length of a window")
    amounts: list[str] = opt(["none", "t2"], "none, or t2 f3: keep every 2nd column of time, every 3rd row of frequency")
    batch: int = opt(16, "windows at once")
    rounds: int = opt(7, "each round times every amount once, in turns; the median of the rounds' ratios counts")


@dataclass
class ExPaper:
    """All of ex_paper.py."""

    out_dir: str = opt("exp_out/paper", "steps/ (shared by all tables), tables/<table>-<scale>/ and the run folders go there")
    dry: bool = opt(False, "print the plan, with estimated time and disk, and make nothing (--dry)")
    jobs: int = opt(
        2, "steps made side by side, each with its share of the cores, and as much memory as one alone (published scales: 1)"
    )
    download: bool = opt(False, "fetch published weights that are not on this machine, where the network allows it")
    scale: Scale = section(Scale)
    music: Music = section(Music)
    patchout_speed: PatchoutSpeed = section(PatchoutSpeed)
