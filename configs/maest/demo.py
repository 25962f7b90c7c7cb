"""The demo: a small MAEST on the embedded procedural music (datasets/demo), minutes on two cores. `python ex_maest.py` alone runs it."""

from __future__ import annotations

from ..naming import DEMO, Config, merged
from ..probe import PROBE
from .pretrain import MAEST, SMOKE

DEMO_DIR = "exp_out/demo_data"
SMALL: Config = {
    "trainer": {"max_epochs": 24, "log_every_n_steps": 10, "check_val_every_n_epoch": 3, "gradient_clip_val": 1.0},
    # 114 patches of a 5 s clip; the published init_std of 0.02 is made for C = 768: this width hardly begins to learn with it
    "maest": {"embed_dim": 128, "depth": 4, "num_heads": 4, "stride_f": 16, "stride_t": 16, "init_std": 0.12},
    "module": {
        "do_swa": False,
        "mixup_alpha": 0.0,
        "optimizer": {
            "lr": 1e-3,
            "weight_decay": 0.05,
            "warm_up_len": 2,
            "ramp_down_start": 5,
            "ramp_down_len": 19,
            "last_lr_value": 0.02,
        },
    },
    "datamodule": {
        "clip_length": 5,
        "tail": "shift",  # tracks of 6.5 to 9 s: two full windows
        "batch_size_train": 16,
        "batch_size_test": 64,
        "masking": {"time_masks": 2, "freq_masks": 2},
        "sampler": {"epoch_len": 1520},
    },
    "predict": {"transformer_block": 2},
}
# 1520 tracks are 12 steps an epoch: at the published learning rate of 1e-4 the probe would hardly move. Standardised inputs help the untrained
# network most (its embeddings hardly vary), which makes the comparison the stricter one.
SMALL_PROBE: Config = {
    "standardise": True,
    "trainer": {"max_epochs": 30},
    "optimizer": {"max_lr": 1e-3, "warmup_epochs": 5, "max_lr_epochs": 5},
}


@MAEST.add(group=DEMO)
def demo() -> Config:
    """A small MAEST on the embedded procedural music. What `python ex_maest.py` alone runs; `make demo` goes on to the probe and the report.

    python ex_maest.py with demo
    """
    return {**SMALL, "seed": 0, "report": {**SMALL_PROBE, "title": "Demo: MAEST pre-trained on procedural music"}}


@MAEST.add(group=DEMO)
def demo_teacher_student() -> Config:
    """Teacher-student on the demo music: the demo's network is the teacher of a student of the same size with separated heads.

    python ex_maest.py                                                                                  # the teacher
    python ex_maest.py extract_logits with demo maest.checkpoint=exp_logs/1/checkpoints/best.ckpt       # into exp_out/5sec/logits
    python ex_maest.py with demo_teacher_student
    python ex_maest.py test with demo_teacher_student ckpt_path=exp_logs/3/checkpoints/best.ckpt
    """
    student = {"do": True, "teacher_target_base_dir": "exp_out/5sec/logits"}
    return merged(SMALL, {"seed": 1, "maest": {"distilled_type": "separated"}, "datamodule": {"teacher_student": student}})


@MAEST.add(smoke=SMOKE)
def maest_from_musicnn_teacher() -> Config:
    """A small MAEST that learns the published musicnn's tags from any folder of audio, without labels: distillation by soft targets.

    python ex_maest.py extract_logits with musicnn_mtt datamodule.audio_dir=DIR dataset.half_overlapped_inference=True
    python ex_maest.py with maest_from_musicnn_teacher datamodule.audio_dir=DIR
    python ex_maest.py predict with maest.checkpoint=exp_logs/2/checkpoints/last.ckpt predict.audio=FILE
    """
    student = {"do": True, "soft": True, "teacher_target_base_dir": "exp_out/musicnn-mtt/logits"}
    sampler = {"epoch_len": 1520, "sampler_replace": True}  # whatever the folder's size
    data = {
        "clip_length": 3,
        "val_share": 0.2,
        "sampler": sampler,
        "teacher_student": student,
    }  # windows as long as the teacher's
    more = {"module": {"mixup_alpha": 0.3}, "trainer": {"check_val_every_n_epoch": 1}, "datamodule": data}
    return merged(SMALL, more)


@MAEST.add(group=DEMO)
def demo_frames() -> Config:
    """The demo's network with columns of 64 ms in place of 256 ms, for tasks in time; `extract_embeddings` stores every vector.

    python ex_maest.py with demo_frames
    python ex_maest.py extract_embeddings with demo_frames maest.checkpoint=exp_logs/1/checkpoints/best.ckpt
    python ex_tl.py with demo_beats                        (demo_chords, demo_structure)
    """
    fine: Config = {"maest": {"stride_f": 32, "stride_t": 4}, "predict": {"frames": True, "out_dir": "exp_out/demo_frames/"}}
    return merged(SMALL, fine, {"seed": 0, "dataset": {"half_overlapped_inference": True}})


@MAEST.add(group=DEMO)
def folder() -> Config:
    """Anyone's audio: prepares a folder and pre-trains a small MAEST on its labels, at a size that a laptop manages.

    python ex_maest.py with folder datamodule.audio_dir=DIR datamodule.groundtruth=labels.csv
    The table has a path column and a label column ('|' between several), or a column per label; a split column is used where there is one.
    """
    return merged(SMALL, {"trainer": {"check_val_every_n_epoch": 1}, "report": SMALL_PROBE})


@PROBE.add(group=DEMO)
def demo_tl() -> Config:
    """The probe on the demo's embeddings, as `make demo` runs it."""
    return {"data": {"types": "cdt", "reduce": "stack", "token_size": 128}}


def _in_time(task: str, folder: str, steps: int, **more: Config) -> Config:
    """A probe on the vectors that `extract_embeddings with demo_frames` stores."""
    data = {
        "task": task, "base_dir": "exp_out/demo_frames/5sec/frames/2", "groundtruth": f"{DEMO_DIR}/groundtruth.csv",
        "annotations": f"{DEMO_DIR}/annotations/{folder}", "standardise": True, "batch_size": 256,
    }  # fmt: skip
    optimizer = {"scheduler": "warmup_cosine", "warmup_steps": steps // 10, "weight_decay": 0.01, "max_lr": 1e-3}
    usual: Config = {"data": data, "trainer": {"max_steps": steps}, "optimizer": optimizer, "model": {"drop_out": 0.2}}
    return merged(usual, more)


@PROBE.add(group=DEMO)
def demo_beats() -> Config:
    """Beats of the demo music, on the vectors of demo_frames: what `beats` does, in fewer steps."""
    return _in_time("beats", "beats", 3000)


@PROBE.add(group=DEMO)
def demo_chords() -> Config:
    """Chords of the demo music, on the vectors of demo_frames: what `chords` does, in fewer steps."""
    return _in_time("chords", "chords", 4000)


@PROBE.add(group=DEMO)
def demo_structure() -> Config:
    """Playing and silence in the demo music, and where they change, on the vectors of demo_frames: what `structure` does, in fewer steps."""
    return _in_time("structure", "sections", 3000)
