"""Dask: the same result as by one process, whatever happens to the workers; and errors that say what to do."""

from __future__ import annotations

import functools
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from datasets.jobs import cluster
from datasets.jobs.cluster import Cluster, connect
from datasets.merge import merge
from datasets.prepare import prepare
from datasets.prepare.command import main
from datasets.prepare.failures import Failures
from datasets.prepare.features import Kind
from datasets.prepare.shards import prepare_shards
from datasets.store.track_store import TrackStore
from models.errors import ClusterError
from tests import cluster_jobs
from tests.sound import folder_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def two_workers():
    """A LocalCluster with two workers, each a process with a nanny that starts it again: a new one for each test, since a nanny gives a worker up
    that is killed while it starts.
    """
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1") as made:
        yield made


def run_tasks(function, tasks, scheduler, workers=None, again=None):
    """As the commands do it: connected first."""
    with connect(scheduler, workers) as client:
        yield from cluster.run_tasks(function, tasks, client=client, again=again)


def contents(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def kill_twice(workers, out, done, killed):
    """Kill one and the same worker as soon as a third, and again as soon as two thirds, of the work is written."""
    nanny = workers[0]
    for share in (8, 18):
        while len(list(out.glob("records/*.json"))) < share or nanny.pid is None or nanny.pid in killed:
            if done.wait(0.005):
                return
        killed.append(nanny.pid)
        os.kill(nanny.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_killed_twice_changes_no_bit(two_workers, tmp_path):
    root = folder_of(tmp_path / "audio", 297, seconds=0.3)
    for k in range(3):
        (root / f"a/bad {k}.wav").write_bytes(b"no sound")
    prepare(root, tmp_path / "one", jobs=1)  # as one store
    prepare(root, tmp_path / "serial", jobs=1, shard_tracks=12)
    out, done, killed = tmp_path / "dask", threading.Event(), []
    killer = threading.Thread(target=kill_twice, args=(two_workers.workers, out, done, killed))
    killer.start()
    made = prepare(root, out, shard_tracks=12, cluster=Cluster(two_workers.scheduler_address))
    done.set()
    killer.join()
    assert len(set(killed)) == 2  # both before the end
    assert sorted(made.failed) == [f"a/bad {k}.wav" for k in range(3)]
    assert contents(out) == contents(tmp_path / "serial")
    merged = merge(out / "mel.h5", tmp_path / "merged/mel.h5")
    assert merged.read_bytes() == (tmp_path / "one/mel.h5").read_bytes()
    again = prepare(root, out, cluster=Cluster(two_workers.scheduler_address))
    assert (again.made, again.already) == (0, 297)


@pytest.mark.slow
@pytest.mark.parametrize("on", ["processes", "dask"])
def test_files_that_crash_their_worker_are_named_and_cost_no_other(two_workers, tmp_path, on):
    names = [f"{k:02d}{' crash' if k in (3, 4, 17) else ''}.wav" for k in range(24)]
    (tmp_path / "audio").mkdir()
    for name in names:
        (tmp_path / "audio" / name).touch()
    kind = Kind("x.h5", cluster_jobs.frames_of, (4,), "float32", {"kind": "test"})
    failures = Failures(tmp_path / "failed.csv", tmp_path / "audio")
    where = {"jobs": 2} if on == "processes" else {"cluster": Cluster(two_workers.scheduler_address)}
    assert prepare_shards(tmp_path / "x.h5", tmp_path / "audio", kind, names, failures, size=8, **where)[1] == 0
    assert failures.reasons == {name: "It ended its worker process 3 times." for name in names if "crash" in name}
    store = TrackStore.open(tmp_path / "x.h5")
    assert store.names == [name for name in names if "crash" not in name]
    for name in store.names:
        assert (store.read(name) == sum(name.encode()) % 1000).all()


@pytest.mark.slow
def test_a_straggler_is_begun_a_second_time_and_the_first_answer_counts(two_workers, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(cluster, "SLOW", 0.1)  # a busy machine takes long over the first answers
    monkeypatch.setattr(cluster, "LOOK", 0.1)
    function = functools.partial(cluster_jobs.first_hangs, str(tmp_path))
    tasks = [(k, False) for k in range(8)]
    answers = list(run_tasks(function, tasks, scheduler=two_workers.scheduler_address, again=lambda task: (task[0], True)))
    assert sorted(answer.index for answer in answers) == list(range(8))
    assert all(answer.error is None for answer in answers), [answer.error for answer in answers]
    assert (tmp_path / "second").exists()


@pytest.mark.slow
def test_slurm_jobs_run_in_the_checkout(tmp_path, monkeypatch):
    """A stand-in for sbatch runs the job's script in the background, as SLURM would on another machine."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sbatch").write_text(
        f'#!/bin/sh\ncp "$1" {tmp_path}/job.sh\nsetsid bash {tmp_path}/job.sh >{tmp_path}/job.log 2>&1 &\necho "Submitted batch job $!"\n'
    )
    (tools / "scancel").write_text('#!/bin/sh\nkill -- "-$1" 2>/dev/null || kill "$1"\n')
    for tool in tools.iterdir():
        tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/jobqueue.yaml").write_text(
        "jobqueue:\n  slurm:\n    cores: 1\n    processes: 1\n    memory: 2GB\n    queue: long\n    walltime: '01:00:00'\n"
        f"    python: {sys.executable}\n"
        "    interface: lo\n    scheduler-options: {dashboard_address: null}\n"
    )
    root = folder_of(tmp_path / "audio", 6, seconds=0.2)
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "DASK_CONFIG": str(tmp_path / "config"), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "datasets.prepare",
        str(root),
        str(tmp_path / "out"),
        "--scheduler",
        "slurm",
        "--workers",
        "1",
        "--shard-tracks",
        "2",
    ]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr + (tmp_path / "job.log").read_text()
    assert len(TrackStore.open(tmp_path / "out")) == 6
    script = (tmp_path / "job.sh").read_text()
    assert "#SBATCH -p long" in script
    assert f"cd '{ROOT}'" in script


# ---- what cannot be used


def test_no_scheduler_is_told_before_anything_is_made(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(cluster, "KNOCK", 0.3)
    root, out = folder_of(tmp_path / "audio", 1), tmp_path / "out"
    (tmp_path / "other.json").write_text('{"no": "address"}')
    for where in ("tcp://127.0.0.1:9", str(tmp_path / "nowhere.json"), str(tmp_path / "other.json"), "localhost"):
        caplog.clear()
        assert main([str(root), str(out), "--scheduler", where]) == 2
        assert f"No dask scheduler answers at {where!r}" in caplog.text
        assert "dask worker" in caplog.text
        assert not (out / "plan.jsonl").exists()
    assert prepare(root, out, jobs=1).store == out / "mel.h5"  # it does not have to be shards now
    assert (out / "mel.h5").is_file()


def test_someone_else_who_listens_is_no_scheduler(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ClusterError, match="No dask scheduler answers"):
        list(run_tasks(cluster_jobs.nothing, [1], scheduler=f"tcp://127.0.0.1:{other.getsockname()[1]}"))


def test_what_a_scheduler_needs_is_named(tmp_path, monkeypatch):
    for words, message in (
        ({"cluster": Cluster("tcp://127.0.0.1:9", 3)}, "asked of SLURM only .*has its own"),
        ({"cluster": Cluster(None, 3)}, "asked of SLURM only .*number of processes"),
        ({"cluster": Cluster("slurm"), "jobs": 3}, "jobs=3 is a number of processes of this machine"),
    ):
        with pytest.raises(ClusterError, match=message):
            prepare(tmp_path, tmp_path / "out", **words)
    import dask

    handler = signal.getsignal(signal.SIGINT)
    with dask.config.set({"jobqueue.slurm.cores": None}), pytest.raises(ClusterError, match=r"jobqueue\.yaml.*docs/scale\.md"):
        list(run_tasks(cluster_jobs.nothing, [1], scheduler="slurm"))
    assert signal.getsignal(signal.SIGINT) is handler  # importing dask_jobqueue replaces it
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(ClusterError, match="pip install dask-jobqueue"):
        list(run_tasks(cluster_jobs.nothing, [1], scheduler="slurm"))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match="pip install distributed"):
        list(run_tasks(cluster_jobs.nothing, [1], scheduler="tcp://127.0.0.1:9"))


@pytest.mark.slow
def test_workers_without_the_project_are_told_how_to_start(tmp_path):
    from distributed import LocalCluster

    code = "import sys; from distributed import LocalCluster; c = LocalCluster(n_workers=1, host='127.0.0.1', dashboard_address=None)\n"
    code += "print(c.scheduler_address, flush=True); sys.stdin.read()"
    script = tmp_path / "elsewhere.py"
    script.write_text(f"if __name__ == '__main__':\n    {code.splitlines()[0]}\n    {code.splitlines()[1]}\n")
    assert LocalCluster is not None
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=tmp_path, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        address = other.stdout.readline().strip()
        with pytest.raises(ClusterError, match="cannot import this project.*PYTHONPATH"):
            list(run_tasks(cluster_jobs.nothing, [1], scheduler=address))
        other.stdin.close()


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_told(tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1") as made:
        answers = run_tasks(
            functools.partial(cluster_jobs.first_hangs, str(tmp_path)), [(1, False), (3, False)], scheduler=made.scheduler_address
        )
        assert next(answers).item == (1, False)
        made.close()
        with pytest.raises(ClusterError, match="same command goes on"):
            list(answers)
