"""The command lines whose results tests/equal_results.py compares, and how they are run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Command:
    """One command line. {song}, {labels} and {mels} stand for the demo's files.

    artefacts: neutral name -> pattern of a file below the working folder. result: also what the run's record says that the command returned.
    """

    name: str
    words: str
    artefacts: Mapping[str, str] = field(default_factory=dict)
    result: str | None = None


_CPU = "trainer.accelerator=cpu trainer.precision=32 trainer.devices=1 datamodule.num_workers=0 datamodule.demo_tracks=40 seed=7"
_NET = "maest.embed_dim=48 maest.depth=2 maest.num_heads=4"
_FIT = "trainer.max_epochs=2 trainer.check_val_every_n_epoch=1 datamodule.batch_size_train=8"
# stochastic averaging, mixup, patchout and roll are on: the demo has them off
_MORE = (
    "module.do_swa=True module.swa_epoch_start=1 module.swa_freq=1 module.swa_lrs=1e-3 module.mixup_alpha=0.3 maest.s_patchout_t=5 "
    "maest.s_patchout_f=1 datamodule.roll.do=True"
)
_BEST = "runs/maest/1/checkpoints/best.ckpt"
_USED = f"with demo {_CPU} {_NET} maest.checkpoint={_BEST}"
_SAMPLECNN = "clmr.channels=[8,8,16,16,16,32,32] clmr.strides=[3,3,3,3,3]"
_CLMR = f"{_SAMPLECNN} trainer.max_epochs=2 datamodule.batch_size_train=4 optimizer.lr=1e-3"
_CLMR_BEST, _TAUGHT = "runs/clmr/1/checkpoints/best.ckpt", "runs/samplecnn/1/checkpoints/best.ckpt"
_PROBE = "trainer.max_epochs=3 seeds=[0,1] model.hidden_units=16 optimizer.warmup_epochs=1 optimizer.max_lr_epochs=1 optimizer.max_lr=1e-3"
_TOKENS = "data.groundtruth={labels} data.types=cdt data.reduce=stack data.token_size=48"


def _trained(where: str) -> dict[str, str]:
    return {
        **{name: f"{where}/1/checkpoints/{name}.ckpt" for name in ("best", "last")},
        **{name: f"{where}/1/{name}.json" for name in ("history", "metrics")},
    }


def _probed(where: str) -> dict[str, str]:
    return {name: f"{where}/1/{name}" for name in ("scores.json", "labels.csv", "scores.npz", "head.safetensors")}


COMMANDS = [
    # the demo's audio and labels, and its mels, are made by the first command that wants them
    Command(
        "maest main", f"ex_maest.py with demo {_CPU} {_NET} {_FIT} {_MORE} trainer.default_root_dir=runs/maest",
        {**_trained("runs/maest"), "demo labels": "**/demo_data-40/groundtruth.csv", "demo mels": "**/demo_data-40/mels/*.h5"},
    ),
    Command(
        "maest main, averaged",
        f"ex_maest.py with demo {_CPU} {_NET} {_FIT} module.do_swa=True module.swa_epoch_start=0 module.ema_decay=0.9 "
        "trainer.default_root_dir=runs/averaged",
        _trained("runs/averaged"),
    ),
    Command(
        "maest test", f"ex_maest.py test with demo {_CPU} {_NET} ckpt_path={_BEST} trainer.default_root_dir=runs/maest_test",
        {"test": "runs/maest_test/1/test.json"},
    ),
    Command(
        "maest extract_embeddings",
        f"ex_maest.py extract_embeddings {_USED} inference.transformer_block=[0,1] predict.out_dir=out/maest trainer.default_root_dir=runs/e",
        {"block 0": "out/maest/**/0/*.h5", "block 1": "out/maest/**/1/*.h5"},
    ),
    Command(
        "maest extract_logits", f"ex_maest.py extract_logits {_USED} predict.out_dir=out/teacher trainer.default_root_dir=runs/l",
        {"logits": "out/teacher/**/logits/*.h5"},
    ),
    Command(
        "maest teacher-student",
        f"ex_maest.py with demo_teacher_student {_CPU} {_NET} {_FIT} datamodule.teacher_student.teacher_target_base_dir={{teacher}} "
        "trainer.default_root_dir=runs/student",
        _trained("runs/student"),
    ),
    Command(
        "maest predict",
        f"ex_maest.py predict {_USED} predict.audio={{song}} predict.csv=True predict.json=True predict.html=False predict.out_dir=out/predict",
        {name: f"out/predict/**/{name}" for name in ("predictions.csv", "windows.csv", "predictions.json")},
    ),
    Command(
        "maest similar",
        f"ex_maest.py similar {_USED} predict.audio={{song}} predict.transformer_block=1 predict.top=5 predict.html=False "
        "predict.out_dir=out/maest trainer.default_root_dir=runs/similar",
        result="runs/similar/1/run.json",
    ),
    *(
        Command(
            f"maest export {kind}", f"ex_maest.py export {_USED} export.format={kind} export.out=out/export/{kind}",
            {"weights": f"out/export/{kind}/model.{'onnx' if kind == 'onnx' else 'safetensors'}", "about": f"out/export/{kind}/{about}.json"},
        )
        for kind, about in (("safetensors", "config"), ("ast", "config"), ("onnx", "model"))
    ),
    Command(
        "maest report",
        f"ex_maest.py report with demo {_CPU} {_NET} {_FIT} trainer.max_epochs=1 predict.transformer_block=1 report.seeds=[0] "
        "report.trainer.max_epochs=3 trainer.default_root_dir=runs/report",
        {"history": "runs/report/1/history.json"}, result="runs/report/1/run.json",
    ),
    Command(
        "maest compute_norm_stats", f"ex_maest.py compute_norm_stats with demo {_CPU} trainer.default_root_dir=runs/norm",
        result="runs/norm/1/run.json",
    ),
    # ---- the self-supervised families
    Command(
        "clmr main", f"ex_ssl.py with clmr_pretrain {_CPU} {_CLMR} trainer.default_root_dir=runs/clmr",
        {**_trained("runs/clmr"), "demo samples": "**/demo_data-40/samples-22050/*.h5"},
    ),
    Command(
        "clmr extract_embeddings",
        f"ex_ssl.py extract_embeddings with clmr_pretrain {_CPU} {_CLMR} clmr.checkpoint={_CLMR_BEST} predict.out_dir=out/clmr "
        "trainer.default_root_dir=runs/ce",
        {"embeddings": "out/clmr/6/*.h5"},
    ),
    Command(
        "clmr report",
        f"ex_ssl.py report with clmr_demo {_CPU} {_CLMR} trainer.max_epochs=1 report.seeds=[0] report.trainer.max_epochs=3 "
        "trainer.default_root_dir=runs/clmr_report",
        {"history": "runs/clmr_report/1/history.json"}, result="runs/clmr_report/1/run.json",
    ),
    Command(
        "clmr export", f"ex_ssl.py export with clmr_pretrain {_CPU} {_CLMR} clmr.checkpoint={_CLMR_BEST} export.out=out/export/clmr",
        {"weights": "out/export/clmr/model.safetensors"},
    ),
    Command(
        "samplecnn main", f"ex_ssl.py with samplecnn_supervised {_CPU} {_CLMR} trainer.default_root_dir=runs/samplecnn",
        _trained("runs/samplecnn"),
    ),
    Command(
        "samplecnn test",
        f"ex_ssl.py test with samplecnn_supervised {_CPU} {_CLMR} ckpt_path={_TAUGHT} trainer.default_root_dir=runs/samplecnn_test",
        {"test": "runs/samplecnn_test/1/test.json"},
    ),
    Command(
        "samplecnn predict",
        f"ex_ssl.py predict with samplecnn_supervised {_CPU} clmr.checkpoint={_TAUGHT} predict.audio={{song}} predict.csv=True "
        "predict.json=True predict.html=False predict.out_dir=out/samplecnn_predict",
        {name: f"out/samplecnn_predict/**/{name}" for name in ("predictions.csv", "windows.csv", "predictions.json")},
    ),
    # ---- the probe
    Command("probe main", f"ex_tl.py with {_PROBE} {_TOKENS} data.base_dir={{block 1}} data.mel_dir={{mels}} out_dir=tl/main", _probed("tl/main")),
    Command(
        "probe of windows", f"ex_tl.py with clmr_linear {_PROBE} data.groundtruth={{labels}} data.base_dir=out/clmr/6 out_dir=tl/windows",
        _probed("tl/windows"),
    ),
    Command(
        "probe sweep", f"ex_tl.py sweep with {_PROBE} data.groundtruth={{labels}} data.token_size=48 data.base_dir={{blocks}} out_dir=tl/sweep",
        {"sweep.csv": "tl/sweep/1/sweep.csv"}, result="tl/sweep/1/run.json",
    ),
    Command(
        "probe few_label",
        f"ex_tl.py few_label with {_PROBE} {_TOKENS} data.base_dir={{block 1}} few_label.shares=[0.25,1.0] few_label.draws=2 out_dir=tl/few",
        {"few_label.csv": "tl/few/1/few_label.csv"}, result="tl/few/1/run.json",
    ),
    Command(
        "probe finetune",
        f"ex_tl.py finetune with seeds=[0] data.groundtruth={{labels}} finetune.model={_BEST} finetune.store={{mels}} finetune.max_epochs=2 "
        "finetune.warmup_epochs=1 finetune.accelerator=cpu finetune.precision='32' model.hidden_units=16 out_dir=tl/fine",
        {**{name: f"tl/fine/1/{name}" for name in ("scores.json", "labels.csv", "scores.npz")}, "best": "tl/fine/1/seed-0/checkpoints/best.ckpt"},
    ),
    Command(
        "probe compare", "ex_tl.py compare with compare.runs=tl/main/1,tl/fine/1 out_dir=tl/compare",
        {"differences.csv": "tl/compare/1/differences.csv"}, result="tl/compare/1/run.json",
    ),
    # ---- the papers' tables
    *(
        Command(f"paper {table}", f"ex_paper.py {table} with smoke jobs=1 out_dir=paper", {"table.csv": f"paper/tables/{table}-smoke/table.csv"})
        for table in ("figure_blocks", "table_families")
    ),
]  # fmt: skip


def filled(words: str, folder: Path) -> list[str]:
    """The words of a command line, with the demo's and the earlier commands' files in their places."""
    found: dict[str, Callable[[], Path]] = {
        "song": lambda: sorted(folder.glob("**/demo_data-40/**/*.flac"))[3],
        "labels": lambda: first_file(folder, "**/demo_data-40/groundtruth.csv"),
        "mels": lambda: first_file(folder, "**/demo_data-40/mels/*.h5").parent,
        "teacher": lambda: first_file(folder, "out/teacher/**/logits/*.h5").parent,
        "block 1": lambda: first_file(folder, "out/maest/**/1/*.h5").parent,
        "blocks": lambda: first_file(folder, "out/maest/**/1/*.h5").parents[1],
    }
    parts = re.split(r"\{([a-z0-9 ]+)\}", words)
    parts[1::2] = [str(found[name]().relative_to(folder)) for name in parts[1::2]]
    return "".join(parts).split()


def run(command: Command, folder: Path) -> tuple[float, str]:
    """Run one command in `folder`. Returns its processor seconds, and what it said where it failed ("": it did not)."""
    gone = "http://127.0.0.1:9"  # no network
    env = {name: value for name, value in os.environ.items() if name not in ("MAEST_WEIGHTS", "PYTHONPATH")}
    env |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # sums depend on their number
    env |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), gone)
    env |= {"HF_HUB_OFFLINE": "1", "TORCH_HOME": str(folder / "none"), "COLUMNS": "120"}
    before = os.times()
    try:
        script, *words = filled(command.words, folder)
    except (FileNotFoundError, IndexError) as error:
        return 0.0, f"an earlier command's file is not there: {error}"
    line = [sys.executable, str(ROOT / script), *words]
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, "" if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr[-3000:]}"


def run_all(folder: Path, tell: Callable[[str], Any] = lambda line: None) -> dict[str, tuple[float, str]]:
    """Run all commands, each in its turn; those whose artefacts `folder` holds already are left. Name -> processor seconds, what went wrong."""
    done: dict[str, tuple[float, str]] = {}
    for command in COMMANDS:
        asked = [*command.artefacts.values(), *([command.result] if command.result else [])]
        there = all(any(folder.glob(pattern)) for pattern in asked)
        done[command.name] = (0.0, "") if there else run(command, folder)
        tell(f"{command.name}: {done[command.name][0]:.1f} s {done[command.name][1]}".rstrip())
    return done


def first_file(folder: Path, pattern: str) -> Path:
    """Return the first file of a pattern below a folder. Raises FileNotFoundError where there is none."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise FileNotFoundError(pattern)
    return found[0]
