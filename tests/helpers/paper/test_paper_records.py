"""Records of papers' steps: what is gone, cut short or removed is made anew, and nothing besides."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.paper.engine import Done, Open
from helpers.paper.plan import make_plan
from helpers.paper.records import RECORD, clear, read_inputs, read_record
from helpers.paper.scheduler import make_steps
from helpers.paper.steps import Ref, Step
from tests.helpers.paper.mini import ALL_WORK, drive, engine, plan


def test_an_output_that_is_gone_is_made_again(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, steps = engine(tmp_path), plan()
    shutil.rmtree(e.folder(steps["extract a"]) / "out")
    assert isinstance(e.state(steps["extract a"]), Open)
    assert isinstance(e.state(steps["probe a"]), Done)  # what was made of it stands
    make_steps(e, [steps["extract a"]])
    assert isinstance(e.state(steps["extract a"]), Done)
    assert len(calls()) == len(ALL_WORK) + 3
    for name in ("probe a", "probe b"):
        shutil.rmtree(e.folder(steps[name]))

    def goes_meanwhile(step: Step, what: str, seconds: float) -> None:
        """The input of one probe, while the other is made."""
        if step.title == "probe b" and what == "begins":
            shutil.rmtree(e.folder(steps["extract a"]))

    make_steps(e, [steps["probe b"], steps["probe a"]], goes_meanwhile, seconds={steps["probe b"]: 99.0})
    assert isinstance(e.state(steps["probe a"]), Done)
    assert len(calls()) == len(ALL_WORK) + 3 + 3 + 2
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole


def test_a_result_without_one_of_its_files_is_made_anew(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, step = engine(tmp_path), plan()["probe a"]
    (e.state(step).output("results") / "scores.txt").unlink()
    assert isinstance(e.state(step), Open)
    before = len(calls())
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole
    assert calls()[before:] == ["ex_tl.py:main:probe-a heads"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 99}', '{"version": 1, "outputs": {"x": "nowhere"}}'])
def test_a_record_that_says_nothing_is_none(tmp_path, content):
    (tmp_path / RECORD).write_text(content)
    assert read_record(tmp_path) is None


def test_records_move_with_their_folder(tmp_path, calls):
    steps = plan()
    make_steps(engine(tmp_path / "a"), [steps["probe a"]])
    shutil.move(tmp_path / "a", tmp_path / "b")
    found = engine(tmp_path / "b").state(steps["extract a"])
    assert isinstance(found, Done)
    assert found.output("0") == tmp_path / "b" / "out" / "steps" / found.folder.name / "out" / "0"
    assert found.about["settings"]["name"] == "extract-a"
    assert found.megabytes > 0


def test_what_follows_from_a_step_that_was_removed_is_made_anew_too(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, steps = engine(tmp_path), plan()
    before = len(calls())
    shutil.rmtree(e.folder(steps["train a"]))
    assert [type(e.state(steps[name])) for name in ("train a", "extract a", "probe a", "probe both")] == [Open] * 4
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
    data = Step("music", "ex_maest.py", "extract_embeddings", (), {"name": "extract-a"}, same_again=True)
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
    assert isinstance(e.state(step), Open)
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole


@pytest.mark.parametrize("gone", ["runs", "out", "record"])
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
            clear(folder, other)
    assert (folder / RECORD).exists()
    assert read_inputs(folder) == inputs  # still to be cleared
    clear(folder, other)
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
    assert isinstance(e.state(step), Open)
    before = len(calls())
    make_steps(e, [step])
    assert len(calls()) == before + 4  # trained anew
