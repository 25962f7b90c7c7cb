"""Odd run folders are rows with a remark; text of records, names and labels never reaches the terminal as control characters."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import shutil
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from datasets.utils.spreadsheet import plain_cell, safe_cell
from datasets.utils.terminal import Console, visible
from helpers.experiments.run_folder import RunFolder
from helpers.experiments.runs import main
from helpers.runtime.logs import root_logger

CASES = settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
GOOD = {
    "experiment": {"name": "maest", "repositories": []},
    "command": "main",
    "status": "COMPLETED",
    "start_time": "2026-01-01T00:00:00",
    "host": {},
}
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["\x1b[2J", "\u202e", 10**400])),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "steps", "values", "epoch", "commit"]), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


def listed(place) -> str:
    text = io.StringIO()
    assert main([str(place)], console=Console(file=text, width=250)) == 0
    assert clean(text.getvalue())
    return text.getvalue()


def clean(text: str) -> bool:
    return not any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c in "\u202e\u2066" for c in text)


def broken(folder, k: int) -> None:
    """One of 40 kinds of broken run."""
    folder.mkdir()
    run = folder / "run.json"
    kinds = [
        "[]",
        "null",
        "3",
        '"text"',
        "{",
        "",
        "[" * 100_000,
        "\x00",
        '{"start_time": 5}',
        '{"start_time": "soon"}',
        '{"start_time": "2026-13-01"}',
    ]
    if k < len(kinds):
        run.write_text(kinds[k])
    elif k < 30:
        keys = ["experiment", "command", "status", "stop_time", "heartbeat", "host", "fail_trace", "start_time"]
        odd = [5, [], {"a": 1}, "\x1b[2J", True]
        run.write_text(json.dumps({**GOOD, keys[k % 8]: odd[k % 5]}))
    elif k < 36:
        run.write_text(json.dumps(GOOD))
        name = ["metrics.json", "history.json", "config.json", "info.json", "metrics.json", "history.json"][k - 30]
        (folder / name).write_text(
            [
                '{"val_ap": 3}',
                '[1, {"epoch": "x", "val_ap": 1}]',
                "[]",
                '"x"',
                '{"val_ap": {"steps": [1], "values": ["x"]}}',
                "{}",
            ][k - 30]
        )
    elif k == 36:
        os.mkfifo(run)
    elif k == 37:
        run.symlink_to("/dev/zero")
    elif k == 38:
        run.write_bytes(b"\xff\xfe")
    else:
        run.mkdir()


def test_forty_broken_runs_and_a_good_one_are_41_rows(tmp_path):
    names = ["\u00b2", "007", "9" * 40, *map(str, range(10, 47))]
    for k, name in enumerate(names):
        broken(tmp_path / name, k)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "run.json").write_text(json.dumps(GOOD))
    lines = listed(tmp_path).splitlines()
    rows = [line for line in lines[3:] if line.strip()]
    assert len(rows) >= 41
    for name in [*names, "1"]:
        assert any(row.split()[0] == name for row in rows if row.split()), name
    assert sum("no record" in row for row in rows) > 8


@pytest.mark.slow
@CASES
@given(
    content=st.dictionaries(st.sampled_from([*GOOD, "stop_time", "heartbeat", "fail_trace", "result"]), values),
    more=values,
    name=st.sampled_from(["metrics", "history", "config", "info"]),
)
def test_records_of_any_kind(tmp_path_factory, content, more, name):
    place = tmp_path_factory.getbasetemp() / "runs"
    (place / "3").mkdir(parents=True, exist_ok=True)
    for file in (place / "3").iterdir():
        file.unlink()
    (place / "3" / "run.json").write_text(json.dumps({**GOOD, **content}))
    (place / "3" / f"{name}.json").write_text(json.dumps(more))
    assert "3" in listed(place)


@CASES
@given(
    text=st.text(max_size=12)
    | st.sampled_from(["\x1b]0;title\x07", "a\x1b[2Jb", "\u202egpj.exe", "\x9b31m", "\ud800", "[red]x", "tab\tx"])
)
def test_tables_and_logs_show_escapes(text):
    out = io.StringIO()
    table = Table()
    table.add_column(Text(text))
    table.add_row(Text(text, style="bold"))
    console = Console(file=out, width=200, force_terminal=False)
    console.print(table)
    console.print(text, markup=False)
    assert clean(out.getvalue().replace("\t", " "))
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s", (text,), None)
    handlers = logging.getLogger().handlers
    try:
        assert clean(root_logger().handlers[0].format(record).replace("\t", " "))
    finally:
        logging.getLogger().handlers = handlers
    assert visible("caf\u00e9 \u97f3\u697d") == "caf\u00e9 \u97f3\u697d"


@CASES
@given(
    text=st.text(max_size=8)
    | st.builds("{}{}{}".format, st.sampled_from(["", "'", "''"]), st.sampled_from("=+-@\t\r"), st.text(max_size=5))
)
def test_cells_are_no_formulas_and_come_back(text):
    cell = safe_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert plain_cell(cell) == text
    out = io.StringIO()
    csv.writer(out).writerow([cell, "x"])
    if "\x00" not in text:
        out.seek(0)
        assert plain_cell(next(csv.reader(io.StringIO(out.getvalue(), newline="")))[0]) == text


@pytest.mark.parametrize("text", ["-0.5", "plain", "'quoted'", ""])
def test_what_is_no_formula_stays(text):
    assert (safe_cell(text) == text) == (text != "-0.5")


def test_a_source_file_is_kept_whole_under_its_hash(tmp_path, monkeypatch):

    observer = RunFolder(str(tmp_path / "runs"), None)
    source = tmp_path / "code.py"
    source.write_text("x = 1\n" * 100)
    stored = observer.find_or_save(str(source), tmp_path / "runs" / "_sources")
    stored.write_text("x = 1\n")  # as a full disk left it
    assert observer.find_or_save(str(source), tmp_path / "runs" / "_sources").read_text() == source.read_text()
    stored.unlink()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(stored), "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        observer.find_or_save(str(source), tmp_path / "runs" / "_sources")
    assert list((tmp_path / "runs" / "_sources").iterdir()) == []


def test_a_run_whose_folder_was_removed_says_so_and_keeps_its_config(tmp_path, caplog):
    observer = RunFolder(str(tmp_path / "runs"), None)
    about = {"name": "toy", "base_dir": str(tmp_path), "sources": [], "repositories": [], "dependencies": []}
    observer.started_event(about, "main", {}, datetime(2026, 1, 1), {"seed": 3}, {"options": {}}, "1")
    shutil.rmtree(observer.dir)
    os.makedirs(observer.dir)
    observer.completed_event(datetime(2026, 1, 2), None)
    assert "was removed while the run went on" in caplog.text
    assert json.loads((tmp_path / "runs" / "1" / "config.json").read_text())["seed"] == 3
