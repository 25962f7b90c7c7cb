"""Which module of the project imports which, read from the sources: also imports inside functions and those for type checkers only."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("models", "configs", "datasets", "helpers")
INSTALLED = {"maest": "models"}  # name when installed -> name in a checkout


def files(folder: str) -> list[Path]:
    """The Python files of a package of the project."""
    return sorted((ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    """`helpers/probe/run.py` -> `helpers.probe.run`; a package's __init__ is the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """All modules of the project by name, scripts included."""
    found = [path for folder in PACKAGES for path in files(folder)] + sorted(ROOT.glob("ex_*.py"))
    return {module_of(path): path for path in found}


@cache
def imported(path: Path) -> frozenset[str]:
    """Full names of what a file imports: `from a.b import c` is a.b.c."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    out = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            out |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level > len(package):
                raise AssertionError(f"{path}:{node.lineno}: a relative import leaves the project's packages")
            stem = (
                [*package[: len(package) - node.level + 1], *filter(None, [node.module])] if node.level else [node.module or ""]
            )
            out |= {".".join([*stem, alias.name]) for alias in node.names}
    return frozenset(".".join([INSTALLED.get(name.split(".")[0], name.split(".")[0]), *name.split(".")[1:]]) for name in out)


def libraries(path: Path) -> set[str]:
    """Top-level names of what a file imports."""
    return {name.split(".")[0] for name in imported(path)}


@cache
def dependencies(path: Path) -> frozenset[str]:
    """The project's modules that a file imports: `from a.b import c` is a.b.c where that is a module, else a.b."""
    known, out = modules(), set()
    for name in imported(path):
        stem = name if name in known else name.rpartition(".")[0]
        if stem in known:
            out.add(stem)
    return frozenset(out - {module_of(path)})


def circles(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """Groups of more than one module that import each other (strongly connected components; Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[-len(group) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found
