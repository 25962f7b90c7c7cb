"""The page that benchmarks write to: a section for each machine, in it the newest run of each benchmark."""

import ast
from pathlib import Path

import pytest

from benchmarks.results import HEAD, merged

BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("bench_*.py"))
PACKAGES = {"models", "helpers", "datasets", "configs", "benchmarks"}


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_a_benchmark_finds_the_packages_that_it_imports_when_it_is_run_as_a_file(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    imports = [node.lineno for node in body if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in PACKAGES]
    added = [node.lineno for node in body if isinstance(node, ast.Expr) and ast.unparse(node).startswith("sys.path.insert(")]
    assert not imports or (added and added[0] < imports[0])


def test_runs_of_two_machines():
    page = merged("", "machine A", "bench_x.py", "1\n", "monday")
    assert page == f"{HEAD}\n## machine A\n### bench_x.py\nmonday\n```\n1\n```\n"
    page = merged(page, "machine B", "bench_x.py", "2", "tuesday")
    page = merged(page, "machine A", "bench_y.py", "3", "tuesday")
    assert page.count("## machine A") == page.count("## machine B") == 1
    again = merged(page, "machine A", "bench_x.py", "4", "friday")
    first, second = again.split("\n## ")[1:]
    assert first.startswith("machine A\n")
    assert "\n4\n" in first
    assert "\n1\n" not in first
    assert "\n3\n" in first
    assert "\n2\n" in second
    assert merged(again, "machine A", "bench_x.py", "4", "friday") == again
