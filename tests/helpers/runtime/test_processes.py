"""Who started a process, and as which of a job; what is refused; whose failure is told. Real jobs: tests/test_several_processes.py."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from helpers.runtime import place as places
from helpers.runtime import processes
from helpers.runtime.place import Place, check_world, is_first_process, place
from helpers.runtime.processes import first_goes_first, job, share
from models.errors import ConfigError, JobError

VARIABLES = (
    "LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "TORCHELASTIC_RUN_ID", "MASTER_ADDR",
    "MASTER_PORT", places.PLACE_VARIABLE,
)  # fmt: skip
TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
SRUN = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


@pytest.fixture
def environment(monkeypatch):
    def set_to(**values):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    set_to()
    return set_to


def test_who_started_this_process(environment):
    assert place() is None
    environment(**TORCHRUN)
    assert place() == Place(3, 4, "torchrun", os.getppid())
    environment(**{**TORCHRUN, "WORLD_SIZE": "1"})
    assert place() is None
    environment(**SRUN)
    assert place() == Place(5, 8, "srun")
    environment(**{places.PLACE_VARIABLE: "1/2/77"})
    assert place() == Place(1, 2, "own", 77)
    assert not place().starts_others
    environment(**{places.PLACE_VARIABLE: "0/2/77"})
    assert place() == Place(0, 2, "own", None)  # who started the first one may end
    assert place().starts_others


def test_a_batch_script_s_own_process_is_alone(environment):
    environment(SLURM_PROCID="0", SLURM_NTASKS="8")  # sbatch without srun
    assert place() is None


@pytest.mark.parametrize(
    ("variables", "first"),
    [({}, True), (TORCHRUN, False), (SRUN, False), ({"RANK": "0", "LOCAL_RANK": "0"}, True), ({"NODE_RANK": "1"}, False)],
)
def test_the_first_process_of_every_numbering(environment, variables, first):
    environment(**variables)
    assert is_first_process() is first


def test_srun_without_an_address_is_refused(environment):
    environment(SLURM_PROCID="0", SLURM_STEP_NUM_TASKS="2", MASTER_PORT="1")
    with pytest.raises(ConfigError, match=r"MASTER_ADDR is not set.*several_gpus"):
        place()


def test_numbers_must_agree(environment):
    check_world(1, 1)
    check_world(4, 1)
    with pytest.raises(ConfigError, match="torchrun or srun"):
        check_world(1, 2)
    environment(**TORCHRUN)
    check_world(4, 1)
    check_world(2, 2)
    for devices, nodes in ((1, 1), (2, 1), (4, 4)):
        with pytest.raises(ConfigError, match=rf"torchrun started 4 processes, and .* is {devices} x {nodes}"):
            check_world(devices, nodes)


def test_one_process_needs_no_job(environment):
    with job(1, 1, "cpu"):
        assert place() is None
    with pytest.raises(KeyError), job(1, 1, "cpu"):
        raise KeyError("its own error")
    assert share({"a": 1}) == {"a": 1}
    assert first_goes_first(lambda: 3) == 3


def test_how_a_process_ended_is_said(monkeypatch):
    ended = [
        subprocess.Popen([sys.executable, "-c", code])
        for code in ("pass", "raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)")
    ]
    for process in ended:
        process.wait()
    for others, words in (
        (ended[:1], ""),
        (ended[:2], "Process 2 of this job ended with exit code 3"),
        (ended[2:], "Process 1 of this job was ended by SIGKILL"),
    ):
        monkeypatch.setattr(processes._job, "others", others)
        assert processes._job.fallen() == words


# ---- two real processes, without training
TWO = """
import sys
sys.path.insert(0, {root!r})
from helpers.runtime.place import is_first_process, place
from helpers.runtime.processes import first_goes_first, job, share
from models.errors import JobError
import time

what = sys.argv[1]
try:
    with job(2, 1, "cpu"):
        rank = place().rank
        got = share(["first's", 7] if rank == 0 else None)
        order = first_goes_first(lambda: (time.sleep(0.5 * (rank == 0)), time.time())[1])
        if what == "one-fails" and rank == 1:
            raise KeyError("words of process 1")
        if what == "first-fails" and rank == 0:
            first_goes_first(lambda: 1 / 0)
    with open(f"{{rank}}.txt", "w") as file:
        file.write(f"{{got}} {{order}}")
    if what == "twice":
        with job(2, 1, "cpu"):
            pass
except JobError as error:
    print("JobError:", error)
    sys.exit(5)
"""


def two(tmp_path, what: str) -> subprocess.CompletedProcess:
    script = tmp_path / "two.py"
    script.write_text(TWO.format(root=str(processes.__file__).rsplit("/helpers/", 1)[0]))
    env = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, str(script), what]
    return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_processes_share_and_the_first_goes_first(tmp_path):
    done = two(tmp_path, "well")
    assert done.returncode == 0, done.stderr
    words = [(tmp_path / f"{rank}.txt").read_text().rsplit(" ", 1) for rank in (0, 1)]
    assert words[0][0] == words[1][0] == '["first\'s", 7]'
    assert float(words[0][1]) <= float(words[1][1])


@pytest.mark.slow
def test_a_failure_is_told_in_its_own_words(tmp_path):
    done = two(tmp_path, "one-fails")
    assert done.returncode == 5
    assert "JobError: Process 1 of this job failed: KeyError: 'words of process 1'" in done.stdout
    done = two(tmp_path, "first-fails")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "words of process 1" not in done.stderr


@pytest.mark.slow
def test_a_second_job_of_one_process_is_refused(tmp_path):
    done = two(tmp_path, "twice")
    assert done.returncode != 0
    assert "Start it anew" in done.stderr


def test_nobody_comes(environment, monkeypatch):
    from datetime import timedelta

    monkeypatch.setattr(processes, "MEETING", timedelta(seconds=1))
    environment(**{places.PLACE_VARIABLE: f"1/2/{os.getppid()}", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"})
    with pytest.raises(JobError, match="did not find the first one"):
        processes.join(False)
