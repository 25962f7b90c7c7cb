"""The doors of the house, its floors, the two names of models/, and the lock."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import soundfile

from tests.imports import PACKAGES, ROOT, circles, dependencies, files, libraries, modules

ALLOWED = {  # folder -> project packages that it may import
    "models": set(),
    "configs": set(),
    "datasets": {"models"},
    "helpers": {"models", "datasets"},
}
FAMILIES = {path.parent.name for path in (ROOT / "models").glob("*/archs.py")}
OTHERS = "..."  # of a floor: whatever no floor names
FLOORS = {  # bottom to top; a module imports those of its own floor and of the floors below
    "models": (
        "errors escapes card settings layers bounded_files pickle_bounds windows randomness untrained prefetch arithmetic cache processor "
        "_torchvision _alias _outside",
        "frontend", "audio",
        "heads mean_head objective classification encoder mel_encoder vectors states tagging overview onnx_file formats tokens", "weights",
        " ".join(FAMILIES), "registry", "export finetune hear onnx_windows backends",
    ),
    "datasets": ("utils", "groundtruth", "store", "jobs", "prepare", "loading", "collection", "published", OTHERS),
    "helpers": (
        "utils", "schedules", "runtime", "metrics", "reports", "training", "experiments", "data", "families", "extraction", "prediction",
        "probe", "evaluation", "commands", "paper", "runs",
    ),
}  # fmt: skip
CLOSED = {  # library -> the only packages that may import it
    "sacred": ("helpers.experiments",),
    "pytorch_lightning": ("helpers.training", "datasets.loading"),
    "lightning": (),
}
MOST_LINES = 350


@pytest.mark.parametrize("folder", PACKAGES)
def test_doors_open_one_way_only(folder):
    scripts = {path.stem for path in ROOT.glob("ex_*.py")}
    closed = {*PACKAGES, *scripts, "tests", "benchmarks"} - ALLOWED[folder] - {folder}
    assert files(folder)
    for path in files(folder):
        assert not libraries(path) & closed, f"{path} imports {sorted(libraries(path) & closed)}"


def test_models_needs_neither_sacred_nor_lightning_nor_h5py_and_its_imports_are_relative():
    for path in files("models"):
        assert not {"sacred", "pytorch_lightning", "lightning", "h5py"} & libraries(path), path
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {"models", "maest"} & {str(name).split(".")[0] for name in names}, path


def test_configs_imports_the_standard_library_only():
    for path in files("configs"):
        assert libraries(path) <= {*sys.stdlib_module_names, "configs"}, f"{path} imports {libraries(path)}"


@pytest.mark.parametrize("library", CLOSED)
def test_who_knows_the_frameworks(library):
    for module, path in modules().items():
        if library in libraries(path):
            assert module.startswith(tuple(f"{place}." for place in CLOSED[library])), f"{module} imports {library}"


def floor_of(module: str) -> int:
    """Its number, from the bottom. Raises KeyError for a module that no floor names."""
    package, name = module.split(".")[:2]
    floors = [floor.split() for floor in FLOORS[package]]
    numbers = {one: number for number, floor in enumerate(floors) for one in floor}
    return numbers[name] if name in numbers else numbers[OTHERS]


@pytest.mark.parametrize("package", FLOORS)
def test_floors_stand_on_those_below(package):
    inside = {name: path for name, path in modules().items() if name.startswith(f"{package}.")}
    for module, path in inside.items():
        for other in sorted(dependencies(path) & inside.keys()):
            assert floor_of(other) <= floor_of(module), f"{module} imports {other}, which stands above it"


def test_no_family_knows_another_one():
    for family in FAMILIES:
        for path in files(f"models/{family}"):
            found = {name.split(".")[1] for name in dependencies(path) if name.startswith("models.")}
            assert not found & (FAMILIES - {family}), f"{path} imports {found}"


def test_nothing_goes_round_in_circles():
    assert circles({module: dependencies(path) for module, path in modules().items()}) == []
    assert circles({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("ad"), "d": frozenset()}) == [["a", "b", "c"]]


def test_imports_are_seen_wherever_they_stand(tmp_path, monkeypatch):
    """Inside functions, for type checkers only, relative and under the other name."""
    from tests import imports

    (tmp_path / "helpers").mkdir()
    (tmp_path / "models" / "x").mkdir(parents=True)
    for name in ("models/__init__.py", "models/x/__init__.py", "models/y.py", "models/z.py"):
        (tmp_path / name).write_text("")
    code = "if TYPE_CHECKING:\n    from ..y import A\ndef f():\n    from maest import z\n    import models.x\n    import numpy.linalg\n"
    (tmp_path / "models" / "x" / "inner.py").write_text(code)
    monkeypatch.setattr(imports, "ROOT", tmp_path)
    imports.modules.cache_clear()
    try:
        path = tmp_path / "models" / "x" / "inner.py"
        assert dependencies(path) == {"models.y", "models.z", "models.x"}
        assert libraries(path) == {"models", "numpy"}
    finally:
        imports.modules.cache_clear()


def test_files_are_short():
    found = [path for folder in (*PACKAGES, "tests", "benchmarks") for path in files(folder)] + sorted(ROOT.glob("*.py"))
    long = {path.relative_to(ROOT).as_posix(): n for path in found if (n := len(path.read_text().splitlines())) > MOST_LINES}
    assert not long


def test_outside_its_folder_nothing_in_models_names_a_family():
    """Neither by its name nor by what it exports. The front ends have names of their own; three files know the installed package's, `maest`."""
    public = set(FAMILIES)
    for family in FAMILIES:
        for node in ast.parse((ROOT / "models" / family / "__init__.py").read_text()).body:
            if isinstance(node, ast.Assign) and "__all__" in ast.unparse(node.targets[0]):
                public |= {element.value for element in node.value.elts}
    public -= {"build", "load", "recognise", "FORMATS"}  # what every family has
    public |= {f"get_{family}" for family in FAMILIES}
    for path in files("models"):
        place = path.relative_to(ROOT / "models").parts[0]
        if place in FAMILIES or place in ("frontend", "_alias.py", "cache.py") or path.name == "downloads.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            said = {
                ast.Constant: lambda n: n.value,
                ast.Name: lambda n: n.id,
                ast.Attribute: lambda n: n.attr,
            }.get(type(node), lambda n: None)(node)
            assert not (isinstance(said, str) and said in public), f"{path}:{getattr(node, 'lineno', '?')} names {said}"


@pytest.mark.slow
def test_the_built_wheel_holds_every_family(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path / "wheel")]
    source = tmp_path / "source"  # setuptools writes beside what it builds
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    for path in (ROOT / "models").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    subprocess.run(pip, cwd=source, check=True, capture_output=True, timeout=300)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = f"""
import pathlib, sys
sys.path[:] = [{str(tmp_path / "installed")!r}] + [p for p in sys.path if not pathlib.Path(p or '.', 'ex_maest.py').exists()]
sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in getattr(f, '__module__', '') + getattr(f, '__name__', '')]
import maest, torch
assert pathlib.Path(maest.__file__).is_relative_to({str(tmp_path / "installed")!r}), maest.__file__
from maest.registry import FAMILIES, family_package, get_card, list_models
assert set(FAMILIES) == {FAMILIES!r}, FAMILIES
with torch.device("meta"):
    for name in list_models():
        assert family_package(get_card(name).family).build(name, pretrained=False).depth
from maest.weights.cards import LABELS
assert list(LABELS.glob("*_labels.txt"))
import maest.export, maest.finetune, maest.hear
print("installed")
"""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MAEST_FAMILIES")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "installed"


@pytest.mark.parametrize(
    ("package", "name"), [("audio.decoding", "Source"), pytest.param("maest.patchout", "Patchout", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("first", "second"), [("models", "maest"), ("maest", "models")])
def test_both_names_are_the_same_modules(first, second, package, name):
    code = f"""
import sys
import {first}, {second}
import {second}.errors, {first}.errors, {first}.{package}
from {second}.{package} import {name}
assert {first} is {second}
assert {first}.errors is {second}.errors and {first}.errors.AudioError is {second}.errors.AudioError
assert {name} is {first}.{package}.{name}
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


CHEAP = """import importlib, models, models.errors, models.windows, ex_maest, ex_ssl, ex_tl, ex_paper
from helpers.commands.script import BEGINNINGS
for name in BEGINNINGS.values(): importlib.import_module(name)"""
EVERY_FAMILY = """from models.registry import FAMILIES, family_package
for name in FAMILIES: family_package(name)
import helpers.prediction.predict"""


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        (CHEAP, {"torch", "timm", "torchvision", "pytorch_lightning"}),
        (
            EVERY_FAMILY,
            {"timm", "torchvision", "transformers", "torchmetrics", "pytorch_lightning", "torch._dynamo", "onnxruntime"},
        ),
    ],
    ids=["the package and the scripts", "all families"],
)
def test_importing_is_cheap(code, heavy):
    """`print_config`, `help`, plans of tables, and what begins before torch is there need no torch. And a file is asked of every family whose it is:
    that must not cost the seconds of libraries which one of them may need.
    """
    code += f"\nimport sys\nassert not {heavy!r} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


TELLING = ["print_config", "--help", "runs", "print_named_configs", "help main", "main --help"]
MORE_TELLING = {
    "ex_maest.py": ["check_data --help", "predict -h", "help report"],
    "ex_ssl.py": ["check_data --help", "predict -h", "help report"],
    "ex_tl.py": ["sweep --help", "help finetune"],
    "ex_paper.py": ["table_tokens --help", "help demo_music"],
}


@pytest.mark.parametrize("script", MORE_TELLING)
def test_what_tells_and_computes_nothing_needs_no_torch(script, tmp_path):
    """Nor scipy, whose signal package takes a second: in all four scripts, each line as it is typed."""
    code = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
for words in {TELLING + MORE_TELLING[script]!r}:
    sys.argv = [{script!r}, *words.split()]
    try: runpy.run_path({str(ROOT / script)!r}, run_name='__main__')
    except SystemExit as end: assert not end.code, (words, end.code)
    heavy = {{'torch', 'timm', 'torchvision', 'pytorch_lightning', 'transformers', 'scipy', 'matplotlib', 'librosa', 'sklearn', 'pyarrow'}}
    assert not heavy & set(sys.modules), (words, heavy & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_predict_imports_what_it_uses(tmp_path):
    """Lightning, timm, torchvision with torch's compiler, transformers and matplotlib cost more than the network's first windows."""
    from models import export_model
    from models.maest import MAEST

    net = MAEST(input_t=125, n_classes=3, embed_dim=16, depth=1, num_heads=2, labels=["a", "b", "c"]).eval()
    export_model(net, tmp_path / "net.safetensors")
    wave = np.zeros(32000, np.float32)
    wave[::100] = 0.5
    soundfile.write(tmp_path / "a.wav", wave, 16000)
    words = [
        f"maest.checkpoint={tmp_path / 'net.safetensors'}",
        f"predict.audio={tmp_path / 'a.wav'}",
        f"predict.out_dir={tmp_path / 'out'}",
    ]
    code = (
        f"import sys; sys.argv = ['ex_maest.py', 'predict', 'with', *{words!r}]; sys.path.insert(0, '.')\n"
        "import runpy\n"
        "try: runpy.run_path('ex_maest.py', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'timm', 'torchvision', 'torch._dynamo', 'pytorch_lightning', 'torchmetrics', 'transformers'}\n"
        "heavy |= {'scipy', 'sklearn', 'matplotlib', 'onnx'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "predictions" / "a.wav" / "index.html").is_file()


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
