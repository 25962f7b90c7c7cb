"""Work that commands give to worker processes, done in this one: where the workers are not what is tested, starting them is most of the cost."""

from __future__ import annotations

import pytest

from datasets.jobs.parallel import parallel_map


def without_workers(patch: pytest.MonkeyPatch) -> None:
    """Make and prepare audio in this process, until `patch` is undone."""

    def here(function, items, jobs=None, ordered=True, **options):
        return parallel_map(function, items, 1, ordered, **options)

    for module in ("datasets.demo.writer", "datasets.prepare.preparation"):
        patch.setattr(f"{module}.parallel_map", here)
