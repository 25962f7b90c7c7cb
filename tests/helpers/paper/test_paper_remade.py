"""What is made anew where a result, an input or a record is gone or cut short."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.paper.engine import Done, Pending
from helpers.paper.plan import make_plan
from helpers.paper.records import RECORD, prepare_folder, read_inputs
from helpers.paper.scheduler import make_steps
from helpers.paper.steps import Ref, Step
from tests.helpers.paper.mini import drive, engine, plan


def test_what_follows_from_a_step_that_was_removed_is_made_anew_too(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, steps = engine(tmp_path), plan()
    before = len(calls())
    shutil.rmtree(e.folder(steps["train a"]))
    assert [type(e.state(steps[name])) for name in ("train a", "extract a", "probe a", "probe both")] == [Pending] * 4
    assert isinstance(e.state(steps["probe b"]), Done)
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole
    again = [f"ex_maest.py:main:train-a epoch {i}" for i in range(4)] + [
        f"ex_maest.py:extract_embeddings:extract-a track {i}" for i in range(3)
    ]
    assert sorted(calls()[before:]) == sorted([*again, "ex_tl.py:main:probe-a heads", "ex_tl.py:main:probe-both heads"])
    before = len(calls())
    drive(str(tmp_path))
    assert len(calls()) == before


@pytest.mark.slow
def test_files_that_are_removed_to_save_disk_are_made_when_they_are_wanted(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, steps = engine(tmp_path), plan()
    before = len(calls())
    shutil.rmtree(e.folder(steps["train a"]) / "runs")  # its record stays
    shutil.rmtree(e.folder(steps["extract a"]) / "out")
    assert isinstance(e.state(steps["probe a"]), Done)
    assert [one.step.title for one in make_plan(e, [steps["probe a"], steps["probe b"]])] == [
        "probe a",
        "train b",
        "extract b",
        "probe b",
    ]
    drive(str(tmp_path))
    assert (len(calls()), (tmp_path / "table.txt").read_text()) == (before, whole)
    (e.folder(steps["probe a"]) / RECORD).unlink()
    shutil.rmtree(e.folder(steps["probe a"]) / "runs")
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole
    assert "ex_tl.py:main:probe-both heads" in calls()[before:]  # of the embeddings that were made anew, as the other probe is


def test_a_step_that_is_the_same_again_leaves_what_was_made_of_it(tmp_path, calls):
    data = Step("music", "ex_maest.py", "extract_embeddings", (), {"name": "extract-a"}, deterministic=True)
    probe = Step("probe", "ex_tl.py", "main", (), {"name": "probe-a", "store": Ref(data, "0")})
    make_steps(engine(tmp_path), [probe])
    e = engine(tmp_path)
    shutil.rmtree(e.folder(data))
    assert isinstance(e.state(probe), Done)
    make_steps(e, [data])
    assert isinstance(e.state(probe), Done)


def test_a_result_that_is_cut_short_is_made_anew(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, step = engine(tmp_path), plan()["probe a"]
    (e.state(step).output("results") / "scores.txt").write_text("")
    assert isinstance(e.state(step), Pending)
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole


@pytest.mark.parametrize("gone", ["record", *(pytest.param(name, marks=pytest.mark.slow) for name in ("runs", "out"))])
def test_a_kill_while_a_folder_is_cleared_changes_nothing(tmp_path, calls, whole, monkeypatch, gone):
    drive(str(tmp_path))
    e, step = engine(tmp_path), plan()["extract a"]
    folder, inputs = e.folder(step), read_inputs(e.folder(step))
    other = dict.fromkeys(inputs, "another making")
    real, kept = (shutil.rmtree, Path.unlink), []

    def killed(path: Path, *args: object, **options: object) -> None:
        if Path(path).name == (RECORD if gone == "record" else gone):
            raise KeyboardInterrupt
        kept.append(path)
        real[0](path) if Path(path).is_dir() else real[1](path, **options)

    with monkeypatch.context() as patch:
        patch.setattr("helpers.paper.records.shutil.rmtree", killed)
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_folder(folder, other)
    assert (folder / RECORD).exists()
    assert read_inputs(folder) == inputs  # still to be cleared
    prepare_folder(folder, other)
    assert not any((folder / name).exists() for name in ("runs", "out", RECORD))
    assert read_inputs(folder) == other
    shutil.rmtree(folder)
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole


def test_a_training_whose_best_checkpoint_is_gone_does_not_take_the_last(tmp_path, calls, whole):
    step = plan()["train a"]
    e = engine(tmp_path)
    make_steps(e, [step])
    checkpoints = e.state(step).output("checkpoint").parent
    (checkpoints / "best.ckpt").write_text("best")
    (e.folder(step) / RECORD).unlink()
    make_steps(e, [step])
    assert e.state(step).output("checkpoint").name == "best.ckpt"
    (checkpoints / "best.ckpt").unlink()
    assert isinstance(e.state(step), Pending)
    before = len(calls())
    make_steps(e, [step])
    assert len(calls()) == before + 4  # trained anew


def test_versions_of_the_code_are_counted_over_all_that_a_table_needs(tmp_path, calls):
    steps = plan()
    for commit, name in (("old", "extract a"), ("new", "probe a")):
        e = engine(tmp_path)
        e.commit = commit
        make_steps(e, [steps[name]])
    assert e.commits([steps["probe a"]]) == {"old": 2, "new": 1}
