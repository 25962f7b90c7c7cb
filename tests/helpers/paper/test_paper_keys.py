"""Keys of steps: they follow what decides a result, and nothing else."""

from __future__ import annotations

from pathlib import Path

from helpers.paper.engine import Engine
from helpers.paper.steps import ExternalPath, Keys, Ref, Step, in_order
from tests.helpers.paper.mini import ignored, nested, plan


def key(step: Step) -> str:
    return Keys(nested, ignored)(step)


def test_keys_follow_what_decides_the_result(tmp_path):
    base = Step("t", "ex_maest.py", "main", ("demo",), {"a": 1})
    same = Step("another title", "ex_maest.py", "main", ("demo",), {"a": 1, "trainer.default_root_dir": "x", "ckpt_path": "last"})
    assert key(base) == key(same)
    others = [
        Step("t", "ex_ssl.py", "main", ("demo",), {"a": 1}),
        Step("t", "ex_maest.py", "report", ("demo",), {"a": 1}),
        Step("t", "ex_maest.py", "main", ("demo", "x"), {"a": 1}),
        Step("t", "ex_maest.py", "main", ("demo",), {"a": 2}),
        Step("t", "ex_maest.py", "main", ("demo",), {"a": 1}, about={"demo": 1}),
        Step("t", "ex_maest.py", "main", ("demo",), {"a": Ref(base, "checkpoint")}),
        Step("t", "ex_maest.py", "main", ("demo",), {"a": Ref(base, "run")}),
        Step("t", "ex_maest.py", "main", ("demo",), {"a": 1, "ckpt_path": Ref(base, "checkpoint")}),
    ]
    assert len({key(base), *map(key, others)}) == len(others) + 1


def test_keys_follow_what_files_hold_and_not_where_they_are(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labels.csv").write_text("path,labels\n")

    def of(name: str) -> str:
        return key(Step("t", "ex_tl.py", "main", (), {"x": ExternalPath(str(tmp_path / name))}))

    assert of("a") == of("b")
    before = of("a")
    (tmp_path / "a" / "labels.csv").write_text("path,labels\nx.mp3,rock\n")
    assert of("a") != before
    assert of("a/labels.csv") != of("b/labels.csv")
    assert len({of("a"), of("absent"), of("absent too")}) == 3


def test_keys_follow_a_stores_tracks(tmp_path):
    import numpy as np

    from datasets.store.track_store import TrackStore

    def store(name: str, order: list[int], change: float = 0.0) -> str:
        with TrackStore.create(tmp_path / name / "mels.h5", (2,), "float32", {"kind": "mel"}) as writer:
            for i in order:
                writer.append(f"{i}.wav", np.full((3, 2), i + (change if i == 1 else 0), "float32"))
            writer.seal()
        return key(Step("t", "ex_tl.py", "main", (), {"x": ExternalPath(str(tmp_path / name))}))

    assert store("a", [0, 1, 2]) == store("b", [2, 0, 1])
    assert len({store("c", [0, 1]), store("d", [0, 1, 2]), store("e", [0, 1, 2], 0.5)}) == 3


def test_inputs_come_before_those_who_take_them():
    steps = plan()
    order = in_order([steps["probe both"], steps["train b"]])
    assert [s.title for s in order] == ["train a", "extract a", "train b", "extract b", "probe both"]
    twice = Engine(Path("x"), Path("y"), Keys(nested, ignored)).needed([*plan().values(), *plan().values()])
    assert len(twice) == 7
