"""Typed configuration of the commands: every key with its default, unit and meaning. Data only.

Sections and key names are those of the published suite. Defaults are the recipe's of the MAEST paper (arXiv 2309.16418, section 3) unless a key's
text says otherwise. Sacred gets these as dicts; helpers/sacred_glue.py checks every key and type before a run starts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any


def opt(default: Any, doc: str, choices: tuple[Any, ...] | None = None) -> Any:
    """A field with its meaning (and the only values it may take)."""
    metadata = {"doc": doc, "choices": choices}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(kind: type) -> Any:
    return field(default_factory=kind)


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


# ---- the probe; sections and names of the published suite, values of MAEST's protocol
@dataclass
class ProbeTrainer:
    max_epochs: int = opt(60, "epochs")
    max_steps: int | None = opt(None, "steps at which training ends, in place of max_epochs")
    precision: str | int = opt("32", "32; bf16: matrix products in bfloat16, about twice as fast", ("32", 32, "bf16"))
    devices: int = opt(1, "the probe runs in one process", (1,))
    num_sanity_val_steps: int = opt(0, "kept for published command lines: there are none", (0,))


@dataclass
class ProbeOptimizer:
    name: str = opt("adamw", "adamw, or adam (weight decay as L2)", ("adamw", "adam"))
    monitor: str = opt(
        "auto",
        "validation curve that picks the epoch; auto: val_roc of tags, val_acc of classes, val_key, val_r2; auto_ap: val_ap of tags",
        ("auto", "auto_ap", "val_roc", "val_ap", "val_acc", "val_balanced_acc", "val_key", "val_r2", "val_loss"),
    )
    keep: str = opt("best", "the epoch that is tested: best by the monitor, or last", ("best", "last"))
    early_stopping: int = opt(0, "epochs without improvement of early_monitor after which training ends; 0: never")
    early_monitor: str = opt("monitor", "monitor, or a validation curve such as val_loss")
    scheduler: str = opt(
        "exp_warmup_linear_down",
        "of the learning rate",
        ("exp_warmup_linear_down", "cyclic", "exponential", "plateau", "warmup_cosine", "constant"),
    )
    max_lr: float = opt(1e-4, "highest learning rate")
    max_lr_epochs: int = opt(10, "epoch at which the way down begins")
    warmup_epochs: int = opt(10, "epochs of warm-up")
    warmup_steps: int = opt(2000, "steps of warm-up, of warmup_cosine")
    base_lr: float = opt(1e-7, "lowest learning rate; exp_warmup_linear_down: as a share of max_lr (as published)")
    gamma: float = opt(0.5, "factor: per epoch of the exponential scheduler, per plateau of the plateau scheduler")
    plateau_patience: int = opt(5, "epochs without improvement that a plateau may last")
    plateau_monitor: str = opt("val_loss", "what the plateau is of: monitor, or a validation curve")
    weight_decay: float = opt(1e-3, "of the optimiser")
    lr_grid: list[float] = opt([], "learning rates to try in place of max_lr; each seed keeps its best by the monitor")


@dataclass
class ProbeModel:
    hidden_units: int = opt(512, "width of the hidden layer")
    num_layers: int = opt(2, "1: linear probe; 2: one hidden layer", (1, 2))
    drop_out: float = opt(0.5, "before the last layer")
    input_drop_out: float = opt(0.0, "of the embeddings themselves")
    loss: str = opt(
        "auto", "auto: bce of tags, ce of classes, mse of values; bce may be asked for classes", ("auto", "bce", "ce", "mse")
    )


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


# ---- ex_tl.py
@dataclass
class ProbeData:
    base_dir: str | None = opt(None, "embeddings: a track store, a folder of one, or of .embeddings.npy files")
    untrained_dir: str | None = opt(
        None, "embeddings of an untrained network of the same size: probed beside, on the same tracks"
    )
    mel_dir: str | None = opt(None, "mel store: mel statistics + logistic regression beside, on the same tracks")
    metadata_dir: str | None = opt(
        None, "folder of groundtruth-train/-val/-test files, and labels.txt (their order) where there is one"
    )
    groundtruth: str | None = opt(None, "one label file in place of metadata_dir; split column, or 80/10/10 by split_seed")
    split_seed: int = opt(0, "of that split; the same as in ex_maest.py")
    label_column: str | None = opt(None, "column of a table that holds the labels; none: found by its name")
    group_column: str | None = opt(None, "column whose equal values a split keeps together; the same as in ex_maest.py")
    task: str = opt("multi-label", "what is asked", ("multi-label", "single-label", "key", "regression"))
    batch_size: int = opt(128, "tracks (or windows) per step")
    types: str = opt("c", "tokens: any of c (CLS), d (DIST), t (mean of the others); always taken in that order")
    reduce: str = opt("mean", "of several tokens: mean or stack", ("mean", "stack"))
    token_size: int | None = opt(None, "C of the embeddings, where they do not say it; none: what they say, else 768")
    layers: list[int] | None = opt(None, "blocks to take, base_dir being the folder of their sub-folders; none: base_dir is one")
    layer_reduce: str = opt(
        "mean", "of several layers: mean, stack, or a weighted sum that is learned", ("mean", "stack", "learned")
    )
    train_windows: str = opt(
        "mean",
        "mean: one vector per track; each: every window is an example; random: each epoch one window of every track",
        ("mean", "each", "random"),
    )
    val_windows: str = opt("mean", "the same in validation; first: the first window only", ("mean", "each", "random", "first"))
    test_windows: str = opt("mean", "the same in the test", ("mean", "each", "first"))
    aggregate: str = opt(
        "mean_prob",
        "from a track's windows to the track; best: the way that is best on validation",
        ("mean_prob", "mean_logit", "prob_of_mean_logit", "vote", "max_logit", "best"),
    )
    train_share: float = opt(1.0, "share of the training tracks that is used, drawn by split_seed")
    memory_gb: float = opt(8.0, "embeddings above this size stand in a memory map")
    n_classes: int | None = opt(None, "L; none: as many as the groundtruth has (published: 50)")
    standardise: bool = opt(False, "z-score the inputs by the training tracks' statistics")
    skip_missing: bool = opt(False, "leave tracks without embeddings out, counted, in place of refusing")
    folds: int = opt(0, "k > 2: repeated k-fold cross-validation in place of the split (small data)")
    repeats: int = opt(1, "of the k-fold")


@dataclass
class Sweep:
    """The command `sweep`: a score per block and kind of token."""

    layers: list[int] | None = opt(None, "blocks; none: all that base_dir has")
    types: str = opt("c,d,t", "kinds of tokens, a line each: c, d, t, or several such as cdt (then data.reduce)")
    metric: str | None = opt(None, "score on the figure's y axis; none: the task's first (macro ROC-AUC of tags)")
    title: str = opt("What each block knows", "of the page")


@dataclass
class FewLabel:
    """The command `few_label`: score versus the share of training labels, as CLMR reports it."""

    shares: list[float] = opt([0.01, 0.1, 1.0], "of the training tracks")
    draws: int = opt(3, "samples of each share below 1; every one is probed with all seeds")
    same_steps: bool = opt(True, "an epoch of a share is as many steps as one of all tracks; false: one pass over the share")


@dataclass
class FineTune:
    """The command `finetune`: the encoder itself learns; head (model), labels, seeds and aggregation are the probe's."""

    model: str | None = opt(None, "a registered model, or a weight file or folder of any family")
    store: str | None = opt(None, "what its windows are cut from: the store that datasets.prepare (or ex_*.py) made of the audio")
    layer: int = opt(-1, "block that the head sees, 0-based, negatives from the end")
    blocks: int | None = opt(None, "blocks up to it that learn; none: the whole encoder; 0: the head alone")
    layer_decay: float = opt(0.75, "factor of the learning rate per block of depth; 1: all alike")
    lr: float = opt(5e-5, "learning rate of the deepest block")
    head_lr: float = opt(1e-3, "learning rate of the head")
    weight_decay: float = opt(0.01, "of AdamW")
    max_epochs: int = opt(20, "epochs; each hears one random window of every track")
    warmup_epochs: int = opt(2, "epochs of warm-up; then linear down to 1 %")
    batch_size: int = opt(8, "windows per step")
    batch_size_test: int = opt(20, "windows at once in validation and test")
    accelerator: str = opt("auto", "auto, cpu, gpu; a gpu that is asked for must be there")
    precision: str = opt("auto", "as trainer.precision of ex_maest.py")


@dataclass
class Compare:
    """The command `compare`."""

    runs: str = opt("", "result folders, apart by commas; the others are compared with the first")


@dataclass
class ExTl:
    """All of ex_tl.py."""

    seeds: list[int] = opt([0, 1, 2], "a head is trained with each; scores are their mean and spread")
    out_dir: str = opt("exp_out/tl", "folder of the result folders")
    trainer: ProbeTrainer = section(ProbeTrainer)
    optimizer: ProbeOptimizer = section(ProbeOptimizer)
    model: ProbeModel = section(ProbeModel)
    data: ProbeData = section(ProbeData)
    sweep: Sweep = section(Sweep)
    few_label: FewLabel = section(FewLabel)
    finetune: FineTune = section(FineTune)
    compare: Compare = section(Compare)


def defaults(kind: type) -> dict[str, Any]:
    """A schema's defaults as nested builtins, as Sacred wants them."""
    return asdict(kind())


def docs(kind: type, prefix: str = "") -> dict[str, str]:
    """Dotted key -> its meaning."""
    out = {}
    instance = kind()
    for f in fields(kind):
        value = getattr(instance, f.name)
        if is_dataclass(value):
            out[prefix + f.name] = (
                (type(value).__doc__ or "").strip() if not (type(value).__doc__ or "").startswith(type(value).__name__) else ""
            )
            out.update(docs(type(value), f"{prefix}{f.name}."))
        else:
            choices = f.metadata.get("choices")
            out[prefix + f.name] = f.metadata["doc"] + (
                f" ({' | '.join(map(str, choices))})" if choices and len(choices) > 1 else ""
            )
    return {k: v for k, v in out.items() if v}
