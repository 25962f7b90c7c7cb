"""Memory that is freed stays with the process that trains or extracts, unless its environment says otherwise."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from helpers.extraction import job
from helpers.prediction import predict
from helpers.runtime import memory
from helpers.training import fit

ARRAYS = """
import resource, sys
import numpy as np
from helpers.runtime.memory import keep_freed_memory
large, size = sys.argv[1] == "large", int(sys.argv[2])
print(keep_freed_memory(not large), keep_freed_memory(large))  # the last word counts
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.empty(size, np.uint8) for _ in range(4)]
    for array in arrays:
        array.fill(1)
    del array, arrays
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(max(faults[1:]))
"""


def _told(root, large, megabytes, **environment):
    words = ["large" if large else "", str(megabytes << 20)]
    done = subprocess.run(
        [sys.executable, "-c", ARRAYS, *words], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    told, again, faults = done.stdout.split()
    assert told == again
    return told == "True", int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_arrays_are_not_taken_from_the_kernel_again(request):
    root = request.config.rootpath
    assert _told(root, False, 20)[1] < 1000
    assert _told(root, False, 40)[1] > 1000  # training: glibc's own largest is 32 MB
    assert _told(root, True, 40)[1] < 1000
    told, faults = _told(root, True, 40, MALLOC_MMAP_MAX_="65536")
    assert not told  # the environment's own settings are obeyed
    assert faults > 1000


GLIBC = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


@pytest.mark.parametrize("name", [None, *GLIBC])
def test_settings_of_glibc_are_known_by_their_names(name, monkeypatch):
    asked = []
    libc = SimpleNamespace(mallopt=lambda what, value: asked.append(what) or 1)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda file: libc)
    for one in GLIBC:
        monkeypatch.delenv(one, raising=False)
    if name is not None:
        monkeypatch.setenv(name, "65536")
    assert memory.keep_freed_memory() == bool(asked) == (name is None)


class Told(Exception):
    pass


def _begin_training():
    fit.fit(None, None, None)


@pytest.mark.parametrize(
    ("module", "begin"),
    [
        (fit, _begin_training),
        (fit, lambda: fit.evaluate(None, None, None)),
        (job, lambda: job.Job.run(None, None, None)),
        (predict, lambda: predict.predict(None, "", "")),
    ],
    ids=["fit", "evaluate", "extraction", "predict"],
)
def test_what_computes_for_long_keeps_its_memory(module, begin, monkeypatch):
    def tell(large=False):
        assert large == (begin is not _begin_training)
        raise Told

    monkeypatch.setattr(module, "keep_freed_memory", tell)
    with pytest.raises(Told):
        begin()
