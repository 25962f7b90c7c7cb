"""Preparation in shards: the same bits whoever makes them and however often that is interrupted; nothing lost, nothing done twice."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from datasets.jobs import crash_counts
from datasets.jobs import shard_plan as plans
from datasets.merge import main as merge_main
from datasets.merge import merge
from datasets.prepare import features, prepare, shards
from datasets.prepare.command import main
from datasets.store.track_store import TrackStore
from models.errors import StoreError
from tests.sound import folder_of, tune, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = folder_of(tmp_path_factory.mktemp("audio"), 22, seconds=0.2)
    (root / "a/junk.wav").write_bytes(b"junk" * 9)
    (root / "empty.mp3").touch()
    return root


def contents(out):
    """Every file of a preparation by its bytes; where the audio stood and records' order of making left out."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """The shards as one undisturbed process makes them."""
    out = tmp_path_factory.mktemp("whole")
    done = prepare(folder, out, jobs=1, shard_tracks=5)
    assert (done.made, done.already, sorted(done.failed)) == (22, 0, ["a/junk.wav", "empty.mp3"])
    return out


def test_shards_hold_what_one_store_holds(folder, whole, tmp_path):
    prepare(folder, tmp_path / "one", jobs=1)
    merged = merge(whole / "mel.h5", tmp_path / "merged/mel.h5")
    assert merged.read_bytes() == (tmp_path / "one/mel.h5").read_bytes()
    assert (whole / "failed.csv").read_bytes() == (tmp_path / "one/failed.csv").read_bytes()
    assert sorted(contents(whole)) == [
        "failed.csv", "manifest.json", *(f"mel.shard-0000{k}.h5" for k in range(5)), "plan.jsonl", "prepare.json",
        *(f"records/mel.shard-0000{k}.json" for k in range(5)),
    ]  # fmt: skip
    TrackStore.open(whole).verify()
    assert prepare(folder, whole, jobs=1).summary().startswith(f"{whole}: 0 tracks made")  # no file that is not there


def test_a_replaced_file_is_said(tmp_path, caplog):
    root = folder_of(tmp_path / "audio", 5, seconds=0.2)
    (root / "junk.wav").write_bytes(b"junk")
    out = tmp_path / "out"
    prepare(root, out, jobs=1, shard_tracks=2)
    assert prepare(root, out, jobs=1).changed == []
    write(root / "junk.wav", tune(0.3, 16000, 1), 16000)  # it has no track yet
    write(root / "a/track 0000.wav", tune(0.4, 16000, 1, seed=3), 16000)
    done = prepare(root, out, jobs=1)
    assert (done.changed, done.made) == (["a/track 0000.wav"], 1)
    assert "1 files have changed since their tracks were made ('a/track 0000.wav')" in caplog.text
    plan = out / "plan.jsonl"
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    plan.write_text("".join(json.dumps({key: line[key] for key in ("shard", "of", "names")}) + "\n" for line in lines))
    assert prepare(root, out, jobs=1).changed == []  # of a plan without marks nothing is known
    plan.write_text(json.dumps({**lines[0], "marks": "abc"}) + "\n")
    with pytest.raises(StoreError, match="marks are not as many"):
        prepare(root, out, jobs=1)


def test_a_kill_while_a_shard_is_sealed_forgets_no_death(folder, tmp_path, monkeypatch):
    """Else a file that crashes is begun anew for ever."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.wav"))
    path = tmp_path / "mel.shard-00000.h5.deaths"

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(crash_counts.CrashCounts, "__exit__", lambda self, *_: os.close(self._handle))  # as SIGKILL leaves it
        patch.setattr(shards.Record, "write", killed)
        path.write_text(json.dumps({"at": None, "deaths": {names[3]: 3}}))
        with pytest.raises(Killed):
            prepare(folder, tmp_path, jobs=1, shard_tracks=50)
    assert json.loads(path.read_text())["deaths"] == {names[3]: 3}
    with monkeypatch.context() as patch:
        patch.setattr(crash_counts.CrashCounts, "__exit__", lambda self, *_: os.close(self._handle))
        patch.setattr(crash_counts.CrashCounts, "end", killed)
        with pytest.raises(Killed):
            prepare(folder, tmp_path, jobs=1)
    assert path.exists()
    record = json.loads((tmp_path / "records/mel.shard-00000.json").read_text())
    assert record["failed"][names[3]][0] == "It ended its worker process 3 times."
    prepare(folder, tmp_path, jobs=1)  # tidies up, and tries that one again
    assert not path.exists()


def test_the_manifest_tells_what_there_is(whole):
    manifest = json.loads((whole / "manifest.json").read_text())
    store = TrackStore.open(whole / "mel.h5")
    assert (manifest["tracks"], manifest["items"]) == (22, int(store.lengths.sum()))
    assert manifest["settings"] == store.attrs
    for entry in manifest["shards"]:
        shard = TrackStore.open([whole / entry["file"]])
        assert (entry["tracks"], entry["first"], entry["last"]) == (len(shard), shard.names[0], shard.names[-1])
        assert entry["bytes"] == (whole / entry["file"]).stat().st_size
    assert len({entry["crc32"] for entry in manifest["shards"]}) == 5


def test_a_second_run_does_no_work(folder, whole, monkeypatch):
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in whole.rglob("*")}
    monkeypatch.setattr(shards, "run_tasks", None)
    done = prepare(folder, whole, jobs=1)  # the plan says that it is shards
    assert (done.made, done.already, done.exit_code, sorted(done.failed)) == (0, 22, 3, ["a/junk.wav", "empty.mp3"])
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in whole.rglob("*")} == before


@pytest.mark.parametrize(("stop", "made"), [(1, 0), (4, 2), (5, 3), (14, 12)])
def test_an_interrupt_anywhere_changes_nothing(folder, whole, tmp_path, monkeypatch, stop, made):
    real, seen = features.mel_of_file, []

    def interrupted(path, max_seconds):
        seen.append(path)
        if len(seen) == stop:
            raise KeyboardInterrupt
        return real(path, max_seconds)

    with monkeypatch.context() as patch:
        patch.setattr(features, "mel_of_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(folder, tmp_path, jobs=1, shard_tracks=5)
    done = prepare(folder, tmp_path, jobs=1)
    # what stood before counts as there already, in shards that were not done too; a bad file (the first) is neither
    assert (done.made, done.already) == (22 - made, made)
    assert contents(tmp_path) == contents(whole)


def test_new_audio_makes_new_shards_and_repaired_files_too(tmp_path, monkeypatch):
    root = folder_of(tmp_path / "audio", 6, seconds=0.2)
    (root / "junk.wav").write_bytes(b"junk")
    out = tmp_path / "out"
    prepare(root, out, jobs=1, shard_tracks=4)
    before = {path.name: path.read_bytes() for path in out.glob("*.h5")}
    write(root / "0 new.wav", tune(0.2, 16000, 1), 16000)
    write(root / "junk.wav", tune(0.3, 16000, 1), 16000)
    done = prepare(root, out, jobs=1)
    assert (done.made, done.already, done.failed) == (2, 6, {})
    assert {name: (out / name).read_bytes() for name in before} == before
    assert TrackStore.open(out / "mel.shard-00002.h5").names == ["0 new.wav", "junk.wav"]
    assert json.loads((out / "manifest.json").read_text())["tracks"] == 8
    assert not (out / "failed.csv").exists()
    (root / "0 new.wav").unlink()
    done = prepare(root, out, jobs=1)
    assert (done.made, done.already) == (0, 7)


def test_what_cannot_be_read_now_is_tried_again_without_growing_the_plan(tmp_path):
    root = folder_of(tmp_path / "audio", 2, seconds=0.2)
    (root / "link.wav").symlink_to("nowhere.wav")
    out = tmp_path / "out"
    prepare(root, out, jobs=1, shard_tracks=2)
    first = contents(out)
    assert sorted(TrackStore.open(out).names) == ["a/track 0000.wav", "b/track 0001.wav"]
    assert prepare(root, out, jobs=1).exit_code == 3
    assert contents(out) == first
    write(root / "nowhere.wav", tune(0.2, 16000, 1), 16000)
    assert prepare(root, out, jobs=1).made == 2


def test_only_bad_files(tmp_path):
    (tmp_path / "audio").mkdir()
    for k in range(3):
        (tmp_path / f"audio/{k}.wav").write_bytes(b"x")
    for _ in range(2):
        done = prepare(tmp_path / "audio", tmp_path / "out", jobs=1, shard_tracks=2)
        assert (done.made, len(done.failed), done.exit_code) == (0, 3, 3)
        assert [p.name for p in sorted((tmp_path / "out").iterdir()) if p.is_file()] == [
            "failed.csv",
            "plan.jsonl",
            "prepare.json",
        ]


def test_a_shard_that_another_process_holds_is_made_apart_and_is_the_same(folder, whole, tmp_path, monkeypatch):
    """As after a lost connection: the worker goes on, and its task is given to another."""
    out, real = tmp_path, features.mel_of_file
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background may be deaf to it
    with monkeypatch.context() as patch:
        patch.setattr(features, "mel_of_file", lambda path, max_seconds: os.kill(os.getpid(), signal.SIGINT) or time.sleep(9))
        with pytest.raises(KeyboardInterrupt):
            prepare(folder, out, jobs=1, shard_tracks=5)
    signal.signal(signal.SIGINT, before)
    assert features.mel_of_file is real
    with open(out / "mel.shard-00000.h5.journal", "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert prepare(folder, out, jobs=1).made == 22
        assert (out / "mel.shard-00000.h5.journal").exists()  # the other's
    (out / "late.wav").touch()
    prepare(folder, out, jobs=1, retry=True)  # tidies up
    (out / "late.wav").unlink()
    assert contents(out) == contents(whole)


def test_the_copy_of_a_slow_task_does_not_disturb_it(folder, whole, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    plan = plans.Plan(out, 5)
    plan.add(sorted(name for one in plans.Plan(whole, 5).shards for name in one.names))
    kind = features.kind_of(None, 300.0)
    task = shards.ShardTask(str(out / "mel.h5"), 1, plan.shards[1].place, str(folder), kind)
    with TrackStore.create(out / "mel.h5", kind.item_shape, kind.dtype, kind.attrs, 1) as writer:
        writer.append(plan.shards[1].names[0], features.mel_of_file(folder / plan.shards[1].names[0], 300.0))
        assert shards.make_shard(shards.replace(task, private=True)) == 5
        assert shards.make_shard(task) == 0  # it is there
        for name in plan.shards[1].names[1:]:
            writer.append(name, features.mel_of_file(folder / name, 300.0))
        writer.seal()
    assert (out / "mel.shard-00001.h5").read_bytes() == (whole / "mel.shard-00001.h5").read_bytes()
    assert [p.name for p in out.glob(".attempts/*")] == []


def test_a_lost_record_is_written_again(folder, whole, tmp_path):
    prepare(folder, tmp_path, jobs=1, shard_tracks=5)
    (tmp_path / "records/mel.shard-00001.json").unlink()
    (tmp_path / "failed.csv").unlink()
    done = prepare(folder, tmp_path, jobs=1)
    assert (done.made, sorted(done.failed)) == (0, ["a/junk.wav", "empty.mp3"])
    assert contents(tmp_path) == contents(whole)


def test_a_file_that_ends_its_process_thrice_is_given_up(folder, tmp_path):
    """What is left by processes that died at a file, as they leave it."""
    prepare(folder, tmp_path, jobs=1, shard_tracks=50)
    names = sorted(TrackStore.open(tmp_path).names)
    for path in (tmp_path / "mel.shard-00000.h5", tmp_path / "records/mel.shard-00000.json", tmp_path / "failed.csv"):
        path.unlink()
    (tmp_path / "mel.shard-00000.h5.deaths").write_text(json.dumps({"at": names[3], "deaths": {names[3]: 2, names[5]: 2}}))
    done = prepare(folder, tmp_path, jobs=1)
    assert done.failed[names[3]] == "It ended its worker process 3 times."
    assert names[5] not in done.failed
    assert not (tmp_path / "mel.shard-00000.h5.deaths").exists()
    again = prepare(folder, tmp_path, jobs=1)  # perhaps there is more memory now
    assert (again.made, sorted(again.failed)) == (1, ["a/junk.wav", "empty.mp3"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shard_tracks": 4}, "begun with 5 tracks to a shard, now 4"),
        ({"shard_tracks": 0}, "1 file or more"),
        ({"max_seconds": 3.0}, "prepared differently"),
    ],
)
def test_other_settings_are_refused(folder, whole, arguments, message):
    with pytest.raises(StoreError, match=message):
        prepare(folder, whole, jobs=1, **arguments)


def test_one_store_stays_one_and_one_command_plans(folder, whole, tmp_path):
    prepare(folder, tmp_path, jobs=1)
    with pytest.raises(StoreError, match="prepared as one store"):
        prepare(folder, tmp_path, jobs=1, shard_tracks=5)
    with open(whole / "prepare.json") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="Another process is preparing"):
            prepare(folder, whole, jobs=1)


@pytest.mark.parametrize(
    "damage", ["{", '{"shard": 3, "of": 5, "names": []}\n', "[]\n", '{"shard": 0, "of": "x", "names": []}\n']
)
def test_a_damaged_plan_or_record_is_named(folder, whole, tmp_path, damage):
    (tmp_path / "prepare.json").write_bytes((whole / "prepare.json").read_bytes())
    (tmp_path / "plan.jsonl").write_text(damage)
    with pytest.raises(StoreError, match=r"plan\.jsonl is damaged at line 1"):
        prepare(folder, tmp_path, jobs=1)
    (tmp_path / "plan.jsonl").write_bytes((whole / "plan.jsonl").read_bytes())
    (tmp_path / "records").mkdir()
    (tmp_path / "records/mel.shard-00000.json").write_text(damage)
    with pytest.raises(StoreError, match=r"shard-00000\.json is damaged"):
        prepare(folder, tmp_path, jobs=1)


def test_a_full_disk_is_told_and_goes_on_later(folder, whole, tmp_path, monkeypatch, caplog):
    real, written = os.write, []

    def full(handle, data):
        written.append(len(data))
        if sum(written) > 30_000:
            raise OSError(28, "No space left on device")
        return real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert main([str(folder), str(tmp_path), "--jobs", "1", "--shard-tracks", "5"]) == 2
    assert "no space left on the disk" in caplog.text
    prepare(folder, tmp_path, jobs=1)
    assert contents(tmp_path) == contents(whole)


def test_merging_goes_on_and_refuses_itself(whole, tmp_path, caplog):
    with pytest.raises(StoreError, match="one of the stores"):
        merge(whole, whole / "mel.shard-00001.h5")
    with TrackStore.create(tmp_path / "m.h5", (96,), "float16", TrackStore.open(whole).attrs) as writer:
        store = TrackStore.open(whole)
        writer.append(store.names[0], store.read(0))
    assert merge_main([str(whole / "mel.h5"), str(tmp_path / "m.h5")]) == 0
    merged = TrackStore.open(tmp_path / "m.h5")
    assert merged.names == TrackStore.open(whole).names
    np.testing.assert_array_equal(merged.read(21), store.read(21))
    assert merge_main([str(tmp_path / "nowhere.h5"), str(tmp_path / "n.h5")]) == 2
    assert Path(tmp_path / "n.h5").exists() is False
