"""Typed configuration of ex_maest.py: every key with its default, unit and meaning. Data only.

Sections and key names are those of the published suite. Defaults are the recipe's of the MAEST paper (arXiv 2309.16418, section 3) unless a key's
text says otherwise. Sacred gets these as dicts; helpers/sacred_glue.py checks every key and type before a run starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from .options import opt, section
from .schema_probe import ProbeModel, ProbeOptimizer, ProbeTrainer


@dataclass
class Trainer:
    """How long, on what, and where to."""

    max_epochs: int = opt(130, "epochs of training")
    accelerator: str = opt("auto", "auto, cpu, gpu; a gpu that is asked for must be there")
    devices: int | str = opt(1, "processes per node (one device each), or auto")
    num_nodes: int = opt(1, "machines")
    strategy: str = opt("auto", "of several processes: auto (ddp that tolerates unused parameters) or ddp")
    precision: str | int = opt(
        "auto", "auto (bf16-mixed on a gpu or cpu that is fast at it, 16-mixed on another gpu, else 32), 16-mixed, bf16-mixed, 32"
    )
    sync_batchnorm: bool = opt(True, "batch statistics over all processes")
    gradient_clip_val: float | None = opt(None, "largest norm of the gradient; none: not clipped")
    accumulate_grad_batches: int = opt(1, "batches per optimiser step")
    limit_train_batches: int | float | None = opt(None, "batches (or share) of a training epoch; none: all")
    limit_val_batches: int | float | None = opt(None, "batches (or share) of a validation; none: all")
    num_sanity_val_steps: int = opt(0, "validation batches before training")
    log_every_n_steps: int = opt(50, "steps between two logged training losses")
    check_val_every_n_epoch: int = opt(1, "epochs between two validations")
    reload_dataloaders_every_n_epochs: int = opt(1, "epochs after which loaders are made anew")
    save_every_n_steps: int | None = opt(None, "optimiser steps between two checkpoints within an epoch; none: by time alone")
    save_every_minutes: float | None = opt(15.0, "minutes between two checkpoints within an epoch; none: not by time")
    keep_checkpoints: int = opt(
        1, "newest checkpoints that are kept: last.ckpt, and before it step-N.ckpt; best.ckpt is kept anyway"
    )
    default_root_dir: str = opt("exp_logs", "folder of the run folders")


@dataclass
class Maest:
    """The network (models/maest)."""

    arch: str = opt("passt_s_swa_p16_128_ap476", "a name of models.list_models()")
    pretrained: bool = opt(False, "begin with the arch's published weights")
    n_classes: int = opt(400, "L; where labels are read from data their number holds")
    in_channels: int = opt(1, "of the spectrogram: 1")
    stride_f: int = opt(10, "bands between two patches")
    stride_t: int = opt(10, "frames between two patches")
    input_f: int = opt(96, "mel bands")
    input_t: int | None = opt(None, "mel frames; none: those of datamodule.clip_length")
    embed_dim: int = opt(768, "C")
    depth: int = opt(12, "transformer blocks")
    num_heads: int = opt(12, "attention heads")
    init_std: float = opt(
        0.02, "sd of fresh weights and position tables; a narrow network learns sooner from about 1 / sqrt(embed_dim)"
    )
    distilled: bool = opt(True, "a DIST token beside CLS")
    distilled_type: str = opt(
        "mean", "mean: one head on both tokens; separated: a head each (teacher-student)", ("mean", "separated")
    )
    u_patchout: int = opt(0, "random patches dropped in training")
    s_patchout_t: int = opt(0, "random time columns dropped in training")
    s_patchout_f: int = opt(0, "random frequency rows dropped in training")
    s_patchout_f_indices: list[int] = opt([], "frequency rows always dropped")
    s_patchout_f_interleaved: int = opt(0, "k > 1: keep every k-th frequency row, always")
    s_patchout_t_indices: list[int] = opt([], "time columns always dropped")
    s_patchout_t_interleaved: int = opt(0, "k > 1: keep every k-th time column, always")
    checkpoint: str | None = opt(None, "weights file to begin with, in place of the arch's published one")
    checkpoint_swa_weights: bool = opt(True, "of an own training checkpoint: the averaged weights, where there are any")
    checkpoint_discard_head: bool = opt(False, "begin with fresh heads")


@dataclass
class Optimizer:
    lr: float = opt(2e-5, "learning rate")
    adamw: bool = opt(True, "AdamW; false: Adam")
    weight_decay: float = opt(1e-4, "of AdamW")
    schedule_mode: str = opt("exp_lin", "exp_lin: warm-up, flat, linear down; cos_cyc: cosine cycles", ("exp_lin", "cos_cyc"))
    warm_up_len: int = opt(5, "epochs of warm-up (length of a cycle for cos_cyc)")
    ramp_down_start: int = opt(50, "first epoch of the way down")
    ramp_down_len: int = opt(50, "epochs of the way down")
    last_lr_value: float = opt(0.01, "learning rate behind it, as a share of lr")


@dataclass
class Module:
    """Training of the network."""

    do_swa: bool = opt(True, "keep averaged weights, validate and save them too")
    swa_epoch_start: int = opt(50, "first epoch whose weights are averaged")
    swa_lrs: float = opt(2e-5, "learning rate while averaging, in place of lr (the schedule still multiplies it): set it with lr")
    swa_freq: int = opt(5, "epochs between two averaged weights")
    ema_decay: float | None = opt(None, "with a decay: an exponential moving average per step in place of SWA")
    mixup_alpha: float = opt(0.3, "of Beta(alpha, alpha); 0: no mixup")
    mixup_group: int | None = opt(
        None,
        "clips that mix among each other; none: a process's whole batch. With one that divides batch_size_train, 1 x 8 and 2 x 4 train alike",
    )
    optimizer: Optimizer = section(Optimizer)


@dataclass
class Dataset:
    """What the stored mels are."""

    sample_rate: int = opt(16000, "Hz")
    hop_size: int = opt(256, "samples between two frames")
    n_bands: int = opt(96, "mel bands")
    half_overlapped_inference: bool = opt(False, "windows of validation, test and extraction overlap by half")


@dataclass
class Roll:
    do: bool = opt(False, "shift the clip circularly")
    axis: int = opt(-1, "-1: time; -2: mel bands", (-1, -2))
    shift: int | None = opt(None, "places, always the same; none: random")
    shift_range: int = opt(50, "places, of the random shift, either way")


@dataclass
class Norm:
    do: bool = opt(True, "z-normalise: (x - mean) / (2 std)")
    norm_mean: float = opt(2.06755686098554, "mean of the log-mels")
    norm_std: float = opt(1.268292820667291, "standard deviation of the log-mels")


@dataclass
class Masking:
    do: bool = opt(True, "hide bands and frames in training, after normalisation")
    time_mask_param: int = opt(8, "longest time mask, frames")
    freq_mask_param: int = opt(5, "widest frequency mask, bands")
    p: float = opt(0.2, "longest time mask as a share of the clip")
    iid_masks: bool = opt(True, "masks of their own for every clip of a batch")
    time_masks: int = opt(20, "time masks per clip")
    freq_masks: int = opt(8, "frequency masks per clip")


@dataclass
class Sampler:
    sample_weight_offset: int = opt(100, "w = 1000 / (tracks of the label + offset)")
    sample_weight_sum: bool = opt(True, "sum w over a track's labels; false: their largest")
    sampler_replace: bool = opt(False, "draw with replacement")
    epoch_len: int = opt(200000, "tracks per epoch")


@dataclass
class TeacherStudent:
    do: bool = opt(False, "learn from a teacher's logits too (distilled_type separated)")
    teacher_target_base_dir: str | None = opt(None, "store of the teacher's logits, as extract_logits writes it")
    teacher_target_threshold: float = opt(0.45, "probability from which the teacher's label counts")


@dataclass
class DataModule:
    """Tracks and labels."""

    audio_dir: str | None = opt(None, "folder of audio: prepared into base_dir before training (config `folder`)")
    base_dir: str | None = opt(None, "store of mels, or a folder of such (or of .mmap files); none: the demo data")
    base_dir_val: str | None = opt(None, "the same for validation and test; none: base_dir")
    groundtruth: str | None = opt(None, "one label file for all; split by its split column, else 80/10/10 by split_seed")
    split_seed: int = opt(0, "of that split; the same in ex_tl.py, so that test tracks stay unseen")
    groundtruth_train: str | None = opt(None, "labels of the training tracks")
    groundtruth_val: str | None = opt(None, "labels of the validation tracks")
    groundtruth_test: str | None = opt(None, "labels of the test tracks")
    groundtruth_predict: str | None = opt(None, "tracks to extract; none: all of the store")
    label_column: str | None = opt(None, "column of a table that holds the labels; none: found by its name")
    group_column: str | None = opt(
        None, "column whose equal values a split keeps together; none: group, artist or album where there is one"
    )
    batch_size_train: int = opt(12, "clips per process and step")
    batch_size_test: int = opt(20, "windows per process in validation, test and extraction")
    num_workers: int = opt(0, "loading processes; 0 is fastest for stores in the page cache (published: 16)")
    clip_length: float = opt(10, "s")
    demo_tracks: int | None = opt(None, "size of the demo data, where nothing else is named; none: the whole of it")
    tail: str = opt("pad", "end of a track in inference", ("pad", "shift", "drop"))
    roll: Roll = section(Roll)
    norm: Norm = section(Norm)
    masking: Masking = section(Masking)
    sampler: Sampler = section(Sampler)
    teacher_student: TeacherStudent = section(TeacherStudent)


@dataclass
class Predict:
    """Extraction, prediction, search (alias of the section: inference)."""

    transformer_block: int | list[int] = opt(
        11, "block whose tokens are stored, several in one pass: [5,6,7]; -1: features after the last norm"
    )
    out_dir: str = opt("exp_out/", "files go to <out_dir>/<clip>sec/<patchout tag>/<block>/")
    format: str = opt("store", "store: one track store; npy: a file per track", ("store", "npy"))
    pool: str = opt("none", "of format npy: none [windows, 2304]; mean over windows [3, 768]", ("none", "mean"))
    dtype: str = opt("float32", "of the stored numbers", ("float32", "float16"))
    scheduler: str | None = opt(
        None, "extract on a dask cluster: tcp://HOST:8786, a scheduler file (NAME.json), or slurm (docs/scale.md)"
    )
    workers: int | None = opt(None, "of scheduler slurm: jobs to ask for; none: 1")
    jobs: int | None = opt(None, "extract in this many processes of this machine, in shards; none: in this one, into one store")
    shard_tracks: int | None = opt(None, "tracks to a shard; none: 1024, where shards are made")
    audio: str | None = opt(None, "of the commands predict and similar: an audio file, or a folder of them")
    top: int = opt(10, "classes (recordings of similar) that are shown")
    hop: float | None = opt(None, "of predict: s between two windows' starts; none: a window's length")
    html: bool = opt(True, "of predict: pages with spectrogram, classes over time and sound")
    csv: bool = opt(False, "of predict: predictions.csv and windows.csv, a column per label")
    json: bool = opt(False, "of predict: predictions.json")
    parquet: bool = opt(False, "of predict: predictions.parquet and windows.parquet")
    types: str = opt("cdt", "of similar: tokens, any of c (CLS), d (DIST), t (mean of the others)")
    reduce: str = opt("stack", "of similar, several tokens: mean or stack", ("mean", "stack"))
    center: bool = opt(True, "of similar: take the collection's mean off before the cosine")
    player_minutes: float = opt(10.0, "recordings up to this length are part of their pages, to be played")


@dataclass
class Report:
    """The command `report`: pre-train, extract, probe beside an untrained network and mel statistics, one page of it all."""

    path: str | None = opt(None, "of the page; none: report.html in the run's folder")
    title: str = opt("MAEST, pre-trained here", "of the page")
    seeds: list[int] = opt([0, 1, 2], "a probe is trained with each; scores are their mean and spread")
    folds: int = opt(0, "k > 2: k-fold cross-validation, pre-training included, in place of the split (small data)")
    repeats: int = opt(2, "of the k-fold")
    types: str = opt("cdt", "tokens that the probe sees (data.types of ex_tl.py)")
    reduce: str = opt("stack", "of several tokens: mean or stack", ("mean", "stack"))
    batch_size: int = opt(128, "tracks per step of the probe")
    standardise: bool = opt(False, "z-score the probe's inputs by the training tracks' statistics")
    trainer: ProbeTrainer = section(ProbeTrainer)
    optimizer: ProbeOptimizer = section(ProbeOptimizer)
    model: ProbeModel = section(ProbeModel)


@dataclass
class Export:
    """The command `export`: the network for others to load."""

    format: str = opt(
        "safetensors",
        "safetensors: weights and config.json; ast: Hugging Face's AST folder; onnx: waveform -> logits and embeddings",
        ("safetensors", "ast", "onnx"),
    )
    out: str | None = opt(None, "where to: a folder, or a file that ends in .safetensors or .onnx")
    blocks: list[int] | None = opt(None, "of onnx and MAEST: blocks whose embeddings are outputs; none: all; []: no embeddings")


@dataclass
class Check:
    """The command `check_data`: a table of labels against its audio."""

    out: str | None = opt(None, "folder of clean.csv, problems.csv, report.json; none: exp_out/checked/<audio folder>-<table>")
    new_split: bool = opt(False, "split anew (stratified, whole groups together) in place of the table's own splits")
    jobs: int | None = opt(None, "processes that decode; none: one per usable core")


@dataclass
class ExMaest:
    """All of ex_maest.py."""

    ckpt_path: str | None = opt(
        None, "of main and report: a training checkpoint to continue, or last: this config's newest run; of test: what to test"
    )
    trainer: Trainer = section(Trainer)
    maest: Maest = section(Maest)
    module: Module = section(Module)
    dataset: Dataset = section(Dataset)
    datamodule: DataModule = section(DataModule)
    predict: Predict = section(Predict)
    report: Report = section(Report)
    export: Export = section(Export)
    check: Check = section(Check)
