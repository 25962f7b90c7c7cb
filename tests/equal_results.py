"""What the commands give, as fingerprints: recorded by one version of the suite, compared with what a later one gives.

python tests/equal_results.py --record          runs every command at smoke size, writes tests/fixtures/equal_results.json
python tests/equal_results.py --check           runs them again, compares, prints a table; exit code 1 where something differs
python tests/equal_results.py --check --keep DIR    leaves the commands' files in DIR; what is there from before is not run again

Whole commands alone are run (`python ex_maest.py ...`), in processes of their own and one thread, and their files are read with h5py, numpy, json,
safetensors, onnx and torch: nothing of the project is imported, so that its modules may move.

A fingerprint has the sha256 of an artefact's exact bytes, and a summary of its numbers. On a machine of the same kind (version of torch,
instruction set, model of the processor) the bytes must be equal; on another the summaries must be near each other.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.equal_results_commands import COMMANDS, Command, first_file, run_all

STORED = Path(__file__).parent / "fixtures" / "equal_results.json"
# on a machine of another kind: absolute of scores; of tensors as a share of their size, and absolute where they are small (a fifth of a step of Adam)
SCORES, TENSORS, STEP = 2e-3, 2e-3, 2e-4
# Weights whose gradient is zero but for rounding, which Adam makes whole steps of: a convolution's bias before batch statistics (and their mean,
# which takes it off again), an attention's bias of keys. On a machine of another kind their shapes alone are compared.
DRIFTING = re.compile(r"sequential\.\d+\.(0\.bias|1\.running_mean)$|(qkv|key|k_proj)\.bias$")
COST = "cost"  # the metric of a paper's table's cells that hold seconds
WHOLE = 60  # numbers of a json or csv file that stand in its summary one by one

# What comes behind such weights by few steps of Adam (statistics lag behind the biases, a test set of six tracks jumps, and the accuracy
# over eight views): 150 times looser.
LOOSE = {"clmr main", "clmr extract_embeddings", "clmr export", "clmr report", "probe of windows", "paper table_families"}

# Left out of json files, wherever they stand: times, paths, hashes and versions, and what says how a thing was made rather than what it is.
LEFT_OUT = {
    "timestamps", "seconds", "at", "release_date", "framework_version", "version", "file", "settings", "about", "network", "transformers_version",
    "family", "encoder_sha256", "weights_sha256", "weights", "model", "path", "audio", "folder", "made",
}  # fmt: skip
# The same of csv files, by column. Of stores: all attributes (they hold the hash of the weights); of safetensors: the header's words.
LEFT_OUT_COLUMNS = {"seconds", "model", "licence", "path_of_model"}
# Not the same in two runs of one machine even at the first recording: compared by their summaries alone. Key -> why.
BY_SUMMARY = {"paper table_families / table.csv": "a row without its weights names the folders that were searched"}


# ---- fingerprints
def fingerprints(command: Command, folder: Path) -> dict[str, dict[str, Any]]:
    """The fingerprints of a command's artefacts: "artefact / part" -> {"sha256", "summary"}."""
    found: dict[str, dict[str, Any]] = {}
    for name, pattern in command.artefacts.items():
        path = first_file(folder, pattern)
        for part, value in _READERS[path.suffix](path):
            found[f"{name} / {part}" if part else name] = fingerprint(value)
    if command.result is not None:
        found["result"] = fingerprint(_kept(json.loads(first_file(folder, command.result).read_text())["result"]))
    return found


def fingerprint(value: Any) -> dict[str, Any]:
    """Of an array: its bytes, its shape and a few numbers. Of plain values: their text, and all their numbers (of many: some)."""
    if isinstance(value, np.ndarray):
        value = np.ascontiguousarray(value)
        about = f"{value.dtype.newbyteorder('<').str} {value.shape}\n".encode()
        numbers = value.astype(np.float64).ravel() if value.dtype.kind in "fiub" else np.zeros(0)
        return {
            "sha256": hashlib.sha256(about + value.tobytes()).hexdigest(),
            "summary": {"shape": list(value.shape), **_numbers(numbers)},
        }
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    leaves = dict(_leaves(value))
    if not leaves:
        return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "summary": {"words": len(value)}}
    whole = {name: _short(number) for name, number in leaves.items()} if len(leaves) <= WHOLE else None
    return {
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "summary": {"scores": whole}
        if whole is not None
        else {"count": len(leaves), **_numbers(np.array(list(leaves.values())))},
    }


def _numbers(values: np.ndarray) -> dict[str, Any]:
    values = values[np.isfinite(values)]
    if not len(values):
        return {}
    some = values[np.linspace(0, len(values) - 1, min(4, len(values))).astype(int)]
    return {"mean": _short(values.mean()), "std": _short(values.std()), "values": [_short(v) for v in some]}


def _short(number: float) -> float:
    return float(f"{number:.7g}")


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of plain values, by their places."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, (int, float)):
        yield where or "value", float(value)
        return
    for key, entry in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from _leaves(entry, f"{where}.{key}" if where else str(key))


def _kept(value: Any) -> Any:
    """Plain values without what is left out."""
    if isinstance(value, Mapping):
        return {key: _kept(entry) for key, entry in value.items() if key not in LEFT_OUT}
    return [_kept(entry) for entry in value] if isinstance(value, list) else value


# ---- readers: path -> (part, array or plain values)
def _tensors(state: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, np.ndarray]]:
    for name in sorted(state):
        yield name, state[name].detach().numpy()


def _checkpoint(path: Path) -> Iterator[tuple[str, Any]]:
    for name, array in _tensors(torch.load(path, map_location="cpu", weights_only=True)["state_dict"]):
        yield f"weights / {name}", array


def _store(path: Path) -> Iterator[tuple[str, Any]]:
    with h5py.File(path, "r") as file:
        yield "names", json.loads(file["names"][:].tobytes())
        yield "lengths", file["lengths"][:]
        yield "data", file["data"][:]


def _onnx(path: Path) -> Iterator[tuple[str, Any]]:
    """The initialisers' bytes, whatever their names and order, and each output for noise."""
    import onnx
    import onnxruntime

    arrays = [onnx.numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer]
    weights = sorted((a.ravel() for a in arrays if a.dtype == np.float32 and a.size > 1), key=lambda a: (len(a), a.tobytes()))
    yield "initialisers", np.concatenate(weights)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    asked = session.get_inputs()[0]
    wave = np.random.default_rng(0).standard_normal((2, asked.shape[1])).astype(np.float32) / 4
    names = [one.name for one in session.get_outputs()]
    yield from ((f"output {name}", array) for name, array in zip(names, session.run(names, {asked.name: wave})))


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    yield "", _kept(json.loads(path.read_text()))


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    """Rows without the columns that are left out, and those of what things took; numbers as numbers."""
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    rows = [row for row in rows if COST not in row]
    kept = [i for i, name in enumerate(head) if name not in LEFT_OUT_COLUMNS]
    yield "", [[head[i] for i in kept], *([_number(row[i]) for i in kept] for row in rows)]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _arrays(path: Path) -> Iterator[tuple[str, Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        for name in sorted(arrays.files):
            yield name, arrays[name]


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    ".ckpt": _checkpoint,
    ".safetensors": lambda path: _tensors(load_file(path)),
    ".h5": _store,
    ".onnx": _onnx,
    ".json": _json,
    ".csv": _csv,
    ".npz": _arrays,
}


# ---- comparison
def machine() -> dict[str, str]:
    """What decides whether equal code computes equal bytes."""
    about = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*:\s*(.+)$", about.read_text(), flags=re.MULTILINE) if about.is_file() else []
    return {
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processor": models[0] if models else "unknown",
    }


def differences(name: str, stored: Mapping[str, Any], found: Mapping[str, Any], same_kind: bool) -> list[str]:
    """What of a command's fingerprints is not as it was stored; [] where all is."""
    out = [f"{name} / {key}: not made" for key in stored if key not in found]
    out += [f"{name} / {key}: was not made before" for key in found if key not in stored]
    for key in (key for key in stored if key in found):
        words = "words" in stored[key]["summary"] and key != "result"  # names and labels are the same on any machine
        exact = (same_kind or words) and f"{name} / {key}" not in BY_SUMMARY
        if exact and stored[key]["sha256"] != found[key]["sha256"]:
            out.append(f"{name} / {key}: other bytes ({stored[key]['summary']}, now {found[key]['summary']})")
        elif not exact and (
            what := _far(stored[key]["summary"], found[key]["summary"], name in LOOSE, bool(DRIFTING.search(key)))
        ):
            out.append(f"{name} / {key}: {what}")
    return out


def _far(stored: Mapping[str, Any], found: Mapping[str, Any], loose: bool, drifting: bool) -> str:
    """What of two summaries is further apart than machines of different kinds explain; "" where nothing is."""
    if "scores" in stored:
        a, b, tolerance = stored["scores"], found.get("scores") or {}, SCORES
    else:
        if stored.get("shape") != found.get("shape") or stored.get("count") != found.get("count"):
            return f"shape {stored.get('shape', stored.get('count'))}, now {found.get('shape', found.get('count'))}"
        if drifting:
            return ""
        a, b = dict(_leaves({k: stored[k] for k in ("mean", "std", "values") if k in stored})), dict(_leaves(dict(found)))
        tolerance = max(STEP, TENSORS * max(map(abs, a.values()), default=0.0))
    if a.keys() - b.keys():
        return f"without {', '.join(sorted(a.keys() - b.keys())[:3])}"
    tolerance *= 150 if loose else 1
    far = [f"{key} {a[key]:g}, now {b[key]:g}" for key in a if not abs(a[key] - b[key]) <= tolerance * max(1.0, abs(a[key]))]
    return ", ".join(far[:4])


def _written(found: Mapping[str, Mapping[str, Any]]) -> str:
    """All fingerprints as json, one to a line."""
    parts = []
    for name, one in found.items():
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in one.items())
        parts.append(f" {json.dumps(name)}: {{\n{lines}\n }}")
    return f'{{"machine": {json.dumps(machine())},\n"commands": {{\n' + ",\n".join(parts) + "\n}}\n"


# ---- the program
def main() -> int:
    """Record or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--record", action="store_true", help="write the fingerprints")
    what.add_argument("--check", action="store_true", help="compare with the fingerprints that are stored")
    parser.add_argument("--file", type=Path, default=STORED, help="of the fingerprints")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    parser.add_argument("--as-another-machine", action="store_true", help="compare by the summaries alone")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp() if asked.keep is None else asked.keep).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = run_all(folder, lambda line: print(line, flush=True))
        failed = [name for name, (_, problem) in done.items() if problem]
        found = {c.name: fingerprints(c, folder) for c in COMMANDS if c.name not in failed}
    finally:
        if asked.keep is None:
            shutil.rmtree(folder)
    if asked.record:
        if not failed:
            asked.file.write_text(_written(found))
        return len(failed)
    stored = json.loads(asked.file.read_text())
    same_kind = machine() == stored["machine"] and not asked.as_another_machine
    print(f"\n{'command':28} {'seconds':>7} {'parts':>5}  {'equal bytes' if same_kind else 'near (another kind of machine)'}")
    problems = []
    for name, (seconds, problem) in done.items():
        wrong = [problem] if problem else differences(name, stored["commands"][name], found[name], same_kind)
        problems += wrong
        print(f"{name:28} {seconds:7.1f} {len(found.get(name, ())):5}  {'yes' if not wrong else f'NO: {len(wrong)} differ'}")
    print("\n".join(["", *problems]))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
