"""From the published suite's setting names to objects: network, objective, optimiser, averaging, data module.

Sections arrive as plain mappings with the names of configs/schema.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from datasets.loading.batching import Batching
from datasets.loading.datamodule import TrackDataModule
from models.errors import ConfigError, WeightsError
from models.frontend import NORM_MEAN, NORM_STD, frames_of
from models.maest import MAEST, get_maest
from models.maest.augment import Masking, Roll
from models.maest.objective import SupervisedObjective, TeacherStudentObjective
from models.maest.patchout import tag
from models.registry import get_card
from models.weights.checkpoints import read_settings
from models.weights.locate import find_weights

from ..data.find import Tracks
from ..runtime.devices import count_processes, resolve_accelerator
from ..schedules import cosine_cycle, exp_warmup_linear_down
from ..training.averaging import AveragedWeights
from ..training.lightning_module import Optimization
from ..training.same_training import BATCH, DATA, ResumeRules, TrainingIdentity

log = logging.getLogger(__name__)
Section = Mapping[str, Any]
SIZES = ("input_f", "embed_dim", "depth", "num_heads", "distilled", "distilled_type")  # of a network, that its file says
HOP_SECONDS = 256 / 16000  # of a mel frame
DEFAULT_CLASSES = 400  # of the published archs: stands for "as many as the data has"


def build_data_module(found: Tracks, datamodule: Section, dataset: Section, input_t: int | None, seed: int) -> TrackDataModule:
    """The found tracks as batches."""
    c = datamodule
    student = c["teacher_student"]
    batching = Batching(
        input_t or frames_of(c["clip_length"]),
        {"kind": "mel", "sample_rate": dataset["sample_rate"], "hop": dataset["hop_size"], "front_end": "maest-essentia"},
        batch_size_train=c["batch_size_train"],
        batch_size_test=c["batch_size_test"],
        num_workers=c["num_workers"],
        half_overlap=dataset["half_overlapped_inference"],
        tail=c["tail"],
        **c["sampler"],
    )
    teacher = student["teacher_target_base_dir"] if student["do"] else None
    return TrackDataModule(found.store, found.truths, batching, store_val=found.store_val, teacher=teacher, seed=seed)


def build_network(maest: Section, datamodule: Section, labels: Sequence[str] | None, seed: int) -> MAEST:
    """The network; `labels` of the data decide the number of classes where they are known. `seed`: of the random weights.

    It normalises waves as datamodule.norm says, so that training, extraction and prediction agree.
    """
    c, norm = dict(maest), datamodule["norm"]
    if not norm["do"]:
        c |= {"norm_mean": 0.0, "norm_std": 0.5}
    elif (norm["norm_mean"], norm["norm_std"]) != (NORM_MEAN, NORM_STD):
        c |= {"norm_mean": norm["norm_mean"], "norm_std": norm["norm_std"]}
    n_classes = class_count(c.pop("n_classes"), labels, c["checkpoint"])
    names = None if labels is None or all(label.isdigit() for label in labels) else labels
    input_t = c.pop("input_t") or frames_of(datamodule["clip_length"])
    stride = (c.pop("stride_f"), c.pop("stride_t"))
    torch.manual_seed(seed)
    return get_maest(**c, n_classes=n_classes, labels=names, input_t=input_t, stride=stride)


def sized_by_checkpoint(config: Section, defaults: Section) -> dict[str, Any]:
    """The config with the sizes of the network in maest.checkpoint, where that file says them (own training checkpoints and exports do).

    The length of a window is the file's too, unless datamodule.clip_length or maest.input_t were changed from `defaults`.

    Raises ConfigError for sizes that were changed from `defaults` to others than the file's, WeightsError for another family's file.
    """
    maest, path = dict(config["maest"]), config["maest"]["checkpoint"]
    found = read_settings(path) if path is not None else {}
    if found.get("family", "maest") != "maest":
        raise WeightsError(f"{path} holds a network of the family {found['family']}: use ex_ssl.py.")
    if not found:
        return dict(config)
    stride = found.get("stride", (maest["stride_f"], maest["stride_t"]))
    sizes = {name: found[name] for name in SIZES if name in found} | {"stride_f": stride[0], "stride_t": stride[1]}
    wrong = [name for name, size in sizes.items() if maest[name] not in (size, defaults["maest"][name])]
    if wrong:
        raise ConfigError(
            f"{path} holds another network than the config asks for: "
            + ", ".join(f"maest.{name} is {sizes[name]!r} in the file, {maest[name]!r} in the config" for name in wrong)
            + ". Leave these (or the named config that sets them) out: the file says what it holds."
        )
    maest |= sizes
    clip, default = config["datamodule"]["clip_length"], defaults["datamodule"]["clip_length"]
    frames = int(found.get("input_t", frames_of(clip)))
    if maest["input_t"] is None and clip == default and frames != frames_of(clip):
        clip = round(frames * HOP_SECONDS, 1)
        clip, maest["input_t"] = (int(clip) if clip == int(clip) else clip), frames
    log.info("The network is what %s says: %d wide, %d blocks, windows of %g s.", path, maest["embed_dim"], maest["depth"], clip)
    predict, block = config["predict"], config["predict"]["transformer_block"]
    if block == defaults["predict"]["transformer_block"] >= maest["depth"]:
        predict = {**predict, "transformer_block": maest["depth"] - 1}  # the last one, as the default is of the published depth
    return {**config, "maest": maest, "datamodule": {**config["datamodule"], "clip_length": clip}, "predict": predict}


def check_teacher(student: Section) -> None:
    """Raise ConfigError where training from a teacher would find no logits."""
    where = student["teacher_target_base_dir"]
    if not student["do"] or (where is not None and Path(where).exists()):
        return
    raise ConfigError(
        "Teacher-student training needs the teacher's logits: run `python ex_maest.py extract_logits with ...` on the same tracks and name its "
        "folder in datamodule.teacher_student.teacher_target_base_dir"
        + (f" ({where} is not there)." if where is not None else ".")
    )


def check_before_work(
    maest: Section, datamodule: Section, accelerator: str, devices: int | str, blocks: Sequence[int] = ()
) -> None:
    """Raise what building and placing the network would raise, before hours of preparation.

    Impossible settings, blocks that are not there, absent weights, no GPU.
    """
    resolve_accelerator(accelerator, devices)
    with torch.device("meta"):
        build_network({**maest, "pretrained": False, "checkpoint": None}, datamodule, None, 0)
    if wrong := [block for block in blocks if not -1 <= block < maest["depth"]]:
        raise ConfigError(
            f"predict.transformer_block asks for {wrong}: this network has blocks 0..{maest['depth'] - 1}, and -1 for the features."
        )
    if maest["checkpoint"] is not None:
        read_settings(maest["checkpoint"])
    elif maest["pretrained"]:
        find_weights(get_card(maest["arch"]))


def class_count(asked: int, labels: Sequence[str] | None, checkpoint: str | Path | None) -> int | None:
    """Number of classes: the data's where labels are known. None: those of the checkpoint.

    Raises ConfigError when another number was asked for on purpose.
    """
    default = asked == DEFAULT_CLASSES
    if labels is None:
        return None if default and checkpoint is not None else asked
    if len(labels) != asked and not default:
        raise ConfigError(
            f"maest.n_classes is {asked}, the groundtruth has {len(labels)} labels: set maest.n_classes={len(labels)} or leave it out."
        )
    return len(labels)


def build_objective(net: MAEST, module: Section, datamodule: Section) -> SupervisedObjective:
    """Supervised training, or teacher-student."""
    c, student = datamodule, datamodule["teacher_student"]
    settings = dict(
        norm_mean=net.norm_mean,
        norm_std=net.norm_std,
        mixup_alpha=module["mixup_alpha"],
        mixup_group=module["mixup_group"],
        roll=Roll(**c["roll"]),
        masking=Masking(**c["masking"]),
    )
    if student["do"]:
        return TeacherStudentObjective(net, threshold=student["teacher_target_threshold"], **settings)
    return SupervisedObjective(net, **settings)


def build_optimization(optimizer: Section) -> Optimization:
    """Optimiser and schedule."""
    o = optimizer
    if o["schedule_mode"] == "cos_cyc":
        schedule = cosine_cycle(o["warm_up_len"], o["ramp_down_start"], o["last_lr_value"])
    else:
        schedule = exp_warmup_linear_down(o["warm_up_len"], o["ramp_down_len"], o["ramp_down_start"], o["last_lr_value"])
    return Optimization(name="adamw" if o["adamw"] else "adam", lr=o["lr"], weight_decay=o["weight_decay"], schedule=schedule)


def build_averaging(module: Section) -> AveragedWeights | None:
    """Averaged weights, or None."""
    if not module["do_swa"]:
        if module["ema_decay"] is not None:
            raise ConfigError(f"module.ema_decay={module['ema_decay']} averages nothing without module.do_swa=True: set both.")
        return None
    if module["ema_decay"] is not None:
        return AveragedWeights(module["swa_epoch_start"], kind="ema", decay=module["ema_decay"], lr=module["swa_lrs"])
    return AveragedWeights(module["swa_epoch_start"], module["swa_freq"], lr=module["swa_lrs"])


def build_identity(config: Mapping[str, Any], data: TrackDataModule, rules: ResumeRules, **more: Any) -> TrainingIdentity:
    """What a run that continues this one's checkpoints must have in common with it: its settings, its data, and items per batch."""
    own = {
        DATA: data.fingerprint(),
        BATCH: data.batching.batch_size_train * count_processes(SimpleNamespace(**config["trainer"])),
        **more,
    }
    return rules.identity(config, {**rules.about_data(config, data.summary()), **own})


def output_folder(out_dir: str | Path, clip_length: float, maest: Section) -> Path:
    """<out_dir>/<clip>sec/<patchout tag>, the tag left out without patchout."""
    folder = Path(out_dir) / f"{clip_length:g}sec"
    return folder / tag(maest) if tag(maest) else folder
