"""The demo music's labels in groups."""

from __future__ import annotations

from helpers.paper.label_groups import DOMAINS, TASKS, write_groups


def test_groups_split_the_demo_as_it_is(tmp_path):
    from datasets.demo.labels import FAMILIES
    from datasets.groundtruth.groundtruth import Groundtruth

    found = write_groups(tmp_path, 200)
    assert set(found) == {"demo", "grades", "tonics", *TASKS, *DOMAINS}
    demo = Groundtruth.read(str(found["demo"]))
    assert len(demo.labels) == 30
    for task in TASKS:
        truth = Groundtruth.read(str(found[task]))
        assert truth.keys == demo.keys
        assert set(truth.labels) == {name for name in FAMILIES[task] if not name.startswith("_")}
    a, b = (Groundtruth.read(str(found[name])) for name in DOMAINS)
    assert not set(a.keys) & set(b.keys)
    assert set(a.keys) | set(b.keys) == set(demo.keys)
    assert not set(b.labels) & set(FAMILIES["timbre"])
    assert {part: len(one) for part, one in demo.splits.items()} == {"train": 152, "val": 20, "test": 28}


def test_groups_are_the_demos_own_table(tmp_path):
    from datasets.demo.labels import SPLITS, plan_track
    from datasets.demo.writer import sizes
    from datasets.demo.writer import table as demo_table

    plans = [plan_track(0, split, i) for split in SPLITS for i in range(sizes(60)[split])]
    assert write_groups(tmp_path, 60)["demo"].read_text() == demo_table(plans)
