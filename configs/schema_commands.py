"""Typed configuration of the commands that pre-training scripts have beside training: a section for each."""

from __future__ import annotations

from dataclasses import dataclass

from .options import BATCH, COUNT, SEED, opt, section
from .schema_probe import ProbeModel, ProbeOptimizer, ProbeTrainer


@dataclass
class Predict:
    """Extraction, prediction, search (alias of the section: inference)."""

    transformer_block: int | list[int] = opt(
        11,
        "block whose tokens are stored, or as [5,6,7] several in one pass; -1: the features after the last norm",
        affects="embeddings",
        bounds="[-1, 1000]",
    )
    out_dir: str = opt("exp_out/", "folder that output goes to, below it <clip>sec/<patchout tag>/<block>/", affects="nothing")
    format: str = opt(
        "store",
        "how embeddings are stored: store is one track store, npy a file per track",
        ("store", "npy"),
        affects="extraction",
    )
    pool: str = opt(
        "none",
        "pooling of format npy: none gives [windows, 2304], mean over the windows [3, 768]",
        ("none", "mean"),
        affects="embeddings",
    )
    frames: bool = opt(
        False,
        "store every vector in time, at the network's own rate, in place of what sums up a window; for beats, chords, sections",
        affects="embeddings",
    )
    dtype: str = opt("float32", "type of the stored numbers", ("float32", "float16"), affects="extraction")
    scheduler: str | None = opt(
        None,
        "dask cluster to extract on: tcp://HOST:8786, a scheduler file (NAME.json), or slurm (docs/scale.md); none: this machine",
        affects="nothing",
    )
    workers: int | None = opt(
        None, "number of jobs to ask for with scheduler slurm; none: 1", affects="nothing", bounds="[1, 10000]"
    )
    jobs: int | None = opt(
        None,
        "number of processes of this machine to extract in, in shards; none: this process alone, into one store",
        affects="nothing",
        bounds="[1, 1024]",
    )
    shard_tracks: int | None = opt(
        None, "number of tracks in a shard; none: 1024, where shards are made", affects="nothing", bounds="[1, 1e9]"
    )
    audio: str | None = opt(None, "audio file, or folder of them, for the commands predict and similar", affects="predict")
    backend: str = opt(
        "auto",
        "what computes a trained network's windows: torch; onnx and onnx-int8 (ONNX Runtime on the CPU, in float32 or with products in 8 bits); "
        "auto: of predict the fastest as measured on a first window, 8 bits only where they agree, of extraction torch",
        ("auto", "torch", "onnx", "onnx-int8"),
        affects="extraction",
    )
    top: int = opt(
        10, "number of classes that predict shows, or of recordings that similar does", affects="predict", bounds=COUNT
    )
    hop: float | None = opt(
        None,
        "seconds between the starts of two windows of predict; none: a window's length",
        affects="predict",
        bounds="(0, 86400]",
    )
    html: bool = opt(True, "write pages of predict with spectrogram, classes over time and sound", affects="predict")
    csv: bool = opt(False, "write predictions.csv and windows.csv of predict, a column per label", affects="predict")
    json: bool = opt(False, "write predictions.json of predict", affects="predict")
    parquet: bool = opt(False, "write predictions.parquet and windows.parquet of predict", affects="predict")
    center: bool = opt(True, "take the collection's mean off before the cosine of similar", affects="predict")
    player_minutes: float = opt(
        10.0, "longest recording, in minutes, that is part of its page, to be played there", affects="predict", bounds="[0, 1e6]"
    )


@dataclass
class ProbeWindows:
    """Which windows of a track the report's probe sees, as in the section data of ex_tl.py."""

    train_windows: str = opt(
        "mean",
        "windows of a training track: their mean as one vector, each as an example, random (another one each epoch), or random_once (one, drawn "
        "once and kept)",
        ("mean", "each", "random", "random_once"),
        affects="report",
    )
    batch_of: str = opt(
        "examples",
        "what report.batch_size counts where each window is an example: the windows, or tracks with all their windows",
        ("examples", "tracks"),
        affects="report",
    )
    val_windows: str = opt(
        "mean",
        "windows of a validation track: their mean, each, random (drawn once), or the first",
        ("mean", "each", "random", "first"),
        affects="report",
    )
    test_windows: str = opt(
        "mean", "windows of a test track: their mean, each, or the first", ("mean", "each", "first"), affects="report"
    )
    aggregate: str = opt(
        "mean_prob",
        "how the scores of windows become a track's",
        ("mean_prob", "mean_logit", "prob_of_mean_logit"),
        affects="report",
    )


@dataclass
class Report:
    """The command `report`: pre-train, extract, probe beside an untrained network and mel statistics, one page of it all."""

    path: str | None = opt(None, "file that the page is written to; none: report.html in the run's folder", affects="report")
    title: str = opt("Pre-trained here", "title of the page", affects="report")
    seeds: list[int] = opt(
        [0, 1, 2], "seeds with each of which a probe is trained; scores are their mean and spread", affects="report", bounds=SEED
    )
    task: str = opt(
        "multi-label",
        "what the labels are, and so what is scored",
        ("multi-label", "single-label", "key"),
        affects="report",
    )
    folds: int = opt(
        0,
        "k > 2 is k-fold cross-validation, pre-training included, in place of the split (small data)",
        affects="report",
        bounds="[0, 1000]",
    )
    repeats: int = opt(
        2, "number of times that the cross-validation is repeated, with other folds", affects="report", bounds="[1, 1000]"
    )
    batch_size: int = opt(128, "number of tracks in a step of the probe", affects="report", bounds=BATCH)
    standardise: bool = opt(False, "z-score the probe's inputs by the training tracks' statistics", affects="report")
    z_scored: bool = opt(
        False,
        "show beside it the same probe on z-scored inputs: the stricter comparison, since an untrained network gains most by them",
        affects="report",
    )
    data: ProbeWindows = section(ProbeWindows)
    trainer: ProbeTrainer = section(ProbeTrainer)
    optimizer: ProbeOptimizer = section(ProbeOptimizer)
    model: ProbeModel = section(ProbeModel)


@dataclass
class Export:
    """The command `export`: the network for others to load."""

    format: str = opt(
        "safetensors",
        "what is written: safetensors is weights and config.json, ast Hugging Face's AST folder, onnx waveform -> logits and embeddings",
        ("safetensors", "ast", "onnx"),
        affects="export",
    )
    out: str | None = opt(None, "folder to write to, or a file that ends in .safetensors or .onnx", affects="export")
    blocks: list[int] | None = opt(
        None,
        "blocks whose embeddings are outputs of an onnx file; none: all; []: no embeddings",
        affects="export",
        bounds="[-1000, 1000]",
    )


@dataclass
class Check:
    """The command `check_data`: a table of labels against its audio."""

    out: str | None = opt(
        None,
        "folder that clean.csv, problems.csv and report.json are written to; none: exp_out/checked/<audio folder>-<table>",
        affects="check_data",
    )
    new_split: bool = opt(
        False, "split anew (stratified, whole groups together) in place of the table's own splits", affects="check_data"
    )
    jobs: int | None = opt(
        None, "number of processes that decode; none: one per usable core", affects="check_data", bounds="[1, 1024]"
    )
