"""Every reader of files, given what is no file: refused at once by the reader's own error in one sentence, nothing waited for or filled."""

from __future__ import annotations

import ast
import shutil

import numpy as np
import pytest

from datasets.groundtruth.annotations import read_annotations
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.splits import read_split
from datasets.jobs.shard_plan import PLAN_FILE, Plan, planned_names
from datasets.prepare.failures import failed_before
from datasets.published.archives import unpack
from datasets.published.fetch import read_sums
from datasets.published.label_table import read_rows
from datasets.raw_waveforms import read_filelists
from datasets.store.layouts import import_files
from datasets.store.track_store import TrackStore
from datasets.utils.arrays import load_array, load_arrays
from helpers.experiments.config_source import config_of_file
from helpers.experiments.run_records import read_runs
from helpers.extraction.embeddings import has_tokens
from helpers.metrics.scores import SystemScores
from helpers.training.resume import read_saved
from models import audio, errors, export_model, load_model
from models.maest import MAEST
from models.musicfm.files import read_stats
from models.omar_rq.gin_config import read_gin
from models.weights.checkpoints import read_checkpoint, read_settings
from models.weights.head_origin import header
from tests.imports import ROOT
from tests.odd_things import KINDS, put, watched
from tests.sentences import one_sentence

READERS = {  # name of the file below a folder -> what reads it
    "model.safetensors": lambda folder, file: load_model(folder),
    "config.json": lambda folder, file: load_model(folder),
    "x.safetensors": lambda folder, file: read_checkpoint(file),
    "head.safetensors": lambda folder, file: header(file),
    "x.ckpt": lambda folder, file: (read_settings(file), read_checkpoint(file)),
    "last.ckpt": lambda folder, file: read_saved(file),
    "model.whl": lambda folder, file: load_model(file),
    "config.gin": lambda folder, file: read_gin(file),
    "fma_stats.json": lambda folder, file: read_stats(file),
    "run.json": lambda folder, file: config_of_file(str(file), {}),
    "x.wav": lambda folder, file: audio.load(file),
    "x.mp3": lambda folder, file: audio.info(file),
    "labels.csv": lambda folder, file: Groundtruth.read(file),
    "labels.tsv": lambda folder, file: Groundtruth.read(file),
    "labels.json": lambda folder, file: Groundtruth.read(file),
    "labels.pk": lambda folder, file: Groundtruth.read(file),
    "names.txt": lambda folder, file: Groundtruth.read(folder / "good.csv", labels=file),
    "tracks.csv": lambda folder, file: read_annotations("beats", folder, table=file),
    "split.csv": lambda folder, file: read_split(file, Groundtruth.read(folder / "good.csv")),
    "x.h5": lambda folder, file: TrackStore.open(file),
    "x.h5.journal": lambda folder, file: TrackStore.open(folder / "x.h5"),
    "x.npy": lambda folder, file: load_array(file),
    "x.npz": lambda folder, file: load_arrays(file),
    "a.embeddings.npy": lambda folder, file: has_tokens(folder),
    "a.mmap": lambda folder, file: import_files(folder, folder / "out.h5", {}),
    "list.txt": lambda folder, file: read_filelists([file]),
    "x.zip": lambda folder, file: unpack([file], folder / "out"),
    "x.tar.gz": lambda folder, file: unpack([file], folder / "out"),
    "sums.sha256": lambda folder, file: read_sums(file),
    "rows.tsv": lambda folder, file: list(read_rows(file, "\t", ["a"])),
    "failed.csv": lambda folder, file: failed_before(folder),
    PLAN_FILE: lambda folder, file: (Plan(folder, 2), planned_names(folder, 0, 0)),
    "scores.json": lambda folder, file: SystemScores.load(folder),
    "scores.npz": lambda folder, file: SystemScores.load(folder),
    "runs.db": lambda folder, file: read_runs(file),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    where = tmp_path_factory.mktemp("odd") / "whole"
    net = MAEST(embed_dim=16, depth=1, num_heads=2, input_t=64, n_classes=3, labels=["x", "y", "z"])
    export_model(net, where)
    (where / "good.csv").write_text("path,labels\na,x\nb,y\n")
    np.savez(where / "scores.npz", targets=np.zeros((2, 1)), labels=["a"], keys=["x", "y"])
    return where


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_refused_at_once(place, name, kind):
    folder = place.parent / "here"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(place, folder)
    (folder / name).unlink(missing_ok=True)
    put(folder / name, kind)
    before = sorted(path.name for path in folder.iterdir())
    with watched():
        try:
            READERS[name](folder, folder / name)
        except OSError as error:
            one_sentence(error)
        except tuple(vars(errors)[name] for name in vars(errors) if name.endswith("Error")) as error:
            one_sentence(error)
        else:
            assert name in ("failed.csv", "a.embeddings.npy", "a.mmap", PLAN_FILE, "x.zip", "x.tar.gz") or kind in (
                "folder",
                "empty",
                "nothing",
            ), (name, kind)
    left = sorted(path.name for path in folder.iterdir() if path.name not in ("out", "out.h5.part", "out.h5.journal"))
    assert left == before


# ---- every place that opens something
def _calls(tree):
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Module)]:
        inner = list(ast.iter_child_nodes(function))
        stack, calls = inner, []
        while stack:
            node = stack.pop()
            if isinstance(node, ast.FunctionDef):
                continue
            calls += [node] if isinstance(node, ast.Call) else []
            stack += ast.iter_child_nodes(node)
        yield getattr(function, "name", "module"), calls


def _opens(call) -> bool:
    words = ast.unparse(call.func)
    last = words.rpartition(".")[2]
    if last in ("read_text", "read_bytes"):
        return "." in words
    if last == "open" and words in ("open", "path.open", "source.open", "part.open"):
        given = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mode")] if words == "open" else call.args[:1]
        mode = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
        return not set(str(mode)) & set("wax+")
    return words in (
        "np.load", "np.fromfile", "np.memmap", "torch.load", "h5py.File", "zipfile.ZipFile", "load_file", "safe_open", "sqlite3.connect",
        "csv.open_csv", "EncodecModel.from_pretrained", "soundfile.SoundFile",
    )  # fmt: skip


CHECKS = ("check_regular", "array_header", "read_header", "open_regular")
ELSEWHERE = {  # function that opens -> who has looked before, or why it is no file of somebody else
    "archives.py:_unpack_zip": "a file that is open",
    "arrow.py:_batches": "_is_plain, which reads the table first",
    "cache.py:_save": "it writes",
    "embeddings.py:_room": "a nameless file of its own",
    "encodec.py:load_encoder": "_check_folder",
    "locks.py:open_locked": "never_through_a_link, which waits for nothing",
    "network_speed.py:_peak_mib": "the system's page on this process",
    "onnx_windows.py:_in_8_bits": "a file that it wrote into a folder of its own",
    "onnx_windows.py:write_graph": "a file that it wrote into a folder of its own",
    "processor.py:_cpuinfo": "the system's list of processors",
    "provenance.py:_start_ticks": "the system's list of processes",
    "sound.py:embedded_sound": "it writes, into memory",
    "torch_files.py:_check_archive": "a file that is open",
}


@pytest.mark.slow
def test_every_reader_looks_before_it_opens():
    """Each function that opens a file to read it calls the one that looks, or stands in a list here with its reason."""
    odd = []
    for folder in ("models", "datasets", "helpers"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "bounded_files.py":
                continue
            for name, calls in _calls(ast.parse(path.read_text(encoding="utf-8"))):
                looks = any(ast.unparse(call.func).rpartition(".")[2] in CHECKS for call in calls)
                odd += [f"{path.name}:{name}" for call in calls if _opens(call) and not looks]
    assert sorted(set(odd) ^ set(ELSEWHERE)) == []
