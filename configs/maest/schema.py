"""Typed configuration of MAEST: the network's section, and what only MAEST has in the common ones."""

from __future__ import annotations

from dataclasses import dataclass

from .. import schema, schema_commands
from ..options import COUNT, FROM_0, SAMPLE_RATE, SHARE, opt, section


@dataclass
class Maest:
    """The network (models/maest)."""

    arch: str = opt("passt_s_swa_p16_128_ap476", "name of a registered model (models.list_models())", affects="network")
    pretrained: bool = opt(False, "begin with the published weights of arch", affects="network")
    n_classes: int = opt(
        400, "number of classes; where labels are read from data, their number holds", affects="network", bounds=COUNT
    )
    in_channels: int = opt(1, "channels of the spectrogram, which are 1", affects="network", bounds="[1, 1]")
    stride_f: int = opt(10, "mel bands between two patches", affects="network", bounds="[1, 1000]")
    stride_t: int = opt(10, "mel frames between two patches", affects="network", bounds="[1, 1000]")
    input_f: int = opt(96, "mel bands of the input", affects="network", bounds="[16, 4096]")
    input_t: int | None = opt(
        None, "mel frames of the input; none: those of datamodule.clip_length", affects="network", bounds="[16, 225000]"
    )
    embed_dim: int = opt(768, "width of the tokens, C", affects="network", bounds="[1, 16384]")
    depth: int = opt(12, "number of transformer blocks", affects="network", bounds="[1, 1000]")
    num_heads: int = opt(12, "number of attention heads", affects="network", bounds="[1, 1024]")
    init_std: float = opt(
        0.02,
        "standard deviation of fresh weights and position tables; a narrow network learns sooner from about 1 / sqrt(embed_dim)",
        affects="network",
        bounds="(0, 100]",
    )
    distilled: bool = opt(True, "have a DIST token beside CLS", affects="network")
    distilled_type: str = opt(
        "mean",
        "heads of the two tokens: mean is one head on both, separated a head on each (teacher-student)",
        ("mean", "separated"),
        affects="network",
    )
    u_patchout: int = opt(0, "number of random patches that are dropped in training", affects="network", bounds=FROM_0)
    s_patchout_t: int = opt(
        0, "number of random time columns of patches that are dropped in training", affects="network", bounds=FROM_0
    )
    s_patchout_f: int = opt(
        0, "number of random frequency rows of patches that are dropped in training", affects="network", bounds=FROM_0
    )
    s_patchout_f_indices: list[int] = opt(
        [], "frequency rows of patches that are always dropped, by number", affects="network", bounds=FROM_0
    )
    s_patchout_f_interleaved: int = opt(
        0, "k > 1 keeps every k-th frequency row of patches, always", affects="network", bounds=FROM_0
    )
    s_patchout_t_indices: list[int] = opt(
        [], "time columns of patches that are always dropped, by number", affects="network", bounds=FROM_0
    )
    s_patchout_t_interleaved: int = opt(
        0, "k > 1 keeps every k-th time column of patches, always", affects="network", bounds=FROM_0
    )
    checkpoint: str | None = opt(None, "weight file to begin with, in place of the published one of arch", affects="inputs")
    checkpoint_swa_weights: bool = opt(
        True, "take the averaged weights of a training checkpoint, where it holds any", affects="inputs"
    )
    checkpoint_discard_head: bool = opt(False, "begin with fresh heads in place of the checkpoint's", affects="network")


@dataclass
class Module(schema.Module):
    """Training of the network."""

    mixup_alpha: float = opt(0.3, "alpha of mixup's Beta(alpha, alpha); 0: no mixup", affects="training", bounds="[0, 1000]")
    mixup_group: int | None = opt(
        None,
        "number of clips that mix among each other; none: a process's whole batch. With one that divides batch_size_train, "
        "1 x 8 and 2 x 4 train alike",
        affects="training",
        bounds=COUNT,
    )


@dataclass
class Dataset(schema.Dataset):
    """What the stored mels are."""

    sample_rate: int = opt(16000, "sample rate of the audio behind the mels, Hz", affects="network", bounds=SAMPLE_RATE)
    hop_size: int = opt(256, "samples between two mel frames", affects="network", bounds="[1, 100000]")
    n_bands: int = opt(96, "mel bands", affects="network", bounds="[1, 4096]")


@dataclass
class Roll:
    """Circular shift of a clip in training."""

    do: bool = opt(False, "shift each training clip circularly", affects="training")
    axis: int = opt(-1, "direction of the shift: -1 is time, -2 mel bands", (-1, -2), affects="training")
    shift: int | None = opt(
        None, "frames or bands of a fixed shift; none: a random one", affects="training", bounds="[-1e6, 1e6]"
    )
    shift_range: int = opt(50, "largest random shift either way, frames or bands", affects="training", bounds=FROM_0)


@dataclass
class Norm:
    """Normalisation of the log-mels."""

    do: bool = opt(True, "z-normalise the log-mels: (x - mean) / (2 std)", affects="network")
    norm_mean: float = opt(2.06755686098554, "mean of the log-mels", affects="network", bounds="[-1e6, 1e6]")
    norm_std: float = opt(1.268292820667291, "standard deviation of the log-mels", affects="network", bounds="(0, 1e6]")


@dataclass
class Masking:
    """SpecAugment: masks over bands and frames in training."""

    do: bool = opt(True, "hide bands and frames in training, after normalisation", affects="training")
    time_mask_param: int = opt(8, "bound of time masks, frames: each has 0 to one less", affects="training", bounds=FROM_0)
    freq_mask_param: int = opt(5, "bound of frequency masks, bands: each has 0 to one less", affects="training", bounds=FROM_0)
    p: float = opt(0.2, "bound of time masks as a share of the clip; the smaller one counts", affects="training", bounds=SHARE)
    iid_masks: bool = opt(True, "draw masks of its own for every clip of a batch", affects="training")
    time_masks: int = opt(20, "number of time masks of a clip", affects="training", bounds="[0, 1000]")
    freq_masks: int = opt(8, "number of frequency masks of a clip", affects="training", bounds="[0, 1000]")


@dataclass
class Sampler(schema.Sampler):
    """How the tracks of an epoch are drawn: by weights that favour rare labels."""

    sample_weight_offset: int = opt(
        100, "offset in a label's weight 1000 / (its tracks + offset)", affects="training", bounds="[0, 1e9]"
    )
    sample_weight_sum: bool = opt(True, "weigh a track by the sum over its labels; false: by their largest", affects="training")
    epoch_len: int | None = opt(
        200000, "number of tracks in an epoch; none: every track once", affects="training", bounds="[1, 1e9]"
    )


@dataclass
class TeacherStudent:
    """Learning from another network's predictions."""

    do: bool = opt(False, "learn from a teacher's logits beside the labels (maest.distilled_type=separated)", affects="training")
    soft: bool = opt(
        False,
        "learn the teacher's probabilities alone, its classes in place of labels (maest.distilled_type=mean)",
        affects="training",
    )
    teacher_target_base_dir: str | None = opt(
        None, "store of the teacher's logits, as extract_logits writes it", affects="training inputs"
    )
    teacher_target_threshold: float = opt(
        0.45,
        "probability from which a label of the teacher counts as present; not asked where soft",
        affects="training",
        bounds=SHARE,
    )


@dataclass
class DataModule(schema.DataModule):
    """Tracks and labels."""

    clip_length: float = opt(10, "length of a clip, s", affects="network", bounds="(0, 3600]")
    roll: Roll = section(Roll)
    norm: Norm = section(Norm)
    masking: Masking = section(Masking)
    val_crops: bool = opt(
        False,
        "validate on one random crop of each track, another one in each epoch, in place of every window",
        affects="training",
    )
    sampler: Sampler = section(Sampler)
    teacher_student: TeacherStudent = section(TeacherStudent)


@dataclass
class Predict(schema_commands.Predict):
    """Extraction, prediction, search (alias of the section: inference)."""

    types: str = opt("cdt", "tokens that similar compares: any of c (CLS), d (DIST), t (mean of the others)", affects="predict")
    reduce: str = opt(
        "stack", "how similar joins several tokens: by their mean, or stacked", ("mean", "stack"), affects="predict"
    )


@dataclass
class Report(schema_commands.Report):
    """The command `report`: pre-train, extract, probe beside an untrained network and mel statistics, one page of it all."""

    title: str = opt("MAEST, pre-trained here", "title of the page", affects="report")
    types: str = opt("cdt", "tokens that the probe sees: any of c (CLS), d (DIST), t (mean of the others)", affects="report")
    reduce: str = opt("stack", "how several tokens are joined: by their mean, or stacked", ("mean", "stack"), affects="report")


@dataclass
class ExMaest(schema.Run):
    """All of ex_maest.py."""

    maest: Maest = section(Maest)
    module: Module = section(Module)
    dataset: Dataset = section(Dataset)
    datamodule: DataModule = section(DataModule)
    predict: Predict = section(Predict)
    report: Report = section(Report)
