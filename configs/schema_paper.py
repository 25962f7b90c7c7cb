"""Typed configuration of ex_paper.py: at which scale a table is made. A scale is a named config of configs/paper.py."""

from __future__ import annotations

from dataclasses import dataclass

from .options import BATCH, SAMPLE_RATE, SEED, opt, section


@dataclass
class Scale:
    """Where data are, which networks, which probe."""

    name: str = opt("demo", "name of the scale, which is part of the table's folder and title", affects="tables")
    networks: str = opt(
        "trained",
        "networks of the tables: trained here on the demo music, or with the published weights",
        ("trained", "published"),
        affects="tables",
    )
    targets: list[str] = opt(
        [],
        "data sets that published networks are probed on (names of configs/targets.py), the first in every table",
        affects="tables",
    )
    tracks: int | None = opt(
        None, "number of tracks of the demo music; none: the whole of it", affects="tables", bounds="[6, 1e6]"
    )
    start_tracks: int = opt(
        240,
        "number of tracks of the demo music where networks have the published size (table_initial_weights)",
        affects="tables",
        bounds="[6, 1e6]",
    )
    pretraining_seeds: list[int] = opt(
        [0],
        "seeds with each of which every network is pre-trained (or drawn at random) and probed; scores are means over the networks",
        affects="tables",
        bounds=SEED,
    )
    seeds: list[int] = opt(
        [0, 1, 2], "seeds with each of which a probe is trained; scores are their mean and spread", affects="tables", bounds=SEED
    )
    maest: list[str] = opt(
        ["demo"],
        "named configs of ex_maest.py that pre-train a MAEST, or that published ones are extracted with",
        affects="tables",
    )
    start: list[str] = opt(
        ["paper_start"],
        "named configs of ex_maest.py that pre-train one of the published size, which published starts need",
        affects="tables",
    )
    clmr: list[str] = opt(["clmr_demo"], "named configs of ex_ssl.py that pre-train a CLMR", affects="tables")
    supervised: list[str] = opt(
        ["clmr_demo", "paper_supervised"], "named configs of ex_ssl.py that train SampleCNN on labels", affects="tables"
    )
    omar_rq: list[str] = opt(["omar_rq_demo"], "named configs of ex_ssl.py that pre-train an OMAR-RQ", affects="tables")
    music2vec: list[str] = opt(["music2vec_demo"], "named configs of ex_ssl.py that pre-train a music2vec", affects="tables")
    musicfm: list[str] = opt(["musicfm_demo"], "named configs of ex_ssl.py that pre-train a MusicFM", affects="tables")
    frames: list[str] = opt(
        ["paper_frames"],
        "named configs of ex_tl.py that make the probes in time of table_omar_rq and table_musicfm",
        affects="tables",
    )
    probe: list[str] = opt(["paper_probe"], "named configs of ex_tl.py that make the probe of every table", affects="tables")
    linear: list[str] = opt(
        ["clmr_linear"], "named configs of ex_tl.py that make CLMR's linear evaluation, of table_clmr", affects="tables"
    )
    mlp: list[str] = opt(
        ["clmr_mlp"], "named configs of ex_tl.py that make CLMR's evaluation with a hidden layer, of table_clmr", affects="tables"
    )
    depth: int = opt(4, "number of blocks of a MAEST", affects="tables", bounds="[1, 1000]")
    block: int = opt(2, "block that is probed, where one is", affects="tables", bounds="[0, 1000]")
    lengths: list[float] = opt([1.25, 2.5, 5], "input lengths of table_sequence_length, s", affects="tables", bounds="(0, 3600]")
    shares: list[float] = opt([0.01, 0.1, 1.0], "shares of the training labels in table_clmr", affects="tables", bounds="(0, 1]")
    draws: int = opt(3, "number of samples of each share below 1", affects="tables", bounds="[1, 1000]")


@dataclass
class Music:
    """The command `demo_music`: the embedded music with its labels in groups, a step of the other tables."""

    tracks: int | None = opt(
        None, "number of tracks of the demo music; none: the whole of it", affects="demo_music", bounds="[6, 1e6]"
    )
    waveform: int | None = opt(
        None, "sample rate at which samples are prepared too, Hz; none: mels only", affects="demo_music", bounds=SAMPLE_RATE
    )


@dataclass
class PatchoutSpeed:
    """The command `patchout_speed`: how much faster a network is with patches left out at inference, a step of table_patchout_inference."""

    model: str | None = opt(None, "registered model, or weight file, that is timed", affects="patchout_speed")
    seconds: float = opt(5.0, "length of a window, s", affects="patchout_speed", bounds="(0, 3600]")
    amounts: list[str] = opt(
        ["none", "t2"],
        "amounts of patchout: none, or as t2 f3 keeping every 2nd column of time and every 3rd row of frequency",
        affects="patchout_speed",
    )
    batch: int = opt(16, "number of windows at once", affects="patchout_speed", bounds=BATCH)
    rounds: int = opt(
        7,
        "number of rounds that time every amount once, in turns; the median of the rounds' ratios counts",
        affects="patchout_speed",
        bounds="[1, 1000]",
    )


@dataclass
class ExPaper:
    """All of ex_paper.py."""

    out_dir: str = opt(
        "exp_out/paper",
        "folder that steps/ (shared by all tables), tables/<table>-<scale>/ and the run folders go to",
        affects="nothing",
    )
    dry: bool = opt(False, "print the plan, with estimated time and disk, and make nothing (--dry)", affects="nothing")
    jobs: int = opt(
        2,
        "number of steps made side by side, each with its share of the cores, and as much memory as one alone (published scales: 1)",
        affects="nothing",
        bounds="[1, 1024]",
    )
    download: bool = opt(
        False, "fetch published weights that are not on this machine, where the network allows it", affects="nothing"
    )
    scale: Scale = section(Scale)
    music: Music = section(Music)
    patchout_speed: PatchoutSpeed = section(PatchoutSpeed)
