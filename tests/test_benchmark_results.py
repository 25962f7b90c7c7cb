"""The page that benchmarks write to: a section for each machine, in it the newest run of each benchmark."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.results import HEAD, merged

ROOT = Path(__file__).parents[1]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("bench_*.py"))
PACKAGES = {"models", "helpers", "datasets", "configs", "benchmarks"}


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_a_benchmark_finds_the_packages_that_it_imports_when_it_is_run_as_a_file(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    imports = [node.lineno for node in body if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in PACKAGES]
    calls = [(node.lineno, ast.unparse(node)) for node in body if isinstance(node, ast.Expr)]
    set_to = [line for line, code in calls if code.startswith("sys.path.insert(0, ") and (line - 1, "sys.path.pop(0)") in calls]
    assert not imports or (set_to and set_to[0] < imports[0])


def test_a_benchmark_run_as_a_file_hides_no_package_behind_its_neighbours(tmp_path):
    """numba asks for the package coverage; benchmarks/coverage.py is none."""
    (tmp_path / "see.py").write_text(
        f"import runpy, sys\nsys.path[0] = {str(ROOT / 'benchmarks')!r}\nrunpy.run_path({str(ROOT / 'benchmarks' / 'bench_crops.py')!r})\n"
        "import importlib.util\nspec = importlib.util.find_spec('coverage')\n"
        "assert spec is None or 'benchmarks' not in str(spec.origin), spec\n"
    )
    done = subprocess.run([sys.executable, tmp_path / "see.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
