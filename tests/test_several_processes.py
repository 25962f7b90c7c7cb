"""Whole commands on several processes: the curves and scores of one, one run folder and one seed, and an end for all when one dies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from helpers.experiments.run_records import read_runs

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    "with", "demo", "datamodule.demo_tracks=41", "maest.embed_dim=48", "maest.depth=2", "trainer.accelerator=cpu", "trainer.precision=32",
    "trainer.check_val_every_n_epoch=1", "trainer.log_every_n_steps=1", "datamodule.batch_size_test=5",
]  # fmt: skip
# everything that draws: roll, masks, mixup in groups of 4 or 2, patchout, time offset; averaged weights too
AUGMENTED = [
    "trainer.max_epochs=3", "module.mixup_alpha=0.3", "datamodule.roll.do=True", "maest.s_patchout_t=3", "module.do_swa=True",
    "module.swa_epoch_start=1", "module.swa_freq=1",
]  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One working folder, so that the demo data is made once."""
    return tmp_path_factory.mktemp("several")


def start(folder: Path, *words: str, launcher: tuple[str, ...] = (), script: str = "ex_maest.py", **environment: str):
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *(("-m", "torch.distributed.run", *launcher) if launcher else ()), str(ROOT / script), *words]
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(process) -> str:
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output[-3000:]
    return output


@pytest.fixture(scope="module")
def trained(folder):
    """trained(devices, batch, group): a training run of so many processes; its history and its run."""
    done: dict = {}

    def train(devices: int, batch: int, group: int):
        if (devices, batch) not in done:
            root = f"runs-{devices}x{batch}"
            words = [*TINY, *AUGMENTED, f"trainer.default_root_dir={root}", f"trainer.devices={devices}"]
            if batch * devices == 12:
                words.append("datamodule.sampler.epoch_len=24")  # a rest of 7 shared by three would cut through groups that mix
            output = finished(start(folder, *words, f"datamodule.batch_size_train={batch}", f"module.mixup_group={group}"))
            done[devices, batch] = folder / root, output
        return done[devices, batch]

    return train


def assert_same_curves(a: Path, b: Path, train: float = 1e-5, scores: float = 1e-6) -> None:
    one, two = (json.loads((p / "1" / "history.json").read_text()) for p in (a, b))
    steps = [json.loads((p / "1" / "metrics.json").read_text())["train_loss_step"] for p in (a, b)]
    assert steps[0]["steps"] == steps[1]["steps"]
    assert steps[1]["values"] == pytest.approx(steps[0]["values"], rel=train)
    assert len(one) == len(two)
    for x, y in zip(one, two):
        assert set(x) == set(y)
        for name in set(x) - {"seconds"}:
            assert y[name] == pytest.approx(x[name], rel=train if name.startswith("train") else scores), name


def one_run(root: Path) -> None:
    assert sorted(p.name for p in root.iterdir()) == ["1", "_sources"]
    (run,) = read_runs(root)
    assert run.state() == "COMPLETED"


# ---- the same numbers
def test_one_process_of_8_and_two_of_4_have_the_same_curves(trained):
    one, two = (trained(*layout, 4)[0] for layout in ((1, 8), (2, 4)))
    assert_same_curves(one, two)  # 31 clips an epoch: the last batch is of 7, shared out as 4 and 3
    one_run(two)
    states = [torch.load(p / "1" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for p in (one, two)]
    assert any(name.startswith("net_swa.") for name in states[0])
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-5)


def test_validation_scores_of_one_two_and_three_processes_are_equal(trained):
    one, two, three = (trained(*layout, 2)[0] for layout in ((1, 12), (2, 6), (3, 4)))
    assert_same_curves(one, two)
    assert_same_curves(one, three)
    one_run(three)


def test_test_scores_of_one_two_and_three_processes_are_equal(trained, folder):
    checkpoint = trained(1, 8, 4)[0] / "1" / "checkpoints" / "last.ckpt"
    found = []
    for devices in (1, 2, 3):
        root = folder / f"tests-{devices}"
        words = [*TINY, f"ckpt_path={checkpoint}", f"trainer.devices={devices}", f"trainer.default_root_dir={root}"]
        output = finished(start(folder, "test", *words, "dataset.half_overlapped_inference=True"))
        assert output.count("Test, per window") == 1  # said once, by the first process
        one_run(root)
        found.append(json.loads((root / "1" / "test.json").read_text()))
    assert {"test_ap", "test_roc", "test_track_ap", "test_track_roc", "test_loss", "test_ap_swa", "test_track_roc_swa"} <= set(
        found[0]
    )
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-6, abs=1e-6)


def test_a_job_talks_once(trained):
    output = trained(2, 4, 4)[1]
    for line in ("Running command 'main'", "Training 73,404 parameters on 2 x cpu", "Epoch 1 of 3 done", "Best epoch's weights"):
        assert output.count(line) == 1, line
    assert "Warning" not in output


# ---- launchers
def port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("nodes", [1, 2])
def test_torchrun_on_one_and_two_nodes_is_one_run_with_one_seed(folder, nodes):
    root = f"torchrun-{nodes}"
    words = [*TINY, *AUGMENTED, "module.mixup_group=4", "seed=None"]  # the first process draws it
    job = [
        f"trainer.devices={2 // nodes}",
        f"trainer.num_nodes={nodes}",
        "datamodule.batch_size_train=4",
        f"trainer.default_root_dir={root}",
    ]
    meet = ("--master-addr=127.0.0.1", f"--master-port={port()}", f"--nproc-per-node={2 // nodes}", f"--nnodes={nodes}")
    ranks = [
        start(folder, *words, *job, launcher=(*meet, f"--node-rank={rank}"), GLOO_SOCKET_IFNAME="lo") for rank in range(nodes)
    ]
    for output in [finished(process) for process in ranks]:
        assert "distributed_backend" not in output
    one_run(folder / root)
    seed = read_runs(folder / root)[0].config["seed"]
    assert isinstance(seed, int)
    alone = f"alone-{nodes}"
    words[-1] = f"seed={seed}"
    finished(start(folder, *words, "datamodule.batch_size_train=8", f"trainer.default_root_dir={alone}"))
    assert_same_curves(folder / alone, folder / root)


def test_srun_s_processes_meet_at_the_exported_address(folder):
    """As srun starts them: the scheduler's variables, and the address that the batch script exports."""
    root = folder / "srun"
    words = [*TINY, "trainer.max_epochs=1", "trainer.devices=1", "trainer.num_nodes=2", f"trainer.default_root_dir={root}"]
    slurm = {
        "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0", "SLURM_JOB_ID": "7", "SLURM_NNODES": "2",
        "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost", "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    one = start(folder, *words, SLURM_PROCID="0", SLURM_NODEID="0", **slurm)
    output, _ = one.communicate(timeout=300)
    assert one.returncode == 1
    assert "MASTER_ADDR and MASTER_PORT" in output
    slurm |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port())}
    ranks = [start(folder, *words, SLURM_PROCID=str(i), SLURM_NODEID=str(i), **slurm) for i in range(2)]
    for process in ranks:
        finished(process)
    assert [r.state() for r in read_runs(root)] == ["COMPLETED"]  # the refused job has left no run


def test_numbers_that_do_not_fit_are_refused_before_work(folder):
    nodes = start(folder, *TINY, "trainer.num_nodes=2", "trainer.default_root_dir=refused")
    many = start(folder, *TINY, launcher=("--standalone", "--nproc-per-node=2"), GLOO_SOCKET_IFNAME="lo")
    for process, words in ((nodes, "torchrun or srun"), (many, "torchrun started 2 processes")):
        output, _ = process.communicate(timeout=300)
        assert process.returncode != 0
        assert words in output


# ---- death
def planted(folder: Path, name: str, faults: str, launcher: tuple[str, ...] = ()):
    """A job of two whose processes fail in step 3 as told; its output, exit code, run, and what is left of it 60 s after the fault."""
    where = folder / name
    where.mkdir()
    (where / "exp_out").symlink_to(folder / "exp_out")
    words = ["3", faults, *TINY, "trainer.devices=2", "trainer.max_epochs=1000", "datamodule.batch_size_train=4"]
    job = start(where, *words, launcher=launcher, script="tests/faulty_job.py", GLOO_SOCKET_IFNAME="lo")
    until = time.monotonic() + 300
    while len(list(where.glob("fault-*"))) < len(faults.split(",")):
        assert job.poll() is None, job.stdout.read()
        assert time.monotonic() < until, "no fault was planted"
        time.sleep(0.1)
    output, _ = job.communicate(timeout=60)
    (run,) = read_runs(where / "exp_logs")
    left = [p for p in where.glob("fault-*") if Path(f"/proc/{p.name.split('-')[2]}").exists()]
    return output, job.returncode, run, left


def nobody_is_left(folder: Path) -> bool:
    """Whether no process works in the folder any more (within the time in which a process without its starter ends)."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        there = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (
                    os.readlink(process / "cwd") == str(folder)
                    and (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                ):
                    there.append(process)
            except OSError:
                continue
        if not there:
            return True
        time.sleep(0.2)
    return False


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="processes are looked for in /proc")
@pytest.mark.parametrize(
    ("faults", "status", "words"),
    [
        ("1:raise", "FAILED", "Process 1 of this job failed: KeyError: 'a planted fault'"),
        ("1:kill", "FAILED", "Process 1 of this job was ended by SIGKILL"),
        ("1:kill,0:hang", "FAILED", "Process 1 of this job was ended by SIGKILL"),
        ("0:raise", "FAILED", "a planted fault"),
        ("0:kill", "FAILED", "The first process of this job was killed"),
        ("0:kill,1:hang", "FAILED", "The first process of this job was killed"),
    ],
)
def test_who_dies_takes_the_job_along(trained, folder, faults, status, words):
    trained(1, 8, 4)  # the data is there
    name = faults.replace(":", "-").replace(",", "-")
    output, code, run, _ = planted(folder, name, faults)
    assert code != 0
    assert run.state() == status
    assert words in run.failure
    assert words in output
    assert nobody_is_left(folder / name)


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="processes are looked for in /proc")
@pytest.mark.parametrize(("faults", "words"), [("1:kill", "Another process of this job is gone"), ("1:raise", "a planted fault")])
def test_who_dies_under_torchrun_takes_the_job_along(trained, folder, faults, words):
    trained(1, 8, 4)
    name = f"torchrun-{faults.replace(':', '-')}"
    launcher = ("--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={port()}")
    _, code, run, _ = planted(folder, name, faults, launcher)
    assert code != 0
    assert run.status == "FAILED"
    assert words in run.failure
    assert nobody_is_left(folder / name)
