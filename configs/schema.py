"""Typed configuration of ex_maest.py: every key with its default, unit and meaning. Data only.

Sections and key names are those of the published suite. Defaults are the recipe's of the MAEST paper (arXiv 2309.16418, section 3) unless a key's
text says otherwise. Sacred gets these as dicts; helpers/experiments checks every key and type before a run starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from .options import opt, section
from .schema_commands import Check, Export, Predict, Report


@dataclass
class Trainer:
    """How long training goes on, on which devices, and where it writes to."""

    max_epochs: int = opt(130, "number of epochs to train", affects="duration")
    accelerator: str = opt("auto", "device: auto, cpu or gpu; a gpu that is asked for must be there", affects="numerics")
    devices: int | str = opt(1, "processes on each machine, one device each, or auto: all GPUs", affects="numerics")
    num_nodes: int = opt(1, "number of machines", affects="numerics")
    strategy: str = opt(
        "auto",
        "how several processes train together: auto (ddp that tolerates unused parameters), ddp, ddp_find_unused_parameters_true or _false",
        affects="numerics",
    )
    precision: str | int = opt(
        "auto",
        "precision of training and inference: 32, bf16-mixed, 16-mixed, or auto (in training bf16-mixed on a gpu or cpu that is fast at it, "
        "16-mixed on another gpu, else 32)",
        affects="numerics",
    )
    sync_batchnorm: bool = opt(True, "compute batch normalisation's statistics over all processes", affects="course")
    gradient_clip_val: float | None = opt(
        None, "largest norm of the gradient, to which longer ones are clipped; none: not clipped", affects="training"
    )
    accumulate_grad_batches: int = opt(1, "batches whose gradients are summed for one optimiser step", affects="training")
    limit_train_batches: int | float | None = opt(
        None, "number of batches in a training epoch, or as 0.25 a share of them; none: all", affects="training"
    )
    limit_val_batches: int | float | None = opt(
        None, "number of batches in a validation, or as 0.25 a share of them; none: all; 0: no validation", affects="course"
    )
    num_sanity_val_steps: int = opt(0, "validation batches that are tried before training begins", affects="nothing")
    log_every_n_steps: int = opt(50, "optimiser steps between two logged training losses", affects="nothing")
    check_val_every_n_epoch: int = opt(1, "epochs between two validations", affects="course")
    reload_dataloaders_every_n_epochs: int = opt(
        1, "epochs after which the data loaders are made anew; 0: never", affects="course"
    )
    save_every_n_steps: int | None = opt(
        None, "optimiser steps between two checkpoints within an epoch; none: by time alone", affects="nothing"
    )
    save_every_minutes: float | None = opt(
        15.0, "minutes between two checkpoints within an epoch; none: not by time", affects="nothing"
    )
    keep_checkpoints: int = opt(
        1,
        "number of newest checkpoints that are kept: last.ckpt, and before it step-N.ckpt; best.ckpt is kept anyway",
        affects="nothing",
    )
    default_root_dir: str = opt("exp_logs", "folder in which every run gets a numbered folder", affects="nothing")


@dataclass
class Maest:
    """The network (models/maest)."""

    arch: str = opt("passt_s_swa_p16_128_ap476", "name of a registered model (models.list_models())", affects="network")
    pretrained: bool = opt(False, "begin with the published weights of arch", affects="network")
    n_classes: int = opt(400, "number of classes; where labels are read from data, their number holds", affects="network")
    in_channels: int = opt(1, "channels of the spectrogram, which are 1", affects="network")
    stride_f: int = opt(10, "mel bands between two patches", affects="network")
    stride_t: int = opt(10, "mel frames between two patches", affects="network")
    input_f: int = opt(96, "mel bands of the input", affects="network")
    input_t: int | None = opt(None, "mel frames of the input; none: those of datamodule.clip_length", affects="network")
    embed_dim: int = opt(768, "width of the tokens, C", affects="network")
    depth: int = opt(12, "number of transformer blocks", affects="network")
    num_heads: int = opt(12, "number of attention heads", affects="network")
    init_std: float = opt(
        0.02,
        "standard deviation of fresh weights and position tables; a narrow network learns sooner from about 1 / sqrt(embed_dim)",
        affects="network",
    )
    distilled: bool = opt(True, "have a DIST token beside CLS", affects="network")
    distilled_type: str = opt(
        "mean",
        "heads of the two tokens: mean is one head on both, separated a head on each (teacher-student)",
        ("mean", "separated"),
        affects="network",
    )
    u_patchout: int = opt(0, "number of random patches that are dropped in training", affects="network")
    s_patchout_t: int = opt(0, "number of random time columns of patches that are dropped in training", affects="network")
    s_patchout_f: int = opt(0, "number of random frequency rows of patches that are dropped in training", affects="network")
    s_patchout_f_indices: list[int] = opt([], "frequency rows of patches that are always dropped, by number", affects="network")
    s_patchout_f_interleaved: int = opt(0, "k > 1 keeps every k-th frequency row of patches, always", affects="network")
    s_patchout_t_indices: list[int] = opt([], "time columns of patches that are always dropped, by number", affects="network")
    s_patchout_t_interleaved: int = opt(0, "k > 1 keeps every k-th time column of patches, always", affects="network")
    checkpoint: str | None = opt(None, "weight file to begin with, in place of the published one of arch", affects="inputs")
    checkpoint_swa_weights: bool = opt(
        True, "take the averaged weights of a training checkpoint, where it holds any", affects="inputs"
    )
    checkpoint_discard_head: bool = opt(False, "begin with fresh heads in place of the checkpoint's", affects="network")


@dataclass
class Optimizer:
    """Optimiser and learning rate."""

    lr: float = opt(2e-5, "learning rate between warm-up and ramp down", affects="training")
    adamw: bool = opt(True, "optimise by AdamW; false: by Adam", affects="training")
    weight_decay: float = opt(1e-4, "weight decay: decoupled in AdamW, L2 in Adam", affects="training")
    schedule_mode: str = opt(
        "exp_lin",
        "course of the learning rate: exp_lin is an exponential warm-up, flat, then linear down; cos_cyc are cosine cycles",
        ("exp_lin", "cos_cyc"),
        affects="training",
    )
    warm_up_len: int = opt(5, "epochs of warm-up (of cos_cyc: length of a cycle)", affects="training")
    ramp_down_start: int = opt(50, "first epoch in which the learning rate goes down", affects="training")
    ramp_down_len: int = opt(50, "number of epochs in which the learning rate goes down", affects="training")
    last_lr_value: float = opt(0.01, "learning rate after that, as a share of lr", affects="training")


@dataclass
class Module:
    """Training of the network."""

    do_swa: bool = opt(True, "keep averaged weights beside the trained ones, validate and save both", affects="training")
    swa_epoch_start: int = opt(50, "first epoch whose weights are averaged", affects="training")
    swa_lrs: float = opt(
        2e-5,
        "learning rate while averaging, in place of lr (the schedule still multiplies it): set it with lr",
        affects="training",
    )
    swa_freq: int = opt(5, "epochs between two weights that are averaged", affects="training")
    ema_decay: float | None = opt(
        None, "decay of an exponential moving average per step, in place of SWA; none: SWA", affects="training"
    )
    mixup_alpha: float = opt(0.3, "alpha of mixup's Beta(alpha, alpha); 0: no mixup", affects="training")
    mixup_group: int | None = opt(
        None,
        "number of clips that mix among each other; none: a process's whole batch. With one that divides batch_size_train, "
        "1 x 8 and 2 x 4 train alike",
        affects="training",
    )
    optimizer: Optimizer = section(Optimizer)


@dataclass
class Dataset:
    """What the stored mels are."""

    sample_rate: int = opt(16000, "sample rate of the audio behind the mels, Hz", affects="network")
    hop_size: int = opt(256, "samples between two mel frames", affects="network")
    n_bands: int = opt(96, "mel bands", affects="network")
    half_overlapped_inference: bool = opt(
        False, "let windows of validation, test and extraction overlap by half", affects="network"
    )


@dataclass
class Roll:
    """Circular shift of a clip in training."""

    do: bool = opt(False, "shift each training clip circularly", affects="training")
    axis: int = opt(-1, "direction of the shift: -1 is time, -2 mel bands", (-1, -2), affects="training")
    shift: int | None = opt(None, "frames or bands of a fixed shift; none: a random one", affects="training")
    shift_range: int = opt(50, "largest random shift either way, frames or bands", affects="training")


@dataclass
class Norm:
    """Normalisation of the log-mels."""

    do: bool = opt(True, "z-normalise the log-mels: (x - mean) / (2 std)", affects="network")
    norm_mean: float = opt(2.06755686098554, "mean of the log-mels", affects="network")
    norm_std: float = opt(1.268292820667291, "standard deviation of the log-mels", affects="network")


@dataclass
class Masking:
    """SpecAugment: masks over bands and frames in training."""

    do: bool = opt(True, "hide bands and frames in training, after normalisation", affects="training")
    time_mask_param: int = opt(8, "length of the longest time mask, frames", affects="training")
    freq_mask_param: int = opt(5, "width of the widest frequency mask, bands", affects="training")
    p: float = opt(0.2, "length of the longest time mask, as a share of the clip", affects="training")
    iid_masks: bool = opt(True, "draw masks of its own for every clip of a batch", affects="training")
    time_masks: int = opt(20, "number of time masks of a clip", affects="training")
    freq_masks: int = opt(8, "number of frequency masks of a clip", affects="training")


@dataclass
class Sampler:
    """How the tracks of an epoch are drawn: by weights that favour rare labels."""

    sample_weight_offset: int = opt(100, "offset in a label's weight 1000 / (its tracks + offset)", affects="training")
    sample_weight_sum: bool = opt(True, "weigh a track by the sum over its labels; false: by their largest", affects="training")
    sampler_replace: bool = opt(False, "draw tracks with replacement", affects="training")
    epoch_len: int = opt(200000, "number of tracks in an epoch", affects="training")


@dataclass
class TeacherStudent:
    """Learning from another network's predictions."""

    do: bool = opt(False, "learn from a teacher's logits beside the labels (maest.distilled_type=separated)", affects="training")
    teacher_target_base_dir: str | None = opt(
        None, "store of the teacher's logits, as extract_logits writes it", affects="training inputs"
    )
    teacher_target_threshold: float = opt(
        0.45, "probability from which a label of the teacher counts as present", affects="training"
    )


@dataclass
class DataModule:
    """Tracks and labels."""

    audio_dir: str | None = opt(
        None, "folder of audio files, which are prepared into base_dir before training (config `folder`)", affects="inputs"
    )
    base_dir: str | None = opt(
        None, "store of mels, or a folder of such stores or of .mmap files; none: the demo data", affects="inputs"
    )
    base_dir_val: str | None = opt(None, "store of mels for validation and test; none: base_dir", affects="inputs")
    groundtruth: str | None = opt(
        None, "label file of all tracks, split by its split column, else 80/10/10 by split_seed", affects="inputs"
    )
    split_seed: int = opt(
        0, "seed of that 80/10/10 split; the same in ex_tl.py, so that test tracks stay unseen", affects="inputs"
    )
    groundtruth_train: str | None = opt(None, "label file of the training tracks", affects="inputs")
    groundtruth_val: str | None = opt(None, "label file of the validation tracks", affects="inputs")
    groundtruth_test: str | None = opt(None, "label file of the test tracks", affects="inputs")
    groundtruth_predict: str | None = opt(None, "file that names the tracks to extract; none: all of the store", affects="inputs")
    label_column: str | None = opt(None, "column of a table that holds the labels; none: found by its name", affects="inputs")
    group_column: str | None = opt(
        None,
        "column whose equal values a split keeps together; none: group, artist or album where there is one",
        affects="network",
    )
    batch_size_train: int = opt(12, "clips that each process takes in a training step", affects="course")
    batch_size_test: int = opt(
        20, "windows that each process takes at once in validation, test and extraction", affects="numerics"
    )
    num_workers: int = opt(
        0, "number of loading processes; 0 is fastest for stores in the page cache (published: 16)", affects="nothing"
    )
    clip_length: float = opt(10, "length of a clip, s", affects="network")
    demo_tracks: int | None = opt(
        None, "number of tracks of the demo data, where no other data are named; none: the whole of it", affects="inputs"
    )
    tail: str = opt(
        "pad",
        "end of a track in inference: pad the last window, shift it back to end with the track, or drop it",
        ("pad", "shift", "drop"),
        affects="network",
    )
    roll: Roll = section(Roll)
    norm: Norm = section(Norm)
    masking: Masking = section(Masking)
    sampler: Sampler = section(Sampler)
    teacher_student: TeacherStudent = section(TeacherStudent)


@dataclass
class ExMaest:
    """All of ex_maest.py."""

    ckpt_path: str | None = opt(
        None,
        "training checkpoint that main and report continue, or last: that of this config's newest run; for test: the one to test",
        affects="checkpoint",
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
