"""MAEST: pre-train, test, extract.

python ex_maest.py                                             a small MAEST on the embedded demo music
python ex_maest.py with folder datamodule.audio_dir=DIR datamodule.groundtruth=labels.csv
python ex_maest.py extract_embeddings with maest_30s_from_passt_inference datamodule.base_dir=MELS
python ex_maest.py print_named_configs | print_config | help COMMAND
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import configs
from configs.schema import ExMaest, defaults, docs
from helpers.sacred_glue import Experiment, Run, metric_logger, run_folder, share_seed

ROOT = Path(__file__).parent
DATA_KEYS = ("audio_dir", "base_dir", "groundtruth", "groundtruth_train", "groundtruth_predict")


def implied(command: str, updates: Mapping[str, Any], named: Sequence[str]) -> Sequence[str]:
    """Without a named config and without data the command is the demo's."""
    chosen = updates.get("datamodule", {})
    if named or command == "print_config" or any(key in chosen for key in DATA_KEYS):
        return named
    return ("demo",)


ex = Experiment(
    "maest",
    ExMaest,
    defaults=defaults(ExMaest),
    docs=docs(ExMaest),
    named={name: (n.values, n.doc) for name, n in configs.MAEST.items()},
    root="trainer.default_root_dir",
    aliases={"inference": "predict", "maest.checkpoint_swa_weigts": "maest.checkpoint_swa_weights"},
    implied=implied,
    sources=[p for folder in ("configs", "models", "datasets", "helpers") for p in sorted((ROOT / folder).rglob("*.py"))],
    base_dir=str(ROOT),
)


# ---- config -> objects
def tracks(config: Mapping[str, Any], seed: int, splits: Sequence[str], out_dir: Path) -> Any:
    """The mel store and the groundtruths that the config names."""
    from helpers.data import find_tracks

    c = config["datamodule"]
    names = ("audio_dir", "base_dir", "base_dir_val", "groundtruth", "label_column", "demo_tracks")
    labels = {split: c[f"groundtruth_{split}"] for split in ("train", "val", "test", "predict")}
    return find_tracks(**{n: c[n] for n in names}, labels=labels, splits=splits, seed=seed, out_dir=out_dir)


def data_module(config: Mapping[str, Any], found: Any, seed: int) -> Any:
    """The found tracks as batches."""
    from datasets.datamodule import TrackDataModule

    from models.frontend import frames_of

    c, d = config["datamodule"], config["dataset"]
    sampler = c["sampler"]
    return TrackDataModule(
        found.store,
        **{f"groundtruth_{split}": truth for split, truth in found.truths.items()},
        store_val=found.store_val,
        clip_frames=config["maest"]["input_t"] or frames_of(c["clip_length"]),
        require={"kind": "mel", "sample_rate": d["sample_rate"], "hop": d["hop_size"], "front_end": "maest-essentia"},
        batch_size_train=c["batch_size_train"],
        batch_size_test=c["batch_size_test"],
        num_workers=c["num_workers"],
        seed=seed,
        half_overlap=d["half_overlapped_inference"],
        tail=c["tail"],
        teacher=c["teacher_student"]["teacher_target_base_dir"] if c["teacher_student"]["do"] else None,
        **sampler,
    )


def network(config: Mapping[str, Any], labels: Sequence[str] | None, seed: int) -> Any:
    """The network of the config; `labels` of the data decide the number of classes where they are known."""
    import torch
    from helpers.data import class_count

    from models import get_maest
    from models.frontend import frames_of

    c = dict(config["maest"])
    n_classes = class_count(c.pop("n_classes"), labels)
    names = None if labels is None or all(label.isdigit() for label in labels) else labels
    input_t = c.pop("input_t") or frames_of(config["datamodule"]["clip_length"])
    stride = (c.pop("stride_f"), c.pop("stride_t"))
    torch.manual_seed(seed)  # of the random weights
    return get_maest(**c, n_classes=n_classes, labels=names, input_t=input_t, stride=stride)


def objective(config: Mapping[str, Any], net: Any) -> Any:
    """Supervised training, or teacher-student."""
    from models.maest.augment import Masking, Roll
    from models.maest.objective import SupervisedObjective, TeacherStudentObjective

    c, masking = config["datamodule"], dict(config["datamodule"]["masking"])
    roll = {k: v for k, v in c["roll"].items() if k != "axis"}
    settings = dict(
        norm=c["norm"]["do"],
        norm_mean=c["norm"]["norm_mean"],
        norm_std=c["norm"]["norm_std"],
        mixup_alpha=config["module"]["mixup_alpha"],
        roll=Roll(**roll),
        masking=Masking(**masking),
    )
    if c["teacher_student"]["do"]:
        return TeacherStudentObjective(net, threshold=c["teacher_student"]["teacher_target_threshold"], **settings)
    return SupervisedObjective(net, **settings)


def optimization(config: Mapping[str, Any]) -> Any:
    """Optimiser and schedule."""
    from helpers.lit import Optimization
    from helpers.schedules import cosine_cycle, exp_warmup_linear_down

    o = config["module"]["optimizer"]
    if o["schedule_mode"] == "cos_cyc":
        schedule = cosine_cycle(o["warm_up_len"], o["ramp_down_start"], o["last_lr_value"])
    else:
        schedule = exp_warmup_linear_down(o["warm_up_len"], o["ramp_down_len"], o["ramp_down_start"], o["last_lr_value"])
    return Optimization(name="adamw" if o["adamw"] else "adam", lr=o["lr"], weight_decay=o["weight_decay"], schedule=schedule)


def averaging(config: Mapping[str, Any]) -> Any:
    """Averaged weights, or None."""
    from helpers.averaging import AveragedWeights

    m = config["module"]
    if not m["do_swa"]:
        return None
    if m["ema_decay"] is not None:
        return AveragedWeights(m["swa_epoch_start"], kind="ema", decay=m["ema_decay"], lr=m["swa_lrs"])
    return AveragedWeights(m["swa_epoch_start"], m["swa_freq"], lr=m["swa_lrs"])


HARDWARE = ("devices", "num_nodes", "accelerator", "precision", "strategy")


# ---- commands
@ex.main
def main(_run: Run, _config: Mapping[str, Any], _seed: int) -> dict[str, float]:
    """Pre-train: the default command. Leaves checkpoints/best.ckpt, last.ckpt and history.json in the run's folder."""
    from helpers.training import fit

    share_seed(_seed)
    folder = run_folder(_run, _config["trainer"]["default_root_dir"])
    found = tracks(_config, _seed, ("train", "val"), folder)
    data = data_module(_config, found, _seed)
    data.setup("fit")
    net = network(_config, data.labels, _seed)
    t = {k: v for k, v in _config["trainer"].items() if k not in ("default_root_dir", "check_val_every_n_epoch")}
    result = fit(
        objective(_config, net),
        data,
        out_dir=folder,
        optimization=optimization(_config),
        averaging=averaging(_config),
        seed=_seed,
        resume_from=_config["ckpt_path"],
        log_metric=metric_logger(_run),
        **t,
    )
    _say(f"Best epoch's weights: {result.best or result.last}", f"Last epoch's weights: {result.last}")
    return result.metrics


@ex.command
def test(_run: Run, _config: Mapping[str, Any], _seed: int) -> dict[str, float]:
    """Score the test tracks, per window and per track, with ckpt_path or the config's weights. Writes test.json into the run's folder."""
    from helpers.training import evaluate

    share_seed(_seed)
    folder = run_folder(_run, _config["trainer"]["default_root_dir"])
    found = tracks(_config, _seed, ("test",), folder)
    data = data_module(_config, found, _seed)
    data.setup("test")
    t = _config["trainer"]
    result = evaluate(
        objective(_config, network(_config, data.labels, _seed)),
        data,
        checkpoint=_config["ckpt_path"],
        out_dir=folder,
        log_metric=metric_logger(_run),
        **{k: t[k] for k in HARDWARE},
    )
    return result.metrics


def _say(*lines: str) -> None:
    for line in lines:
        print(line)


if __name__ == "__main__":
    ex.run_commandline(sys.argv)
