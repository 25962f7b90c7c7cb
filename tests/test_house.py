"""The doors of the house, the two names of models/, and the lock."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {  # folder -> project packages that it may import
    "models": set(),
    "configs": set(),
    "datasets": {"models"},
    "helpers": {"models", "datasets"},
}
PROJECT = {"models", "maest", "datasets", "helpers", "configs", "ex_maest", "ex_ssl", "ex_tl", "ex_paper", "tests", "benchmarks"}
CLOSED = {  # library -> the only packages below ex_* that may import it
    "sacred": ("helpers/experiments/",),
    "pytorch_lightning": ("helpers/training/", "datasets/loading/"),
}


def imports(path: Path) -> list[tuple[str, int]]:
    """Top-level name of every absolute import of a file, and its level of relative dots for the relative ones."""
    out = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            out += [(alias.name.split(".")[0], 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            out.append(((node.module or "").split(".")[0], node.level))
    return out


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", ALLOWED)
def test_doors_open_one_way_only(folder):
    assert files(folder)
    for path in files(folder):
        depth = len(path.relative_to(ROOT / folder).parts)
        for name, level in imports(path):
            assert level <= depth, f"{path}: a relative import leaves {folder}/"
            if level == 0 and name in PROJECT and name != folder:
                assert name in ALLOWED[folder], f"{path} imports {name}"


def test_models_needs_neither_sacred_nor_lightning_nor_h5py():
    for path in files("models"):
        forbidden = {"sacred", "pytorch_lightning", "lightning", "h5py", "models", "maest"} & {
            n for n, level in imports(path) if level == 0
        }
        assert not forbidden, f"{path} imports {forbidden}"


def test_configs_imports_the_standard_library_only():
    for path in files("configs"):
        for name, level in imports(path):
            assert level or name in sys.stdlib_module_names, f"{path} imports {name}"


@pytest.mark.parametrize("library", CLOSED)
def test_who_knows_the_frameworks(library):
    for folder in ALLOWED:
        for path in files(folder):
            where = path.relative_to(ROOT).as_posix()
            if library in {n for n, level in imports(path) if level == 0}:
                assert where.startswith(CLOSED[library]), f"{where} imports {library}"


@pytest.mark.parametrize(("first", "second"), [("models", "maest"), ("maest", "models")])
def test_both_names_are_the_same_modules(first, second):
    code = f"""
import sys
import {first}, {second}
import {second}.errors, {first}.errors, {first}.maest.patchout
from {second}.maest.patchout import Patchout
assert {first} is {second}
assert {first}.errors is {second}.errors and {first}.errors.AudioError is {second}.errors.AudioError
assert Patchout is {first}.maest.patchout.Patchout
assert {first}.errors.__spec__.name.startswith({first!r}), {first}.errors.__spec__
names = {{m.split('.', 1)[1] for m in sys.modules if m.startswith(('models.', 'maest.'))}}
for n in names:
    both = [sys.modules[k] for k in (f'models.{{n}}', f'maest.{{n}}') if k in sys.modules]
    assert len(set(map(id, both))) == 1, n
print('same')
"""
    path = [str(ROOT)]
    if first == "maest":  # stands for the installed package: found first, under that name only
        code = (
            f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location('maest', {str(ROOT / "models/__init__.py")!r}, submodule_search_locations=[{str(ROOT / "models")!r}])
module = importlib.util.module_from_spec(spec); sys.modules['maest'] = module; spec.loader.exec_module(module)
"""
            + code
        )
    done = subprocess.run([sys.executable, "-c", code], cwd=path[0], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "same"


def test_importing_the_package_is_cheap():
    code = "import sys, models, models.errors, models.windows; assert 'torch' not in sys.modules and 'timm' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_lock_fits_every_machine():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.lstrip().startswith("#")]
    pins = dict(re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;]+).*", line).groups() for line in lines)
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))]
    assert not [f"{name}=={version}" for name, version in pins.items() if "+" in version]
    wanted = re.findall(r"^([A-Za-z0-9._-]+)", (ROOT / "requirements.in").read_text(), flags=re.MULTILINE)
    normal = {re.sub(r"[._-]+", "-", name).lower() for name in pins}
    assert {re.sub(r"[._-]+", "-", name).lower() for name in wanted} <= normal
    assert "://" not in (ROOT / "requirements.txt").read_text()


def test_fixtures_stay_small():
    assert sum(p.stat().st_size for p in (ROOT / "tests").rglob("*") if p.is_file() and "__pycache__" not in p.parts) < 15e6
