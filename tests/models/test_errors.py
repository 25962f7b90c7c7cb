"""The hint of errors that name something unknown."""

from __future__ import annotations

import pytest

from models.errors import nearest


@pytest.mark.parametrize(
    ("name", "known", "want"),
    [
        ("seedz", ["name", "seed", "seeds"], " Did you mean 'seed' or 'seeds'?"),
        ("seeds", ["seed", "seeding"], " Did you mean 'seed'?"),
        ("lenghts", ["lengths", "length"], " Did you mean 'lengths'?"),
        ("discogs-30s-129", ["discogs-20s-129e", "discogs-30s-129e"], " Did you mean 'discogs-30s-129e'?"),
        ("xyz", ["seed"], ""),
    ],
)
def test_the_nearest_names_and_no_others(name, known, want):
    assert nearest(name, known) == want
