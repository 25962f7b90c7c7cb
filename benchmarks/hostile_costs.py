"""What single cases of the hostile generators cost: `python benchmarks/hostile_costs.py [TESTS ...]` prints, for each generated test, how many cases
there were, the seconds of the slowest, and the memory that the greediest took beyond what the process had (its peak, of this process).

Claim: each is refused, or read, within 5 s and 1 GB. Every case runs under a limit of 1 GB of further address space, so that one which wants more
fails; seconds are of the wall clock, beside those of the processor, which do not grow when the machine is busy. Files that lie are made by the tests.
"""

from __future__ import annotations

import argparse
import collections
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = (
    "tests/models/test_settings_hostile.py", "tests/models/weights/test_checkpoints_hostile.py", "tests/models/weights/test_safetensors_hostile.py",
    "tests/datasets/groundtruth/test_hostile_groundtruth.py", "tests/datasets/groundtruth/test_hostile_annotations.py",
    "tests/datasets/groundtruth/test_safe_pickle.py", "tests/datasets/store/test_store_hostile.py",
    "tests/datasets/published/test_archives_hostile.py", "tests/helpers/experiments/test_runs_hostile.py",
    "tests/helpers/reports/test_hostile_names.py", "tests/test_json_hostile.py", "tests/test_files_hostile.py", "tests/test_places_hostile.py",
)  # fmt: skip
LIMIT = 1 << 30  # bytes of address space that a case may take further


@dataclass
class Cost:
    """Of a test's cases: how many, the slowest one's seconds by the clock and of the processor, the largest growth of the peak in bytes."""

    cases: int = 0
    wall: float = 0.0
    processor: float = 0.0
    memory: int = 0
    failed: int = 0


def _status(name: str) -> int:
    """A figure of this process in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))


@contextmanager
def measured(cost: Cost) -> Iterator[None]:
    """Run a case within the limit, and add it."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the peak begins anew
    before, began, used = _status("VmRSS"), time.perf_counter(), time.process_time()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + LIMIT, limits[1]))
    try:
        yield
    except BaseException as error:
        cost.failed += not type(error).__module__.startswith("hypothesis")  # which ends a case that it cannot draw
        raise
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        cost.cases += 1
        cost.wall, cost.processor = max(cost.wall, time.perf_counter() - began), max(cost.processor, time.process_time() - used)
        cost.memory = max(cost.memory, _status("VmHWM") - before)


class Costs:
    """A plugin of pytest: measures every case that hypothesis draws, and every call of other tests."""

    def __init__(self) -> None:
        self.of: dict[str, Cost] = collections.defaultdict(Cost)

    def pytest_collection_modifyitems(self, items: Sequence[Any]) -> None:
        """Have each test measure its cases."""
        seen = set()
        for item in items:
            name = f"{item.path.name}::{item.originalname}"
            handle = getattr(item.obj, "hypothesis", None)
            if handle is None:
                item.obj = self._measure(name, item.obj)
            elif name not in seen:
                handle.inner_test = self._measure(name, handle.inner_test)
            seen.add(name)

    def _measure(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with measured(self.of[name]):
                return function(*args, **kwargs)

        return run


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; the exit code is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", default=TESTS, help="files of generated tests")
    chosen = parser.parse_args(argv)
    costs = Costs()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # of what a shell begins in the background, too: what was measured is printed
    code = pytest.main(
        ["-q", "-p", "no:cacheprovider", "-m", "", "--rootdir", str(ROOT), *(str(ROOT / one) for one in chosen.tests)],
        plugins=[costs],
    )
    print(f"\n{'test':<95} {'cases':>6} {'slowest s':>10} {'processor s':>12} {'memory MB':>10} {'failed':>7}")
    for name, cost in sorted(costs.of.items()):
        print(
            f"{name:<95} {cost.cases:>6} {cost.wall:>10.2f} {cost.processor:>12.2f} {cost.memory / 1e6:>10.0f} {cost.failed:>7}"
        )
    whole = list(costs.of.values())
    print(
        f"{len(whole)} tests, {sum(c.cases for c in whole)} cases; slowest {max(c.wall for c in whole):.2f} s, of the processor "
        f"{max(c.processor for c in whole):.2f} s; most memory {max(c.memory for c in whole) / 1e6:.0f} MB."
    )
    return int(code)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
